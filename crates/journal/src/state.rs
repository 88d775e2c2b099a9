//! What appenders, the writer and the reader share: queues and bounds. No IO.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::AppendError;
use crate::format::{Position, framed_bytes};
use crate::gather::{BatchLimits, Cache, Gathered};
use crate::ledger::{BatchId, Confirmed, Ledger, promised_bytes_per_record};
use crate::settings::JournalSettings;
use crate::stats::Counters;

/// How long a position waits for a group that it can ride with. A restart in between delivers
/// confirmed batches again, as the same batches.
pub(crate) const POSITION_DELAY: Duration = Duration::from_millis(200);
/// How long boundaries and positions wait after there was no space for them.
pub(crate) const NO_SPACE_DELAY: Duration = Duration::from_secs(1);

/// The answer to one append.
pub(crate) type Answer = oneshot::Sender<Result<u64, AppendError>>;

/// A record that waits for the disk.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) record: Bytes,
    pub(crate) checksum: u32,
    pub(crate) appended_at_ns: u64,
    pub(crate) answer: Answer,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        self.record.len() as u64
    }
}

/// What is written in one go and made durable by one sync.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) records: Vec<Waiting>,
    /// The reader waits: the first records are a batch at once, up to these limits.
    pub(crate) batch_limits: Option<BatchLimits>,
    /// Durable records that the reader has read and wants as a batch.
    pub(crate) proposal: Option<Gathered>,
    pub(crate) position: Option<Position>,
}

/// A batch whose boundary is durable, to be handed out.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) id: BatchId,
    /// Its records; to be read from the files when the boundary was found there.
    pub(crate) gathered: Option<Gathered>,
}

/// Less room than this is none, once a record did not fit.
const LITTLE_ROOM_BYTES: u64 = 1 << 20;

/// The state.
#[derive(Debug)]
pub(crate) struct State {
    settings: JournalSettings,
    pub(crate) ledger: Ledger,
    pub(crate) cache: Cache,
    pub(crate) counters: Counters,
    waiting: VecDeque<Waiting>,
    /// Payload bytes of what waits and of the group that is being written.
    pub(crate) waiting_bytes: u64,
    /// What those take of the disk, with what they may bring after them.
    waiting_disk_bytes: u64,
    /// A group is being written.
    in_flight: bool,
    /// It makes a batch.
    pub(crate) boundary_in_flight: bool,
    /// Limits of a reader that waits and has read all there is.
    pub(crate) wanted: Option<BatchLimits>,
    pub(crate) proposal: Option<Gathered>,
    pub(crate) ready: VecDeque<Ready>,
    /// Since when a position waits to be written.
    position_since: Option<Instant>,
    /// There was no space: boundaries and positions are tried alone, and not before.
    control_alone_from: Option<Instant>,
    /// Bytes of all files.
    pub(crate) disk_bytes: u64,
    /// Bytes in use when a record was refused for want of room.
    full_at: Option<u64>,
    /// How many files.
    pub(crate) segments: usize,
    /// The first sequence of the second file: confirmed up to there, the first can go.
    pub(crate) second_first_sequence: Option<u64>,
    /// The number of the last file.
    pub(crate) newest_segment: u64,
    /// No more appends.
    pub(crate) stopping: bool,
    /// The writer is to end when all is on disk.
    pub(crate) closing: bool,
    /// The writer has ended.
    pub(crate) ended: bool,
    pub(crate) failed: Option<Arc<str>>,
}

impl State {
    /// The state after recovery. `ledger` knows what was found.
    pub(crate) fn new(settings: JournalSettings, ledger: Ledger) -> Self {
        let ready = ledger.open_batches().map(|id| Ready { id, gathered: None }).collect();
        Self {
            cache: Cache::new(settings.cache_bytes_max),
            settings,
            ledger,
            ready,
            counters: Counters::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            waiting_disk_bytes: 0,
            in_flight: false,
            boundary_in_flight: false,
            wanted: None,
            proposal: None,
            position_since: None,
            control_alone_from: None,
            disk_bytes: 0,
            full_at: None,
            segments: 0,
            second_first_sequence: None,
            newest_segment: 0,
            stopping: false,
            closing: false,
            ended: false,
            failed: None,
        }
    }

