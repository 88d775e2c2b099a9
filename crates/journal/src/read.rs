//! Reading records back from the files, for a reader that lags or a journal that was reopened.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::disk::{Disk, File};
use crate::error::ReadError;
use crate::format::{Flaw, Kind, Place, RecordHeader, SEGMENT_HEADER_BYTES};
use crate::gather::{BatchLimits, Cursor, Fresh, Gathered};
use crate::recover::damage;
use crate::scan;
use crate::segments::name_of;

/// What is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// From where on the records are to be found.
    pub(crate) cursor: Cursor,
    /// The first wanted.
    pub(crate) from: u64,
    /// The last wanted; it is durable.
    pub(crate) through: u64,
    /// Bounds; `None` to read exactly all wanted.
    pub(crate) limits: Option<BatchLimits>,
    /// The segment that is written to: there is none behind it.
    pub(crate) newest_segment: u64,
}

/// Reads files of one journal. It blocks.
pub(crate) struct FileReader {
    disk: Arc<dyn Disk>,
    journal: Uuid,
    open: Option<Open>,
}

struct Open {
    segment: u64,
    file: Box<dyn File>,
}

impl FileReader {
    pub(crate) fn new(disk: Arc<dyn Disk>, journal: Uuid) -> Self {
        Self { disk, journal, open: None }
    }

    /// Another reader of the same files.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.disk.clone(), self.journal)
    }

    /// Reads the records of `plan`.
    ///
    /// # Errors
    /// The operating system refuses, or what was durable is not there.
    pub(crate) fn read(&mut self, plan: &Plan) -> Result<Gathered, ReadError> {
        let mut cursor = plan.cursor;
        let mut gathered = Gathered::default();
        while cursor.sequence <= plan.through {
            let Some(record) = self.record(plan, &mut cursor)? else { continue };
            let length = u64::from(record.payload_bytes);
            if record.kind == Kind::Data && cursor.sequence >= plan.from {
                if plan.limits.is_some_and(|limits| !gathered.fits(limits, length)) {
                    break;
                }
                let bytes = self.payload(&record, cursor)?;
                let end = after(cursor, &record);
                let (checksum, appended_at_ns) = (record.payload_checksum, record.appended_at_ns);
                gathered.push(Fresh { record: bytes, checksum, appended_at_ns, end });
            }
            cursor = after(cursor, &record);
        }
        Ok(gathered)
    }

    /// The header at `cursor`; `None` when the cursor moved to the next segment instead.
    fn record(&mut self, plan: &Plan, at: &mut Cursor) -> Result<Option<RecordHeader>, ReadError> {
        if !self.reach(plan, at)? {
            return Ok(None);
        }
        let Some(open) = &self.open else { return Ok(None) };
        let failed = |error| self.failed(at.segment, error);
        let length = open.file.length().map_err(failed)?;
        if at.offset >= length {
            *at = Cursor { segment: at.segment + 1, offset: SEGMENT_HEADER_BYTES, ..*at };
            return Ok(None);
        }
        let place = Place { journal: self.journal, segment: at.segment };
        let record = scan::record_header(&*open.file, place, at.offset, length).map_err(failed)?;
        let record = record.map_err(|flaw| self.damaged(*at, flaw))?;
        if record.sequence != at.sequence {
            let flaw = Flaw::Sequence { expected: at.sequence, found: record.sequence };
            return Err(self.damaged(*at, flaw));
        }
        Ok(Some(record))
    }

    /// Opens the cursor's segment. `false` when that segment is gone, because all of it is
    /// confirmed, and the cursor moved to the next.
    fn reach(&mut self, plan: &Plan, at: &mut Cursor) -> Result<bool, ReadError> {
        if self.open.as_ref().is_some_and(|open| open.segment == at.segment) {
            return Ok(true);
        }
        self.open = None;
        if at.segment > plan.newest_segment {
            return Err(self.damaged(*at, Flaw::Missing));
        }
        let file = match self.disk.open_to_read(&name_of(at.segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *at = Cursor { segment: at.segment + 1, offset: SEGMENT_HEADER_BYTES, ..*at };
                return Ok(false);
            }
            Err(error) => return Err(self.failed(at.segment, error)),
        };
        let header = scan::segment_header(&*file, at.segment);
        let header = header.map_err(|error| self.failed(at.segment, error))?;
        let header = header.map_err(|flaw| self.damaged(Cursor { offset: 0, ..*at }, flaw))?;
        if header.first_sequence > plan.from.max(at.sequence) {
            return Err(self.damaged(Cursor { offset: 0, ..*at }, Flaw::Missing));
        }
        if at.offset == SEGMENT_HEADER_BYTES {
            at.sequence = header.first_sequence;
        }
        self.open = Some(Open { segment: at.segment, file });
        Ok(true)
    }

    fn payload(&self, record: &RecordHeader, at: Cursor) -> Result<Bytes, ReadError> {
        let Some(open) = &self.open else { return Err(self.damaged(at, Flaw::Missing)) };
        let mut bytes = Vec::new();
        let read = scan::payload(&*open.file, record, at.offset, &mut bytes);
        read.map_err(|error| self.failed(at.segment, error))?
            .map_err(|flaw| self.damaged(at, flaw))?;
        Ok(bytes.into())
    }

    /// What stands where the cursor points is not what was written.
    pub(crate) fn damaged(&self, at: Cursor, flaw: Flaw) -> ReadError {
        damage(self.disk.folder(), &name_of(at.segment), at.offset, flaw).into()
    }

    fn failed(&self, segment: u64, error: io::Error) -> ReadError {
        ReadError::Io { path: self.disk.folder().join(name_of(segment)), source: Arc::new(error) }
    }
}

fn after(at: Cursor, record: &RecordHeader) -> Cursor {
    Cursor {
        segment: at.segment,
        offset: at.offset + record.framed_bytes(),
        sequence: at.sequence + u64::from(record.kind == Kind::Data),
    }
}
