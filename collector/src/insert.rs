//! From the journal to the store: batches are inserted under their own names until the store has
//! them, and only then confirmed. A batch that the store refuses for its data or its size is halved
//! again and again, and a record that it refuses by itself is set aside.
//!
//! An idle inserter takes the first record at once, and what is appended while inserts are in
//! flight forms the next batch. After a small insert of several records it pauses a while, so that
//! small requests of many clients become few inserts: one costs the store much the same whatever
//! its size. Nobody waits for it: requests are answered by the journal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use daemon::log;
use journal::{Batch, BatchLimits, Batches, Journal, ReadError};
use order_store::record::{self, BadRecord, Table, Target};
use order_store::{Block, Fault, StoreError, Writer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::metrics::CollectorMetrics;
use crate::set_aside::SetAside;
use crate::settings::InsertSettings;
use crate::stitch::Mailbox;
use crate::store_watch::StoreWatch;

/// First wait between two tries of an insert; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Tries after which it is believed that the data is at fault.
const REFUSALS_MAX: u32 = 4;
/// Tries after which a batch for which the store has no memory is halved: some ten seconds, in
/// which other statements may have ended.
const MEMORY_TRIES_MAX: u32 = 10;

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
    refused: SetAside,
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
        refused: SetAside,
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
        let targets: Vec<Target> = block.targets().collect();
        let refused = self.insert(&block, targets, &batch.id, batch.records.len()).await;
        self.mailbox.put_since(block.touched().clone(), since);
        if !refused.is_empty() {
            self.insert_parts(&batch, refused, since).await?;
        }
        self.journal.confirm(&batch.id);
        self.metrics.insert_requests.observe(batch.records.len() as f64);
        // A client that sends one request after the other is stored at once.
        if batch.records.len() > 1 && block.rows() < SMALL_ROWS {
            sleep((begun.elapsed() * GATHER_FACTOR).min(GATHER_MAX)).await;
        }
        Ok(())
    }

    /// Inserts these tables of `records` records under a token, until the store has each or has
    /// refused it; tables that took their rows are not asked again. Returns the refused ones.
    async fn insert(
        &self,
        block: &Block,
        mut open: Vec<Target>,
        token: &impl Display,
        records: usize,
    ) -> Refused {
        let token = token.to_string();
        let mut backoff = BACKOFF_MIN;
        let mut refused = Refused::new();
        let mut tries: HashMap<(Target, Fault), u32> = HashMap::new();
        loop {
            let begun = Instant::now();
            let told = self.writer.insert_tables(block, &open, &token).await;
            open.clear();
            for (target, outcome) in told {
                let Err(error) = outcome else {
                    self.metrics.inserted(target.table(), block.rows_for(target));
                    continue;
                };
                self.note_failure(&error);
                let tries = tries.entry((target, error.fault())).or_default();
                *tries += 1;
                if *tries >= tries_max(error.fault(), records) {
                    refused.insert(target, error);
                } else {
                    open.push(target);
                }
            }
            if open.is_empty() {
                if refused.is_empty() {
                    self.metrics.insert_seconds.observe(begun.elapsed().as_secs_f64());
                    self.store.answered();
                }
                return refused;
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Halves what the store refuses as a whole until it takes the parts, for the tables that
    /// refused only, and sets aside the records that it refuses by themselves.
    ///
    /// Nothing of it is kept on disk: the parts follow from the batch, so that a process after this
    /// one sends the same under the same tokens; and where the store has changed its mind meanwhile
    /// the rows that it has already fold by their identity.
    async fn insert_parts(
        &self,
        batch: &Batch,
        refused: Refused,
        since: std::time::Instant,
    ) -> Result<(), InsertError> {
        let mut parts = vec![(0..batch.records.len(), refused)];
        while let Some((part, refused)) = parts.pop() {
            if part.len() == 1 {
                self.set_aside(&name_of(batch, &part), &batch.records[part.start], &refused)
                    .await?;
                continue;
            }
            self.note_split(&name_of(batch, &part), part.len(), &refused);
            let middle = part.start.midpoint(part.end);
            for half in [part.start..middle, middle..part.end] {
                let block = Block::read(&batch.records[half.clone()])?;
                let open = block.targets().filter(|target| refused.contains_key(target)).collect();
                let name = name_of(batch, &half);
                let refused = self.insert(&block, open, &name, half.len()).await;
                self.mailbox.put_since(block.touched().clone(), since);
                if !refused.is_empty() {
                    parts.push((half, refused));
                }
            }
        }
        Ok(())
    }

    /// Keeps the rows of a record that the store refuses, until an operator sends them again.
    /// Without a place for it everything waits: that presses back in the end and loses nothing.
    async fn set_aside(
        &self,
        name: &str,
        record: &Bytes,
        refused: &Refused,
    ) -> Result<(), InsertError> {
        let tables: BTreeSet<Table> = refused.keys().map(|target| target.table()).collect();
        let rows = record::only(record, &tables)?;
        let error = reason(refused);
        let path = loop {
            match self.refused.keep(name, &rows) {
                Ok(path) => break path,
                Err(why) => {
                    tracing::error!(name, %why, error, "a refused record cannot be set aside");
                    self.store.refused(format!("refuses a record that cannot be set aside: {why}"));
                    sleep(BACKOFF_MAX).await;
                }
            }
        };
        self.metrics.refused_records.inc();
        let path = path.display();
        tracing::error!(%path, error, "the store refuses a record; it is set aside");
        Ok(())
    }

    fn note_split(&self, name: &str, records: usize, refused: &Refused) {
        self.metrics.insert_splits.inc();
        let error = reason(refused);
        tracing::warn!(name, records, error, "the store refuses an insert; it gets its halves");
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

/// The name of a part of a batch, under which it is inserted and set aside.
fn name_of(batch: &Batch, part: &Range<usize>) -> String {
    let (id, first, last) = (&batch.id, part.start, part.end.saturating_sub(1));
    if part.len() == 1 { format!("{id}-{first}") } else { format!("{id}-{first}-{last}") }
}

/// The tables that refused their rows, and why.
type Refused = BTreeMap<Target, StoreError>;

/// One of the reasons: the tables of a record are mostly refused for the same.
fn reason(refused: &Refused) -> String {
    refused.values().next().map(|error| log::chain(error)).unwrap_or_default()
}

/// How often an insert of so many records is tried before it is believed that the store will not
/// take it.
fn tries_max(fault: Fault, records: usize) -> u32 {
    match fault {
        // To send it again is no use, and its halves do no harm.
        Fault::TooLarge if records > 1 => 1,
        Fault::Memory if records > 1 => MEMORY_TRIES_MAX,
        Fault::Memory | Fault::Passing => u32::MAX,
        Fault::TooLarge | Fault::Data => REFUSALS_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_up_that_may_pass_and_what_may_be_halved_is() {
        for (fault, batch, record) in [
            (Fault::Passing, u32::MAX, u32::MAX),
            (Fault::Memory, MEMORY_TRIES_MAX, u32::MAX),
            (Fault::TooLarge, 1, REFUSALS_MAX),
            (Fault::Data, REFUSALS_MAX, REFUSALS_MAX),
        ] {
            assert_eq!(tries_max(fault, 2), batch, "{fault:?}");
            assert_eq!(tries_max(fault, 1), record, "{fault:?}");
        }
    }
}
