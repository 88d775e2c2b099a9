//! The collector's journal: its settings, what it says of itself, whether it can take more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use daemon::{Stop, Watch};
use tokio::time::Instant;

use journal::{Batches, Journal, JournalObserver, JournalSettings, JournalStats, OpenError};

use crate::metrics::CollectorMetrics;
use crate::set_aside::SetAside;

/// Requests larger than this become several records, so that a group of them can be cut anywhere.
pub const RECORD_BYTES: usize = 1 << 20;
/// How often it is looked whether the journal can take more.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A disk that has not synced for so long while data waits does not work.
const SYNC_TIME_MAX: Duration = Duration::from_secs(10);
/// What is answered is in the store within seconds; when it takes longer, people are told.
const STORED_WITHIN: Duration = Duration::from_secs(20);
/// Parts that the bound on the disk has at least, so that confirmed ones go in time.
const SEGMENTS_MIN: u64 = 8;

/// Where answered data waits for the store.
#[derive(Debug, Clone, Args)]
pub struct JournalArgs {
    /// Folder in which answered data waits for the store; made if missing, owned by one process.
    /// A collector needs one of its own, on a disk that outlives the process.
    #[arg(long, env = "WAYBILL_JOURNAL", value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Bytes of that folder; past it senders are told to come again (503, `UNAVAILABLE`) until the
    /// store has taken the oldest.
    #[arg(long, env = "WAYBILL_JOURNAL_BYTES_MAX", default_value_t = 4 << 30)]
    pub journal_bytes_max: u64,
    /// Folder in which records are set aside that the store refuses for good; without it the
    /// journal's name with `.refused` behind it. It belongs on the same disk.
    #[arg(long, env = "WAYBILL_JOURNAL_REFUSED", value_name = "DIR")]
    pub journal_refused: Option<PathBuf>,
    /// Bytes of answered data kept in memory for the store; what is beyond is read back from the
    /// folder.
    #[arg(long, env = "WAYBILL_JOURNAL_CACHE_BYTES_MAX", default_value_t = 32 << 20)]
    pub journal_cache_bytes_max: u64,
}

impl JournalArgs {
    /// The journal's bounds; `None` without a folder.
    #[must_use]
    pub fn settings(&self) -> Option<JournalSettings> {
        let usual = JournalSettings::new(self.journal.clone()?);
        let segment_bytes_max = usual.segment_bytes_max.min(self.journal_bytes_max / SEGMENTS_MIN);
        Some(JournalSettings {
            segment_bytes_max,
            disk_bytes_max: self.journal_bytes_max,
            // A segment holds a record and some more.
            record_bytes_max: usual.record_bytes_max.min(segment_bytes_max / 2),
            cache_bytes_max: self.journal_cache_bytes_max,
            ..usual
        })
    }

    /// Folder for records that the store refuses for good.
    #[must_use]
    pub fn refused(&self) -> SetAside {
        self.refused_beside(self.journal.as_deref().unwrap_or(Path::new("journal")))
    }

    /// The same for a journal in that folder.
    #[must_use]
    pub fn refused_beside(&self, journal: &Path) -> SetAside {
        SetAside::new(self.journal_refused.clone().unwrap_or_else(|| {
            let mut name = journal.file_name().unwrap_or("journal".as_ref()).to_owned();
            name.push(".refused");
            journal.with_file_name(name)
        }))
    }

    /// What is wrong with the settings, as (flag, reason).
    ///
    /// # Errors
    /// The first bad one.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let Some(settings) = self.settings() else {
            let why = "say in which folder answered data waits for the store".to_owned();
            return Err(("--journal", why));
        };
        let least = SEGMENTS_MIN * 4 * RECORD_BYTES as u64;
        if self.journal_bytes_max < least {
            return Err(("--journal-bytes-max", format!("must be at least {least}")));
        }
        settings.check().map_err(|error| ("--journal-bytes-max", error.to_string()))
    }
}

/// Opens the journal; reading what is in it may take seconds, and on a disk that hangs for ever.
/// `None` when the stop came first: then the thread that reads is left alone, and what it has not
/// done is done by the next start, as after a kill.
///
/// # Errors
/// [`OpenError`].
pub async fn open(
    settings: JournalSettings,
    metrics: &CollectorMetrics,
    stop: &Stop,
) -> Result<Option<(Journal, Batches)>, OpenError> {
    let observer = Arc::new(Syncs { metrics: metrics.clone() });
    let opening = move || Journal::open_observed(settings, observer);
    let Some(opened) = or_stopped(opening, stop).await else { return Ok(None) };
    let (journal, batches) = opened?;
    let JournalStats { unconfirmed_records, unconfirmed_bytes, disk_bytes, .. } = journal.stats();
    tracing::info!(unconfirmed_records, unconfirmed_bytes, disk_bytes, "journal open");
    Ok(Some((journal, batches)))
}

/// The result of blocking work; `None` when the stop came first.
async fn or_stopped<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    stop: &Stop,
) -> Option<T> {
    let working = tokio::task::spawn_blocking(work);
    let worked = tokio::select! {
        worked = working => worked,
        () = stop.stopped() => return None,
    };
    // A panic is ours to pass on; the runtime cancels blocking work only before it begins.
    Some(worked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())))
}

