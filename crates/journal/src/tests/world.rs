//! A journal on a simulated disk, turned by hand: the same seed is the same course.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::batches::Step;
use crate::error::{AppendError, OpenError, ReadError};
use crate::gather::BatchLimits;
use crate::journal::Parts;
use crate::read::FileReader;
use crate::settings::JournalSettings;
use crate::stats::NoObserver;
use crate::tests::simulated::Simulated;
use crate::writer::Turn;
use crate::{Batch, Journal};

/// Everything there is.
pub(crate) const ALL: BatchLimits = BatchLimits { bytes_max: u64::MAX, records_max: usize::MAX };

/// An append that was asked for.
pub(crate) type Asked = oneshot::Receiver<Result<u64, AppendError>>;

/// Small bounds, which tests reach.
pub(crate) fn settings() -> JournalSettings {
    JournalSettings {
        folder: "/simulated".into(),
        segment_bytes_max: 2048,
        disk_bytes_max: 32 * 1024,
        record_bytes_max: 512,
        waiting_bytes_max: 4096,
        cache_bytes_max: 600,
    }
}

/// The journal.
pub(crate) struct World {
    pub(crate) disk: Simulated,
    pub(crate) parts: Parts,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn open(disk: Simulated) -> Result<Self, OpenError> {
        Self::open_with(disk, settings())
    }

    pub(crate) fn open_with(disk: Simulated, settings: JournalSettings) -> Result<Self, OpenError> {
        let parts = Journal::assemble(Arc::new(disk.clone()), settings, Arc::new(NoObserver))?;
        Ok(Self { disk, parts, now: Instant::now() })
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.parts.journal
    }

    pub(crate) fn ask(&self, record: &[u8]) -> Result<Asked, AppendError> {
        self.journal().enqueue(Bytes::copy_from_slice(record))
    }

    /// Turns the writer until there is nothing to do at this moment.
    pub(crate) fn settle(&mut self) {
        while self.parts.writer.turn(self.now) == Turn::Worked {}
    }

    /// Appends one record.
    pub(crate) fn append(&mut self, record: &[u8]) -> Result<u64, AppendError> {
        let mut asked = self.ask(record)?;
        self.settle();
        asked.try_recv().expect("an answer after the writer's turn")
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.settle();
    }

    /// One step of the reader.
    pub(crate) fn step(&mut self, limits: BatchLimits) -> Result<Option<Batch>, ReadError> {
        let batches = &mut self.parts.batches;
        match batches.step(limits)? {
            Step::Batch(batch) => Ok(Some(*batch)),
            Step::Wait | Step::Ended => Ok(None),
            Step::Read(plan) => {
                let id = self.parts.journal.id();
                let read = FileReader::new(Arc::new(self.disk.clone()), id).read(&plan)?;
                batches.was_read(limits, &plan, read)
            }
        }
    }

    /// The next batch that is there, within a few steps.
    pub(crate) fn next(&mut self, limits: BatchLimits) -> Option<Batch> {
        for _ in 0..4 {
            if let Some(batch) = self.step(limits).unwrap() {
                return Some(batch);
            }
            self.settle();
        }
        None
    }

    /// Closes without crash.
    pub(crate) fn close(mut self) -> Simulated {
        drop(self.parts.journal);
        while self.parts.writer.turn(self.now) == Turn::Worked {}
        self.disk
    }
}

/// The seed of this run: `WAYBILL_SEED`, or a new one. It is printed when the test fails.
pub(crate) fn seed() -> u64 {
    let seed =
        std::env::var("WAYBILL_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    seed
}
