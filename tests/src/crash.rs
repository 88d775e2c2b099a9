//! The crash harness: senders that remember what was acknowledged, programs that are killed, frozen
//! and cut off at random, and a count of every span at the end.

mod cutter;
mod sender;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cutter::Cutter;
use rand::prelude::*;
use rand::rngs::StdRng;
use rustix::process::Signal;
use sender::{Sender, Sent};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::folder::Folder;
use crate::parts::Part;
use crate::stack::{Ports, Stack};
use crate::wait::{Look, until};

/// The smallest journal that the collector takes, so that a short outage fills it.
const JOURNAL_BYTES: &str = "33554432";
/// How long an outage lasts at most until the journal presses back.
const FULL_DEADLINE: Duration = Duration::from_secs(30);
/// How long everything may take to be stored and derived at the end.
const SETTLED_DEADLINE: Duration = Duration::from_secs(180);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Decides every fault.
    pub seed: u64,
    /// Programs killed in all.
    pub kills: usize,
    /// Clients that send at the same time, one request after the other.
    pub senders: usize,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Collectors killed.
    pub collector_kills: usize,
    /// Engines killed.
    pub engine_kills: usize,
    /// Collectors told to stop, and started again.
    pub stops: usize,
    /// Times that the engine stood still.
    pub freezes: usize,
    /// Connections to the engine cut after it had done what it was asked.
    pub lost_answers: usize,
    /// Connections to the engine cut in the middle of a request.
    pub cut_requests: usize,
    /// Times that the journal was full.
    pub full_journals: usize,
    /// Requests acknowledged.
    pub requests: usize,
    /// Spans of them.
    pub spans: usize,
    /// Requests that were sent more than once, because no answer came or one that says "later".
    pub repeated_requests: usize,
    /// Spans acknowledged and not in the store.
    pub lost: usize,
    /// Spans more than once in the folding view.
    pub doubled: usize,
    /// Spans sent once, and more than once in the table before it folds.
    pub doubled_by_us: usize,
    /// Orders acknowledged, and how many of them the board counts.
    pub orders: (usize, usize),
    /// What conservation says.
    pub difference: i64,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether every acknowledged span is there once, and every order counted.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let wrong = self.lost + self.doubled + self.doubled_by_us;
        wrong == 0 && self.difference == 0 && self.orders.0 == self.orders.1
    }

    fn kills(&self) -> usize {
        self.collector_kills + self.engine_kills
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, figure) in [
            ("collector killed", self.collector_kills),
            ("engine killed", self.engine_kills),
            ("collector stopped and started", self.stops),
            ("engine frozen", self.freezes),
            ("answer of the store lost after commit", self.lost_answers),
            ("request to the store cut", self.cut_requests),
            ("journal full", self.full_journals),
            ("requests acknowledged", self.requests),
            ("of these sent more than once", self.repeated_requests),
            ("spans acknowledged", self.spans),
            ("spans lost", self.lost),
            ("spans doubled for readers", self.doubled),
            ("spans doubled by our own repeats", self.doubled_by_us),
            ("orders acknowledged", self.orders.0),
            ("orders on the board", self.orders.1),
        ] {
            writeln!(out, "| {what} | {figure} |")?;
        }
        writeln!(out, "| conservation difference | {} |", self.difference)?;
        writeln!(out, "| took | {} s |", self.took.as_secs())
    }
}

/// What is done to the programs.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillCollector,
    KillEngine,
    KillBoth,
    StopCollector,
    Freeze,
    LoseAnswers,
    CutRequests,
    FillJournal,
}

/// The faults, the frequent ones often.
const FAULTS: [Fault; 14] = [
    Fault::KillCollector,
    Fault::KillCollector,
    Fault::KillCollector,
    Fault::KillCollector,
    Fault::KillEngine,
    Fault::KillEngine,
    Fault::KillEngine,
    Fault::KillBoth,
    Fault::StopCollector,
    Fault::Freeze,
    Fault::LoseAnswers,
    Fault::LoseAnswers,
    Fault::CutRequests,
    Fault::FillJournal,
];

