//! A way out of a damaged journal: every record that can be proved goes to a new one.
//!
//! A record is proved by its checksums, which cover where it stands. What the store is known to
//! have is left behind, so that the new journal holds what is unsent and nothing else. The old
//! folder is only read. The new journal has a name of its own, and batches anew: what was in flight
//! when the old one was damaged may be sent a second time under another name, and folds where rows
//! have an identity.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::disk::{Disk, File, RealDisk};
use crate::error::{AppendError, OpenError};
use crate::extent;
use crate::format::{Flaw, Kind, Place, Position, RecordHeader, SEGMENT_HEADER_BYTES};
use crate::journal::{Journal, Parts};
use crate::scan::{self, End};
use crate::segments::{name_of, number_of};
use crate::settings::JournalSettings;
use crate::stats::NoObserver;
use crate::writer::Turn;

/// What a salvage came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// The new journal's name.
    pub journal: Uuid,
    /// Records that it holds: whole, and not known to be in the store.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The store has everything through this sequence of the old journal: left behind.
    pub confirmed_through: u64,
    /// What could not be read, in the order of the files.
    pub lost: Vec<Loss>,
}

impl Salvaged {
    /// Records that are known to be lost: they were answered, and the store is not known to have
    /// them.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        let gaps = self.lost.iter().filter_map(|loss| loss.records);
        gaps.map(|(first, last)| last - first + 1).sum()
    }

    /// Whether nothing is lost that is known of: the newest segment may be missing, and nobody
    /// knows what it held.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_gone = |loss: &Loss| loss.flaw == Flaw::Absent && loss.records.is_none();
        self.lost_records() == 0 && !self.lost.iter().any(is_gone)
    }
}

/// A place of the old journal that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The segment.
    pub file: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong there.
    pub flaw: Flaw,
    /// The first and the last record that are missing behind it, as far as is known.
    pub records: Option<(u64, u64)>,
    /// Whether it is the end of the last segment and looks like the rest of a group that was never
    /// answered.
    pub is_torn_tail: bool,
}

/// Nothing, or not everything, could be salvaged.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// A folder could not be opened or read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is nothing to salvage from.
    #[error("no journal in {}: not one segment with a whole header", .0.display())]
    NoJournal(PathBuf),
    /// The new journal must begin empty.
    #[error("{} is not empty: name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// The new journal could not take a record.
    #[error("cannot write the new journal")]
    Append(#[from] AppendError),
}

/// Copies what is whole and unsent in the journal of `from` to a new one in the folder of `into`,
/// durably. It blocks.
///
/// # Errors
/// [`SalvageError`]; the new folder is then to be removed, and the old one is as it was.
pub fn salvage(from: &Path, into: JournalSettings) -> Result<Salvaged, SalvageError> {
    let locked = |folder: &Path| {
        let folder = folder.to_owned();
        move |source: io::Error| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { folder },
            _ => OpenError::Io { doing: "opening", path: folder, source },
        }
    };
    let source = RealDisk::lock_to_read(from).map_err(locked(from))?;
    let is_taken = into.folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if is_taken {
        return Err(SalvageError::NotEmpty(into.folder));
    }
    into.check().map_err(OpenError::from)?;
    let numbers = numbers(&source)?;
    let Some(journal) = name(&source, &numbers)? else {
        return Err(SalvageError::NoJournal(from.to_owned()));
    };
    let target = RealDisk::lock(&into.folder).map_err(locked(&into.folder))?;
    salvage_on(&source, (journal, &numbers), Arc::new(target), into)
}

