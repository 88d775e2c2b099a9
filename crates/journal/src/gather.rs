//! Records on their way into a batch, and the ones kept in memory for it.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::format::{Boundary, Position};

/// How much one batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most payload bytes. A single larger record is a batch of its own.
    pub bytes_max: u64,
    /// Most records; at least one is taken.
    pub records_max: usize,
}

/// A place between two records in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The segment's number.
    pub(crate) segment: u64,
    /// Where in it.
    pub(crate) offset: u64,
    /// The sequence of the next data record from there on.
    pub(crate) sequence: u64,
}

/// A record that is on disk, and its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Fresh {
    pub(crate) record: Bytes,
    /// CRC-32 of the bytes.
    pub(crate) checksum: u32,
    pub(crate) appended_at_ns: u64,
    /// Just behind it.
    pub(crate) end: Cursor,
}

/// The records of one batch, as far as they are there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    pub(crate) records: Vec<Bytes>,
    pub(crate) bytes: u64,
    pub(crate) oldest_ns: u64,
    pub(crate) end: Option<Cursor>,
    content: crc32fast::Hasher,
}

impl Gathered {
    /// Whether a record of `bytes` may join.
    pub(crate) fn fits(&self, limits: BatchLimits, bytes: u64) -> bool {
        self.records.is_empty()
            || (self.records.len() < limits.records_max && self.bytes + bytes <= limits.bytes_max)
    }

    /// Adds the next record.
    pub(crate) fn push(&mut self, fresh: Fresh) {
        self.content.update(&fresh.checksum.to_le_bytes());
        self.oldest_ns = match self.records.is_empty() {
            true => fresh.appended_at_ns,
            false => self.oldest_ns.min(fresh.appended_at_ns),
        };
        self.bytes += fresh.record.len() as u64;
        self.end = Some(fresh.end);
        self.records.push(fresh.record);
    }

    /// Checksum of the records' checksums.
    pub(crate) fn content(&self) -> u32 {
        self.content.clone().finalize()
    }

    /// The boundary that makes it a batch, behind the one that ends at `batched`.
    pub(crate) fn boundary(&self, batched: Position) -> Boundary {
        Boundary {
            first: batched.through + 1,
            last: batched.through + self.records.len() as u64,
            bytes_through: batched.bytes_through + self.bytes,
            content: self.content(),
        }
    }
}

/// Durable records that no batch has yet, kept in memory: one run without gaps, so long as it
/// stays below its bound. Records beyond are read from the files.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    run: VecDeque<Fresh>,
    bytes: u64,
    bytes_max: u64,
}

impl Cache {
    /// An empty one of at most `bytes_max` payload bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Keeps a record, if it continues the run and there is room.
    pub(crate) fn keep(&mut self, fresh: Fresh) {
        let bytes = weight(&fresh);
        let continues =
            self.run.back().is_none_or(|last| last.end.sequence + 1 == fresh.end.sequence);
        if continues && self.bytes + bytes <= self.bytes_max {
            self.bytes += bytes;
            self.run.push_back(fresh);
        }
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sequence of the first record kept.
    pub(crate) fn first(&self) -> Option<u64> {
        self.run.front().map(|fresh| fresh.end.sequence - 1)
    }

    /// The sequence of the last record kept.
    pub(crate) fn last(&self) -> Option<u64> {
        self.run.back().map(|fresh| fresh.end.sequence - 1)
    }

    /// Lets go of records before `next`, which were read from the files.
    pub(crate) fn forget_before(&mut self, next: u64) {
        while let Some(fresh) = self.run.pop_front_if(|fresh| fresh.end.sequence <= next) {
            self.bytes -= weight(&fresh);
        }
    }

    /// Moves records from `next` on into `gathered`, as many as `limits` allow.
    pub(crate) fn take(&mut self, mut next: u64, limits: BatchLimits, gathered: &mut Gathered) {
        while self.first() == Some(next) {
            let Some(fresh) =
                self.run.pop_front_if(|fresh| gathered.fits(limits, fresh.record.len() as u64))
            else {
                return;
            };
            self.bytes -= weight(&fresh);
            gathered.push(fresh);
            next += 1;
        }
    }
}

/// Memory of a record: small ones are not for nothing.
fn weight(fresh: &Fresh) -> u64 {
    (fresh.record.len() + size_of::<Fresh>()) as u64
}
