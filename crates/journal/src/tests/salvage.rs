//! What is whole is salvaged, what is stored blocks nothing, and what is missing is named.

use std::io;
use std::sync::Arc;

use crate::disk::Disk;
use crate::format::Flaw;
use crate::inspect::inspect_on;
use crate::salvage::{Salvaged, name, numbers, salvage_on};
use crate::tests::damage::{FIRST, filled, refusal};
use crate::tests::simulated::Simulated;
use crate::tests::world::{ALL, World, settings};
use crate::{BatchLimits, JournalSettings};

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
    // A segment that is not there and held stored records only blocks nothing either.
    let disk = whole.copy();
    disk.forget(&names[0]);
    assert!(World::open(disk).is_ok());
}

#[test]
fn a_missing_end_of_the_journal_is_noticed_and_named() {
    let whole = filled(40);
    let names = whole.segments();
    let held = |index: usize| {
        let found = inspect_on(&whole).unwrap();
        found.segments[index].sequences.unwrap()
    };
    let newest = names.len() - 1;
    for (index, records) in [(0, Some(held(0))), (newest, None)] {
        let disk = whole.copy();
        disk.forget(&names[index]);
        let (file, offset, flaw) = refusal(disk.copy());
        assert!(file.ends_with(&names[index]), "{file}");
        assert_eq!((offset, flaw), (0, Flaw::Absent));
        let found = inspect_on(&disk).unwrap();
        let damage = found.first_damage().unwrap();
        assert_eq!((damage.flaw, damage.file.ends_with(&names[index])), (Flaw::Absent, true));
        let (salvaged, left) = salvaged(&disk);
        let loss = salvaged.lost.iter().find(|loss| loss.flaw == Flaw::Absent).unwrap();
        assert!(loss.file.ends_with(&names[index]) && !salvaged.is_complete());
        assert_eq!(loss.records, records, "what the newest held is not known");
        let (first, last) = held(index);
        assert_eq!(left.len() as u64, 40 - (last - first + 1));
    }
    // All of them are gone: that is no new journal.
    let disk = whole.copy();
    names.iter().for_each(|name| disk.forget(name));
    assert_eq!(refusal(disk).2, Flaw::Absent);
    // One of an older program has nothing written down, and is not checked.
    let disk = whole.copy();
    disk.forget("extent");
    disk.forget(&names[newest]);
    assert!(World::open(disk).is_ok());
}

#[test]
fn what_the_journal_removes_is_not_missed() {
    let mut world = World::open(Simulated::new(1)).unwrap();
    for round in 0..30 {
        for record in 0..9 {
            world.append(&[record; 100]).unwrap();
        }
        if round % 3 == 0 {
            while let Some(batch) = world.next(ALL) {
                world.journal().confirm(&batch.id);
            }
            world.wait(std::time::Duration::from_secs(1));
        }
        assert_eq!(inspect_on(&world.disk.copy()).unwrap().first_damage(), None, "round {round}");
        assert!(World::open(world.disk.copy()).is_ok(), "round {round}");
    }
    assert!(!world.disk.segments().contains(&FIRST.to_owned()));
}
