//! `collector journal`: what a journal's folder holds, for the operator.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use journal::{
    Damage, Flaw, Inspection, JournalSettings, Loss, OpenError, SalvageError, Salvaged,
    SegmentInspection,
};

use crate::resubmit_command::ResubmitArgs;

/// What `collector journal` takes.
#[derive(Debug, Clone, Args)]
pub struct JournalCommandArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Print every file of the folder: records, batches, what is unsent, what is damaged. Changes
    /// nothing.
    Inspect(Folder),
    /// Read and check every byte; exit code 65 when something is damaged, 66 when there
    /// is no journal. Changes nothing.
    Verify(Folder),
    /// Copy every record that is whole and not in the store from a damaged journal to a new one, and
    /// print what is lost; exit code 65 when records are lost. The damaged one is only read.
    Salvage(SalvageArgs),
    /// Send the records again that the store refused, once the cause is mended, while a collector
    /// runs or not. Exit code 65 when some are refused still; they stay.
    Resubmit(ResubmitArgs),
}

impl JournalCommandArgs {
    /// What to send again, if that is asked for: it takes a store.
    #[must_use]
    pub fn resubmit(&self) -> Option<&ResubmitArgs> {
        match &self.what {
            What::Resubmit(args) => Some(args),
            What::Inspect(_) | What::Verify(_) | What::Salvage(_) => None,
        }
    }
}

#[derive(Debug, Clone, Args)]
struct Folder {
    /// The journal's folder.
    #[arg(env = "WAYBILL_JOURNAL", value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, Clone, Args)]
struct SalvageArgs {
    #[command(flatten)]
    from: Folder,
    /// Folder of the new journal; made if missing, else empty.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

/// The folder could not be looked into, or is not whole.
#[derive(Debug, thiserror::Error)]
pub enum JournalCommandError {
    /// The operating system refuses, or the folder is damaged.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// There is nothing to look into.
    #[error("no journal in {}: not one segment", .0.display())]
    NoJournal(PathBuf),
    /// Not everything could be salvaged.
    #[error(
        "{0} records that were answered are known to be lost; what is whole is in the new journal"
    )]
    Lost(u64),
    /// Nothing was salvaged.
    #[error(transparent)]
    Salvage(#[from] SalvageError),
    /// The output was closed.
    #[error("cannot print")]
    Print(#[from] io::Error),
}

impl JournalCommandError {
    /// Whether there was no journal.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoJournal(_) | Self::Salvage(SalvageError::NoJournal(_)))
    }

    /// Whether the journal was read and is damaged.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Journal(OpenError::Damaged(_)) | Self::Lost(_))
    }
}

/// Prints what was asked for; to send again is another command's work.
///
/// # Errors
/// [`JournalCommandError`].
pub fn run(args: &JournalCommandArgs, out: &mut impl Write) -> Result<(), JournalCommandError> {
    match &args.what {
        What::Inspect(Folder { folder }) => print(&journal::inspect(folder)?, out)?,
        What::Verify(Folder { folder }) => {
            if journal::inspect(folder)?.segments.is_empty() {
                return Err(JournalCommandError::NoJournal(folder.clone()));
            }
            journal::verify(folder)?;
            writeln!(out, "{} is whole", folder.display())?;
        }
        What::Salvage(SalvageArgs { from: Folder { folder }, into }) => {
            let salvaged = journal::salvage(folder, room_for_all(into.clone()))?;
            print_salvaged(&salvaged, out)?;
            if !salvaged.is_complete() {
                return Err(JournalCommandError::Lost(salvaged.lost_records()));
            }
        }
        What::Resubmit(_) => {}
    }
    Ok(())
}

/// The usual journal, but for its bound on the disk: the old one was within its own.
fn room_for_all(folder: PathBuf) -> JournalSettings {
    let usual = JournalSettings::new(folder);
    JournalSettings { disk_bytes_max: 1 << 50, cache_bytes_max: 0, ..usual }
}

fn print_salvaged(found: &Salvaged, out: &mut impl Write) -> io::Result<()> {
    let Salvaged { journal, records, bytes, confirmed_through, lost } = found;
    writeln!(out, "in the store: all records through {confirmed_through}, left behind")?;
    for Loss { file, offset, bytes, flaw, records, is_torn_tail } in lost {
        write!(out, "{} at byte {offset}, {bytes} bytes: {flaw}; ", file.display())?;
        match (records, is_torn_tail) {
            (Some((first, last)), _) => writeln!(out, "records {first} to {last} are LOST")?,
            _ if *flaw == Flaw::Absent => writeln!(out, "nobody knows what it held")?,
            (None, true) => writeln!(out, "the end of a group that was not finished")?,
            (None, false) => writeln!(out, "no record that is not in the store is missing")?,
        }
    }
    let journal = journal.simple();
    writeln!(out, "salvaged: {records} records of {bytes} bytes, now journal {journal}")
}

fn print(found: &Inspection, out: &mut impl Write) -> io::Result<()> {
    match found.journal {
        Some(journal) => writeln!(out, "journal {}", journal.simple())?,
        None => writeln!(out, "no journal: not one whole file")?,
    }
    writeln!(out, "in the store: all records through {}", found.confirmed_through)?;
    for segment in &found.segments {
        print_segment(segment, found.confirmed_through, out)?;
    }
    let last = found.segments.iter().filter_map(|segment| segment.sequences).map(|(_, last)| last);
    let unsent = last.max().unwrap_or(0).saturating_sub(found.confirmed_through);
    writeln!(out, "not known to be in the store: {unsent} records")
}

fn print_segment(
    found: &SegmentInspection,
    confirmed: u64,
    out: &mut impl Write,
) -> io::Result<()> {
    let SegmentInspection { file, bytes, records, payload_bytes, .. } = found;
    writeln!(out, "{}: {bytes} bytes", file.display())?;
    if let (Some((first, last)), Some((from, to))) = (found.sequences, found.appended_at) {
        writeln!(
            out,
            "  {records} records of {payload_bytes} bytes, {first} to {last}, appended {} to {}",
            utc(from),
            utc(to)
        )?;
    }
    for batch in &found.batches {
        let state = if batch.last <= confirmed { "in the store" } else { "open" };
        writeln!(out, "  batch {batch}: {state}")?;
    }
    if found.torn_tail_bytes > 0 {
        let torn = found.torn_tail_bytes;
        writeln!(
            out,
            "  {torn} bytes at the end of a group that was not finished; never answered"
        )?;
    }
    for Damage { offset, flaw, .. } in &found.damage {
        writeln!(out, "  DAMAGED at byte {offset}: {flaw}")?;
    }
    Ok(())
}

fn utc(at: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(at).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
