//! The one writer: takes all that waits, writes it in one go, syncs once, answers all.

use std::io::IoSlice;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::error::AppendError;
use crate::format::{
    BOUNDARY_FRAMED_BYTES, Boundary, Kind, POSITION_FRAMED_BYTES, Place, Position, RecordHeader,
    framed_bytes,
};
use crate::gather::{Cursor, Fresh, Gathered};
use crate::ledger::BatchId;
use crate::segments::{Segments, WriteError};
use crate::state::{Group, Ready, State, Waiting};
use crate::stats::JournalObserver;

/// What a record is filled up with, to a multiple of the alignment.
const PADDING: [u8; 8] = [0; 8];

/// The state and the two bells.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Rung when the writer has something to do.
    pub(crate) work: Condvar,
    /// Rung when the reader may find something.
    pub(crate) readable: Notify,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), work: Condvar::new(), readable: Notify::new() }
    }

    /// The state. It is never left half changed: no step that changes it can panic half way
    /// and mean something else afterwards than a failed journal.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a turn of the writer came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was written, or removed.
    Worked,
    /// There is nothing to do, before this moment if one is given.
    Idle(Option<Instant>),
    /// The journal is closed, and everything is on disk; or it failed.
    Ended,
}

/// The writer.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    segments: Segments,
    observer: Arc<dyn JournalObserver>,
}

