//! What is on disk, what is in a batch and what is confirmed. No IO, no clock.

use std::collections::VecDeque;
use std::fmt;

use uuid::Uuid;

use crate::format::{BOUNDARY_FRAMED_BYTES, Boundary, POSITION_FRAMED_BYTES, Position};

/// Most marks of time that are kept; beyond, every second one goes.
const MARKS_MAX: usize = 1024;
/// After so much time a record gets a mark in any case; twice as much for every thinning.
const MARK_NS: u64 = 1_000_000_000;

/// Names a batch for ever: the same records, in the same order, each time it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// The journal, named when its folder was first opened.
    pub journal: Uuid,
    /// Sequence of the first record.
    pub first: u64,
    /// Sequence of the last record.
    pub last: u64,
    /// Checksum of the records' checksums. Should a disk that lies about syncs, or a restored
    /// backup, bring the same sequences back with other records, it is another batch.
    pub content: u32,
}

impl fmt::Display for BatchId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { journal, first, last, content } = self;
        write!(out, "{}-{first}-{last}-{content:08x}", journal.simple())
    }
}

/// What is known of the records' whereabouts.
#[derive(Debug)]
pub(crate) struct Ledger {
    journal: Uuid,
    /// The last durable record, and the bytes of all through it.
    durable: Position,
    /// The last record that is in a durable batch.
    batched: Position,
    /// The last record of the last batch before which all are confirmed.
    confirmed: Position,
    /// What of `confirmed` is on disk.
    persisted: u64,
    /// Batches after `confirmed`, in order.
    batches: VecDeque<OpenBatch>,
    /// Records and bytes of batches in `batches` that are confirmed.
    held_back: Position,
    /// Some records and when they were appended, the first not after the oldest unconfirmed.
    marks: VecDeque<(u64, u64)>,
    mark_stride: u64,
}

#[derive(Debug)]
struct OpenBatch {
    id: BatchId,
    end: Position,
    bytes: u64,
    confirmed: bool,
}

/// What a confirmation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// The position moved.
    Advanced,
    /// An earlier batch holds it back.
    HeldBack,
    /// No such batch is open.
    Unknown,
}

impl Ledger {
    /// A ledger in which everything up to `at` is confirmed, and nothing else is there.
    pub(crate) fn new(journal: Uuid, at: Position) -> Self {
        Self {
            journal,
            durable: at,
            batched: at,
            confirmed: at,
            persisted: at.through,
            batches: VecDeque::new(),
            held_back: Position::default(),
            marks: VecDeque::new(),
            mark_stride: 1,
        }
    }

    /// The journal's name.
    pub(crate) fn journal(&self) -> Uuid {
        self.journal
    }

    /// The last durable record.
    pub(crate) fn durable(&self) -> Position {
        self.durable
    }

    /// The last record in a batch.
    pub(crate) fn batched(&self) -> Position {
        self.batched
    }

    /// All before it are confirmed.
    pub(crate) fn confirmed(&self) -> Position {
        self.confirmed
    }

    /// Whether there are durable records that are in no batch.
    pub(crate) fn has_unbatched(&self) -> bool {
        self.batched.through < self.durable.through
    }

    /// The next record became durable.
    pub(crate) fn record(&mut self, payload_bytes: u64, appended_at_ns: u64) {
        self.durable.through += 1;
        self.durable.bytes_through += payload_bytes;
        self.mark(self.durable.through, appended_at_ns);
    }

