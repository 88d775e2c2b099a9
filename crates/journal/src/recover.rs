//! Opening: what the files hold, cutting a torn tail off, refusing damage.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::disk::{Disk, File};
use crate::error::{Damage, OpenError};
use crate::format::{
    Boundary, Flaw, Kind, Place, Position, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::gather::Cursor;
use crate::ledger::Ledger;
use crate::scan::{self, End};
use crate::segments::{self, NEW_SUFFIX, Segment, Segments, WriteError, name_of, number_of};

/// Bytes copied at once when the last group is written again.
const REWRITE_BYTES: usize = 1024 * 1024;

/// What was found.
pub(crate) struct Recovered {
    pub(crate) segments: Segments,
    pub(crate) ledger: Ledger,
    /// Before the first record that is not confirmed; records before that may follow it.
    pub(crate) cursor: Cursor,
}

/// Finds out what the files hold and makes all of it durable.
///
/// # Errors
/// Damage that a crash does not explain, and what the operating system refuses.
pub(crate) fn recover(disk: Arc<dyn Disk>) -> Result<Recovered, OpenError> {
    let numbers = tidy(&*disk)?;
    // What a killed process had renamed or removed may not be durable yet.
    disk.sync_folder().map_err(|source| io_error(&*disk, "syncing", "", source))?;
    if numbers.is_empty() {
        return begin(disk);
    }
    let mut walk = Walk { disk: &*disk, ledger: None, list: VecDeque::new() };
    let mut active = None;
    for (index, number) in numbers.iter().enumerate() {
        active = Some(walk.segment(*number, index + 1 == numbers.len())?);
    }
    let Walk { ledger, list, .. } = walk;
    let (Some(ledger), Some(active)) = (ledger, active) else { return begin(disk) };
    let next = ledger.confirmed().through + 1;
    let start = list.iter().rfind(|segment| segment.first_sequence <= next).or(list.front());
    let cursor = start.map_or(Cursor { segment: 0, offset: 0, sequence: 0 }, Cursor::of);
    let segments = Segments::new(disk, ledger.journal(), list, active);
    Ok(Recovered { segments, ledger, cursor })
}

impl Cursor {
    /// The beginning of a segment.
    fn of(segment: &Segment) -> Self {
        let Segment { number, first_sequence, .. } = *segment;
        Self { segment: number, offset: SEGMENT_HEADER_BYTES, sequence: first_sequence }
    }
}

/// Removes what a crash left half made, and gives the numbers of the segments.
fn tidy(disk: &dyn Disk) -> Result<Vec<u64>, OpenError> {
    let names = disk.list().map_err(|source| io_error(disk, "listing", "", source))?;
    for name in names.iter().filter(|name| name.ends_with(NEW_SUFFIX)) {
        disk.remove(name).map_err(|source| io_error(disk, "removing", name, source))?;
    }
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The first segment of a new journal.
fn begin(disk: Arc<dyn Disk>) -> Result<Recovered, OpenError> {
    let place = Place { journal: Uuid::new_v4(), segment: 1 };
    let header = SegmentHeader { place, first_sequence: 1, bytes_before: 0 };
    let active = segments::create(&*disk, &header).map_err(|error| match error {
        WriteError::NoSpace(source) => io_error(&*disk, "creating", &name_of(1), source),
        WriteError::Failed { doing, path, source } => OpenError::Io { doing, path, source },
    })?;
    let segment = Segment { number: 1, first_sequence: 1, bytes: SEGMENT_HEADER_BYTES };
    tracing::info!(folder = %disk.folder().display(), journal = %place.journal, "new journal");
    Ok(Recovered {
        segments: Segments::new(disk, place.journal, VecDeque::from([segment]), active),
        ledger: Ledger::new(place.journal, Position::default()),
        cursor: Cursor::of(&segment),
    })
}

/// A walk through the segments, oldest first.
struct Walk<'a> {
    disk: &'a dyn Disk,
    ledger: Option<Ledger>,
    list: VecDeque<Segment>,
}

impl Walk<'_> {
    /// Reads one segment; the last one may end in a torn record.
    fn segment(&mut self, number: u64, is_last: bool) -> Result<Box<dyn File>, OpenError> {
        let name = name_of(number);
        let failed = |doing| {
            let (disk, name) = (self.disk, name.clone());
            move |source| io_error(disk, doing, &name, source)
        };
        let (reading, opening) = (failed("reading"), failed("opening"));
        let cutting = failed("cutting the torn tail off");
        let writing = failed("writing the last group again in");
        let file = self.disk.open(&name).map_err(opening)?;
        let length = file.length().map_err(&reading)?;
        let header = scan::segment_header(&*file, number).map_err(&reading)?;
        let header = header
            .and_then(|header| self.joins(header))
            .map_err(|flaw| damage(self.disk.folder(), &name, 0, flaw))?;
        let through = header.first_sequence.saturating_sub(1);
        let at = Position { through, bytes_through: header.bytes_before };
        let ledger = self.ledger.get_or_insert_with(|| Ledger::new(header.place.journal, at));
        let mut last_group = None;
        let end = scan::records(
            &*file,
            header.place,
            SEGMENT_HEADER_BYTES,
            length,
            &mut |record, payload| {
                apply(ledger, record, payload)?;
                last_group = Some(record.group_offset);
                Ok(())
            },
        )
        .map_err(&reading)?;
        let bytes = match end {
            End::Whole => length,
            End::Bad { offset, flaw } => {
                let torn = is_last
                    && flaw.is_of_a_crash()
                    && !scan::was_synced(&*file, header.place, offset, length).map_err(&reading)?;
                if !torn {
                    return Err(damage(self.disk.folder(), &name, offset, flaw).into());
                }
                file.cut(offset).map_err(cutting)?;
                let (file, bytes) = (self.disk.folder().join(&name), length - offset);
                tracing::warn!(file = %file.display(), offset, bytes, %flaw,
                    "torn tail of the journal cut off; it was never answered");
                offset
            }
        };
        if is_last {
            write_again(&*file, last_group.unwrap_or(bytes), bytes)
                .and_then(|()| file.sync_all())
                .map_err(writing)?;
        }
        let first_sequence = header.first_sequence;
        self.list.push_back(Segment { number, first_sequence, bytes });
        Ok(file)
    }

    /// Whether the segment follows the ones before it.
    fn joins(&self, header: SegmentHeader) -> Result<SegmentHeader, Flaw> {
        let (Some(ledger), Some(before)) = (&self.ledger, self.list.back()) else {
            return Ok(header);
        };
        let expected = ledger.durable().through + 1;
        if header.place.journal != ledger.journal() {
            Err(Flaw::OtherJournal)
        } else if header.place.segment != before.number + 1 {
            Err(Flaw::Missing)
        } else if header.first_sequence != expected {
            Err(Flaw::Sequence { expected, found: header.first_sequence })
        } else {
            Ok(header)
        }
    }
}

