//! Opening: what the files hold, cutting a torn tail off, refusing damage.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::disk::{Disk, File};
use crate::error::{Damage, OpenError};
use crate::extent::{self, Extent, ExtentFile};
use crate::format::{
    Boundary, Flaw, Kind, Place, Position, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::gather::Cursor;
use crate::ledger::Ledger;
use crate::salvage;
use crate::scan::{self, End};
use crate::segments::{
    self, NEW_SUFFIX, Segment, Segments, WriteError, is_no_space, name_of, number_of,
};

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
    let extent = extent::read(&*disk).map_err(|source| io_error(&*disk, "reading", "", source))?;
    if numbers.is_empty() {
        return match extent {
            None => begin(disk),
            Some((_, Extent { oldest, .. })) => {
                Err(damage(disk.folder(), &name_of(oldest), 0, Flaw::Absent).into())
            }
        };
    }
    let whole = walk(&*disk, &numbers, None);
    let walked = match whole {
        Err(OpenError::Damaged(damage)) => match beyond(&*disk, &numbers)? {
            // Damage among what the store has costs nothing; any other is refused as it was found.
            Some(stored) => walk(&*disk, &numbers, Some(stored)).map_err(|error| match error {
                OpenError::Damaged(_) => OpenError::Damaged(damage),
                error => error,
            })?,
            None => return Err(damage.into()),
        },
        walked => walked?,
    };
    let Walked { ledger, list, active, resumed } = walked;
    let next = ledger.confirmed().through + 1;
    let start = list.iter().rfind(|segment| segment.first_sequence <= next).or(list.front());
    let start = start.map_or(Cursor { segment: 0, offset: 0, sequence: 0 }, Cursor::of);
    let cursor = resumed.filter(|resumed| resumed.segment == start.segment).unwrap_or(start);
    let extent = written_down(&*disk, ledger.journal(), &numbers)?;
    let segments = Segments::new(disk, ledger.journal(), list, active, extent);
    Ok(Recovered { segments, ledger, cursor })
}

/// Writes down which segments there are, for those who open the journal after this.
fn written_down(
    disk: &dyn Disk,
    journal: Uuid,
    numbers: &[u64],
) -> Result<Option<ExtentFile>, OpenError> {
    let (oldest, newest) = (numbers.first().copied(), numbers.last().copied());
    let extent = Extent { oldest: oldest.unwrap_or(1), newest: newest.unwrap_or(1) };
    match ExtentFile::create(disk, journal, extent) {
        Ok(file) => Ok(Some(file)),
        // It could not be kept up from here on.
        Err(error) if is_no_space(&error) => {
            extent::forget(disk)
                .map_err(|source| io_error(disk, "removing the extent of", "", source))?;
            Ok(None)
        }
        Err(source) => Err(io_error(disk, "writing down the segments of", "", source)),
    }
}

/// What the store is proved to have, of the journal that lies there.
fn beyond(disk: &dyn Disk, numbers: &[u64]) -> Result<Option<Stored>, OpenError> {
    let Some(journal) = salvage::name(disk, numbers)? else { return Ok(None) };
    let position = salvage::position(disk, journal, numbers)?;
    Ok(position.map(|position| Stored { journal, position }))
}

/// Everything through a position is in the store.
#[derive(Debug, Clone, Copy)]
struct Stored {
    journal: Uuid,
    position: Position,
}

/// The outcome of a walk through all segments.
struct Walked {
    ledger: Ledger,
    list: VecDeque<Segment>,
    active: Box<dyn File>,
    /// Behind the last damage that was passed over.
    resumed: Option<Cursor>,
}

