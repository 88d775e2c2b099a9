//! How many syncs there are, what rides with what, and which segments go when.

use std::time::Duration;

use crate::gather::BatchLimits;
use crate::state::POSITION_DELAY;
use crate::tests::simulated::Simulated;
use crate::tests::world::{ALL, World};

fn open() -> World {
    World::open(Simulated::new(1)).unwrap()
}

fn syncs(world: &World) -> u64 {
    world.disk.counts().data_syncs
}

#[test]
fn an_idle_append_is_one_write_and_one_sync() {
    let mut world = open();
    let (writes, before) = (world.disk.counts().writes, syncs(&world));
    assert_eq!(world.append(b"x").unwrap(), 1);
    assert_eq!((world.disk.counts().writes - writes, syncs(&world) - before), (1, 1));
}

#[test]
fn what_waits_is_one_group_with_one_sync() {
    let mut world = open();
    let asked: Vec<_> = (0..20_u8).map(|record| world.ask(&[record; 8]).unwrap()).collect();
    let before = syncs(&world);
    world.settle();
    assert_eq!(syncs(&world) - before, 1);
    let answers: Vec<_> = asked.into_iter().map(|asked| asked.blocking_recv().unwrap()).collect();
    assert_eq!(answers, (1..=20).map(Ok).collect::<Vec<_>>());
}

#[test]
fn the_batch_of_a_waiting_reader_rides_with_its_records() {
    let mut world = open();
    assert!(world.step(ALL).unwrap().is_none());
    let before = syncs(&world);
    world.append(b"x").unwrap();
    let batch = world.step(ALL).unwrap().expect("a batch without another sync");
    assert_eq!(syncs(&world) - before, 1);
    assert_eq!((batch.records.len(), batch.is_replayed), (1, false));
    assert_eq!(world.journal().stats().cache_bytes, 0, "it is not kept for anyone");
    let id = batch.id.to_string();
    assert_eq!(id, format!("{}-1-1-{:08x}", world.journal().id().simple(), batch.id.content));
}

#[test]
fn a_waiting_reader_takes_no_more_than_its_limits() {
    let mut world = open();
    let limits = BatchLimits { bytes_max: 10, records_max: 9 };
    assert!(world.step(limits).unwrap().is_none());
    let asked: Vec<_> = [4, 4, 4, 2, 30].map(|n| world.ask(&vec![1; n]).unwrap()).into();
    world.settle();
    drop(asked);
    let mut sizes = Vec::new();
    while let Some(batch) = world.next(limits) {
        sizes.push(batch.records.iter().map(|record| record.len()).collect::<Vec<_>>());
    }
    assert_eq!(sizes, [vec![4, 4], vec![4, 2], vec![30]]);
}

#[test]
fn a_position_rides_along_or_is_written_after_a_moment() {
    let mut world = open();
    for ride in [true, false] {
        world.append(b"x").unwrap();
        let batch = world.next(ALL).unwrap();
        world.journal().confirm(&batch.id);
        world.settle();
        let before = syncs(&world);
        if ride {
            world.append(b"y").unwrap();
            assert_eq!(syncs(&world) - before, 1);
            let batch = world.next(ALL).unwrap();
            world.journal().confirm(&batch.id);
        }
        world.wait(POSITION_DELAY);
        world.wait(POSITION_DELAY * 9);
        assert!(syncs(&world) - before <= 3);
    }
    let mut world = World::open(world.disk.lose_power()).unwrap();
    assert!(world.next(ALL).is_none(), "confirmed durably is never delivered again");
}

#[test]
fn segments_go_when_all_before_is_confirmed_and_not_earlier() {
    let mut world = open();
    for record in 0..60_u8 {
        world.append(&[record; 100]).unwrap();
    }
    let limits = BatchLimits { bytes_max: 1000, records_max: 10 };
    let batches: Vec<_> = std::iter::from_fn(|| world.next(limits)).collect();
    assert_eq!(batches.len(), 6);
    let all = world.journal().stats();
    assert_eq!((all.unconfirmed_records, all.unconfirmed_bytes, all.open_batches), (60, 6000, 6));
    for batch in batches[1..].iter().rev() {
        world.journal().confirm(&batch.id);
        world.wait(Duration::from_secs(1));
        assert_eq!(world.journal().stats().segments, all.segments, "the first holds them back");
    }
    assert_eq!(world.journal().stats().unconfirmed_records, 10);
    world.journal().confirm(&batches[0].id);
    world.journal().confirm(&batches[0].id);
    world.wait(Duration::from_secs(1));
    let stats = world.journal().stats();
    assert_eq!((stats.segments, stats.unconfirmed_records, stats.open_batches), (1, 0, 0));
    assert_eq!(world.disk.segments().len(), 1);
    let journal = world.journal().id();
    let mut world = World::open(world.disk.lose_power()).unwrap();
    assert_eq!(world.journal().id(), journal, "the name outlives the records");
    assert_eq!(world.append(b"x").unwrap(), 61, "and so do the sequences");
}

#[test]
fn the_age_of_the_oldest_survives_a_restart() {
    let mut world = open();
    assert_eq!(world.journal().stats().unconfirmed_oldest_at, None);
    world.append(b"x").unwrap();
    let at = world.journal().stats().unconfirmed_oldest_at.unwrap();
    for _ in 0..50 {
        world.append(b"y").unwrap();
    }
    let mut world = World::open(world.disk.lose_power()).unwrap();
    let stats = world.journal().stats();
    assert_eq!(stats.unconfirmed_oldest_at, Some(at));
    assert_eq!(stats.unconfirmed_age(at + Duration::from_secs(7)), Duration::from_secs(7));
    let batch = world.next(BatchLimits { bytes_max: 9, records_max: 1 }).unwrap();
    assert_eq!(batch.oldest_at, at);
    world.journal().confirm(&batch.id);
    assert!(world.journal().stats().unconfirmed_oldest_at.unwrap() > at);
}

#[test]
fn a_segment_that_a_crash_kept_goes_after_the_next_open() {
    let mut world = open();
    for record in 0..30_u8 {
        world.append(&[record; 100]).unwrap();
    }
    let batch = world.next(ALL).unwrap();
    world.journal().confirm(&batch.id);
    // The position is written and synced; then the machine stops.
    world.disk.stop_after(2);
    world.settle();
    assert!(world.journal().stats().is_failed);
    let mut world = World::open(world.disk.kill()).unwrap();
    assert!(world.journal().stats().segments > 1);
    world.settle();
    assert_eq!(world.journal().stats().segments, 1);
    assert!(world.next(ALL).is_none());
}

#[test]
fn a_segment_s_name_is_durable_before_its_records_are_answered() {
    // The process dies after the new segment got its name and before the folder was synced.
    let stopped = |seed, changes| {
        let mut world = World::open(Simulated::new(seed)).unwrap();
        for record in 0..12_u8 {
            world.append(&[record; 100]).unwrap();
        }
        assert_eq!(world.disk.segments().len(), 1);
        world.disk.stop_after(changes);
        assert!(world.append(&[12; 400]).is_err());
        world.disk
    };
    let changes = (1..9).find(|changes| stopped(0, *changes).segments().len() == 2).unwrap();
    for seed in 0..16 {
        let mut world = World::open(stopped(seed, changes).kill()).unwrap();
        let sequence = world.append(b"answered").unwrap();
        let found = crate::inspect::inspect_on(&world.disk.lose_power()).unwrap();
        assert_eq!(found.segments.last().unwrap().sequences.unwrap().1, sequence);
    }
}
