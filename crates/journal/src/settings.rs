//! The bounds of a journal.

use std::path::PathBuf;

use crate::extent::EXTENT_BYTES;
use crate::format::{
    BOUNDARY_FRAMED_BYTES, POSITION_FRAMED_BYTES, SEGMENT_HEADER_BYTES, framed_bytes,
};

const MIB: u64 = 1024 * 1024;

/// Where a journal lies, and its bounds.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// Its folder, created when missing. Nothing else may lie in it.
    pub folder: PathBuf,
    /// Largest segment file. What is confirmed leaves the disk in segments, so a small one gives
    /// space back sooner, and a large one costs fewer files.
    pub segment_bytes_max: u64,
    /// Most bytes of all files together. At the bound [`crate::AppendError::Full`] presses back
    /// until the store has confirmed the oldest segment.
    pub disk_bytes_max: u64,
    /// Largest record. A larger one is refused with [`crate::AppendError::TooLarge`].
    pub record_bytes_max: u64,
    /// Most bytes of records that wait for the disk, in memory. At the bound
    /// [`crate::AppendError::Busy`] presses back until the disk has caught up.
    pub waiting_bytes_max: u64,
    /// Most bytes of records that are on disk and kept in memory for the reader to come. Records
    /// beyond are read from the files.
    pub cache_bytes_max: u64,
}

/// Settings that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A record would not fit into a segment.
    #[error("a record of record_bytes_max does not fit into a segment of segment_bytes_max")]
    RecordAboveSegment,
    /// A record could never wait.
    #[error("waiting_bytes_max is below record_bytes_max")]
    WaitingBelowRecord,
    /// The oldest segment could not go before the next is needed.
    #[error("disk_bytes_max is below three times segment_bytes_max")]
    DiskBelowSegments,
    /// Lengths of records are kept in 32 bits.
    #[error("record_bytes_max is above 1 GiB")]
    RecordAboveFormat,
}

impl JournalSettings {
    /// The usual bounds: segments of 64 MiB, 4 GiB on disk, records of 16 MiB, and 64 MiB each for
    /// what waits and for what the reader has yet to take.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes_max: 64 * MIB,
            disk_bytes_max: 4096 * MIB,
            record_bytes_max: 16 * MIB,
            waiting_bytes_max: 64 * MIB,
            cache_bytes_max: 64 * MIB,
        }
    }

    /// Whether the bounds go together.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.record_bytes_max > 1024 * MIB {
            return Err(SettingsError::RecordAboveFormat);
        }
        if framed_bytes(self.record_bytes_max) > self.group_bytes_max() {
            return Err(SettingsError::RecordAboveSegment);
        }
        if self.waiting_bytes_max < self.record_bytes_max {
            return Err(SettingsError::WaitingBelowRecord);
        }
        if self.disk_bytes_max / 3 < self.segment_bytes_max {
            return Err(SettingsError::DiskBelowSegments);
        }
        Ok(())
    }

    /// Most bytes of data records in one group: a segment, less what may ride along.
    pub(crate) fn group_bytes_max(&self) -> u64 {
        self.segment_bytes_max
            .saturating_sub(SEGMENT_HEADER_BYTES + BOUNDARY_FRAMED_BYTES + POSITION_FRAMED_BYTES)
    }

    /// What of the disk's bytes data records may take: all but the headers of as many segments as
    /// there can be. Two neighbours are together larger than one segment may be, or the later
    /// one's first group would have gone into the earlier.
    pub(crate) fn data_bytes_max(&self) -> u64 {
        let segments_max = 2 * (self.disk_bytes_max / self.segment_bytes_max.max(1)) + 4;
        // The extent is counted where it is; a new one is made beside the old.
        self.disk_bytes_max.saturating_sub(segments_max * SEGMENT_HEADER_BYTES + EXTENT_BYTES)
    }
}
