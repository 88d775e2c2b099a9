//! Random courses with crashes, against a model of what was promised.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::error::AppendError;
use crate::gather::BatchLimits;
use crate::settings::JournalSettings;
use crate::tests::simulated::Simulated;
use crate::tests::world::{Asked, World, seed, settings};
use crate::{Batch, BatchId};

/// A disk that is full soon.
fn narrow() -> JournalSettings {
    JournalSettings { disk_bytes_max: 8 * 1024, ..settings() }
}

/// What was promised so far.
#[derive(Default)]
struct Model {
    /// Answered records, by sequence.
    answered: BTreeMap<u64, Vec<u8>>,
    /// Batches that anyone ever saw.
    seen: HashMap<BatchId, Vec<Vec<u8>>>,
    /// Batches that are out and not confirmed, in order.
    out: Vec<BatchId>,
    /// Everything through here was confirmed in order, and was in a batch.
    confirmed_through: u64,
    confirmed: Vec<BatchId>,
    /// The last record of the batch handed out last since the journal was opened.
    delivered_through: Option<u64>,
    refused: u64,
    deliveries: u64,
    replays: u64,
}

impl Model {
    fn deliver(&mut self, batch: &Batch) {
        let id = batch.id;
        self.deliveries += 1;
        self.replays += u64::from(batch.is_replayed);
        let records: Vec<Vec<u8>> = batch.records.iter().map(|record| record.to_vec()).collect();
        assert_eq!(records.len() as u64, id.last - id.first + 1, "{id}");
        if let Some(through) = self.delivered_through {
            assert_eq!(id.first, through + 1, "batches follow each other without a gap");
        } else {
            assert!(id.first <= self.confirmed_through + 1, "nothing unconfirmed is left out");
        }
        self.delivered_through = Some(id.last);
        for (sequence, record) in (id.first..).zip(&records) {
            if let Some(answered) = self.answered.get(&sequence) {
                assert_eq!(answered, record, "record {sequence} is as it was answered");
            }
        }
        if id.first <= self.confirmed_through {
            assert!(self.confirmed.contains(&id), "{id}: confirmed, so only as the same batch");
        }
        for other in self.out.iter().chain(&self.confirmed) {
            let apart = other.last < id.first || id.last < other.first;
            assert!(apart || *other == id, "{id} cuts {other} in another way");
        }
        let before = self.seen.entry(id).or_insert_with(|| records.clone());
        assert_eq!(*before, records, "{id} always holds the same");
        if !self.out.contains(&id) {
            self.out.push(id);
        }
    }

    fn confirm(&mut self, id: BatchId) {
        self.confirmed.push(id);
        self.out.retain(|out| *out != id);
        while let Some(next) =
            self.confirmed.iter().find(|batch| batch.first == self.confirmed_through + 1)
        {
            self.confirmed_through = next.last;
        }
    }

    /// The journal was opened anew: batches start again at the oldest that is not confirmed
    /// durably.
    fn reopened(&mut self) {
        self.delivered_through = None;
    }
}

struct Course {
    rng: StdRng,
    model: Model,
    asked: Vec<(Asked, Vec<u8>)>,
    content: u64,
}

impl Course {
    fn append(&mut self, world: &World) {
        self.content += 1;
        let mut record = self.content.to_le_bytes().to_vec();
        record.resize(8 + self.rng.random_range(0..200), 0xA5);
        match world.ask(&record) {
            Ok(asked) => self.asked.push((asked, record)),
            Err(AppendError::Full { .. }) => self.model.refused += 1,
            Err(_) => {}
        }
    }

    /// Hears the answers that came.
    fn hear(&mut self) {
        self.asked.retain_mut(|(asked, record)| match asked.try_recv() {
            Ok(Ok(sequence)) => {
                self.model.answered.insert(sequence, std::mem::take(record));
                false
            }
            Ok(Err(_)) | Err(tokio::sync::oneshot::error::TryRecvError::Closed) => false,
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => true,
        });
    }

    fn limits(&mut self) -> BatchLimits {
        BatchLimits {
            bytes_max: self.rng.random_range(50..2000),
            records_max: self.rng.random_range(1..20),
        }
    }

    fn read(&mut self, world: &mut World) {
        let limits = self.limits();
        if let Ok(Some(batch)) = world.step(limits) {
            self.model.deliver(&batch);
        }
    }

