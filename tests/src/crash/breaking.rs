//! What is done to the programs and to their disks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::prelude::*;
use rand::rngs::StdRng;
use rustix::process::Signal;
use tokio::time::sleep;

use super::cutter::Cutter;
use super::report::Report;
use super::sender::Control;
use crate::forgetful::ForgetfulDisk;
use crate::parts::Part;
use crate::stack::Stack;
use crate::wait::{Look, until};

/// How long an outage lasts at most until the journal presses back, or a disk until it is full.
const FULL_DEADLINE: Duration = Duration::from_secs(60);
/// Room that a disk has left when it is about to be full, bytes.
const LAST_BYTES_MAX: u64 = 2 << 20;
/// Room with which it is.
const FULL_BYTES: u64 = 4_096;

/// What is done to the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    KillCollector,
    /// SIGKILL.
    KillEngine,
    /// SIGKILL to both.
    KillBoth,
    /// SIGTERM.
    StopCollector,
    /// The engine stands still.
    Freeze,
    /// Connections to the engine are cut when it has done what it was asked.
    LoseAnswers,
    /// Connections to the engine are cut in the middle of a request.
    CutRequests,
    /// The store is away until the journal has used up its bound.
    FillJournal,
    /// Both are killed, and the disks forget what was not synced. Takes disks that forget.
    LosePower,
    /// The journal's disk is full. Takes a disk that can be.
    FillJournalDisk,
    /// The store's disk is full, likewise.
    FillStoreDisk,
}

impl Fault {
    /// Faults of programs, the frequent ones often.
    pub const OF_PROGRAMS: [Self; 14] = [
        Self::KillCollector,
        Self::KillCollector,
        Self::KillCollector,
        Self::KillCollector,
        Self::KillEngine,
        Self::KillEngine,
        Self::KillEngine,
        Self::KillBoth,
        Self::StopCollector,
        Self::Freeze,
        Self::LoseAnswers,
        Self::LoseAnswers,
        Self::CutRequests,
        Self::FillJournal,
    ];

    /// Faults of power and disks.
    pub const OF_DISKS: [Self; 6] = [
        Self::LosePower,
        Self::LosePower,
        Self::LosePower,
        Self::LosePower,
        Self::FillJournalDisk,
        Self::FillStoreDisk,
    ];
}

/// The disks of journal and store.
#[derive(Debug)]
pub(super) struct Disks {
    pub(super) journal: ForgetfulDisk,
    pub(super) store: ForgetfulDisk,
}

pub(super) struct Breaking {
    pub(super) stack: Stack,
    pub(super) disks: Option<Disks>,
    pub(super) cutter: Cutter,
    pub(super) control: Arc<Control>,
    pub(super) rng: StdRng,
    pub(super) report: Report,
}

impl Breaking {
    pub(super) async fn fault(&mut self, faults: &[Fault]) -> Result<()> {
        // All that is meant to run does.
        self.stack.must_run()?;
        let fault = *faults.choose(&mut self.rng).context("there are faults")?;
        self.does(fault).await.with_context(|| format!("during {fault:?}"))
    }

