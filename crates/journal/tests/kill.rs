//! A real process with a journal is killed again and again; nothing it answered may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use journal::{Batch, BatchLimits, Journal, JournalSettings, verify};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

/// Tells the test binary to be the process that is killed, in this folder.
const VICTIM: &str = "JOURNAL_TEST_VICTIM";
const LIMITS: BatchLimits = BatchLimits { bytes_max: 20_000, records_max: 50 };

fn settings(folder: &Path) -> JournalSettings {
    JournalSettings {
        segment_bytes_max: 64 * 1024,
        record_bytes_max: 4096,
        disk_bytes_max: 8 * 1024 * 1024,
        cache_bytes_max: 16 * 1024,
        ..JournalSettings::new(folder.join("journal"))
    }
}

#[tokio::test]
async fn nothing_answered_is_missing_after_kills() {
    let seed =
        std::env::var("WAYBILL_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = TempDir::new().unwrap();
    for _ in 0..12 {
        let mut victim = start(folder.path()).unwrap();
        tokio::time::sleep(Duration::from_millis(rng.random_range(10..150))).await;
        victim.kill().unwrap();
        victim.wait().unwrap();
        verify(&settings(folder.path()).folder).unwrap();
    }
    let (journal, mut batches) = Journal::open(settings(folder.path())).unwrap();
    journal.stop();
    let mut stored = File::options().append(true).open(folder.path().join("stored")).unwrap();
    while let Some(batch) = batches.next(LIMITS).await.unwrap() {
        store(&mut stored, &batch).unwrap();
        journal.confirm(&batch.id);
    }
    journal.close().await;
    let answered = lines(&folder.path().join("answered"));
    // Each batch was stored under one id, with one content, however often.
    let mut batches = BTreeMap::new();
    for line in lines(&folder.path().join("stored")) {
        let (id, records) = line.split_once(' ').unwrap();
        let before = batches.entry(id.to_owned()).or_insert_with(|| records.to_owned());
        assert_eq!(before, records, "{id}");
    }
    let stored: Vec<&str> = batches.values().flat_map(|records| records.split(',')).collect();
    let once: BTreeSet<&str> = stored.iter().copied().collect();
    assert_eq!(once.len(), stored.len(), "no record is in two batches");
    let missing: Vec<_> = answered.iter().filter(|line| !once.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "answered and missing: {missing:?}");
    assert!(answered.len() > 100, "the victims came to something: {}", answered.len());
}

fn start(folder: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--exact", "the_process_that_is_killed", "--ignored"])
        .env(VICTIM, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// The lines of a file that a kill did not cut short: they end in a dot.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_suffix(" .")).map(str::to_owned).collect()
}

fn store(file: &mut File, batch: &Batch) -> std::io::Result<()> {
    let records = batch.records.iter().map(|record| {
        // Its name, without what makes it longer.
        String::from_utf8_lossy(record).split(' ').next().unwrap_or_default().to_owned()
    });
    let line = format!("{} {} .\n", batch.id, records.collect::<Vec<_>>().join(","));
    file.write_all(line.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other process of nothing_answered_is_missing_after_kills"]
async fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(VICTIM) else { return };
    let folder = Path::new(&folder);
    let (journal, mut batches) = Journal::open(settings(folder)).unwrap();
    let log = |name: &str| {
        // A line that the kill before cut short must not run into the next one.
        let mut file =
            OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap();
        file.write_all(b"\n").unwrap();
        file
    };
    for appender in 0..6 {
        let (journal, mut answered) = (journal.clone(), log("answered"));
        tokio::spawn(async move {
            for number in 0_usize.. {
                let name = format!("{}-{appender}-{number}", std::process::id());
                let record = format!("{name} {}", "x".repeat(number * 37 % 900));
                journal.append(record).await.unwrap();
                answered.write_all(format!("{name} .\n").as_bytes()).unwrap();
            }
        });
    }
    let mut stored = log("stored");
    let mut held = Vec::new();
    while let Some(batch) = batches.next(LIMITS).await.unwrap() {
        store(&mut stored, &batch).unwrap();
        held.push(batch.id);
        // Confirmed in another order than handed out.
        if held.len() == 3 {
            held.drain(..).rev().for_each(|id| journal.confirm(&id));
        }
    }
}