/// Reads all segments; damage among what is `stored` is passed over.
fn walk(disk: &dyn Disk, numbers: &[u64], stored: Option<Stored>) -> Result<Walked, OpenError> {
    let ledger = stored.map(|stored| Ledger::new(stored.journal, stored.position));
    let mut walk = Walk { disk, stored, ledger, list: VecDeque::new(), resumed: None };
    walk.check_ends(numbers)?;
    let mut active = None;
    for (index, number) in numbers.iter().enumerate() {
        active = walk.segment(*number, numbers.get(index + 1).copied())?;
    }
    let Walk { ledger, list, resumed, .. } = walk;
    match (ledger, active) {
        (Some(ledger), Some(active)) => Ok(Walked { ledger, list, active, resumed }),
        // There is a last segment, and it was read.
        _ => Err(io_error(disk, "reading", "", io::ErrorKind::NotFound.into())),
    }
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
    let extent = written_down(&*disk, place.journal, &[1])?;
    Ok(Recovered {
        segments: Segments::new(disk, place.journal, VecDeque::from([segment]), active, extent),
        ledger: Ledger::new(place.journal, Position::default()),
        cursor: Cursor::of(&segment),
    })
}

/// A walk through the segments, oldest first.
struct Walk<'a> {
    disk: &'a dyn Disk,
    stored: Option<Stored>,
    ledger: Option<Ledger>,
    list: VecDeque<Segment>,
    resumed: Option<Cursor>,
}