    fn mark(&mut self, sequence: u64, appended_at_ns: u64) {
        if sequence == self.confirmed.through + 1 {
            // The times of confirmed records say nothing about this one.
            self.marks.clear();
        }
        let due = self.marks.back().is_none_or(|(last, at)| {
            sequence >= last.saturating_add(self.mark_stride)
                || appended_at_ns >= at.saturating_add(MARK_NS.saturating_mul(self.mark_stride))
        });
        if !due {
            return;
        }
        self.marks.push_back((sequence, appended_at_ns));
        if self.marks.len() > MARKS_MAX {
            self.mark_stride = self.mark_stride.saturating_mul(2);
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// A boundary became durable, or was found. `false` when it does not join the one before.
    pub(crate) fn boundary(&mut self, boundary: Boundary) -> bool {
        let Boundary { first, last, bytes_through, content } = boundary;
        if first <= self.batched.through && self.batches.is_empty() {
            // The segment with its first records is gone, so all of it is confirmed.
            if last > self.batched.through {
                self.batched = Position { through: last, bytes_through };
                self.confirmed = self.batched;
                self.persisted = last;
                self.trim_marks();
            }
            return last <= self.durable.through;
        }
        let joins = first == self.batched.through + 1
            && (first..=self.durable.through).contains(&last)
            && bytes_through >= self.batched.bytes_through;
        if joins {
            let end = Position { through: last, bytes_through };
            let bytes = bytes_through - self.batched.bytes_through;
            let id = BatchId { journal: self.journal, first, last, content };
            self.batches.push_back(OpenBatch { id, end, bytes, confirmed: false });
            self.batched = end;
        }
        joins
    }

    /// The store has a batch durably.
    pub(crate) fn confirm(&mut self, id: &BatchId) -> Confirmed {
        let Some(batch) = self.batches.iter_mut().find(|batch| batch.id == *id) else {
            return Confirmed::Unknown;
        };
        if !batch.confirmed {
            batch.confirmed = true;
            self.held_back.through += id.last - id.first + 1;
            self.held_back.bytes_through += batch.bytes;
        }
        let before = self.confirmed.through;
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.confirmed) {
            self.held_back.through -= batch.id.last - batch.id.first + 1;
            self.held_back.bytes_through -= batch.bytes;
            self.confirmed = batch.end;
        }
        self.trim_marks();
        if self.confirmed.through > before { Confirmed::Advanced } else { Confirmed::HeldBack }
    }

    /// A position was found on disk: as [`Ledger::confirm`] of every batch through there.
    /// `false` when it is not the end of a batch.
    pub(crate) fn found_position(&mut self, position: Position) -> bool {
        if position.through <= self.confirmed.through {
            return true;
        }
        while let Some(batch) =
            self.batches.pop_front_if(|batch| batch.end.through <= position.through)
        {
            self.confirmed = batch.end;
        }
        self.persisted = self.confirmed.through;
        self.trim_marks();
        self.confirmed == position
    }

    /// The position, if it is not yet on disk.
    pub(crate) fn position_to_persist(&self) -> Option<Position> {
        (self.persisted < self.confirmed.through).then_some(self.confirmed)
    }

    /// A position became durable.
    pub(crate) fn persisted(&mut self, position: Position) {
        self.persisted = position.through;
    }

    /// Everything through here is confirmed durably.
    pub(crate) fn persisted_through(&self) -> u64 {
        self.persisted
    }

    /// Batches that are handed out, or to be, and not confirmed.
    pub(crate) fn open_batches(&self) -> impl Iterator<Item = BatchId> + '_ {
        self.batches.iter().filter(|batch| !batch.confirmed).map(|batch| batch.id)
    }

    /// Records and payload bytes that are durable and not confirmed.
    pub(crate) fn unconfirmed(&self) -> (u64, u64) {
        (
            self.durable.through - self.confirmed.through - self.held_back.through,
            self.durable.bytes_through
                - self.confirmed.bytes_through
                - self.held_back.bytes_through,
        )
    }

    /// When the oldest record that is not confirmed was appended, in nanoseconds since 1970.
    /// When many lie about it may be a little early: time is kept for one record in some.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        let any = self.confirmed.through < self.durable.through;
        self.marks.front().filter(|_| any).map(|mark| mark.1)
    }

    /// Bytes that boundaries and positions of what is there will take yet.
    pub(crate) fn promised_bytes(&self) -> u64 {
        let unbatched = self.durable.through - self.batched.through;
        unbatched * promised_bytes_per_record()
            + (self.batches.len() as u64 + 1) * POSITION_FRAMED_BYTES
    }

    fn trim_marks(&mut self) {
        let oldest = self.confirmed.through + 1;
        while self.marks.get(1).is_some_and(|second| second.0 <= oldest) {
            self.marks.pop_front();
        }
        if self.marks.len() < MARKS_MAX / 4 {
            self.mark_stride = (self.mark_stride / 2).max(1);
        }
    }
}

