//! Full disks, failing disks, and bounds.

use std::sync::Arc;
use std::time::Duration;

use crate::Journal;
use crate::error::{AppendError, ReadError};
use crate::settings::{JournalSettings, SettingsError};
use crate::stats::JournalObserver;
use crate::tests::simulated::Simulated;
use crate::tests::world::{ALL, World, settings};

fn open() -> World {
    World::open(Simulated::new(1)).unwrap()
}

#[test]
fn a_full_journal_presses_back_and_drains_and_takes_again() {
    let mut world = open();
    let mut kept = 0;
    let (used, max) = loop {
        match world.append(&[1; 200]) {
            Ok(_) => kept += 1,
            Err(AppendError::Full { used, max }) => break (used, max),
            Err(other) => panic!("{other}"),
        }
    };
    assert!(used <= max && max == settings().disk_bytes_max && kept > 30);
    let used = world.journal().stats().used_bytes;
    assert!(used <= settings().data_bytes_max(), "the headers of segments have their place");
    assert_eq!(world.journal().stats().refused_full, 1);
    assert!(world.journal().is_full(), "until something goes");
    // However small the batches, boundaries and positions have their place.
    let mut delivered = 0;
    while let Some(batch) = world.next(crate::BatchLimits { bytes_max: 1, records_max: 1 }) {
        delivered += batch.records.len();
        world.journal().confirm(&batch.id);
        world.wait(Duration::from_secs(1));
    }
    assert_eq!(delivered, kept);
    assert!(!world.journal().is_full());
    assert!(world.disk.counts().bytes_peak <= settings().disk_bytes_max);
    world.append(&[1; 200]).unwrap();
    assert!(world.journal().stats().disk_bytes <= settings().segment_bytes_max);
}

#[test]
fn no_space_is_an_answer_that_passes_and_leaves_nothing_half_written() {
    let mut world = open();
    world.append(b"before").unwrap();
    let name = world.disk.segments()[0].clone();
    let before = world.disk.content(&name);
    world.disk.set_space(Some(before.len() as u64 + 20));
    for _ in 0..3 {
        let error = world.append(&[1; 100]).unwrap_err();
        assert!(matches!(error, AppendError::NoSpace(_)) && error.is_passing(), "{error}");
        assert_eq!(world.disk.content(&name), before);
    }
    world.disk.set_space(None);
    assert_eq!(world.append(b"after").unwrap(), 2);
    assert_eq!(world.journal().stats().no_space, 3);
    let disk = world.disk.lose_power();
    assert_eq!(World::open(disk).unwrap().next(ALL).unwrap().records, ["before", "after"]);
}

#[test]
fn a_boundary_waits_for_space() {
    let mut world = open();
    world.append(b"one").unwrap();
    world.disk.set_space(Some(0));
    assert!(world.next(ALL).is_none(), "no batch without its boundary");
    world.wait(Duration::from_secs(5));
    assert!(world.next(ALL).is_none());
    world.wait(Duration::from_secs(5));
    world.disk.set_space(None);
    world.wait(Duration::from_secs(5));
    let batch = world.step(ALL).unwrap().expect("made without being asked again");
    assert_eq!(batch.records, ["one"]);
}

#[test]
fn a_boundary_does_not_starve_behind_records_that_find_no_space() {
    let mut world = open();
    world.append(b"one").unwrap();
    world.disk.set_space(Some(world.journal().stats().disk_bytes + 100));
    assert!(world.step(ALL).unwrap().is_none());
    for _ in 0..2 {
        // A hundred bytes are enough for the boundary, and not for these.
        let _ = world.ask(&[1; 200]);
        let _ = world.parts.writer.turn(world.now);
    }
    assert_eq!(world.step(ALL).unwrap().unwrap().records, ["one"]);
}

#[test]
fn the_boundary_and_position_of_every_record_have_their_place_on_a_full_disk() {
    let mut world = open();
    // Many at once, so that what waits is counted with what it brings.
    while world.journal().stats().refused_full == 0 {
        while world.ask(b"x").is_ok() {}
        world.settle();
    }
    let one = crate::BatchLimits { bytes_max: 1, records_max: 1 };
    let batches: Vec<_> = std::iter::from_fn(|| world.next(one)).collect();
    assert!(batches.len() > 100);
    // Each position on its own, and none of them frees a segment before the last.
    for batch in batches.iter().skip(1).chain(&batches[..1]) {
        world.journal().confirm(&batch.id);
        world.wait(Duration::from_secs(1));
    }
    let peak = world.disk.counts().bytes_peak;
    assert!(peak <= settings().disk_bytes_max, "{peak}");
    assert!(peak > settings().disk_bytes_max / 2, "records take most of it: {peak}");
}