    /// Confirms one that is out, not always the oldest.
    fn confirm(&mut self, world: &World) {
        if self.model.out.is_empty() {
            return;
        }
        let of = self.model.out.len().min(3);
        let id = self.model.out[self.rng.random_range(0..of)];
        // Only what this process handed out can be confirmed in it.
        if self.model.delivered_through.is_some_and(|through| id.last <= through) {
            world.journal().confirm(&id);
            self.model.confirm(id);
        }
    }

    fn one(&mut self, world: &mut World) {
        match self.rng.random_range(0..100) {
            0..40 => self.append(world),
            40..60 => {
                let _ = world.parts.writer.turn(world.now);
            }
            60..75 => self.read(world),
            75..90 => self.confirm(world),
            90..93 => {
                // Somebody stops waiting for an answer.
                if !self.asked.is_empty() {
                    let index = self.rng.random_range(0..self.asked.len());
                    self.asked.swap_remove(index);
                }
            }
            93..95 => world.disk.set_space(Some(self.rng.random_range(500..20_000))),
            95..97 => world.disk.set_space(None),
            _ => world.wait(Duration::from_millis(self.rng.random_range(0..600))),
        }
        self.hear();
    }
}

fn run(seed: u64) -> Model {
    let mut rng = StdRng::seed_from_u64(seed);
    let disk = Simulated::new(rng.random());
    let mut course = Course { rng, model: Model::default(), asked: Vec::new(), content: 0 };
    let mut next_disk = disk;
    for _ in 0..course.rng.random_range(2..8) {
        let disk = next_disk;
        disk.set_space(None);
        // Some crashes hit the opening itself.
        if course.rng.random_bool(0.2) {
            disk.stop_after(course.rng.random_range(0..6));
        }
        let steps = course.rng.random_range(0..150);
        if let Ok(mut world) = World::open_with(disk.clone(), narrow()) {
            course.model.reopened();
            if course.rng.random_bool(0.6) {
                disk.stop_after(course.rng.random_range(0..120));
            }
            for _ in 0..steps {
                course.one(&mut world);
            }
            if course.rng.random_bool(0.1) {
                world.settle();
                disk.set_sync_fails(true);
                for _ in 0..5 {
                    course.append(&world);
                }
                world.settle();
                disk.set_sync_fails(false);
                course.hear();
            }
            course.asked.clear();
        }
        assert!(disk.counts().bytes_peak <= narrow().disk_bytes_max, "the disk's bound");
        next_disk = if course.rng.random_bool(0.5) { disk.kill() } else { disk.lose_power() };
    }
    next_disk.set_space(None);
    finish(&mut course, next_disk);
    course.model
}

/// Opens once more and reads everything: no answered record may be missing.
fn finish(course: &mut Course, disk: Simulated) {
    let mut world = World::open_with(disk, narrow()).unwrap();
    let model = &mut course.model;
    model.reopened();
    let mut handed_out = Vec::new();
    while let Some(batch) = world.next(BatchLimits { bytes_max: 1000, records_max: 7 }) {
        model.deliver(&batch);
        handed_out.push(batch.id);
    }
    let through = model.delivered_through.unwrap_or(model.confirmed_through);
    let last = model.answered.last_key_value().map_or(0, |(sequence, _)| *sequence);
    assert!(through >= last, "answered through {last}, delivered through {through}");
    for id in handed_out.iter().rev() {
        world.journal().confirm(id);
    }
    world.wait(Duration::from_secs(1));
    let stats = world.journal().stats();
    assert_eq!((stats.unconfirmed_records, stats.unconfirmed_bytes, stats.segments), (0, 0, 1));
    assert_eq!(stats.unconfirmed_oldest_at, None);
    crate::inspect::inspect_on(&world.disk)
        .map(|found| assert_eq!(found.first_damage(), None))
        .unwrap();
}

#[test]
fn what_was_promised_holds_through_random_crashes() {
    let seed = seed();
    let courses = std::env::var("WAYBILL_COURSES").map_or(400, |count| count.parse().unwrap());
    let (mut deliveries, mut replays, mut answered, mut refused) = (0, 0, 0, 0);
    for course in 0..courses {
        let seed = seed.wrapping_add(course);
        eprintln!("course {course}: WAYBILL_SEED={seed} WAYBILL_COURSES=1");
        let model = run(seed);
        deliveries += model.deliveries;
        replays += model.replays;
        refused += model.refused;
        answered += model.answered.len();
    }
    eprintln!(
        "{answered} answered, {deliveries} batches, {replays} of them replayed, {refused} refused"
    );
    if courses >= 100 {
        assert!(
            replays > 100 && answered > 5000 && refused > 100,
            "the courses reach what they are to try"
        );
    }
}