impl Walk<'_> {
    /// Whether the oldest and the newest segment are those that there should be.
    fn check_ends(&self, numbers: &[u64]) -> Result<(), OpenError> {
        let failed = |source| io_error(self.disk, "reading", "", source);
        let Some((journal, Extent { oldest, newest })) = extent::read(self.disk).map_err(failed)?
        else {
            return Ok(());
        };
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(()) };
        if salvage::name(self.disk, numbers)? != Some(journal) {
            return Ok(());
        }
        let absent = |number| damage(self.disk.folder(), &name_of(number), 0, Flaw::Absent);
        if *last < newest {
            return Err(absent(newest).into());
        }
        if *first > oldest {
            let behind = self.first_of(Some(*first))?;
            self.pass_over(&absent(oldest), behind)?;
        }
        Ok(())
    }

    /// Reads one segment; the last one may end in a torn record. `None` when all of it is passed
    /// over.
    fn segment(
        &mut self,
        number: u64,
        next: Option<u64>,
    ) -> Result<Option<Box<dyn File>>, OpenError> {
        let name = name_of(number);
        let failed = |doing| {
            let (disk, name) = (self.disk, name.clone());
            move |source| io_error(disk, doing, &name, source)
        };
        let (reading, opening) = (failed("reading"), failed("opening"));
        let writing = failed("writing the last group again in");
        let file = self.disk.open(&name).map_err(opening)?;
        let length = file.length().map_err(&reading)?;
        let header = scan::segment_header(&*file, number).map_err(&reading)?;
        let header = match header.and_then(|header| self.joins(header)) {
            Ok(header) => header,
            Err(flaw) => {
                let refused = damage(self.disk.folder(), &name, 0, flaw);
                self.pass_over(&refused, self.first_of(next)?)?;
                let first_sequence = self.list.back().map_or(0, |before| before.first_sequence);
                self.list.push_back(Segment { number, first_sequence, bytes: length });
                return Ok(None);
            }
        };
        let through = header.first_sequence.saturating_sub(1);
        let at = Position { through, bytes_through: header.bytes_before };
        let ledger = self.ledger.take();
        let mut ledger = ledger.unwrap_or_else(|| Ledger::new(header.place.journal, at));
        let (bytes, last_group) = self.records((&*file, length), header, next, &mut ledger)?;
        self.ledger = Some(ledger);
        if next.is_none() {
            write_again(&*file, last_group.unwrap_or(bytes), bytes)
                .and_then(|()| file.sync_all())
                .map_err(writing)?;
        }
        let first_sequence = header.first_sequence;
        self.list.push_back(Segment { number, first_sequence, bytes });
        Ok(Some(file))
    }

    /// Enters the records of a segment; gives its length, and where its last group begins.
    fn records(
        &mut self,
        (file, length): (&dyn File, u64),
        header: SegmentHeader,
        next: Option<u64>,
        ledger: &mut Ledger,
    ) -> Result<(u64, Option<u64>), OpenError> {
        let place = header.place;
        let name = name_of(place.segment);
        let reading = |source| io_error(self.disk, "reading", &name, source);
        let stored = self.stored.map_or(0, |stored| stored.position.through);
        let mut last_group = None;
        let mut visit = |record: &RecordHeader, payload: &[u8]| {
            if record.kind != Kind::Data || record.sequence > stored {
                apply(ledger, record, payload)?;
            }
            last_group = Some(record.group_offset);
            Ok(())
        };
        let mut from = SEGMENT_HEADER_BYTES;
        let bytes = loop {
            let end = scan::records(file, place, from, length, &mut visit).map_err(reading)?;
            let End::Bad { offset, flaw } = end else { break length };
            let is_torn = next.is_none()
                && flaw.is_of_a_crash()
                && !scan::was_synced(file, place, offset, length).map_err(reading)?;
            if is_torn {
                self.cut(file, &name, (offset, length), flaw)?;
                break offset;
            }
            let whole = scan::header_after(file, place, offset, length, &|_| true);
            let whole = whole.map_err(reading)?;
            let behind = match whole {
                Some((_, header)) => Some(header.sequence),
                None => self.first_of(next)?,
            };
            // Only what cannot be read is passed over, never what reads otherwise.
            let behind = behind.filter(|_| flaw.is_of_a_crash());
            self.pass_over(&damage(self.disk.folder(), &name, offset, flaw), behind)?;
            let Some((at, header)) = whole else { break length };
            from = at;
            let (segment, sequence) = (place.segment, header.sequence);
            self.resumed = Some(Cursor { segment, offset: at, sequence });
        };
        Ok((bytes, last_group))
    }

    /// Cuts a torn tail off.
    fn cut(
        &self,
        file: &dyn File,
        name: &str,
        (offset, length): (u64, u64),
        flaw: Flaw,
    ) -> Result<(), OpenError> {
        let failed = |source| io_error(self.disk, "cutting the torn tail off", name, source);
        file.cut(offset).map_err(failed)?;
        let (file, bytes) = (self.disk.folder().join(name), length - offset);
        tracing::warn!(file = %file.display(), offset, bytes, %flaw,
            "torn tail of the journal cut off; it was never answered");
        Ok(())
    }

    /// Passes damage over if the store has all that could stand there: the record `behind` it is
    /// at most the first that is not known to be stored.
    fn pass_over(&self, refused: &Damage, behind: Option<u64>) -> Result<(), OpenError> {
        let through = self.stored.map_or(0, |stored| stored.position.through);
        if behind.is_none_or(|behind| behind > through + 1) || self.stored.is_none() {
            return Err(refused.clone().into());
        }
        let Damage { file, offset, flaw } = refused;
        tracing::warn!(file = %file.display(), offset, %flaw,
            "damage in the journal passed over; the store has all that stood there");
        Ok(())
    }

    /// The first record of a segment, if there is one whose header is whole.
    fn first_of(&self, number: Option<u64>) -> Result<Option<u64>, OpenError> {
        let Some(number) = number else { return Ok(None) };
        let name = name_of(number);
        let opened = self.disk.open_to_read(&name);
        let header = opened.and_then(|file| scan::segment_header(&*file, number));
        let header = header.map_err(|source| io_error(self.disk, "reading", &name, source))?;
        Ok(header.ok().map(|header| header.first_sequence))
    }

    /// Whether the segment follows the ones before it.
    fn joins(&self, header: SegmentHeader) -> Result<SegmentHeader, Flaw> {
        let through = self.stored.map_or(0, |stored| stored.position.through);
        let Some(ledger) = &self.ledger else { return Ok(header) };
        let expected = ledger.durable().through + 1;
        if header.place.journal != ledger.journal() {
            Err(Flaw::OtherJournal)
        } else if self.stored.is_some() && header.first_sequence <= through + 1 {
            // What is before it is in the store, whether it is there or not.
            Ok(header)
        } else if self.list.back().is_some_and(|before| header.place.segment != before.number + 1) {
            Err(Flaw::Missing)
        } else if header.first_sequence != expected {
            Err(Flaw::Sequence { expected, found: header.first_sequence })
        } else {
            Ok(header)
        }
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