/// A group with the places of its records.
struct Layout {
    headers: Vec<[u8; 48]>,
    fresh: Vec<Fresh>,
    boundary: Option<Boundary>,
    formed: Option<Gathered>,
    control: Vec<Vec<u8>>,
    bytes: u64,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        segments: Segments,
        observer: Arc<dyn JournalObserver>,
    ) -> Self {
        let writer = Self { shared, segments, observer };
        writer.show_segments(&mut writer.shared.lock());
        writer
    }

    /// Writes until the journal is closed or fails.
    pub(crate) fn run(mut self) {
        let _ending = Ending { shared: self.shared.clone() };
        loop {
            match self.turn(Instant::now()) {
                Turn::Worked => {}
                Turn::Ended => return,
                Turn::Idle(_) => self.sleep(),
            }
        }
    }

    fn sleep(&self) {
        let state = self.shared.lock();
        // Asked again under the lock: what came since rang a bell that nobody heard.
        let now = Instant::now();
        if state.has_work(now) || state.closing {
            return;
        }
        match state.due_at() {
            Some(at) => {
                let wait = at.saturating_duration_since(now);
                drop(self.shared.work.wait_timeout(state, wait));
            }
            None => drop(self.shared.work.wait(state)),
        }
    }

    /// Does what there is to do at `now`, at most one group of it.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        let group = {
            let mut state = self.shared.lock();
            // After a failure nothing is written again, whoever turns.
            if state.ended {
                return Turn::Ended;
            }
            state.take_group(now)
        };
        let Some(group) = group else {
            return match self.remove_done() {
                Ok(true) => Turn::Worked,
                Ok(false) => self.rest(),
                Err(error) => self.fail(&error, Vec::new()),
            };
        };
        let begun = Instant::now();
        let written = self.write(&group);
        match written {
            Ok(layout) => {
                let seconds = begun.elapsed().as_secs_f64();
                self.observer.synced(seconds, group.records.len(), layout.bytes);
                self.written(group, layout);
                match self.remove_done() {
                    Ok(_) => Turn::Worked,
                    Err(error) => self.fail(&error, Vec::new()),
                }
            }
            Err(WriteError::NoSpace(error)) => self.no_space(group, &error, now),
            Err(error) => self.fail(&error, group.records),
        }
    }

    fn rest(&self) -> Turn {
        let mut state = self.shared.lock();
        if state.may_end() {
            state.ended = true;
            drop(state);
            self.shared.readable.notify_one();
            return Turn::Ended;
        }
        Turn::Idle(state.due_at())
    }

    fn write(&mut self, group: &Group) -> Result<Layout, WriteError> {
        let (durable, batched) = {
            let state = self.shared.lock();
            (state.ledger.durable(), state.ledger.batched())
        };
        let bytes = group_bytes(group);
        if !self.segments.active_is_empty() && !self.segments.has_room(bytes) {
            self.segments.rotate(durable.through + 1, durable.bytes_through)?;
        }
        let (place, offset) = self.segments.end();
        let mut layout = lay_out(group, place, offset, durable.through + 1);
        layout.close(group, batched, place, offset, durable.through + 1);
        let mut parts = Vec::with_capacity(3 * group.records.len() + layout.control.len());
        for (header, record) in layout.headers.iter().zip(&group.records) {
            let length = record.record.len();
            parts.push(IoSlice::new(header));
            parts.push(IoSlice::new(&record.record));
            parts.push(IoSlice::new(&PADDING[..length.next_multiple_of(PADDING.len()) - length]));
        }
        parts.extend(layout.control.iter().map(|bytes| IoSlice::new(bytes)));
        self.segments.append(&mut parts)?;
        Ok(layout)
    }

    /// The group is on disk: enters it, then answers.
    fn written(&self, group: Group, layout: Layout) {
        let mut state = self.shared.lock();
        state.landed(&group.records);
        let first = state.ledger.durable().through + 1;
        for fresh in layout.fresh {
            let bytes = fresh.record.len() as u64;
            state.ledger.record(bytes, fresh.appended_at_ns);
            state.counters.appended_records += 1;
            state.counters.appended_bytes += bytes;
            // What the new batch holds goes to the reader by itself.
            let batched = layout.formed.is_some()
                && layout.boundary.is_some_and(|boundary| fresh.end.sequence <= boundary.last + 1);
            if !batched {
                state.cache.keep(fresh);
            }
        }
        if let Some(boundary) = layout.boundary {
            let Boundary { first, last, content, .. } = boundary;
            state.ledger.boundary(boundary);
            let id = BatchId { journal: self.segments.journal, first, last, content };
            let gathered = layout.formed.or(group.proposal);
            state.ready.push_back(Ready { id, gathered });
            state.counters.batches += 1;
            state.wanted = None;
        }
        state.counters.syncs += 1;
        state.control_written(group.position);
        self.show_segments(&mut state);
        drop(state);
        self.shared.readable.notify_one();
        for (sequence, record) in (first..).zip(group.records) {
            // An appender that left does not wait for the answer.
            let _ = record.answer.send(Ok(sequence));
        }
    }

    /// Removes segments in which everything is confirmed durably. Whether there were any.
    fn remove_done(&mut self) -> Result<bool, WriteError> {
        let through = self.shared.lock().ledger.persisted_through();
        self.remove_through(through)
    }

    fn remove_through(&mut self, through: u64) -> Result<bool, WriteError> {
        let mut any = false;
        while self.segments.oldest_is_done(through) {
            self.segments.remove_oldest()?;
            any = true;
            self.show_segments(&mut self.shared.lock());
        }
        Ok(any)
    }

    fn no_space(&mut self, mut group: Group, error: &std::io::Error, now: Instant) -> Turn {
        tracing::warn!(%error, records = group.records.len(), "no space for the journal");
        let why: Arc<str> = error.to_string().into();
        let confirmed = {
            let mut state = self.shared.lock();
            state.landed(&group.records);
            state.no_space(&mut group, now);
            state.ledger.confirmed().through
        };
        for record in group.records {
            let _ = record.answer.send(Err(AppendError::NoSpace(why.clone())));
        }
        // A reader of a stopped journal may have waited for these only.
        self.shared.readable.notify_one();
        // The position cannot be written, and what it would give back is the space it needs.
        // Removed oldest first, each durably, the files say the same as it would.
        match self.remove_through(confirmed) {
            Ok(_) => Turn::Worked,
            Err(error) => self.fail(&error, Vec::new()),
        }
    }

    /// Nothing is written any more. What a failed sync left behind is unknown, and asking again
    /// on the same file may be told a lie.
    fn fail(&self, error: &WriteError, group: Vec<Waiting>) -> Turn {
        let why: Arc<str> = error.to_string().into();
        tracing::error!(error = %why, "the journal failed; it takes nothing until a restart");
        let mut state = self.shared.lock();
        let waiting = state.fail(&why);
        state.ended = true;
        drop(state);
        self.shared.readable.notify_one();
        for record in group.into_iter().chain(waiting) {
            let _ = record.answer.send(Err(AppendError::Failed(why.clone())));
        }
        Turn::Ended
    }

    fn show_segments(&self, state: &mut State) {
        state.disk_bytes = self.segments.bytes();
        state.segments = self.segments.count();
        state.second_first_sequence = self.segments.second_first_sequence();
        state.newest_segment = self.segments.end().0.segment;
    }
}