    /// Bytes of the disk that are taken or promised.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.disk_bytes + self.waiting_disk_bytes + self.ledger.promised_bytes()
    }

    /// Whether a record was refused for want of room, nothing has gone since, and what is left
    /// is little: a large record that does not fit leaves room for small ones.
    pub(crate) fn is_full(&self) -> bool {
        let used = self.used_bytes();
        let left = self.settings.data_bytes_max().saturating_sub(used);
        left < LITTLE_ROOM_BYTES && self.full_at.is_some_and(|full_at| used >= full_at)
    }

    /// Takes a record into the queue, or presses back.
    pub(crate) fn admit(
        &mut self,
        record: Bytes,
        checksum: u32,
        appended_at_ns: u64,
    ) -> Result<oneshot::Receiver<Result<u64, AppendError>>, AppendError> {
        let bytes = record.len() as u64;
        if let Some(why) = &self.failed {
            return Err(AppendError::Failed(why.clone()));
        }
        if self.stopping {
            return Err(AppendError::Closed);
        }
        if bytes > self.settings.record_bytes_max {
            return Err(AppendError::TooLarge { bytes, max: self.settings.record_bytes_max });
        }
        let (used, max) = (self.used_bytes(), self.settings.data_bytes_max());
        if used + disk_bytes(bytes) > max {
            self.counters.refused_full += 1;
            self.full_at = Some(used);
            return Err(AppendError::Full { used, max: self.settings.disk_bytes_max });
        }
        // Empty records take memory, too.
        let (waiting, max) = (self.waiting_bytes, self.settings.waiting_bytes_max);
        if waiting + bytes > max || self.waiting.len() as u64 * 64 > max {
            self.counters.refused_busy += 1;
            return Err(AppendError::Busy { waiting, max });
        }
        let (answer, answered) = oneshot::channel();
        self.waiting_bytes += bytes;
        self.waiting_disk_bytes += disk_bytes(bytes);
        self.waiting.push_back(Waiting { record, checksum, appended_at_ns, answer });
        Ok(answered)
    }

    /// The store has a batch. Whether the position moved.
    pub(crate) fn confirm(&mut self, id: &BatchId, now: Instant) -> Confirmed {
        let confirmed = self.ledger.confirm(id);
        if confirmed == Confirmed::Advanced {
            self.position_since.get_or_insert(now);
        }
        confirmed
    }

    /// What is to be written now; `None` when there is nothing.
    pub(crate) fn take_group(&mut self, now: Instant) -> Option<Group> {
        let alone = self.control_alone_from;
        let control = alone.is_none_or(|from| from <= now);
        let mut group = Group::default();
        if control {
            group.proposal = self.proposal.take();
        }
        let control_waits = group.proposal.is_some() || self.position_due(now);
        if !(alone.is_some() && control && control_waits) {
            self.take_records(&mut group);
        }
        let something = !group.records.is_empty() || group.proposal.is_some();
        if control && (something || self.position_due(now)) {
            group.position = self.ledger.position_to_persist();
        }
        if !something && group.position.is_none() {
            return None;
        }
        if control && group.proposal.is_none() && !self.ledger.has_unbatched() {
            group.batch_limits = self.wanted.filter(|_| !group.records.is_empty());
        }
        self.in_flight = true;
        self.boundary_in_flight = group.proposal.is_some() || group.batch_limits.is_some();
        Some(group)
    }

    fn take_records(&mut self, group: &mut Group) {
        let mut room = self.settings.group_bytes_max();
        while let Some(next) = self.waiting.pop_front_if(|next| framed_bytes(next.bytes()) <= room)
        {
            room -= framed_bytes(next.bytes());
            group.records.push(next);
        }
    }

    fn position_due(&self, now: Instant) -> bool {
        let Some(since) = self.position_since else { return false };
        self.closing || self.frees_a_segment() || now >= since + POSITION_DELAY
    }

    fn frees_a_segment(&self) -> bool {
        let confirmed = self.ledger.confirmed().through;
        self.second_first_sequence.is_some_and(|second| second <= confirmed + 1)
    }

    /// Whether [`State::take_group`] would give a group.
    pub(crate) fn has_work(&self, now: Instant) -> bool {
        let control = self.control_alone_from.is_none_or(|from| from <= now);
        !self.waiting.is_empty() || control && (self.proposal.is_some() || self.position_due(now))
    }

    /// When there will be something to write though nobody comes; `None` when never.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let position = self.position_since.map(|since| since + POSITION_DELAY);
        let proposal = self.proposal.as_ref().and(self.control_alone_from);
        let due = position.into_iter().chain(proposal).min()?;
        Some(self.control_alone_from.map_or(due, |from| due.max(from)))
    }

    /// The group is no longer being written: its records take no memory and no promise of disk.
    pub(crate) fn landed(&mut self, records: &[Waiting]) {
        self.in_flight = false;
        self.boundary_in_flight = false;
        for record in records {
            self.waiting_bytes -= record.bytes();
            self.waiting_disk_bytes -= disk_bytes(record.bytes());
        }
    }

    /// The control records of the last group are on disk, or there were none.
    pub(crate) fn control_written(&mut self, position: Option<Position>) {
        self.control_alone_from = None;
        if let Some(position) = position {
            self.ledger.persisted(position);
            if self.ledger.position_to_persist().is_none() {
                self.position_since = None;
            }
        }
    }

    /// There was no space for a group: its control records come again, first on their own.
    pub(crate) fn no_space(&mut self, group: &mut Group, now: Instant) {
        self.proposal = group.proposal.take();
        let alone = group.records.is_empty();
        self.control_alone_from = Some(if alone { now + NO_SPACE_DELAY } else { now });
        self.counters.no_space += 1;
    }

    /// Whether everything that was taken is on disk or answered.
    pub(crate) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && !self.in_flight
    }

    /// Whether the writer may end: it was told to, and everything is on disk, or there is no space
    /// for a position, which then is confirmed anew after a restart.
    pub(crate) fn may_end(&self) -> bool {
        let at_rest = self.ledger.position_to_persist().is_none() && self.proposal.is_none();
        self.closing && self.is_drained() && (at_rest || self.control_alone_from.is_some())
    }

    /// Nothing can be written any more: everything that waits is answered with why.
    pub(crate) fn fail(&mut self, why: &Arc<str>) -> Vec<Waiting> {
        self.failed.get_or_insert_with(|| why.clone());
        self.in_flight = false;
        self.boundary_in_flight = false;
        self.waiting_bytes = 0;
        self.waiting_disk_bytes = 0;
        self.proposal = None;
        self.waiting.drain(..).collect()
    }
}

/// Bytes that a record takes of the disk, with what it may bring after it.
fn disk_bytes(payload_bytes: u64) -> u64 {
    framed_bytes(payload_bytes) + promised_bytes_per_record()
}
