//! Group commit: what waits becomes one insert, and every request is answered after its insert.
//!
//! An idle inserter takes the first request at once, and what arrives while inserts are in flight
//! forms the next group. After a small insert of several requests it pauses a while, so that small
//! requests of many clients become few inserts: one costs the store much the same whatever its size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::log;
use order_store::{Batch, StoreError, Writer};
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::metrics::CollectorMetrics;
use crate::settings::InsertSettings;
use crate::stitch::Mailbox;
use crate::store_watch::StoreWatch;

/// First wait between two tries of an insert; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A smaller insert of several requests is followed by a pause.
const SMALL_ROWS: usize = 1_000;
/// The pause: so many times as long as the insert took, and no longer than this. After an idle time
/// there is none.
const GATHER_FACTOR: u32 = 3;
const GATHER_MAX: Duration = Duration::from_millis(150);

/// Rows of one request on their way to the store.
#[derive(Debug)]
pub struct Job {
    /// The rows.
    pub batch: Batch,
    /// Their memory.
    pub row_bytes: usize,
    /// Told when the rows are in the store, or that they are not.
    pub done: oneshot::Sender<Outcome>,
    /// What the request holds of the intake's bounds, given back when the job is done.
    pub held: Held,
}

/// Permits that a request holds.
#[derive(Debug)]
#[expect(dead_code, reason = "held only to be given back on drop")]
pub struct Held {
    /// Of the requests in flight.
    pub(crate) request: OwnedSemaphorePermit,
    /// Of the bytes in flight.
    pub(crate) bytes: OwnedSemaphorePermit,
}

/// What became of a job's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// They are in the store.
    Stored,
    /// They are not, or not known to be; the sender must send them again.
    Unavailable,
}

/// Takes jobs and inserts them in groups.
#[derive(Debug, Clone)]
pub struct Inserter {
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    writer: Writer,
    settings: InsertSettings,
    mailbox: Arc<Mailbox>,
    metrics: CollectorMetrics,
    store: StoreWatch,
    /// Whether the last insert succeeded: a store known to be down is tried once.
    store_up: Arc<AtomicBool>,
}

/// An insert did not succeed within its deadline.
#[derive(Debug, thiserror::Error)]
enum InsertError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no answer from the store within the deadline")]
    Deadline,
}

impl Inserter {
    /// An inserter over `jobs`; clones take from the same queue.
    #[must_use]
    pub fn new(
        jobs: mpsc::Receiver<Job>,
        writer: Writer,
        settings: InsertSettings,
        mailbox: Arc<Mailbox>,
        metrics: CollectorMetrics,
        store: StoreWatch,
    ) -> Self {
        let jobs = Arc::new(Mutex::new(jobs));
        let store_up = Arc::new(AtomicBool::new(true));
        Self { jobs, writer, settings, mailbox, metrics, store, store_up }
    }

    /// Inserts until every sender of jobs is gone and the queue is empty.
    pub async fn run(self) {
        while let Some(group) = self.next_group().await {
            let rows: usize = group.iter().map(|job| job.batch.rows()).sum();
            // A client that sends one request after the other waits for nobody.
            let gathers = group.len() > 1 && rows < SMALL_ROWS;
            let begun = Instant::now();
            self.commit(group).await;
            if gathers && !self.is_closed().await {
                sleep((begun.elapsed() * GATHER_FACTOR).min(GATHER_MAX)).await;
            }
        }
    }

    /// Whether nothing more will come: the rest is not to wait.
    async fn is_closed(&self) -> bool {
        self.jobs.lock().await.is_closed()
    }

    async fn next_group(&self) -> Option<Vec<Job>> {
        let mut jobs = self.jobs.lock().await;
        let first = jobs.recv().await?;
        let (mut rows, mut bytes) = (first.batch.rows(), first.row_bytes);
        let mut group = vec![first];
        while rows < self.settings.insert_rows_max && bytes < self.settings.insert_bytes_max {
            let Ok(job) = jobs.try_recv() else { break };
            rows += job.batch.rows();
            bytes += job.row_bytes;
            group.push(job);
        }
        Some(group)
    }

    async fn commit(&self, group: Vec<Job>) {
        let mut batch = Batch::default();
        let mut waiting = Vec::with_capacity(group.len());
        for job in group {
            batch.append(job.batch);
            waiting.push((job.done, job.held));
        }
        let outcome = match self.insert(&batch).await {
            Ok(()) => {
                self.metrics.inserted(&batch);
                self.metrics.insert_requests.observe(waiting.len() as f64);
                self.mailbox.put(batch.touched());
                Outcome::Stored
            }
            Err(error) => {
                // Some of its tables may have taken their rows all the same.
                self.mailbox.put(batch.touched());
                let (rows, requests) = (batch.rows(), waiting.len());
                let error = log::chain(&error);
                // That the store is away was said; its senders are told, too.
                if self.store.is_away() {
                    tracing::debug!(error, rows, requests, "insert given up");
                } else {
                    tracing::warn!(error, rows, requests, "insert given up");
                }
                Outcome::Unavailable
            }
        };
        drop(batch);
        for (done, held) in waiting {
            // A client that left does not wait for the answer.
            let _ = done.send(outcome);
            drop(held);
        }
    }

    /// Inserts one batch: the same rows under the same token until it succeeds, fails for good
    /// or the deadline passes.
    async fn insert(&self, batch: &Batch) -> Result<(), InsertError> {
        let token = Uuid::now_v7().simple().to_string();
        let deadline = Instant::now() + self.settings.insert_deadline;
        let mut backoff = BACKOFF_MIN;
        loop {
            let begun = Instant::now();
            let tried = timeout_at(deadline, self.writer.insert(batch, &token)).await;
            let error = match tried {
                Ok(Ok(())) => {
                    self.metrics.insert_seconds.observe(begun.elapsed().as_secs_f64());
                    self.store_up.store(true, Ordering::Relaxed);
                    self.store.answered();
                    return Ok(());
                }
                Ok(Err(error)) => InsertError::Store(error),
                Err(_) => InsertError::Deadline,
            };
            self.note_failure(&error);
            let again = matches!(&error, InsertError::Store(error) if error.is_retryable())
                && self.store_up.load(Ordering::Relaxed)
                && Instant::now() + backoff < deadline;
            if !again {
                self.store_up.store(false, Ordering::Relaxed);
                return Err(error);
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn note_failure(&self, error: &InsertError) {
        self.metrics.insert_failures.inc();
        match error {
            InsertError::Store(store) if store.is_unreachable() => {
                self.store.away(log::chain(error));
            }
            _ => self.store.refused(log::chain(error)),
        }
    }
}