#[test]
fn confirmed_segments_go_though_there_is_no_space_for_the_position() {
    let mut world = open();
    for record in 0..30 {
        world.append(&[record; 100]).unwrap();
    }
    let batch = world.next(ALL).unwrap();
    let before = world.journal().stats().segments;
    world.disk.set_space(Some(0));
    world.journal().confirm(&batch.id);
    world.settle();
    assert!(before > 1 && world.journal().stats().segments == 1, "they were {before}");
    let disk = world.disk.lose_power();
    disk.set_space(None);
    let mut world = World::open(disk).unwrap();
    assert_eq!(world.next(ALL).map(|batch| batch.id), None, "the files say what is confirmed");
}

#[test]
fn a_failed_sync_ends_the_journal_and_is_never_asked_again() {
    let mut world = open();
    world.append(b"kept").unwrap();
    let asked = world.ask(b"lost").unwrap();
    world.disk.set_sync_fails(true);
    world.settle();
    world.disk.set_sync_fails(false);
    let syncs = world.disk.counts().data_syncs;
    let why = asked.blocking_recv().unwrap().unwrap_err();
    assert!(matches!(&why, AppendError::Failed(why) if why.contains("syncing")), "{why}");
    assert!(!why.is_passing());
    assert!(matches!(world.ask(b"later"), Err(AppendError::Failed(_))));
    assert!(matches!(world.step(ALL), Err(ReadError::Failed(_))));
    world.wait(Duration::from_secs(9));
    assert!(world.journal().stats().is_failed);
    assert_eq!(world.disk.counts().data_syncs, syncs);
}

#[test]
fn what_a_failed_sync_left_in_memory_is_written_again_by_the_next_process() {
    let mut world = open();
    world.append(b"kept").unwrap();
    drop(world.ask(b"read back after the kill"));
    world.disk.set_sync_fails(true);
    world.settle();
    world.disk.set_sync_fails(false);
    // The process is restarted and sees the record, which only the page cache has.
    let mut world = World::open(world.disk.kill()).unwrap();
    let handed_out = world.next(ALL).unwrap();
    assert_eq!(handed_out.records.len(), 2);
    // What was handed out must be there after power loss as well.
    let mut world = World::open(world.disk.lose_power()).unwrap();
    let again = world.next(ALL).unwrap();
    assert_eq!((again.id, again.records), (handed_out.id, handed_out.records));
}

#[test]
fn a_failed_write_ends_the_journal() {
    let mut world = open();
    world.disk.set_write_fails(true);
    assert!(matches!(world.append(b"x"), Err(AppendError::Failed(_))));
    world.disk.set_write_fails(false);
    assert!(matches!(world.ask(b"x"), Err(AppendError::Failed(_))));
}

#[test]
fn bounds_are_named_when_they_are_reached() {
    let mut world = open();
    let too_large = world.ask(&[0; 513]).unwrap_err();
    assert_eq!(too_large, AppendError::TooLarge { bytes: 513, max: 512 });
    assert!(!too_large.is_passing());
    let asked: Vec<_> = (0..8).map(|_| world.ask(&[0; 512]).unwrap()).collect();
    let busy = world.ask(&[0; 512]).unwrap_err();
    assert_eq!(busy, AppendError::Busy { waiting: 4096, max: 4096 });
    assert!(busy.is_passing());
    world.settle();
    drop(asked);
    world.ask(&[0; 512]).unwrap();
    world.journal().stop();
    assert_eq!(world.ask(b"x").unwrap_err(), AppendError::Closed);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = settings();
    assert_eq!(JournalSettings::new("x").check(), Ok(()));
    for (bad, error) in [
        (
            JournalSettings { record_bytes_max: 2000, ..good.clone() },
            SettingsError::RecordAboveSegment,
        ),
        (
            JournalSettings { waiting_bytes_max: 511, ..good.clone() },
            SettingsError::WaitingBelowRecord,
        ),
        (
            JournalSettings { disk_bytes_max: 6143, ..good.clone() },
            SettingsError::DiskBelowSegments,
        ),
        (
            JournalSettings { record_bytes_max: 2 << 30, segment_bytes_max: 8 << 30, ..good },
            SettingsError::RecordAboveFormat,
        ),
    ] {
        assert_eq!(bad.check(), Err(error));
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_is_a_failed_journal_and_not_a_silence() {
    struct Panics;
    impl JournalObserver for Panics {
        fn synced(&self, _seconds: f64, _records: usize, _bytes: u64) {
            panic!("a test's panic");
        }
    }
    let disk = Arc::new(Simulated::new(1));
    let (journal, mut batches) = Journal::start(disk, settings(), Arc::new(Panics)).unwrap();
    assert!(matches!(journal.append("one").await, Err(AppendError::Failed(_))));
    assert!(matches!(batches.next(ALL).await, Err(ReadError::Failed(_))));
    assert!(matches!(journal.append("two").await, Err(AppendError::Failed(_))));
    journal.close().await;
}