/// Numbers of the segments, oldest first.
pub(crate) fn numbers(disk: &dyn Disk) -> Result<Vec<u64>, OpenError> {
    let names = disk.list().map_err(failed(disk, "listing", ""))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The journal's name, by the first segment whose header is whole.
pub(crate) fn name(disk: &dyn Disk, numbers: &[u64]) -> Result<Option<Uuid>, OpenError> {
    for number in numbers {
        let name = name_of(*number);
        let file = disk.open_to_read(&name).map_err(failed(disk, "opening", &name))?;
        let header = scan::segment_header(&*file, *number);
        if let Ok(header) = header.map_err(failed(disk, "reading", &name))? {
            return Ok(Some(header.place.journal));
        }
    }
    Ok(None)
}

/// How far the store is known to have everything: the furthest position that is whole.
pub(crate) fn position(
    disk: &dyn Disk,
    journal: Uuid,
    numbers: &[u64],
) -> Result<Option<Position>, OpenError> {
    let mut furthest: Option<Position> = None;
    for number in numbers {
        let mut visit = |record: &RecordHeader, payload: &[u8]| {
            if record.kind == Kind::Position {
                let position = Position::decode(payload)?;
                if furthest.is_none_or(|known| known.through < position.through) {
                    furthest = Some(position);
                }
            }
            Ok(())
        };
        each_record(disk, journal, *number, &mut visit, &mut |_| {})?;
    }
    Ok(furthest)
}

/// A bad place of a segment.
struct Bad {
    offset: u64,
    /// Where the next whole record begins, or the file ends.
    end: u64,
    flaw: Flaw,
    was_synced: bool,
}

/// Shows `visit` every whole record of a segment, and `bad` every place between that is none.
fn each_record(
    disk: &dyn Disk,
    journal: Uuid,
    number: u64,
    visit: &mut scan::Visit<'_>,
    bad: &mut dyn FnMut(Bad),
) -> Result<(), OpenError> {
    let name = name_of(number);
    let file = disk.open_to_read(&name).map_err(failed(disk, "opening", &name))?;
    walk(&*file, Place { journal, segment: number }, visit, bad)
        .map_err(failed(disk, "reading", &name))
}

fn walk(
    file: &dyn File,
    place: Place,
    visit: &mut scan::Visit<'_>,
    bad: &mut dyn FnMut(Bad),
) -> io::Result<()> {
    let length = file.length()?;
    // Records are proved without the header of their segment: only its loss is told.
    let header = scan::segment_header(file, place.segment)?;
    let own = header.and_then(|header| match header.place.journal == place.journal {
        true => Ok(()),
        false => Err(Flaw::OtherJournal),
    });
    if let Err(flaw) = own {
        bad(Bad { offset: 0, end: SEGMENT_HEADER_BYTES.min(length), flaw, was_synced: true });
    }
    let mut from = SEGMENT_HEADER_BYTES;
    while from < length {
        let End::Bad { offset, flaw } = scan::records(file, place, from, length, visit)? else {
            break;
        };
        let was_synced = scan::was_synced(file, place, offset, length)?;
        let next = scan::header_after(file, place, offset, length, &|_| true)?;
        from = next.map_or(length, |(at, _)| at);
        bad(Bad { offset, end: from, flaw, was_synced });
    }
    Ok(())
}

fn failed<'d>(
    disk: &'d dyn Disk,
    doing: &'static str,
    name: &str,
) -> impl FnOnce(io::Error) -> OpenError + 'd {
    let name = name.to_owned();
    move |source| OpenError::Io { doing, path: disk.folder().join(name), source }
}

pub(crate) fn salvage_on(
    source: &dyn Disk,
    (journal, numbers): (Uuid, &[u64]),
    target: Arc<dyn Disk>,
    settings: JournalSettings,
) -> Result<Salvaged, SalvageError> {
    let extent = extent::read(source).map_err(failed(source, "reading", ""))?;
    let extent = extent.filter(|(of, _)| *of == journal).map(|(_, extent)| extent);
    // A segment that should be there says nothing of what was before the next one.
    let gone = extent.map(|extent| extent.oldest).filter(|at| numbers.first() > Some(at));
    let confirmed_through = match gone {
        None => confirmed_through(source, journal, numbers)?,
        Some(_) => position(source, journal, numbers)?.unwrap_or_default().through,
    };
    let mut copy = Copy::into(target, settings)?;
    let losses = RefCell::new(Losses::default());
    let mut next = confirmed_through + 1;
    let mut refused = None;
    let absent = |number| Loss {
        flaw: Flaw::Absent,
        ..Loss::missing(source.folder().join(name_of(number)))
    };
    if let Some(oldest) = gone {
        losses.borrow_mut().add(absent(oldest));
    }
    for (index, number) in numbers.iter().enumerate() {
        let file = |number| source.folder().join(name_of(number));
        if index > 0 && numbers[index - 1] + 1 < *number {
            losses.borrow_mut().add(Loss::missing(file(number - 1)));
        }
        let mut visit = |record: &RecordHeader, payload: &[u8]| {
            if record.sequence < next || refused.is_some() {
                return Ok(());
            }
            // What is no data says which record comes next, too.
            if record.sequence > next {
                losses.borrow_mut().gap((next, record.sequence - 1), file(*number));
                next = record.sequence;
            }
            if record.kind != Kind::Data {
                return Ok(());
            }
            next += 1;
            refused = copy.put(Bytes::copy_from_slice(payload)).err();
            Ok(())
        };
        let is_last = index + 1 == numbers.len();
        let mut bad = |bad: Bad| {
            let Bad { offset, end, flaw, was_synced } = bad;
            let (file, bytes) = (file(*number), end - offset);
            let is_torn_tail = is_last && !was_synced;
            losses.borrow_mut().add(Loss {
                file,
                offset,
                bytes,
                flaw,
                records: None,
                is_torn_tail,
            });
        };
        each_record(source, journal, *number, &mut visit, &mut bad)?;
        if let Some(error) = refused {
            return Err(error.into());
        }
    }
    if let Some(extent) = extent.filter(|extent| numbers.last() < Some(&extent.newest)) {
        losses.borrow_mut().add(absent(extent.newest));
    }
    let (journal, records, bytes) = copy.finish()?;
    let lost = losses.into_inner().list;
    Ok(Salvaged { journal, records, bytes, confirmed_through, lost })
}

