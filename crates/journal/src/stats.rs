//! What the journal says about itself.

use std::time::{Duration, SystemTime};

/// Is told about every sync, on the journal's own thread. MUST return soon: appends wait.
pub trait JournalObserver: Send + Sync + 'static {
    /// A group of `records` records and `bytes` bytes is on disk; writing and syncing it took
    /// `seconds`. A group without records carried boundaries and positions only.
    fn synced(&self, seconds: f64, records: usize, bytes: u64);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl JournalObserver for NoObserver {
    fn synced(&self, _seconds: f64, _records: usize, _bytes: u64) {}
}

/// What is counted as it happens, since the journal was opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) appended_records: u64,
    pub(crate) appended_bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) batches: u64,
    pub(crate) refused_full: u64,
    pub(crate) refused_busy: u64,
    pub(crate) no_space: u64,
}

/// The state of a journal at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes of all its files.
    pub disk_bytes: u64,
    /// Bytes of the disk taken or promised: what is compared with the bound.
    pub used_bytes: u64,
    /// The bound of them.
    pub disk_bytes_max: u64,
    /// Files.
    pub segments: usize,
    /// Records on disk that the store is not known to have.
    pub unconfirmed_records: u64,
    /// Their payload bytes.
    pub unconfirmed_bytes: u64,
    /// When the oldest of them was appended, by the wall clock; also by a process before this
    /// one. With many records it may be a little early.
    pub unconfirmed_oldest_at: Option<SystemTime>,
    /// Batches that are handed out, or to be, and not confirmed.
    pub open_batches: usize,
    /// Payload bytes in memory that wait for the disk.
    pub waiting_bytes: u64,
    /// Payload bytes in memory that wait for the reader.
    pub cache_bytes: u64,
    /// Records appended and synced since the journal was opened.
    pub appended_records: u64,
    /// Their payload bytes.
    pub appended_bytes: u64,
    /// Groups synced since the journal was opened.
    pub syncs: u64,
    /// Batches made since the journal was opened.
    pub batches: u64,
    /// Appends refused because the disk's bound was reached.
    pub refused_full: u64,
    /// Appends refused because too much waited for the disk.
    pub refused_busy: u64,
    /// Groups for which the file system had no space.
    pub no_space: u64,
    /// Writing failed; nothing is taken until a restart.
    pub is_failed: bool,
}

impl JournalStats {
    /// How long the oldest unconfirmed record has been waiting; zero when there is none, or when
    /// the clock was set back.
    #[must_use]
    pub fn unconfirmed_age(&self, now: SystemTime) -> Duration {
        self.unconfirmed_oldest_at.and_then(|at| now.duration_since(at).ok()).unwrap_or_default()
    }
}

/// Nanoseconds since 1970; zero for clocks before.
pub(crate) fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The reverse of [`nanoseconds`].
pub(crate) fn time(ns: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)
}
