//! From the journal to the store: batches are inserted under their own names until the store has
//! them, and only then confirmed.
//!
//! An idle inserter takes the first record at once, and what is appended while inserts are in
//! flight forms the next batch. After a small insert of several records it pauses a while, so that
//! small requests of many clients become few inserts: one costs the store much the same whatever
//! its size. Nobody waits for it: requests are answered by the journal.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use daemon::log;
use journal::{Batch, BatchLimits, Batches, Journal, ReadError};
use order_store::record::BadRecord;
use order_store::{Block, StoreError, Writer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::metrics::CollectorMetrics;
use crate::settings::InsertSettings;
use crate::stitch::Mailbox;
use crate::store_watch::StoreWatch;

/// First wait between two tries of an insert; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Tries after which it is believed that the data is at fault.
const REFUSALS_MAX: u32 = 4;
/// Refused records that are kept; with more the batch waits, and presses back in the end.
const SET_ASIDE_MAX: usize = 1_000;

/// A smaller insert of several records is followed by a pause.
const SMALL_ROWS: u64 = 1_000;
/// The pause: so many times as long as the insert took, and no longer than this. After an idle time
/// there is none.
const GATHER_FACTOR: u32 = 3;
const GATHER_MAX: Duration = Duration::from_millis(150);

/// Takes batches and inserts them.
#[derive(Debug, Clone)]
pub struct Inserter {
    journal: Journal,
    writer: Writer,
    settings: InsertSettings,
    /// Where records lie that the store refuses for good.
    refused: PathBuf,
    mailbox: Arc<Mailbox>,
    metrics: CollectorMetrics,
    store: StoreWatch,
}

/// What answered data can no longer be taken to the store by this process.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The journal cannot be read on.
    #[error("the journal cannot be read")]
    Journal(#[from] ReadError),
    /// What stands in the journal is not for this program.
    #[error("the journal holds what this program cannot read; nothing of it was changed")]
    Record(#[from] BadRecord),
    /// A panic, which is a mistake of ours.
    #[error("an insert panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Inserter {
    /// An inserter for that journal's batches. `refused` is the folder for what the store refuses.
    #[must_use]
    pub fn new(
        journal: Journal,
        writer: Writer,
        settings: InsertSettings,
        refused: PathBuf,
        mailbox: Arc<Mailbox>,
        metrics: CollectorMetrics,
        store: StoreWatch,
    ) -> Self {
        Self { journal, writer, settings, refused, mailbox, metrics, store }
    }

    /// Inserts until the journal is stopped and everything in it is in the store.
    ///
    /// # Errors
    /// [`InsertError`]: the process should end.
    pub async fn run(self, mut batches: Batches) -> Result<(), InsertError> {
        let limits = BatchLimits {
            bytes_max: self.settings.insert_bytes_max,
            records_max: self.settings.insert_records_max,
        };
        let mut inserting: JoinSet<Result<(), InsertError>> = JoinSet::new();
        loop {
            while inserting.len() >= self.settings.inserts_at_once {
                ended(inserting.join_next().await)?;
            }
            let batch = tokio::select! {
                batch = batches.next(limits) => batch?,
                done = inserting.join_next(), if !inserting.is_empty() => {
                    ended(done)?;
                    continue;
                }
            };
            let Some(batch) = batch else { break };
            inserting.spawn(self.clone().take(batch));
        }
        while !inserting.is_empty() {
            ended(inserting.join_next().await)?;
        }
        Ok(())
    }

    async fn take(self, batch: Batch) -> Result<(), InsertError> {
        let block = Block::read(&batch.records)?;
        let begun = Instant::now();
        // Its rows may be in the store since then, also by a process before this one.
        let age = SystemTime::now().duration_since(batch.oldest_at).unwrap_or_default();
        let since =
            std::time::Instant::now().checked_sub(age).unwrap_or_else(std::time::Instant::now);
        if self.insert(&block, &batch.id).await.is_ok() {
            self.stored(&block, since);
        } else {
            self.insert_each(&batch, since).await?;
        }
        self.journal.confirm(&batch.id);
        self.metrics.insert_requests.observe(batch.records.len() as f64);
        // A client that sends one request after the other is stored at once.
        if batch.records.len() > 1 && block.rows() < SMALL_ROWS {
            sleep((begun.elapsed() * GATHER_FACTOR).min(GATHER_MAX)).await;
        }
        Ok(())
    }

    fn stored(&self, block: &Block, since: std::time::Instant) {
        self.metrics.inserted(block);
        self.mailbox.put_since(block.touched().clone(), since);
    }

    /// Inserts under a token until the store has everything, or has refused it for good.
    async fn insert(&self, block: &Block, token: &impl Display) -> Result<(), StoreError> {
        let token = token.to_string();
        let mut backoff = BACKOFF_MIN;
        let mut refusals = 0;
        loop {
            let begun = Instant::now();
            let Err(error) = self.writer.insert_block(block, &token).await else {
                self.metrics.insert_seconds.observe(begun.elapsed().as_secs_f64());
                self.store.answered();
                return Ok(());
            };
            self.note_failure(&error);
            if error.is_of_the_data() {
                refusals += 1;
                if refusals == REFUSALS_MAX {
                    return Err(error);
                }
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Inserts record by record what the store refuses as a whole, and sets aside what it refuses
    /// then. Rows that it took with the whole fold with their repeats.
    async fn insert_each(
        &self,
        batch: &Batch,
        since: std::time::Instant,
    ) -> Result<(), InsertError> {
        for (index, record) in batch.records.iter().enumerate() {
            let block = Block::read(std::slice::from_ref(record))?;
            let name = format!("{}-{index}", batch.id);
            match self.insert(&block, &name).await {
                Ok(()) => self.stored(&block, since),
                Err(error) => {
                    self.set_aside(&name, record, &error).await;
                    // Some of its tables may have taken their rows.
                    self.mailbox.put_since(block.touched().clone(), since);
                }
            }
        }
        Ok(())
    }

    /// Keeps a record that the store refuses, for a person to look at. Without a place for it
    /// everything waits: that presses back in the end and loses nothing.
    async fn set_aside(&self, name: &str, record: &Bytes, error: &StoreError) {
        let path = self.refused.join(format!("{name}.record"));
        let error = log::chain(error);
        loop {
            match keep(&path, record) {
                Ok(()) => break,
                Err(why) => {
                    let path = path.display();
                    tracing::error!(%path, %why, error, "a refused record cannot be set aside");
                    self.store.refused(format!("refuses a record that cannot be set aside: {why}"));
                    sleep(BACKOFF_MAX).await;
                }
            }
        }
        self.metrics.refused_records.inc();
        let path = path.display();
        tracing::error!(%path, error, "the store refuses a record; it is set aside");
    }

    fn note_failure(&self, error: &StoreError) {
        self.metrics.insert_failures.inc();
        if error.is_unreachable() {
            self.store.away(log::chain(error));
        } else {
            self.store.refused(log::chain(error));
        }
    }
}

fn ended(
    done: Option<Result<Result<(), InsertError>, tokio::task::JoinError>>,
) -> Result<(), InsertError> {
    done.unwrap_or(Ok(Ok(())))?
}

/// Writes a record durably into a folder of bounded size.
fn keep(path: &Path, record: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.exists() {
        std::fs::create_dir_all(folder)?;
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    if !path.exists() && std::fs::read_dir(folder)?.count() >= SET_ASIDE_MAX {
        return Err(io::Error::other(format!("{SET_ASIDE_MAX} are there already")));
    }
    let mut file = File::create(path)?;
    file.write_all(record)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}