    async fn does(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillCollector => self.kill_collector().await?,
            Fault::KillEngine => self.kill_engine().await?,
            Fault::KillBoth => {
                self.kill(Part::Engine).await?;
                self.kill_collector().await?;
                self.pause().await;
                self.stack.launch(Part::Engine).await?;
            }
            Fault::StopCollector => {
                let stopped = self.stack.stop_part(Part::Collector).await?;
                // How long a stop may take is not asked here: a machine under such load is slow.
                if stopped.killed {
                    self.report.overdue_stops += 1;
                } else if !stopped.status.success() {
                    bail!("the collector stopped with {}", stopped.status);
                }
                self.report.stops += 1;
                self.stack.launch(Part::Collector).await?;
            }
            Fault::Freeze => {
                self.stack.process(Part::Engine)?.signal(Signal::STOP)?;
                sleep(Duration::from_millis(self.rng.random_range(200..4_000))).await;
                // Perhaps nobody waits for it any more when it goes on.
                if self.rng.random_bool(0.5) {
                    self.kill_collector().await?;
                }
                self.stack.process(Part::Engine)?.signal(Signal::CONT)?;
                self.report.freezes += 1;
            }
            Fault::LoseAnswers => {
                let before = self.cutter.lost_answers();
                self.cutter.lose_answers(self.rng.random_range(1..6));
                self.pause().await;
                self.report.lost_answers += self.cutter.lost_answers() - before;
                self.kill_collector().await?;
            }
            Fault::CutRequests => {
                let before = self.cutter.cut_requests();
                self.cutter.cut_requests_after(self.rng.random_range(1_000..20_000));
                self.pause().await;
                self.cutter.cut_no_requests();
                self.report.cut_requests += self.cutter.cut_requests() - before;
            }
            Fault::FillJournal => self.fill_journal().await?,
            Fault::LosePower => self.lose_power().await?,
            Fault::FillJournalDisk => self.fill_disk(|disks| &disks.journal).await?,
            Fault::FillStoreDisk => self.fill_disk(|disks| &disks.store).await?,
        }
        Ok(())
    }

    async fn kill(&mut self, part: Part) -> Result<()> {
        self.stack.kill_part(part).await?;
        match part {
            Part::Engine => self.report.engine_kills += 1,
            _ => self.report.collector_kills += 1,
        }
        Ok(())
    }

    async fn kill_collector(&mut self) -> Result<()> {
        self.kill(Part::Collector).await?;
        self.stack.launch(Part::Collector).await
    }

    async fn kill_engine(&mut self) -> Result<()> {
        self.kill(Part::Engine).await?;
        if self.rng.random_bool(0.5) {
            self.pause().await;
        }
        self.stack.launch(Part::Engine).await
    }

    /// The store away for as long as the journal lasts under large requests.
    async fn fill_journal(&mut self) -> Result<()> {
        self.kill(Part::Engine).await?;
        self.control.flood.store(true, Ordering::SeqCst);
        let url = format!("{}/readyz", self.stack.url(Part::Collector)?);
        let client = self.stack.client().clone();
        let full = until("the journal to be full", FULL_DEADLINE, || async {
            let Ok(answer) = client.get(&url).send().await else {
                return Ok(Look::NotYet("no answer".to_owned()));
            };
            let text = answer.text().await.unwrap_or_default();
            let full = text.starts_with("journal: full");
            Ok(if full { Look::Yes(()) } else { Look::NotYet(text) })
        });
        full.await?;
        self.report.full_journals += 1;
        self.control.flood.store(false, Ordering::SeqCst);
        if self.rng.random_bool(0.5) {
            self.kill_collector().await?;
        }
        self.stack.launch(Part::Engine).await
    }

    /// The store is away for long.
    pub(super) async fn outage(&mut self, lasts: Duration) -> Result<()> {
        self.kill(Part::Engine).await?;
        sleep(lasts).await;
        self.report.outages.0 += 1;
        self.report.outages.1 += lasts;
        self.stack.launch(Part::Engine).await
    }

    /// Both programs end at once, in whatever order, and the disks forget.
    async fn lose_power(&mut self) -> Result<()> {
        let mut parts = [Part::Engine, Part::Collector];
        parts.shuffle(&mut self.rng);
        for part in parts {
            self.kill(part).await?;
        }
        let disks = self.disks.as_mut().context("there are disks that forget")?;
        disks.journal.lose_power(Some(&mut self.rng))?;
        disks.store.lose_power(Some(&mut self.rng))?;
        self.report.power_losses += 1;
        parts.shuffle(&mut self.rng);
        // The collector is told where the engine is, which it knows from before.
        for part in parts {
            self.stack.launch(part).await?;
        }
        Ok(())
    }

    /// A disk has hardly any room left, until something wanted more; perhaps somebody is killed
    /// meanwhile. Or it says that it has, and a quota is used up.
    async fn fill_disk(&mut self, which: fn(&Disks) -> &ForgetfulDisk) -> Result<()> {
        let left = self.rng.random_range(0..LAST_BYTES_MAX);
        let is_quota = self.rng.random_bool(0.5);
        let disks = self.disks.as_ref().context("there are disks that can be full")?;
        let disk = which(disks);
        let before = disk.refused_writes();
        self.control.flood.store(true, Ordering::SeqCst);
        let mut left = left;
        let full = until("the disk to be full", FULL_DEADLINE, || {
            // Files that are removed give their room to whatever else lies on that disk.
            if is_quota {
                disk.quota(Some(left));
            } else {
                disk.leave(left.min(disk.left_bytes()));
            }
            left -= left / 16;
            // The engine asks for the room that it needs, and writes nothing when there is none.
            let is_full = disk.refused_writes() > before || left < FULL_BYTES;
            async move { Ok(if is_full { Look::Yes(()) } else { Look::NotYet(left.to_string()) }) }
        });
        full.await?;
        sleep(Duration::from_millis(self.rng.random_range(50..3_000))).await;
        let is_journal = disk.path() == disks.journal.path();
        self.control.flood.store(false, Ordering::SeqCst);
        // A journal that found no room says so and goes on; so it must after a kill.
        if is_journal && self.rng.random_bool(0.3) {
            self.kill(Part::Collector).await?;
        }
        if let Some(disks) = &self.disks {
            which(disks).limit_no_more();
            which(disks).quota(None);
        }
        if is_journal {
            self.report.full_disks.0 += 1;
        } else {
            self.report.full_disks.1 += 1;
        }
        if self.stack.process(Part::Collector).is_err() {
            self.stack.launch(Part::Collector).await?;
        }
        Ok(())
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.rng.random_range(50..2_000))).await;
    }
}