impl Flaw {
    /// Whether half-written bytes look like this.
    fn is_of_a_crash(self) -> bool {
        matches!(self, Self::Short | Self::RecordHeader | Self::Payload)
    }
}

/// Enters a record into the ledger.
pub(crate) fn apply(
    ledger: &mut Ledger,
    record: &RecordHeader,
    payload: &[u8],
) -> Result<(), Flaw> {
    let expected = ledger.durable().through + 1;
    if record.sequence != expected {
        return Err(Flaw::Sequence { expected, found: record.sequence });
    }
    let joins = match record.kind {
        Kind::Data => {
            ledger.record(u64::from(record.payload_bytes), record.appended_at_ns);
            true
        }
        Kind::Boundary => ledger.boundary(Boundary::decode(payload)?),
        Kind::Position => ledger.found_position(Position::decode(payload)?),
    };
    if joins { Ok(()) } else { Err(Flaw::Boundary) }
}

/// Writes the last group once more, with the bytes it has.
///
/// The process before may have died between its write and its sync, or because its sync failed.
/// After a failed sync the operating system holds the pages for clean: they can be read, a new
/// sync would succeed, and power loss would still take them. Written again, they are synced.
fn write_again(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut bytes = vec![0; REWRITE_BYTES];
    let mut at = from;
    while at < to {
        let wanted = usize::try_from(to - at).unwrap_or(usize::MAX).min(bytes.len());
        let read = file.read_at(&mut bytes[..wanted], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all_at(&mut [IoSlice::new(&bytes[..read])], at)?;
        at += read as u64;
    }
    Ok(())
}

pub(crate) fn damage(folder: &Path, name: &str, offset: u64, flaw: Flaw) -> Damage {
    Damage { file: folder.join(name), offset, flaw }
}

fn io_error(disk: &dyn Disk, doing: &'static str, name: &str, source: io::Error) -> OpenError {
    OpenError::Io { doing, path: disk.folder().join(name), source }
}
