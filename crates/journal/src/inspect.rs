//! What an operator asks about a journal: what is in it, and is it whole. Read only, beside a
//! running collector as well, and on a damaged folder.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use uuid::Uuid;

use crate::disk::{Disk, File, RealDisk};
use crate::error::{Damage, OpenError};
use crate::extent;
use crate::format::{
    Boundary, Flaw, Kind, Place, Position, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::ledger::BatchId;
use crate::recover::damage;
use crate::scan::{self, End};
use crate::segments::{name_of, number_of};
use crate::stats::time;

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The journal's name; `None` when there is no whole segment.
    pub journal: Option<Uuid>,
    /// Every record through this sequence is confirmed.
    pub confirmed_through: u64,
    /// The segments, oldest first.
    pub segments: Vec<SegmentInspection>,
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentInspection {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whole records.
    pub records: u64,
    /// Their payload bytes.
    pub payload_bytes: u64,
    /// The sequences of the first and the last of them.
    pub sequences: Option<(u64, u64)>,
    /// When the earliest and the latest of them were appended.
    pub appended_at: Option<(SystemTime, SystemTime)>,
    /// Batches whose boundaries stand here.
    pub batches: Vec<BatchId>,
    /// Bytes at the end that are no whole record and that a crash explains, or a writer that is
    /// at work just now. The next open cuts them off.
    pub torn_tail_bytes: u64,
    /// Everything that a crash does not explain.
    pub damage: Vec<Damage>,
}

impl Inspection {
    /// The first damage.
    #[must_use]
    pub fn first_damage(&self) -> Option<&Damage> {
        self.segments.iter().find_map(|segment| segment.damage.first())
    }
}

/// Looks into a journal's folder.
///
/// # Errors
/// The operating system refuses to read.
pub fn inspect(folder: &Path) -> Result<Inspection, OpenError> {
    inspect_on(&RealDisk::beside(folder))
}

/// Whether a journal's folder is whole.
///
/// # Errors
/// The first damage, or the operating system refuses to read.
pub fn verify(folder: &Path) -> Result<(), OpenError> {
    match inspect(folder)?.first_damage() {
        Some(damage) => Err(damage.clone().into()),
        None => Ok(()),
    }
}

pub(crate) fn inspect_on(disk: &dyn Disk) -> Result<Inspection, OpenError> {
    let failed = |doing, name: &str| {
        let path = disk.folder().join(name);
        move |source| OpenError::Io { doing, path, source }
    };
    // A collector may be at work: what was written down before says which is the newest at least,
    // what is after says which may be the oldest.
    let before = extent::read(disk).map_err(failed("reading", ""))?;
    let names = disk.list().map_err(failed("listing", ""))?;
    let after = extent::read(disk).map_err(failed("reading", ""))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let mut walk = Walk { disk, inspection: Inspection::new(), before: None };
    for (index, number) in numbers.iter().enumerate() {
        let name = name_of(*number);
        let file = match disk.open_to_read(&name) {
            Ok(file) => file,
            // The collector removed it since the folder was listed, and all before it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                walk.before = None;
                continue;
            }
            Err(error) => return Err(failed("opening", &name)(error)),
        };
        let is_last = index + 1 == numbers.len();
        walk.segment(&*file, *number, is_last).map_err(failed("reading", &name))?;
    }
    let mut inspection = walk.inspection;
    let newest = before.filter(|(_, extent)| numbers.last().is_none_or(|n| *n < extent.newest));
    let oldest = after.filter(|(_, extent)| numbers.first().is_none_or(|n| *n > extent.oldest));
    let is_ours = |journal| inspection.journal.is_none_or(|ours| ours == journal);
    let newest = newest.filter(|(journal, _)| is_ours(*journal)).map(|(_, extent)| extent.newest);
    let oldest = oldest.filter(|(journal, _)| is_ours(*journal)).map(|(_, extent)| extent.oldest);
    let absent = |number| SegmentInspection::absent(disk.folder(), number);
    inspection.segments.extend(newest.map(absent));
    inspection.segments.splice(0..0, oldest.filter(|number| Some(*number) != newest).map(absent));
    Ok(inspection)
}

impl SegmentInspection {
    /// One that should be there.
    fn absent(folder: &Path, number: u64) -> Self {
        let missing = damage(folder, &name_of(number), 0, Flaw::Absent);
        Self { file: missing.file.clone(), damage: vec![missing], ..Self::default() }
    }
}

