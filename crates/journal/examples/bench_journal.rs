//! Measures appends on this disk: `cargo run --release -p journal --example bench_journal [FOLDER]`.
//!
//! A number of appenders append records of 100 KB for three seconds, each waiting for its answer
//! before its next; a reader takes and confirms everything.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use journal::{BatchLimits, Journal, JournalObserver, JournalSettings};
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
    println!(
        "appenders  records/s    MB/s  answer p50/p99/max ms  sync p50/p99/max ms  records/sync"
    );
    for appenders in [1, 8, 64] {
        let folder = tempfile::tempdir_in(&parent).context("a folder to measure in")?;
        measure(folder.path(), appenders).await?;
    }
    Ok(())
}

async fn measure(folder: &std::path::Path, appenders: usize) -> Result<()> {
    let groups = Arc::new(Groups::default());
    let (journal, mut batches) =
        Journal::open_observed(JournalSettings::new(folder), groups.clone())?;
    let reader = tokio::spawn({
        let journal = journal.clone();
        async move {
            let limits = BatchLimits { bytes_max: 32 << 20, records_max: 100_000 };
            while let Ok(Some(batch)) = batches.next(limits).await {
                journal.confirm(&batch.id);
            }
        }
    });
    let mut record = vec![0; RECORD_BYTES];
    rand::rng().fill(&mut record[..]);
    let record = Bytes::from(record);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..appenders)
        .map(|_| {
            let (journal, record) = (journal.clone(), record.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while begun.elapsed() < RUN {
                    let asked = Instant::now();
                    journal.append(record.clone()).await?;
                    answers.push(asked.elapsed().as_secs_f64());
                }
                anyhow::Ok(answers)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    journal.stop();
    reader.await?;
    journal.close().await;
    report(appenders, seconds, answers, &groups);
    Ok(())
}

fn report(appenders: usize, seconds: f64, answers: Vec<f64>, groups: &Groups) {
    let groups = groups.seconds_and_records.lock().unwrap_or_else(PoisonError::into_inner);
    let with_records: Vec<_> = groups.iter().filter(|group| group.1 > 0).collect();
    let syncs = with_records.iter().map(|group| group.0).collect();
    let rate = answers.len() as f64 / seconds;
    let per_sync = answers.len() as f64 / with_records.len() as f64;
    println!(
        "{appenders:9}  {rate:9.0}  {:6.0}  {:>21}  {:>19}  {per_sync:12.1}",
        rate * RECORD_BYTES as f64 / 1e6,
        quantiles(answers),
        quantiles(syncs),
    );
}

fn quantiles(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let at = |share: usize| seconds.get((seconds.len() - 1) * share / 100).copied().unwrap_or(0.0);
    format!("{:.2}/{:.2}/{:.2}", at(50) * 1e3, at(99) * 1e3, at(100) * 1e3)
}
