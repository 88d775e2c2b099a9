//! Torn tails are cut, damage is refused, and both are shown.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::error::{OpenError, ReadError};
use crate::format::{Boundary, Flaw, Kind, RecordHeader, SegmentHeader};
use crate::inspect::inspect_on;
use crate::salvage::{Salvaged, name, numbers, salvage_on};
use crate::tests::simulated::Simulated;
use crate::tests::world::{ALL, World, settings};
use crate::{BatchLimits, JournalSettings};

const FIRST: &str = "00000000000000000001.segment";

/// A disk with `count` records, each a group of its own, in as many segments as they need.
fn filled(count: u8) -> Simulated {
    let mut world = World::open(Simulated::new(1)).unwrap();
    for record in 0..count {
        world.append(&[record; 100]).unwrap();
    }
    world.close()
}

fn refusal(disk: Simulated) -> (String, u64, Flaw) {
    match World::open(disk).map(|_| ()) {
        Err(OpenError::Damaged(damage)) => {
            (damage.file.display().to_string(), damage.offset, damage.flaw)
        }
        other => panic!("not refused as damage: {other:?}"),
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_journal_goes_on() {
    let whole = filled(3);
    let bytes = whole.content(FIRST);
    let record = 48 + 104;
    let last = bytes.len() - record;
    for length in last..bytes.len() {
        for rest in [0, 40] {
            let disk = whole.copy();
            // Behind a torn record there may be nothing, or zeros that never were written.
            let mut torn = bytes[..length].to_vec();
            torn.resize(length + rest, 0);
            if torn.len() >= bytes.len() {
                continue;
            }
            disk.set_content(FIRST, &torn);
            let found = inspect_on(&disk).unwrap();
            assert_eq!(found.first_damage(), None);
            assert_eq!(found.segments[0].torn_tail_bytes, (torn.len() - last) as u64);
            let mut world = World::open(disk).unwrap();
            assert_eq!(world.append(b"goes on").unwrap(), 3, "the torn third was never answered");
            let batch = world.next(ALL).unwrap();
            assert_eq!(batch.records, [&[0; 100][..], &[1; 100], b"goes on"], "length {length}");
        }
    }
}

#[test]
fn a_torn_group_is_cut_where_it_is_torn_though_records_behind_are_whole() {
    let mut world = World::open(Simulated::new(1)).unwrap();
    world.append(&[0; 100]).unwrap();
    let asked: Vec<_> = (1..4).map(|record| world.ask(&[record; 100]).unwrap()).collect();
    world.settle();
    drop(asked);
    let disk = world.close();
    // The second of the group's three records did not survive, the third did.
    let mut bytes = disk.content(FIRST);
    let second = 64 + 2 * (48 + 104);
    bytes[second + 60] ^= 1;
    disk.set_content(FIRST, &bytes);
    let mut world = World::open(disk).unwrap();
    assert_eq!(world.next(ALL).unwrap().records, [&[0; 100][..], &[1; 100]]);
}

#[test]
fn damage_before_a_later_group_is_refused_with_file_and_offset() {
    let whole = filled(4);
    let bytes = whole.content(FIRST);
    let record = 48 + 104;
    for at in 64..64 + 3 * record {
        let disk = whole.copy();
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        disk.set_content(FIRST, &damaged);
        let in_padding = (at - 64) % record >= 48 + 100;
        if in_padding {
            // Nothing of anyone's stands there.
            assert!(World::open(disk).is_ok());
            continue;
        }
        let offset = (64 + (at - 64) / record * record) as u64;
        let (file, found, _) = refusal(disk.copy());
        assert_eq!((file.as_str(), found), ("/simulated/00000000000000000001.segment", offset));
        let inspection = inspect_on(&disk).unwrap();
        assert_eq!(inspection.first_damage().map(|damage| damage.offset), Some(offset));
        assert_eq!(inspection.segments[0].records, 3, "what is whole behind it is seen");
        assert_eq!(disk.content(FIRST), damaged, "nothing was changed");
    }
}

#[test]
fn a_bad_end_of_an_earlier_segment_is_refused() {
    let whole = filled(40);
    assert!(whole.segments().len() > 2);
    let bytes = whole.content(FIRST);
    let disk = whole.copy();
    disk.set_content(FIRST, &bytes[..bytes.len() - 1]);
    assert_eq!(refusal(disk).0, "/simulated/00000000000000000001.segment");
    let disk = whole.copy();
    disk.set_content(FIRST, &[bytes.clone(), vec![0; 8]].concat());
    assert_eq!(refusal(disk).1, bytes.len() as u64);
}

/// Adds a record with right checksums to the first segment.
fn add(disk: &Simulated, kind: Kind, sequence: u64, payload: &[u8]) {
    let mut bytes = disk.content(FIRST);
    let header = SegmentHeader::decode(bytes[..64].try_into().unwrap()).unwrap();
    let stray = RecordHeader {
        kind,
        payload_bytes: u32::try_from(payload.len()).unwrap(),
        payload_checksum: crc32fast::hash(payload),
        sequence,
        appended_at_ns: 0,
        group_offset: bytes.len() as u64,
    };
    bytes.extend(stray.encode(header.place, bytes.len() as u64));
    bytes.extend(payload);
    disk.set_content(FIRST, &bytes);
}

#[test]
fn a_whole_record_that_does_not_belong_there_is_no_torn_tail() {
    let disk = filled(1);
    add(&disk, Kind::Data, 7, b"");
    assert_eq!(refusal(disk).2, Flaw::Sequence { expected: 2, found: 7 });
    let disk = filled(1);
    let boundary = Boundary { first: 1, last: 2, bytes_through: 200, content: 0 };
    add(&disk, Kind::Boundary, 2, &boundary.encode());
    assert_eq!(refusal(disk).2, Flaw::Boundary);
}

#[test]
fn a_batch_is_not_handed_out_with_other_records_than_before() {
    let disk = filled(1);
    let boundary = Boundary { first: 1, last: 1, bytes_through: 100, content: 0xbad };
    add(&disk, Kind::Boundary, 2, &boundary.encode());
    let mut world = World::open(disk).unwrap();
    assert!(matches!(world.step(ALL), Err(ReadError::Damaged(_))));
}

#[test]
fn headers_and_missing_segments_are_refused() {
    let whole = filled(40);
    let names = whole.segments();
    for name in &names {
        let disk = whole.copy();
        let mut bytes = disk.content(name);
        bytes[20] ^= 1;
        disk.set_content(name, &bytes);
        assert_eq!((refusal(disk.copy()).1, refusal(disk).2), (0, Flaw::SegmentHeader), "{name}");
        let disk = whole.copy();
        disk.set_content(name, b"");
        assert_eq!(refusal(disk).2, Flaw::SegmentHeader);
    }
    let disk = whole.copy();
    disk.forget(&names[1]);
    assert_eq!(inspect_on(&disk).unwrap().first_damage().unwrap().flaw, Flaw::Missing);
    assert_eq!(refusal(disk).2, Flaw::Missing);
    let disk = whole.copy();
    disk.set_content(&names[1], &whole.content(&names[0]));
    assert_eq!(refusal(disk).2, Flaw::OtherSegment);
    let disk = whole.copy();
    disk.set_content(&names[1], &filled(40).content(&names[1]));
    assert_eq!(refusal(disk).2, Flaw::OtherJournal);
}

#[test]
fn a_record_inside_a_payload_is_not_taken_for_one() {
    let mut world = World::open(Simulated::new(1)).unwrap();
    world.append(&[7; 100]).unwrap();
    let inner = world.disk.content(FIRST)[64..].to_vec();
    world.append(&inner).unwrap();
    let disk = world.close();
    // The last record's header is torn; its payload holds a whole record of this very segment.
    let mut bytes = disk.content(FIRST);
    bytes[64 + 152 + 20] ^= 1;
    disk.set_content(FIRST, &bytes);
    let mut world = World::open(disk).unwrap();
    assert_eq!(world.next(ALL).unwrap().records, [&[7; 100][..]]);
}

#[test]
fn inspection_tells_what_is_there() {
    let mut world = World::open(Simulated::new(1)).unwrap();
    let journal = world.journal().id();
    for record in 0..30 {
        world.append(&[record; 100]).unwrap();
    }
    let first = world.next(BatchLimits { bytes_max: 500, records_max: 99 }).unwrap();
    let second = world.next(ALL).unwrap();
    world.journal().confirm(&first.id);
    let found = inspect_on(&world.close()).unwrap();
    assert_eq!((found.journal, found.confirmed_through), (Some(journal), 5));
    assert_eq!(found.segments.iter().map(|segment| segment.records).sum::<u64>(), 30);
    assert_eq!(found.segments[0].sequences.unwrap().0, 1);
    assert!(found.segments.iter().all(|segment| segment.appended_at.is_some()));
    let batches: Vec<_> = found.segments.iter().flat_map(|segment| &segment.batches).collect();
    assert_eq!(batches, [&first.id, &second.id]);
    let none = crate::inspect(Path::new("/nowhere/at/all"));
    assert!(matches!(none, Err(OpenError::Io { .. })));
}

/// A disk whose second segment is removed between the listing and the reading.
struct Vanishing(Simulated);

impl Disk for Vanishing {
    fn folder(&self) -> &Path {
        self.0.folder()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.0.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.0.open(name)
    }
    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn File>> {
        if *name == self.0.segments()[1] {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.0.open_to_read(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.0.sync_folder()
    }
}

#[test]
fn a_segment_that_the_collector_removes_meanwhile_is_no_damage() {
    let disk = filled(40);
    let count = disk.segments().len();
    let found = inspect_on(&Vanishing(disk)).unwrap();
    assert_eq!((found.first_damage(), found.segments.len()), (None, count - 1));
}

/// Salvages a disk to a new one; gives the records of the new journal, too.
fn salvaged(disk: &Simulated) -> (Salvaged, Vec<Vec<u8>>) {
    let before = contents(disk);
    let numbers = numbers(disk).unwrap();
    let journal = name(disk, &numbers).unwrap().unwrap();
    let target = Simulated::new(2);
    let room = JournalSettings { disk_bytes_max: 1 << 40, ..settings() };
    let salvaged = salvage_on(disk, (journal, &numbers), Arc::new(target.clone()), room).unwrap();
    assert_eq!(contents(disk), before, "the old journal is as it was");
    assert_ne!(salvaged.journal, journal);
    // What power loss leaves of the new one is all of it.
    let mut world = World::open_with(target.copy(), settings()).unwrap();
    assert_eq!(world.journal().id(), salvaged.journal);
    let mut records = Vec::new();
    while let Some(batch) = world.next(BatchLimits { bytes_max: 1_000, records_max: 9 }) {
        records.extend(batch.records.iter().map(|record| record.to_vec()));
        world.journal().confirm(&batch.id);
    }
    assert_eq!(records.len() as u64, salvaged.records);
    (salvaged, records)
}

fn contents(disk: &Simulated) -> Vec<(String, Vec<u8>)> {
    disk.segments().into_iter().map(|name| (name.clone(), disk.content(&name))).collect()
}

fn flip(disk: &Simulated, name: &str, at: usize) {
    let mut bytes = disk.content(name);
    bytes[at] ^= 0x10;
    disk.set_content(name, &bytes);
}

/// The records of [`filled`] but for these, by sequence.
fn all_but(count: u8, lost: &[u8]) -> Vec<Vec<u8>> {
    (0..count).filter(|record| !lost.contains(&(record + 1))).map(|n| vec![n; 100]).collect()
}

#[test]
fn a_whole_journal_is_salvaged_whole() {
    for count in [0, 1, 40] {
        let (salvaged, records) = salvaged(&filled(count));
        assert_eq!(records, all_but(count, &[]));
        assert_eq!((salvaged.lost_records(), salvaged.lost), (0, vec![]));
    }
}

#[test]
fn what_is_damaged_is_named_and_all_else_is_salvaged() {
    let record = 48 + 104;
    for at in 64..64 + 3 * record {
        let disk = filled(40);
        flip(&disk, FIRST, at);
        let (salvaged, records) = salvaged(&disk);
        let hit = u8::try_from((at - 64) / record + 1).unwrap();
        if (at - 64) % record >= 48 + 100 {
            assert_eq!((records.len(), salvaged.lost), (40, vec![]), "padding");
            continue;
        }
        assert_eq!(records, all_but(40, &[hit]), "byte {at}");
        let [loss] = &salvaged.lost[..] else { panic!("{:?}", salvaged.lost) };
        assert!(loss.file.ends_with(FIRST) && !loss.is_torn_tail);
        assert_eq!(loss.offset, (64 + usize::from(hit - 1) * record) as u64);
        assert_eq!((loss.bytes, loss.records), (record as u64, Some((hit.into(), hit.into()))));
    }
}

#[test]
fn a_segment_that_is_missing_or_has_no_header_is_named() {
    let whole = filled(40);
    let names = whole.segments();
    // Records are proved by where they stand: a header is not needed for them.
    let disk = whole.copy();
    flip(&disk, &names[1], 20);
    let (without_header, records) = salvaged(&disk);
    assert_eq!((records, without_header.lost_records()), (all_but(40, &[]), 0));
    assert!(without_header.lost[0].file.ends_with(&names[1]));
    assert_eq!(
        (without_header.lost[0].offset, without_header.lost[0].flaw),
        (0, Flaw::SegmentHeader)
    );
    let disk = whole.copy();
    let found = inspect_on(&disk).unwrap();
    let (first, last) = found.segments[1].sequences.unwrap();
    disk.forget(&names[1]);
    let (gone, records) = salvaged(&disk);
    assert_eq!(gone.lost_records(), last - first + 1);
    assert_eq!(records.len() as u64, 40 - gone.lost_records());
    assert!(gone.lost[0].file.ends_with(&names[1]));
    assert_eq!((gone.lost[0].flaw, gone.lost[0].records), (Flaw::Missing, Some((first, last))));
}

#[test]
fn a_torn_tail_is_told_from_a_loss() {
    let disk = filled(3);
    let bytes = disk.content(FIRST);
    disk.set_content(FIRST, &bytes[..bytes.len() - 9]);
    let (salvaged, records) = salvaged(&disk);
    assert_eq!((records, salvaged.lost_records()), (all_but(2, &[]), 0));
    assert!(salvaged.lost[0].is_torn_tail && salvaged.lost[0].flaw == Flaw::Short);
}

#[test]
fn the_last_record_is_missed_if_anything_stands_behind_it() {
    let mut world = World::open(Simulated::new(1)).unwrap();
    for record in 0..3 {
        world.append(&[record; 100]).unwrap();
    }
    let _open = world.next(ALL).unwrap();
    let disk = world.close();
    flip(&disk, FIRST, 64 + 2 * (48 + 104) + 60);
    let (salvaged, records) = salvaged(&disk);
    assert_eq!((records, salvaged.lost_records()), (all_but(3, &[3]), 1));
    assert_eq!(salvaged.lost[0].records, Some((3, 3)));
}

/// A disk with 40 records of which the first 13 are in the store, as a position says, in segments
/// that are kept all the same.
fn stored_in_part() -> (Simulated, Vec<String>) {
    let mut world = World::open(Simulated::new(1)).unwrap();
    for record in 0..40 {
        world.append(&[record; 100]).unwrap();
    }
    // The second batch ends within the second segment; a batch that is open holds the third back.
    let first = world.next(BatchLimits { bytes_max: 300, records_max: 99 }).unwrap();
    let second = world.next(BatchLimits { bytes_max: 1_000, records_max: 99 }).unwrap();
    let _open = world.next(BatchLimits { bytes_max: 500, records_max: 99 }).unwrap();
    // Copied before the first segment goes.
    let before = world.disk.copy();
    world.journal().confirm(&first.id);
    world.journal().confirm(&second.id);
    let disk = world.close();
    assert_eq!(inspect_on(&disk).unwrap().confirmed_through, 13);
    for name in before.segments() {
        if !disk.segments().contains(&name) {
            let file = disk.create(&name).unwrap();
            file.write_all_at(&mut [io::IoSlice::new(&before.content(&name))], 0).unwrap();
            file.sync_all().unwrap();
            disk.sync_folder().unwrap();
        }
    }
    let names = disk.segments();
    (disk, names)
}

#[test]
fn damage_to_what_the_store_has_blocks_no_start() {
    let (whole, names) = stored_in_part();
    let found = inspect_on(&whole).unwrap();
    let second = found.segments[1].sequences.unwrap();
    assert!(second.0 <= 13 && second.1 > 13, "the position lies within the second segment");
    let record = 48 + 104;
    // Any byte of the first segment, and of what the store has of the second.
    let in_first = (0..whole.content(&names[0]).len()).step_by(7).map(|at| (0, at));
    let stored = usize::try_from(13 - second.0 + 1).unwrap();
    let in_second = (64..64 + stored * record).step_by(5).map(|at| (1, at));
    for (segment, at) in in_first.chain(in_second) {
        let disk = whole.copy();
        flip(&disk, &names[segment], at);
        let mut world = World::open(disk.copy()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(world.journal().stats().unconfirmed_records, 27, "byte {at} of {segment}");
        let mut left = Vec::new();
        while let Some(batch) = world.next(ALL) {
            left.extend(batch.records.iter().map(|record| record.to_vec()));
            world.journal().confirm(&batch.id);
        }
        assert_eq!(left, all_but(40, &[])[13..], "byte {at} of {segment}");
        // It goes on, its files go, and it opens again.
        assert_eq!(world.append(b"more").unwrap(), 41);
        let batch = world.next(ALL).unwrap();
        world.journal().confirm(&batch.id);
        world.wait(std::time::Duration::from_secs(1));
        let disk = world.close();
        assert!(!disk.segments().contains(&names[0]));
        assert_eq!(World::open(disk).unwrap().journal().stats().unconfirmed_records, 0);
        // A salvage leaves the same.
        assert_eq!(salvaged(&whole).1, all_but(40, &[])[13..]);
    }
    // The first record that the store does not have is not passed over.
    let disk = whole.copy();
    flip(&disk, &names[1], 64 + stored * record + 60);
    let (file, offset, _) = refusal(disk);
    assert!(file.ends_with(&names[1]));
    assert_eq!(offset, (64 + stored * record) as u64);
    // A segment that is not there and held stored records only is not missed.
    let disk = whole.copy();
    disk.forget(&names[0]);
    assert!(World::open(disk).is_ok());
}