impl Inspection {
    fn new() -> Self {
        Self { journal: None, confirmed_through: 0, segments: Vec::new() }
    }
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    inspection: Inspection,
    /// The number of the segment before, and the sequence behind its last record when it is whole.
    before: Option<(u64, Option<u64>)>,
}

impl Walk<'_> {
    fn segment(&mut self, file: &dyn File, number: u64, is_last: bool) -> io::Result<()> {
        let name = name_of(number);
        let length = file.length()?;
        let mut found = SegmentInspection {
            file: self.disk.folder().join(&name),
            bytes: length,
            ..SegmentInspection::default()
        };
        let mut next = None;
        let mut note = |found: &mut SegmentInspection, offset, flaw| {
            found.damage.push(damage(self.disk.folder(), &name, offset, flaw));
        };
        match scan::segment_header(file, number)? {
            Err(flaw) => note(&mut found, 0, flaw),
            Ok(header) => {
                if let Some(flaw) = misfit(&self.inspection, self.before, header) {
                    note(&mut found, 0, flaw);
                }
                let inspection = &mut self.inspection;
                inspection.journal.get_or_insert(header.place.journal);
                if inspection.segments.is_empty() {
                    inspection.confirmed_through = header.first_sequence.saturating_sub(1);
                }
                next = read(file, header, length, is_last, inspection, &mut found, &mut note)?;
            }
        }
        self.before = Some((number, next));
        self.inspection.segments.push(found);
        Ok(())
    }
}

/// Why the segment does not follow those before it.
fn misfit(
    inspection: &Inspection,
    before: Option<(u64, Option<u64>)>,
    header: SegmentHeader,
) -> Option<Flaw> {
    let (number, next) = before?;
    let found = header.first_sequence;
    if inspection.journal.is_some_and(|journal| journal != header.place.journal) {
        return Some(Flaw::OtherJournal);
    }
    if header.place.segment != number + 1 {
        return Some(Flaw::Missing);
    }
    next.filter(|next| *next != found).map(|expected| Flaw::Sequence { expected, found })
}

/// Reads all that is whole, also behind damaged places. The sequence behind the last record, when
/// the segment is whole.
fn read(
    file: &dyn File,
    header: SegmentHeader,
    length: u64,
    is_last: bool,
    inspection: &mut Inspection,
    found: &mut SegmentInspection,
    note: &mut dyn FnMut(&mut SegmentInspection, u64, Flaw),
) -> io::Result<Option<u64>> {
    let place = header.place;
    let mut expected = Some(header.first_sequence);
    let mut from = SEGMENT_HEADER_BYTES;
    loop {
        let end = scan::records(file, place, from, length, &mut |record, payload| {
            if let Some(expected) = expected.filter(|expected| *expected != record.sequence) {
                return Err(Flaw::Sequence { expected, found: record.sequence });
            }
            expected = Some(record.sequence + u64::from(record.kind == Kind::Data));
            enter(inspection, found, place, record, payload)
        })?;
        let End::Bad { offset, flaw } = end else { return Ok(expected) };
        let torn = is_last && !matches!(flaw, Flaw::Sequence { .. } | Flaw::Boundary);
        if torn && !scan::was_synced(file, place, offset, length)? {
            found.torn_tail_bytes = length - offset;
            return Ok(None);
        }
        note(found, offset, flaw);
        expected = None;
        match scan::header_after(file, place, offset, length, &|_| true)? {
            Some((next, _)) => from = next,
            None => return Ok(None),
        }
    }
}

fn enter(
    inspection: &mut Inspection,
    found: &mut SegmentInspection,
    place: Place,
    record: &RecordHeader,
    payload: &[u8],
) -> Result<(), Flaw> {
    match record.kind {
        Kind::Data => {
            let at = time(record.appended_at_ns);
            let first = found.sequences.map_or(record.sequence, |(first, _)| first);
            found.records += 1;
            found.payload_bytes += u64::from(record.payload_bytes);
            found.sequences = Some((first, record.sequence));
            found.appended_at = Some(match found.appended_at {
                Some((from, to)) => (from.min(at), to.max(at)),
                None => (at, at),
            });
        }
        Kind::Boundary => {
            let Boundary { first, last, content, .. } = Boundary::decode(payload)?;
            found.batches.push(BatchId { journal: place.journal, first, last, content });
        }
        Kind::Position => {
            let through = Position::decode(payload)?.through;
            inspection.confirmed_through = inspection.confirmed_through.max(through);
        }
    }
    Ok(())
}