/// Bytes that a record may yet bring after itself: at most it is a batch of its own.
pub(crate) fn promised_bytes_per_record() -> u64 {
    BOUNDARY_FRAMED_BYTES + POSITION_FRAMED_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(records: impl IntoIterator<Item = u64>) -> Ledger {
        let mut ledger = Ledger::new(Uuid::nil(), Position::default());
        records.into_iter().for_each(|at| ledger.record(10, at));
        ledger
    }

    fn batch(ledger: &mut Ledger, records: u64) -> BatchId {
        let at = ledger.batched();
        let (first, last) = (at.through + 1, at.through + records);
        let bytes_through = at.bytes_through + 10 * records;
        assert!(ledger.boundary(Boundary { first, last, bytes_through, content: 1 }));
        BatchId { journal: Uuid::nil(), first, last, content: 1 }
    }

    #[test]
    fn confirmations_in_any_order_move_the_position_in_order() {
        let mut ledger = ledger(0..9);
        let ids = [3, 2, 1].map(|records| batch(&mut ledger, records));
        assert_eq!(ledger.confirm(&ids[2]), Confirmed::HeldBack);
        assert_eq!(ledger.confirm(&ids[2]), Confirmed::HeldBack);
        assert_eq!((ledger.unconfirmed(), ledger.position_to_persist()), ((8, 80), None));
        assert_eq!(ledger.confirm(&ids[0]), Confirmed::Advanced);
        let position = Position { through: 3, bytes_through: 30 };
        assert_eq!(ledger.position_to_persist(), Some(position));
        assert_eq!(ledger.open_batches().collect::<Vec<_>>(), [ids[1]]);
        let other = BatchId { content: 2, ..ids[1] };
        assert_eq!(ledger.confirm(&other), Confirmed::Unknown);
        assert_eq!(ledger.confirm(&ids[1]), Confirmed::Advanced);
        assert_eq!(ledger.confirm(&ids[1]), Confirmed::Unknown);
        assert_eq!((ledger.unconfirmed(), ledger.confirmed().through), ((3, 30), 6));
    }

    #[test]
    fn boundaries_that_do_not_join_are_seen() {
        let good = Boundary { first: 1, last: 2, bytes_through: 20, content: 0 };
        for bad in [
            Boundary { first: 2, ..good },
            Boundary { last: 4, ..good },
            Boundary { last: 0, ..good },
        ] {
            assert!(!ledger(0..3).boundary(bad), "{bad:?}");
        }
        let mut ledger = ledger(0..3);
        assert!(ledger.boundary(good) && !ledger.boundary(good));
        assert!(!ledger.found_position(Position { through: 1, bytes_through: 10 }));
    }

    #[test]
    fn the_oldest_is_right_after_a_pause_and_nearly_so_with_many() {
        const SECOND: u64 = 1_000_000_000;
        // A burst, a pause, one more.
        let mut ledger = ledger((0..5000).chain([3600 * SECOND]));
        assert_eq!(ledger.oldest_ns(), Some(0));
        let burst = batch(&mut ledger, 5000);
        ledger.confirm(&burst);
        assert_eq!(ledger.oldest_ns(), Some(3600 * SECOND));
        let last = batch(&mut ledger, 1);
        ledger.confirm(&last);
        assert_eq!(ledger.oldest_ns(), None);
        ledger.record(10, 7200 * SECOND);
        assert_eq!(ledger.oldest_ns(), Some(7200 * SECOND));
        // A day with the store away.
        for second in 0..86_400 {
            ledger.record(10, (8000 + second) * SECOND);
        }
        assert!(ledger.marks.len() <= MARKS_MAX);
        let half = batch(&mut ledger, 43_200);
        ledger.confirm(&half);
        let oldest = ledger.oldest_ns().unwrap() / SECOND;
        assert!((51_000..=51_199).contains(&oldest), "{oldest}");
    }
}
