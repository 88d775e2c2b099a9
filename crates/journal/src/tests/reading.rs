//! Where the reader's records come from, and what it keeps to.

use crate::gather::BatchLimits;
use crate::tests::simulated::Simulated;
use crate::tests::world::{ALL, World};

fn open() -> World {
    World::open(Simulated::new(1)).unwrap()
}

#[test]
fn fresh_records_come_from_memory() {
    let mut world = open();
    world.append(b"one").unwrap();
    world.append(b"two").unwrap();
    let reads = world.disk.counts().reads;
    assert_eq!(world.next(ALL).unwrap().records, ["one", "two"]);
    assert_eq!(world.disk.counts().reads, reads);
}

#[test]
fn a_reader_that_lags_reads_files_and_memory_is_flat_meanwhile() {
    let mut world = open();
    let mut bytes_most = 0;
    for record in 0..60_u8 {
        world.append(&[record; 100]).unwrap();
        let stats = world.journal().stats();
        bytes_most = bytes_most.max(stats.cache_bytes + stats.waiting_bytes);
    }
    assert!(bytes_most <= 600, "the bound of the cache, and nothing waits: {bytes_most}");
    let reads = world.disk.counts().reads;
    let mut records = Vec::new();
    // Files, memory and newer records in one go, as far as the limits allow.
    while let Some(batch) = world.next(BatchLimits { bytes_max: 700, records_max: 99 }) {
        assert!(batch.records.len() <= 7);
        records.extend(batch.records);
        if records.len() == 56 {
            world.append(&[60; 100]).unwrap();
        }
    }
    assert_eq!(records, (0..=60).map(|record| vec![record; 100]).collect::<Vec<_>>());
    assert!(world.disk.counts().reads > reads);
    assert_eq!(world.journal().stats().cache_bytes, 0);
}

#[test]
fn all_that_is_there_is_one_batch() {
    let mut world = open();
    for record in 0..60_u8 {
        world.append(&[record; 100]).unwrap();
    }
    assert_eq!(world.next(ALL).unwrap().records.len(), 60);
    let mut world = World::open(world.disk.kill()).unwrap();
    assert_eq!(world.next(BatchLimits { bytes_max: 1, records_max: 1 }).unwrap().records.len(), 60);
}

#[test]
fn a_batch_that_nobody_took_is_the_next_reader_s() {
    let mut world = open();
    world.append(b"one").unwrap();
    // The future is dropped while its boundary is written.
    assert!(world.step(ALL).unwrap().is_none());
    world.append(b"two").unwrap();
    assert_eq!(world.step(ALL).unwrap().unwrap().records, ["one"]);
    assert_eq!(world.next(ALL).unwrap().records, ["two"]);
    assert!(world.next(ALL).is_none());
}

#[test]
fn batches_of_before_come_first_and_as_they_were() {
    let mut world = open();
    for record in 0..9_u8 {
        world.append(&[record]).unwrap();
    }
    let limits = BatchLimits { bytes_max: 99, records_max: 3 };
    let first = world.next(limits).unwrap();
    let second = world.next(limits).unwrap();
    world.journal().confirm(&first.id);
    world.wait(std::time::Duration::from_secs(1));
    let mut world = World::open(world.disk.lose_power()).unwrap();
    let again = world.next(ALL).unwrap();
    assert_eq!((again.id, &again.records), (second.id, &second.records));
    assert!(again.is_replayed);
    let rest = world.next(ALL).unwrap();
    assert_eq!(rest.records, [&[6][..], &[7], &[8]]);
    assert!(!rest.is_replayed);
}

#[test]
fn a_stopped_journal_is_read_to_its_end() {
    use crate::batches::Step;
    let mut world = open();
    world.append(b"one").unwrap();
    let asked = world.ask(b"two").unwrap();
    world.journal().stop();
    drop(asked);
    assert_eq!(world.next(ALL).unwrap().records, ["one"]);
    assert_eq!(world.next(ALL).unwrap().records, ["two"]);
    assert!(matches!(world.parts.batches.step(ALL), Ok(Step::Ended)));
}

#[test]
fn a_reader_that_comes_back_while_its_boundary_is_written_waits_for_it() {
    use crate::batches::Step;
    let mut world = open();
    world.append(b"one").unwrap();
    assert!(world.step(ALL).unwrap().is_none());
    let group = world.parts.batches.shared.lock().take_group(world.now).unwrap();
    assert!(group.proposal.is_some());
    assert!(matches!(world.parts.batches.step(ALL), Ok(Step::Wait)), "and asks for no second one");
    assert!(world.parts.batches.shared.lock().proposal.is_none());
}
