//! The segment files: writing groups into the newest, rotating, removing the oldest.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::disk::{Disk, File};
use crate::extent::{self, EXTENT_BYTES, Extent, ExtentFile};
use crate::format::{Place, SEGMENT_HEADER_BYTES, SegmentHeader};

const SUFFIX: &str = ".segment";
/// A segment whose header may not be on disk yet; removed when the journal is opened.
pub(crate) const NEW_SUFFIX: &str = ".segment.new";

/// The file name of a segment.
pub(crate) fn name_of(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The number of a segment's file name; `None` for other files.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// One segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its number.
    pub(crate) number: u64,
    /// The first record in it, present or to come.
    pub(crate) first_sequence: u64,
    /// Its length.
    pub(crate) bytes: u64,
}

/// All segment files, of which the last is written to.
pub(crate) struct Segments {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) journal: Uuid,
    list: VecDeque<Segment>,
    active: Box<dyn File>,
    /// Says which segments there should be; `None` when it could not be written.
    extent: Option<ExtentFile>,
    /// Largest segment.
    pub(crate) bytes_max: u64,
}

/// Writing did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// There was no space; the file is as it was before.
    #[error("{0}")]
    NoSpace(io::Error),
    /// What the files hold is not known.
    #[error("{doing} {}: {source}", path.display())]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Segments {
    /// The segments `list`, oldest first, of which `active` is the last.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        journal: Uuid,
        list: VecDeque<Segment>,
        active: Box<dyn File>,
        extent: Option<ExtentFile>,
    ) -> Self {
        Self { disk, journal, list, active, extent, bytes_max: u64::MAX }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let extent = self.extent.as_ref().map_or(0, |_| EXTENT_BYTES);
        self.list.iter().map(|segment| segment.bytes).sum::<u64>() + extent
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Where the next record goes: its segment and offset.
    pub(crate) fn end(&self) -> (Place, u64) {
        let number = self.list.back().map_or(0, |segment| segment.number);
        let bytes = self.list.back().map_or(0, |segment| segment.bytes);
        (Place { journal: self.journal, segment: number }, bytes)
    }

    /// Whether the active segment holds any record.
    pub(crate) fn active_is_empty(&self) -> bool {
        self.end().1 <= SEGMENT_HEADER_BYTES
    }

    /// Whether the active segment can take `bytes` more.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.end().1 + bytes <= self.bytes_max
    }

    /// The first record of the second-oldest segment.
    pub(crate) fn second_first_sequence(&self) -> Option<u64> {
        self.list.get(1).map(|second| second.first_sequence)
    }

    /// Whether the oldest segment can go when everything through `through` is confirmed.
    pub(crate) fn oldest_is_done(&self, through: u64) -> bool {
        self.second_first_sequence().is_some_and(|second| second <= through + 1)
    }

    /// Begins a new segment, durably.
    pub(crate) fn rotate(
        &mut self,
        first_sequence: u64,
        bytes_before: u64,
    ) -> Result<(), WriteError> {
        let place = Place { segment: self.end().0.segment + 1, journal: self.journal };
        let header = SegmentHeader { place, first_sequence, bytes_before };
        self.active = create(&*self.disk, &header)?;
        let segment =
            Segment { number: place.segment, first_sequence, bytes: SEGMENT_HEADER_BYTES };
        self.list.push_back(segment);
        self.write_down(self.list.front().map_or(0, |oldest| oldest.number), place.segment)
    }

    /// Writes down which segments there should be. On a disk that does not take it, that is
    /// forgotten: a segment that is not missed is better than one that is missed wrongly.
    fn write_down(&mut self, oldest: u64, newest: u64) -> Result<(), WriteError> {
        let Some(extent) = &mut self.extent else { return Ok(()) };
        let written = extent.set(Extent { oldest, newest }).or_else(|error| {
            if !is_no_space(&error) {
                return Err(error);
            }
            self.extent = None;
            extent::forget(&*self.disk)
        });
        written.map_err(|source| {
            let path = self.disk.folder().to_owned();
            WriteError::Failed { doing: "writing down the segments of", path, source }
        })
    }

    /// Writes `parts` at the end of the active segment and syncs them.
    ///
    /// # Errors
    /// `NoSpace` leaves the segment as it was; after `Failed` nothing may be written any more.
    pub(crate) fn append(&mut self, parts: &mut [IoSlice<'_>]) -> Result<(), WriteError> {
        let (place, offset) = self.end();
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let path = || self.disk.folder().join(name_of(place.segment));
        let failed = |doing, source| WriteError::Failed { doing, path: path(), source };
        if let Err(error) = self.active.write_all_at(parts, offset) {
            if !is_no_space(&error) {
                return Err(failed("writing", error));
            }
            let cut = self.active.cut(offset).and_then(|()| self.active.sync_all());
            return Err(match cut {
                Ok(()) => WriteError::NoSpace(error),
                Err(error) => failed("cutting a half-written group off", error),
            });
        }
        self.active.sync_data().map_err(|error| failed("syncing", error))?;
        if let Some(active) = self.list.back_mut() {
            active.bytes += added as u64;
        }
        Ok(())
    }

    /// Removes the oldest segment, durably: the next can only go after this one is gone for good,
    /// so that there is never a gap.
    pub(crate) fn remove_oldest(&mut self) -> Result<(), WriteError> {
        let (newest, second) = (self.end().0.segment, self.list.get(1));
        if let Some(second) = second.map(|second| second.number) {
            self.write_down(second, newest)?;
        }
        let Some(oldest) = self.list.pop_front() else { return Ok(()) };
        let name = name_of(oldest.number);
        self.disk.remove(&name).and_then(|()| self.disk.sync_folder()).map_err(|source| {
            WriteError::Failed { doing: "removing", path: self.disk.folder().join(name), source }
        })
    }
}

/// Creates the segment of `header`. Its name appears only when its header is on disk, so that a
/// segment without a whole header is damage and never the trace of a crash.
pub(crate) fn create(disk: &dyn Disk, header: &SegmentHeader) -> Result<Box<dyn File>, WriteError> {
    let name = name_of(header.place.segment);
    let new = format!("{:020}{NEW_SUFFIX}", header.place.segment);
    let path = disk.folder().join(&name);
    let failed = |source| WriteError::Failed { doing: "creating", path: path.clone(), source };
    let written = disk.create(&new).and_then(|file| {
        file.write_all_at(&mut [IoSlice::new(&header.encode())], 0)?;
        Ok(file)
    });
    let file = match written {
        Ok(file) => file,
        Err(error) if is_no_space(&error) => {
            // It is overwritten by the next try, or removed by the next start.
            let _ = disk.remove(&new);
            return Err(WriteError::NoSpace(error));
        }
        Err(error) => return Err(failed(error)),
    };
    file.sync_all().map_err(failed)?;
    disk.rename(&new, &name).map_err(failed)?;
    disk.sync_folder().map_err(failed)?;
    Ok(file)
}

pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