/// Closes the journal, unless its disk does not answer within `time_max`: everything answered is
/// synced already, so that nothing but a position is left undone.
pub async fn close(journal: Journal, time_max: Duration) {
    if tokio::time::timeout(time_max, journal.close()).await.is_err() {
        let seconds = time_max.as_secs();
        tracing::warn!(seconds, "the journal's disk does not answer; left without closing");
    }
}

/// Counts syncs.
struct Syncs {
    metrics: CollectorMetrics,
}

impl JournalObserver for Syncs {
    fn synced(&self, seconds: f64, records: usize, _bytes: u64) {
        self.metrics.journal_sync_seconds.observe(seconds);
        if records > 0 {
            self.metrics.journal_sync_records.observe(records as f64);
        }
    }
}

/// Sets the journal's gauges.
pub fn show(journal: &Journal, metrics: &CollectorMetrics) {
    let stats = journal.stats();
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.journal_bytes.set(gauge(stats.disk_bytes));
    metrics.journal_bytes_max.set(gauge(stats.disk_bytes_max));
    metrics.unsent_records.set(gauge(stats.unconfirmed_records));
    metrics.unsent_bytes.set(gauge(stats.unconfirmed_bytes));
    let age = stats.unconfirmed_age(SystemTime::now());
    metrics.unsent_age_seconds.set(age.as_secs_f64());
}

/// Says again and again whether the journal can take more (`journal`), and whether the store takes
/// what is in it (`inserts`), until the stop.
pub async fn look(journal: Journal, watch: Watch, inserts: Watch, stop: Stop) {
    let mut before = journal.stats();
    let mut synced_at = Instant::now();
    let mut stored_at = Instant::now();
    loop {
        let now = journal.stats();
        if now.syncs != before.syncs || now.waiting_bytes == 0 {
            synced_at = Instant::now();
        }
        match complaint(&before, &now, synced_at.elapsed()) {
            Some(why) => watch.failed(why),
            None => watch.progressed(),
        }
        if now.unconfirmed_records == 0 || stored(&now) != stored(&before) {
            stored_at = Instant::now();
        }
        match unstored(&now, stored_at.elapsed()) {
            Some(why) => inserts.failed(why),
            None => inserts.progressed(),
        }
        before = now;
        if !stop.sleep(LOOK_INTERVAL).await {
            return;
        }
    }
}

/// Records that left the journal, up to a constant.
fn stored(stats: &JournalStats) -> u64 {
    stats.appended_records.wrapping_sub(stats.unconfirmed_records)
}

fn unstored(now: &JournalStats, since: Duration) -> Option<String> {
    let (records, seconds) = (now.unconfirmed_records, since.as_secs());
    (since > STORED_WITHIN)
        .then(|| format!("the store has taken nothing for {seconds} s; {records} requests wait"))
}

fn complaint(before: &JournalStats, now: &JournalStats, unsynced: Duration) -> Option<String> {
    if now.is_failed {
        return Some("writing failed; see the log. It takes nothing until a restart".to_owned());
    }
    if now.no_space > before.no_space {
        return Some("no space is left on its disk".to_owned());
    }
    if now.refused_full > before.refused_full || now.used_bytes > now.disk_bytes_max / 100 * 95 {
        let (used, max) = (now.used_bytes, now.disk_bytes_max);
        return Some(format!("full: {used} of {max} bytes wait for the store"));
    }
    if unsynced > SYNC_TIME_MAX {
        let (bytes, seconds) = (now.waiting_bytes, unsynced.as_secs());
        return Some(format!("its disk has not answered for {seconds} s; {bytes} bytes wait"));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// A disk that answers no more once the test says so.
    struct Hanging {
        until: Mutex<Receiver<()>>,
    }

    impl JournalObserver for Hanging {
        fn synced(&self, _seconds: f64, _records: usize, _bytes: u64) {
            // Returns when the sender is gone.
            let _ = self.until.lock().map(|until| until.recv());
        }
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_no_stop() {
        let folder = tempfile::tempdir().unwrap();
        let settings = JournalSettings::new(folder.path());
        let (journal, batches) = Journal::open(settings.clone()).unwrap();
        journal.append("answered").await.unwrap();
        close(journal, Duration::from_secs(60)).await;
        drop(batches);

        let (hang, until) = channel::<()>();
        let hanging = Arc::new(Hanging { until: Mutex::new(until) });
        let (journal, batches) = Journal::open_observed(settings.clone(), hanging).unwrap();
        let unanswered = tokio::spawn({
            let journal = journal.clone();
            async move { journal.append("in the kernel's hands").await }
        });
        while journal.stats().waiting_bytes == 0 {
            tokio::task::yield_now().await;
        }
        close(journal, Duration::from_millis(20)).await;
        assert!(!unanswered.is_finished());
        drop((batches, hang));
        let _ = unanswered.await;
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_blocking_work() {
        let (hang, until) = channel::<()>();
        let stop = Stop::new();
        stop.stop();
        assert_eq!(or_stopped(move || until.recv().is_err(), &stop).await, None);
        drop(hang);
        assert_eq!(or_stopped(|| 7, &Stop::new()).await, Some(7));
    }
}