/// Tells everybody when the writer's thread ends in a panic.
struct Ending {
    shared: Arc<Shared>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.ended {
            return;
        }
        let why: Arc<str> = "the writer panicked".into();
        let waiting = state.fail(&why);
        state.ended = true;
        drop(state);
        self.shared.readable.notify_one();
        for record in waiting {
            let _ = record.answer.send(Err(AppendError::Failed(why.clone())));
        }
    }
}

/// Most bytes that the group can take.
fn group_bytes(group: &Group) -> u64 {
    let records: u64 =
        group.records.iter().map(|record| framed_bytes(record.record.len() as u64)).sum();
    records + BOUNDARY_FRAMED_BYTES + POSITION_FRAMED_BYTES
}

/// Places the records of `group` one after the other from `offset` on, and forms the batch that
/// the reader waits for.
fn lay_out(group: &Group, place: Place, offset: u64, first: u64) -> Layout {
    let mut at = offset;
    let mut headers = Vec::with_capacity(group.records.len());
    let mut fresh = Vec::with_capacity(group.records.len());
    let mut formed = group.batch_limits.map(|_| Gathered::default());
    let mut is_open = true;
    for (sequence, record) in (first..).zip(&group.records) {
        let header = RecordHeader {
            kind: Kind::Data,
            // Bounded by the settings to 1 GiB.
            payload_bytes: u32::try_from(record.record.len()).unwrap_or(u32::MAX),
            payload_checksum: record.checksum,
            sequence,
            appended_at_ns: record.appended_at_ns,
            group_offset: offset,
        };
        headers.push(header.encode(place, at));
        at += header.framed_bytes();
        let placed = Fresh {
            record: record.record.clone(),
            checksum: record.checksum,
            appended_at_ns: record.appended_at_ns,
            end: Cursor { segment: place.segment, offset: at, sequence: sequence + 1 },
        };
        if let (Some(formed), Some(limits)) = (&mut formed, group.batch_limits) {
            is_open = is_open && formed.fits(limits, placed.record.len() as u64);
            if is_open {
                formed.push(placed.clone());
            }
        }
        fresh.push(placed);
    }
    Layout { headers, fresh, boundary: None, formed, control: Vec::new(), bytes: at - offset }
}

impl Layout {
    /// Adds the boundary and the position behind the records.
    fn close(&mut self, group: &Group, batched: Position, place: Place, offset: u64, first: u64) {
        let sequence = first + group.records.len() as u64;
        let gathered = self.formed.as_ref().or(group.proposal.as_ref());
        self.boundary = gathered.map(|gathered| gathered.boundary(batched));
        let boundary = self.boundary.map(|boundary| (Kind::Boundary, boundary.encode().to_vec()));
        let position = group.position.map(|position| (Kind::Position, position.encode().to_vec()));
        for (kind, payload) in boundary.into_iter().chain(position) {
            let header = RecordHeader {
                kind,
                payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
                payload_checksum: crc32fast::hash(&payload),
                sequence,
                appended_at_ns: 0,
                group_offset: offset,
            };
            let mut bytes = header.encode(place, offset + self.bytes).to_vec();
            bytes.extend(payload);
            self.bytes += bytes.len() as u64;
            self.control.push(bytes);
        }
    }
}
