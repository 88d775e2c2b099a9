//! The one reader: batches whose boundaries are on disk before anyone sees them.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::error::ReadError;
use crate::format::Flaw;
use crate::gather::{BatchLimits, Cursor, Gathered};
use crate::ledger::BatchId;
use crate::read::{FileReader, Plan};
use crate::state::State;
use crate::stats::time;
use crate::writer::Shared;

/// Records that are handed out together: now, and after any crash.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its name, from which the deduplication token is made.
    pub id: BatchId,
    /// The records, in the order of their sequences, byte for byte as appended.
    pub records: Vec<Bytes>,
    /// When the oldest of them was appended, by the wall clock.
    pub oldest_at: SystemTime,
    /// The boundary was found when the journal was opened: the store may have the batch already.
    pub is_replayed: bool,
}

/// Hands out batches, each once for every time the journal is opened until it is confirmed.
/// Several may be out at the same time.
pub struct Batches {
    pub(crate) shared: Arc<Shared>,
    /// Just behind the last record that was taken; records that are confirmed may follow.
    cursor: Cursor,
    files: FileReader,
}

/// What to do for the next batch.
pub(crate) enum Step {
    /// Hand it out.
    Batch(Box<Batch>),
    /// Read this from the files, then [`Batches::was_read`].
    Read(Plan),
    /// Wait for the bell.
    Wait,
    /// There is and will be none.
    Ended,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Batches").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Batches {
    pub(crate) fn new(shared: Arc<Shared>, cursor: Cursor, files: FileReader) -> Self {
        Self { shared, cursor, files }
    }

    /// The next batch: waits until there are durable records, then takes all that are there, up
    /// to `limits`, makes the boundary durable and returns. Batches that were handed out before a
    /// crash come first, as they were, whatever `limits` say.
    ///
    /// `None` after [`crate::Journal::stop`] when everything is read, or after
    /// [`crate::Journal::close`] at once: what was not read is read after the next open.
    ///
    /// Cancel-safe: a batch that was made and not returned is returned by the next call.
    ///
    /// # Errors
    /// The journal failed, or its files cannot be read. The caller should end the process.
    pub async fn next(&mut self, limits: BatchLimits) -> Result<Option<Batch>, ReadError> {
        loop {
            match self.step(limits)? {
                Step::Batch(batch) => return Ok(Some(*batch)),
                Step::Ended => return Ok(None),
                Step::Wait => self.shared.readable.notified().await,
                Step::Read(plan) => {
                    let another = self.files.another();
                    let mut files = std::mem::replace(&mut self.files, another);
                    let reading = tokio::task::spawn_blocking(move || {
                        let read = files.read(&plan);
                        (files, read)
                    });
                    let Ok((files, read)) = reading.await else {
                        return Err(ReadError::Failed("reading was interrupted".into()));
                    };
                    self.files = files;
                    if let Some(batch) = self.was_read(limits, &plan, read?)? {
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }

    /// Finds out what to do, and does what needs no disk.
    pub(crate) fn step(&mut self, limits: BatchLimits) -> Result<Step, ReadError> {
        let mut state = self.shared.lock();
        let cursor = self.cursor;
        let newest_segment = state.newest_segment;
        let plan = |from, through, limits| Plan { cursor, from, through, limits, newest_segment };
        if let Some(ready) = state.ready.front_mut() {
            let id = ready.id;
            let Some(gathered) = ready.gathered.take() else {
                return Ok(Step::Read(plan(id.first, id.last, None)));
            };
            state.ready.pop_front();
            drop(state);
            return Ok(Step::Batch(Box::new(self.hand_out(id, gathered, false))));
        }
        if let Some(why) = &state.failed {
            return Err(ReadError::Failed(why.clone()));
        }
        if state.ended || state.closing {
            return Ok(Step::Ended);
        }
        if state.proposal.is_some() || state.boundary_in_flight {
            return Ok(Step::Wait);
        }
        if !state.ledger.has_unbatched() {
            if state.stopping && state.is_drained() {
                return Ok(Step::Ended);
            }
            state.wanted = Some(limits);
            return Ok(Step::Wait);
        }
        let from = state.ledger.batched().through + 1;
        let durable = state.ledger.durable().through;
        // Memory is of use when it has the newest: what lies between comes from the files then.
        let first = state.cache.first().filter(|_| state.cache.last() == Some(durable));
        if first.is_some_and(|first| first <= from) {
            self.propose(&mut state, limits, Gathered::default());
            return Ok(Step::Wait);
        }
        let through = first.map_or(durable, |first| first - 1);
        Ok(Step::Read(plan(from, through, Some(limits))))
    }

    /// Goes on with what was read: it is a batch of before, or is to become a batch now.
    pub(crate) fn was_read(
        &mut self,
        limits: BatchLimits,
        plan: &Plan,
        gathered: Gathered,
    ) -> Result<Option<Batch>, ReadError> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if plan.limits.is_some() {
            self.propose(&mut state, limits, gathered);
            return Ok(None);
        }
        let Some(ready) = state.ready.pop_front() else { return Ok(None) };
        drop(state);
        if gathered.content() != ready.id.content {
            return Err(self.files.damaged(plan.cursor, Flaw::Boundary));
        }
        Ok(Some(self.hand_out(ready.id, gathered, true)))
    }

    /// Asks the writer for a boundary around `gathered` and what memory has behind it.
    fn propose(&self, state: &mut State, limits: BatchLimits, mut gathered: Gathered) {
        let next = state.ledger.batched().through + 1 + gathered.records.len() as u64;
        state.cache.forget_before(next);
        state.cache.take(next, limits, &mut gathered);
        state.proposal = Some(gathered);
        self.shared.work.notify_one();
    }

    fn hand_out(&mut self, id: BatchId, gathered: Gathered, is_replayed: bool) -> Batch {
        if let Some(end) = gathered.end {
            self.cursor = end;
        }
        let oldest_at = time(gathered.oldest_ns);
        Batch { id, records: gathered.records, oldest_at, is_replayed }
    }
}
