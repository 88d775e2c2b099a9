//! The journal on a real folder, with its thread, through the public interface.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use journal::{
    AppendError, BatchLimits, Journal, JournalObserver, JournalSettings, OpenError, inspect, verify,
};
use tempfile::TempDir;

const ALL: BatchLimits = BatchLimits { bytes_max: u64::MAX, records_max: usize::MAX };
/// Tells the test binary to hold the folder of this name open, as another process.
const HOLD: &str = "JOURNAL_TEST_HOLD";

fn settings(folder: &Path) -> JournalSettings {
    JournalSettings {
        segment_bytes_max: 1024 * 1024,
        record_bytes_max: 256 * 1024,
        disk_bytes_max: 64 * 1024 * 1024,
        ..JournalSettings::new(folder.join("journal"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appenders_share_syncs_and_every_record_arrives_once() {
    #[derive(Default)]
    struct Seen {
        syncs: AtomicU64,
        records: AtomicU64,
    }
    impl JournalObserver for Seen {
        fn synced(&self, seconds: f64, records: usize, _bytes: u64) {
            assert!(seconds > 0.0);
            self.syncs.fetch_add(1, Ordering::Relaxed);
            self.records.fetch_add(records as u64, Ordering::Relaxed);
        }
    }
    let folder = TempDir::new().unwrap();
    let seen = Arc::new(Seen::default());
    let (journal, mut batches) =
        Journal::open_observed(settings(folder.path()), seen.clone()).unwrap();
    let reading = tokio::spawn({
        let journal = journal.clone();
        async move {
            let mut records = Vec::new();
            while let Some(batch) = batches.next(ALL).await.unwrap() {
                journal.confirm(&batch.id);
                records.extend(batch.records);
            }
            records
        }
    });
    let appenders = (0..64_u64).map(|appender| {
        let journal = journal.clone();
        tokio::spawn(async move {
            for record in 0..50_u64 {
                journal.append((appender * 1000 + record).to_le_bytes().to_vec()).await.unwrap();
            }
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        appender.await.unwrap();
    }
    let stats = journal.stats();
    assert_eq!((stats.appended_records, stats.appended_bytes), (3200, 25_600));
    assert!(stats.syncs < 3200, "{} syncs for 3200 records", stats.syncs);
    assert_eq!(seen.records.load(Ordering::Relaxed), 3200);
    assert!(seen.syncs.load(Ordering::Relaxed) >= stats.syncs);
    journal.stop();
    let mut records: Vec<u64> = reading
        .await
        .unwrap()
        .iter()
        .map(|record| u64::from_le_bytes(record[..].try_into().unwrap()))
        .collect();
    records.sort_unstable();
    let expected = (0..64).flat_map(|appender| (0..50).map(move |record| appender * 1000 + record));
    assert_eq!(records, expected.collect::<Vec<u64>>());
    journal.close().await;
    let (journal, mut batches) = Journal::open(settings(folder.path())).unwrap();
    assert_eq!(journal.stats().unconfirmed_records, 0, "the last position was written by close");
    assert!(batches.next(ALL).now_or_never().is_none());
}

#[tokio::test]
async fn close_keeps_what_was_not_confirmed_for_the_next_open() {
    let folder = TempDir::new().unwrap();
    let settings = settings(folder.path());
    let (journal, mut batches) = Journal::open(settings.clone()).unwrap();
    for record in ["one", "two", "three"] {
        journal.append(record).await.unwrap();
    }
    let batch = batches.next(BatchLimits { bytes_max: 99, records_max: 1 }).await.unwrap().unwrap();
    let other = journal.clone();
    journal.close().await;
    assert_eq!(other.append("late").await, Err(AppendError::Closed));
    assert!(batches.next(ALL).await.unwrap().is_none());
    drop((batches, other));
    verify(&settings.folder).unwrap();
    assert_eq!(inspect(&settings.folder).unwrap().segments[0].records, 3);
    let (journal, mut batches) = Journal::open(settings).unwrap();
    let again = batches.next(ALL).await.unwrap().unwrap();
    assert_eq!((again.id, &again.records, again.is_replayed), (batch.id, &batch.records, true));
    assert_eq!(batches.next(ALL).await.unwrap().unwrap().records, ["two", "three"]);
    journal.close().await;
}

#[tokio::test]
async fn futures_that_are_dropped_lose_nothing_and_block_nobody() {
    let folder = TempDir::new().unwrap();
    let (journal, mut batches) = Journal::open(settings(folder.path())).unwrap();
    for _ in 0..20 {
        // Polled once, then dropped: its record waits for the disk.
        assert!(journal.append("left").now_or_never().is_none());
        assert!(batches.next(ALL).now_or_never().is_none_or(|batch| batch.is_ok()));
        let waiting = tokio::time::timeout(Duration::from_micros(50), batches.next(ALL));
        if let Ok(batch) = waiting.await {
            journal.confirm(&batch.unwrap().unwrap().id);
        }
    }
    journal.append("stayed").await.unwrap();
    let mut last = None;
    while last.as_deref() != Some(b"stayed".as_slice()) {
        last = batches.next(ALL).await.unwrap().unwrap().records.pop();
    }
    assert_eq!(journal.stats().appended_records, 21);
    assert_eq!(journal.stats().waiting_bytes, 0);
    journal.close().await;
}

#[tokio::test]
async fn a_journal_is_open_once() {
    let folder = TempDir::new().unwrap();
    let settings = settings(folder.path());
    let (journal, batches) = Journal::open(settings.clone()).unwrap();
    let error = Journal::open(settings.clone()).unwrap_err();
    assert!(matches!(&error, OpenError::Locked { folder } if *folder == settings.folder));
    journal.append("seen beside a running collector").await.unwrap();
    assert_eq!(inspect(&settings.folder).unwrap().segments[0].records, 1);
    verify(&settings.folder).unwrap();
    journal.close().await;
    drop(batches);
    // Another process holds it now.
    let mut holder = hold(folder.path()).unwrap();
    let error = Journal::open(settings.clone()).unwrap_err();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    Journal::open(settings).unwrap();
}

fn hold(folder: &Path) -> std::io::Result<Child> {
    let held = folder.join("held");
    let child = Command::new(std::env::current_exe()?)
        .args(["--exact", "another_process_holds_the_folder", "--ignored"])
        .env(HOLD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    while !held.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

#[test]
#[ignore = "the other process of a_journal_is_open_once"]
fn another_process_holds_the_folder() {
    let Some(folder) = std::env::var_os(HOLD) else { return };
    let held = Journal::open(settings(Path::new(&folder))).unwrap();
    std::fs::write(Path::new(&folder).join("held"), "").unwrap();
    std::thread::sleep(Duration::from_secs(60));
    drop(held);
}

#[tokio::test]
async fn damage_names_file_and_offset_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let settings = settings(folder.path());
    let (journal, batches) = Journal::open(settings.clone()).unwrap();
    for record in ["one", "two"] {
        journal.append(record).await.unwrap();
    }
    journal.close().await;
    drop(batches);
    let file = settings.folder.join("00000000000000000001.segment");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[64 + 48] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let told = Journal::open(settings.clone()).unwrap_err().to_string();
    let told = told.replace(&settings.folder.display().to_string(), "FOLDER");
    assert_eq!(
        told,
        "FOLDER/00000000000000000001.segment is damaged at byte 64: a record's payload is damaged. \
         Nothing was changed. `collector journal inspect` shows what is whole; restore the file, or \
         take what is whole to a new journal with `collector journal salvage`"
    );
    assert!(matches!(verify(&settings.folder), Err(OpenError::Damaged(_))));
}

/// The real disk writes more slices than one call takes, and empty ones.
#[tokio::test]
async fn large_groups_of_small_records_are_written_whole() {
    let folder = TempDir::new().unwrap();
    let (journal, mut batches) = Journal::open(settings(folder.path())).unwrap();
    let appends = (0..5000_usize).map(|index| journal.append(vec![7; index % 20]));
    let sequences = futures::future::join_all(appends).await;
    assert_eq!(sequences, (1..=5000_u64).map(Ok).collect::<Vec<_>>());
    journal.stop();
    let mut lengths = Vec::new();
    while let Some(batch) = batches.next(ALL).await.unwrap() {
        lengths.extend(batch.records.iter().map(|record| record.len()));
        assert!(batch.records.iter().all(|record| record.iter().all(|byte| *byte == 7)));
    }
    assert_eq!(lengths, (0..5000).map(|index| index % 20).collect::<Vec<_>>());
    assert!(journal.stats().syncs < 100);
    journal.close().await;
    verify(&settings(folder.path()).folder).unwrap();
}
