//! The collector's journal: its settings, what it says of itself, whether it can take more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use daemon::{Stop, Watch};
use tokio::time::Instant;

use journal::{Batches, Journal, JournalObserver, JournalSettings, JournalStats, OpenError};

use crate::metrics::CollectorMetrics;

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
    pub fn refused(&self) -> PathBuf {
        self.journal_refused.clone().unwrap_or_else(|| {
            let journal = self.journal.clone().unwrap_or_default();
            let mut name = journal.file_name().unwrap_or("journal".as_ref()).to_owned();
            name.push(".refused");
            journal.with_file_name(name)
        })
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

/// Opens the journal; reading what is in it may take seconds.
///
/// # Errors
/// [`OpenError`].
pub async fn open(
    settings: JournalSettings,
    metrics: &CollectorMetrics,
) -> Result<(Journal, Batches), OpenError> {
    let observer = Arc::new(Syncs { metrics: metrics.clone() });
    let opening = tokio::task::spawn_blocking(move || Journal::open_observed(settings, observer));
    let (journal, batches) = opening.await.unwrap_or_else(|error| {
        // A panic is ours to pass on; the runtime cancels blocking work only before it begins.
        std::panic::resume_unwind(error.into_panic())
    })?;
    let JournalStats { unconfirmed_records, unconfirmed_bytes, disk_bytes, .. } = journal.stats();
    tracing::info!(unconfirmed_records, unconfirmed_bytes, disk_bytes, "journal open");
    Ok((journal, batches))
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
