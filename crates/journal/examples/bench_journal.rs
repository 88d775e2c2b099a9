//! Measures appends on this disk: `cargo run --release -p journal --example bench_journal [FOLDER]`.
//!
//! A number of appenders append records of 100 KB for three seconds, each waiting for its answer
//! before its next. A reader takes and confirms everything, or takes nothing: the store is away.
//! CPU is that of the whole process, memory its resident set at the end of the three seconds.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use journal::{AppendError, BatchLimits, Journal, JournalObserver, JournalSettings};
use rand::RngExt;

const RECORD_BYTES: usize = 100_000;
const RUN: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Groups {
    seconds_and_records: Mutex<Vec<(f64, usize)>>,
}

impl JournalObserver for Groups {
    fn synced(&self, seconds: f64, records: usize, _bytes: u64) {
        let mut groups = self.seconds_and_records.lock().unwrap_or_else(PoisonError::into_inner);
        groups.push((seconds, records));
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    for (appenders, is_away) in [(8, true), (1, false), (8, false), (64, false)] {
        let folder = tempfile::tempdir_in(&parent).context("a folder to measure in")?;
        measure(folder.path(), appenders, is_away).await?;
    }
    Ok(())
}

async fn measure(folder: &Path, appenders: usize, is_away: bool) -> Result<()> {
    let cpu_before = cpu_seconds()?;
    let groups = Arc::new(Groups::default());
    let (journal, mut batches) =
        Journal::open_observed(JournalSettings::new(folder), groups.clone())?;
    let reader = tokio::spawn({
        let journal = journal.clone();
        async move {
            let limits = BatchLimits { bytes_max: 32 << 20, records_max: 100_000 };
            while !is_away && let Ok(Some(batch)) = batches.next(limits).await {
                journal.confirm(&batch.id);
            }
        }
    });
    let mut record = vec![0; RECORD_BYTES];
    rand::rng().fill(&mut record[..]);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..appenders)
        .map(|_| tokio::spawn(append(journal.clone(), record.clone(), begun)))
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rss = rss_megabytes()?;
    journal.stop();
    reader.await?;
    journal.close().await;
    let store = if is_away { "away" } else { "there" };
    println!("{appenders} appenders, store {store}");
    report(seconds, answers, &groups, cpu_seconds()? - cpu_before);
    println!("  resident: {rss:.0} MB");
    Ok(())
}

/// Appends until the time is over or the disk's bound is reached; seconds to each answer.
async fn append(journal: Journal, record: Vec<u8>, begun: Instant) -> Result<Vec<f64>> {
    let mut answers = Vec::new();
    while begun.elapsed() < RUN {
        // A buffer for each, as a request brings.
        let record = Bytes::from(record.clone());
        let asked = Instant::now();
        match journal.append(record).await {
            Ok(_) => answers.push(asked.elapsed().as_secs_f64()),
            Err(AppendError::Full { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answers)
}

fn report(seconds: f64, answers: Vec<f64>, groups: &Groups, cpu_seconds: f64) {
    let groups = groups.seconds_and_records.lock().unwrap_or_else(PoisonError::into_inner);
    let with_records: Vec<_> = groups.iter().filter(|group| group.1 > 0).collect();
    let syncs = with_records.iter().map(|group| group.0).collect();
    let records = answers.len() as f64;
    let bytes = records * RECORD_BYTES as f64;
    println!("  {:.0} records/s, {:.0} MB/s", records / seconds, bytes / seconds / 1e6);
    println!("  answer p50/p99/max: {} ms", quantiles(answers));
    println!("  write and sync p50/p99/max: {} ms", quantiles(syncs));
    println!("  records per sync: {:.1}", records / with_records.len() as f64);
    println!("  CPU: {:.2} s/GB", cpu_seconds / bytes * 1e9);
}

fn quantiles(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let at = |share: usize| {
        let index = seconds.len().saturating_sub(1) * share / 100;
        seconds.get(index).copied().unwrap_or(0.0) * 1e3
    };
    format!("{:.2}/{:.2}/{:.2}", at(50), at(99), at(100))
}

/// CPU seconds of this process, user and system: fields 14 and 15 of `/proc/self/stat`, in ticks
/// of a hundredth.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("the name of the process ends")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

fn rss_megabytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = line.context("VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