/// The store has everything through here: by the furthest position, and by what the oldest segment
/// says was before it.
fn confirmed_through(disk: &dyn Disk, journal: Uuid, numbers: &[u64]) -> Result<u64, OpenError> {
    let position = position(disk, journal, numbers)?.unwrap_or_default().through;
    let Some(oldest) = numbers.first() else { return Ok(position) };
    let name = name_of(*oldest);
    let file = disk.open_to_read(&name).map_err(failed(disk, "opening", &name))?;
    let header = scan::segment_header(&*file, *oldest).map_err(failed(disk, "reading", &name))?;
    Ok(header.map_or(0, |header| header.first_sequence.saturating_sub(1)).max(position))
}

/// Losses in the order of the files.
#[derive(Default)]
struct Losses {
    list: Vec<Loss>,
}

impl Loss {
    fn missing(file: PathBuf) -> Self {
        Self { file, offset: 0, bytes: 0, flaw: Flaw::Missing, records: None, is_torn_tail: false }
    }
}

impl Losses {
    fn add(&mut self, loss: Loss) {
        self.list.push(loss);
    }

    /// These records are not there: they stood in the bad place before, if there is one that
    /// nothing is known of.
    fn gap(&mut self, records: (u64, u64), file: PathBuf) {
        match self.list.last_mut().filter(|loss| loss.records.is_none()) {
            Some(loss) => loss.records = Some(records),
            None => self.add(Loss { records: Some(records), ..Loss::missing(file) }),
        }
    }
}

/// The new journal, written by this thread.
struct Copy {
    parts: Parts,
    asked: Vec<oneshot::Receiver<Result<u64, AppendError>>>,
    records: u64,
    bytes: u64,
}

impl Copy {
    fn into(disk: Arc<dyn Disk>, settings: JournalSettings) -> Result<Self, OpenError> {
        let parts = Journal::assemble(disk, settings, Arc::new(NoObserver))?;
        Ok(Self { parts, asked: Vec::new(), records: 0, bytes: 0 })
    }

    fn put(&mut self, record: Bytes) -> Result<(), AppendError> {
        self.records += 1;
        self.bytes += record.len() as u64;
        match self.parts.journal.enqueue(record.clone()) {
            Ok(asked) => self.asked.push(asked),
            // As many wait as may: they are written in one go.
            Err(AppendError::Busy { .. }) => {
                self.settle()?;
                let asked = self.parts.journal.enqueue(record)?;
                self.asked.push(asked);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes and syncs what waits.
    fn settle(&mut self) -> Result<(), AppendError> {
        while self.parts.writer.turn(Instant::now()) == Turn::Worked {}
        for mut asked in self.asked.drain(..) {
            match asked.try_recv() {
                Ok(answer) => drop(answer?),
                Err(_) => return Err(AppendError::Failed("the writer gave no answer".into())),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Uuid, u64, u64), AppendError> {
        self.settle()?;
        let Self { parts: Parts { journal, batches, mut writer }, records, bytes, .. } = self;
        let name = journal.id();
        drop((journal, batches));
        while writer.turn(Instant::now()) == Turn::Worked {}
        Ok((name, records, bytes))
    }
}