/// Sends and breaks until so many programs were killed, then counts.
///
/// # Errors
/// A program does not start, ends by itself, or what was sent is not stored in time.
pub async fn run(plan: Plan, mut told: impl FnMut(&Report)) -> Result<Report> {
    let begun = Instant::now();
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    let cutter = Cutter::start(stack.url(Part::Engine)?).await?;
    stack.reach_store_through(cutter.url());
    stack.extra(Part::Collector, &["--journal-bytes-max", JOURNAL_BYTES]);
    stack.start_part(Part::Collector).await?;

    let is_over = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    let flood = Arc::new(AtomicBool::new(false));
    for number in 0..plan.senders {
        let sender = Sender {
            otlp_http: stack.otlp_http()?,
            seed: rng.random(),
            number,
            is_over: Arc::clone(&is_over),
            flood: Arc::clone(&flood),
        };
        senders.spawn(sender.run());
    }
    let mut breaking = Breaking { stack, cutter, flood, rng, report: Report::default() };
    while breaking.report.kills() < plan.kills {
        sleep(Duration::from_millis(breaking.rng.random_range(20..900))).await;
        breaking.fault().await?;
        told(&breaking.report);
    }
    is_over.store(true, Ordering::Relaxed);
    let mut sent = Sent::default();
    while let Some(done) = senders.join_next().await {
        sent.append(done??);
    }
    let Breaking { mut stack, mut report, .. } = breaking;
    settled(&stack).await?;
    stack.must_run()?;
    verdict::count(&stack.url(Part::Engine)?, &sent, &mut report).await?;
    report.took = begun.elapsed();
    if report.is_clean() {
        stack.finish().await?;
    }
    Ok(report)
}

struct Breaking {
    stack: Stack,
    cutter: Cutter,
    flood: Arc<AtomicBool>,
    rng: StdRng,
    report: Report,
}

impl Breaking {
    async fn fault(&mut self) -> Result<()> {
        // All that is meant to run does.
        self.stack.must_run()?;
        match *FAULTS.choose(&mut self.rng).context("there are faults")? {
            Fault::KillCollector => self.kill_collector().await?,
            Fault::KillEngine => self.kill_engine().await?,
            Fault::KillBoth => {
                self.stack.kill_part(Part::Engine).await?;
                self.report.engine_kills += 1;
                self.kill_collector().await?;
                self.pause().await;
                self.stack.launch(Part::Engine).await?;
            }
            Fault::StopCollector => {
                let stopped = self.stack.stop_part(Part::Collector).await?;
                if !stopped.status.success() {
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
            }
            Fault::CutRequests => {
                let before = self.cutter.cut_requests();
                self.cutter.cut_requests_after(self.rng.random_range(1..20_000));
                self.pause().await;
                self.cutter.cut_no_requests();
                self.report.cut_requests += self.cutter.cut_requests() - before;
            }
            Fault::FillJournal => self.fill_journal().await?,
        }
        Ok(())
    }

    async fn kill_collector(&mut self) -> Result<()> {
        self.stack.kill_part(Part::Collector).await?;
        self.report.collector_kills += 1;
        if self.rng.random_bool(0.3) {
            self.pause().await;
        }
        self.stack.launch(Part::Collector).await
    }

    async fn kill_engine(&mut self) -> Result<()> {
        self.stack.kill_part(Part::Engine).await?;
        self.report.engine_kills += 1;
        if self.rng.random_bool(0.5) {
            self.pause().await;
        }
        self.stack.launch(Part::Engine).await
    }

    /// The store away for as long as the journal lasts under large requests.
    async fn fill_journal(&mut self) -> Result<()> {
        self.stack.kill_part(Part::Engine).await?;
        self.report.engine_kills += 1;
        self.flood.store(true, Ordering::Relaxed);
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
        self.flood.store(false, Ordering::Relaxed);
        if self.rng.random_bool(0.5) {
            self.kill_collector().await?;
        }
        self.stack.launch(Part::Engine).await
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.rng.random_range(50..2_000))).await;
    }
}

/// Waits until the journal is empty and everything touched is derived.
async fn settled(stack: &Stack) -> Result<()> {
    let url = format!("{}/metrics", stack.url(Part::Collector)?);
    let well = [
        "waybill_collector_unsent_records 0\n",
        "waybill_collector_stitch_pending 0\n",
        "waybill_collector_conservation_difference 0\n",
    ];
    until("everything to be stored and derived", SETTLED_DEADLINE, || async {
        let Ok(answer) = stack.client().get(&url).send().await else {
            return Ok(Look::NotYet("no answer".to_owned()));
        };
        let page = answer.text().await?;
        let missing: Vec<&str> = well.into_iter().filter(|line| !page.contains(line)).collect();
        Ok(if missing.is_empty() { Look::Yes(()) } else { Look::NotYet(missing.concat()) })
    })
    .await?;
    Ok(())
}
