//! What can go wrong, said so that the operator knows where and what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::format::Flaw;
use crate::settings::SettingsError;

/// A journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The bounds do not go together.
    #[error("the settings of the journal do not go together")]
    Settings(#[from] SettingsError),
    /// Another process or instance has it open.
    #[error("the journal {} is open elsewhere; stop the other collector, or give this one a folder of its own", folder.display())]
    Locked {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// The operating system refused something.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Records that were acknowledged cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// A place in a segment where something else stands than was written, and which a crash cannot
/// explain. It is never skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is damaged at byte {offset}: {flaw}. Nothing was changed. `collector journal inspect` \
     shows what is whole; restore the file, or take what is whole to a new journal with \
     `collector journal salvage`",
    file.display()
)]
pub struct Damage {
    /// The segment.
    pub file: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// A record was not appended, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The bound of the disk is reached; it passes when the store confirms.
    #[error("the journal is full: {used} of {max} bytes")]
    Full {
        /// Bytes that are taken or promised.
        used: u64,
        /// The bound: `disk_bytes_max`.
        max: u64,
    },
    /// The file system has no space left; it passes when there is space again.
    #[error("no space left for the journal: {0}")]
    NoSpace(Arc<str>),
    /// More waits for the disk than may; it passes when the disk has caught up.
    #[error("{waiting} bytes of {max} wait for the journal's disk")]
    Busy {
        /// Bytes that wait.
        waiting: u64,
        /// The bound: `waiting_bytes_max`.
        max: u64,
    },
    /// The record is larger than records may be; it never passes.
    #[error("a record of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The bound: `record_bytes_max`.
        max: u64,
    },
    /// The journal takes no more records: it was told to stop.
    #[error("the journal is closed")]
    Closed,
    /// Writing failed; nothing is taken until the process starts anew. The record may or may not
    /// be on disk.
    #[error("the journal failed and takes nothing until a restart: {0}")]
    Failed(Arc<str>),
}

impl AppendError {
    /// Whether the same record may be taken later, by this process.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoSpace(_) | Self::Busy { .. })
    }
}

/// No batch can be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Writing failed before; boundaries cannot be kept until the process starts anew.
    #[error("the journal failed and hands out nothing until a restart: {0}")]
    Failed(Arc<str>),
    /// The operating system refused to read.
    #[error("reading {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// What was written and synced is not there any more.
    #[error(transparent)]
    Damaged(#[from] Damage),
}
