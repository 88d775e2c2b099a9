//! Torn tails are cut, damage is refused, and both are shown.

use std::io;
use std::path::Path;

use crate::BatchLimits;
use crate::disk::{Disk, File};
use crate::error::{OpenError, ReadError};
use crate::format::{Boundary, Flaw, Kind, RecordHeader, SegmentHeader};
use crate::inspect::inspect_on;
use crate::tests::simulated::Simulated;
use crate::tests::world::{ALL, World};

pub(super) const FIRST: &str = "00000000000000000001.segment";

/// A disk with `count` records, each a group of its own, in as many segments as they need.
pub(super) fn filled(count: u8) -> Simulated {
    let mut world = World::open(Simulated::new(1)).unwrap();
    for record in 0..count {
        world.append(&[record; 100]).unwrap();
    }
    world.close()
}

pub(super) fn refusal(disk: Simulated) -> (String, u64, Flaw) {
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
