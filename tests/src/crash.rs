//! The crash harness: senders that remember what was acknowledged, programs that are killed, frozen
//! and cut off at random, disks that are full or forget; then everything is looked for.
//!
//! A run is made of rounds. In every other one the tables do not merge: what our own repeats stored
//! twice cannot fold before it is counted. In the others they merge, merges meet the faults, too,
//! and power is lost. A store that lost power has forgotten what it knew of the last repeats
//! (ClickHouse does not sync its log of deduplication), and takes them again: they are rows of one
//! identity, once for every reader and twice until they merge.

mod breaking;
mod cutter;
mod report;
mod sender;
mod sent;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use rand::prelude::*;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub use breaking::Fault;
use breaking::{Breaking, Disks};
use cutter::Cutter;
pub use report::Report;
use sender::{Control, Sender};
use verdict::Store;

use crate::folder::Folder;
use crate::forgetful::ForgetfulDisk;
use crate::parts::Part;
use crate::stack::{Ports, Stack};
use crate::wait::{Look, until};

/// The smallest journal that the collector takes, so that a short outage fills it.
const JOURNAL_BYTES: &str = "33554432";
/// How long everything may take to be stored and derived at the end of a round.
const SETTLED_DEADLINE: Duration = Duration::from_secs(240);
/// Programs killed in a round: so few that nobody wants for merges.
const ROUND_KILLS: usize = 20;
/// A stitcher that fell silent this long ago has been taken over (`SILENT_AFTER_MS` of the sweep,
/// and the pause between two sweeps): whatever a takeover changes has changed by then.
pub const TAKEN_OVER_AFTER: Duration = Duration::from_secs(75);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides every fault.
    pub seed: u64,
    /// Programs killed in all.
    pub kills: usize,
    /// Clients that send at the same time, one request after the other.
    pub senders: usize,
    /// The faults of rounds in which what is stored twice is counted, at random; no such rounds
    /// without any. No power is lost in them.
    pub counted: Vec<Fault>,
    /// The faults of rounds in which tables merge, likewise.
    pub merging: Vec<Fault>,
    /// Whether journal and store lie on disks that forget.
    pub forgetful: bool,
    /// Long outages of the store, spread over the run.
    pub outages: Vec<Duration>,
    /// How long the stack is left alone before the verdict. What it should hold by then is compared
    /// with what was sent; what it does later must change none of it.
    pub lingers: Duration,
}

/// Sends and breaks until so many programs were killed, then looks for everything.
///
/// # Errors
/// A program does not start, ends by itself, or what was sent is not stored in time.
pub async fn run(plan: Plan, mut told: impl FnMut(&Report)) -> Result<Report> {
    let begun = Instant::now();
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let folder = Folder::private()?;
    let disk = |name: &str| ForgetfulDisk::mount(folder.path().join(name));
    let disks = if plan.forgetful {
        Some(Disks { journal: disk("journal")?, store: disk("store")? })
    } else {
        None
    };
    let mut stack = Stack::new(folder, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    let cutter = Cutter::start(stack.url(Part::Engine)?).await?;
    stack.reach_store_through(cutter.url());
    stack.extra(Part::Collector, &["--journal-bytes-max", JOURNAL_BYTES]);
    stack.start_part(Part::Collector).await?;

    let control = Arc::new(Control::default());
    let mut senders = JoinSet::new();
    for number in 0..plan.senders {
        let sender = Sender {
            otlp_http: stack.otlp_http()?,
            seed: rng.random(),
            number,
            control: Arc::clone(&control),
        };
        senders.spawn(sender.run());
    }
    let mut breaking = Breaking { stack, disks, cutter, control, rng, report: Report::default() };
    breaking.rounds(&plan, &mut told).await?;
    breaking.control.is_over.store(true, Ordering::SeqCst);
    while let Some(done) = senders.join_next().await {
        done??;
    }
    let Breaking { mut stack, disks, control, mut report, .. } = breaking;
    stack.must_run()?;
    let store = Store::of(&stack)?;
    sleep(plan.lingers).await;
    let sent = std::mem::take(&mut *control.sent());
    let counted = control.counted().clone();
    store.count(&sent, &counted, &mut report).await?;
    let wrong = store.wrong_orders(&sent).await?;
    report.wrong_orders = wrong.len();
    wrong.into_iter().for_each(|finding| report.quote(finding));
    store.derive_again(&stack, &mut report).await?;
    report.took = begun.elapsed();
    if report.is_clean() {
        stack.stop().await?;
        drop(disks);
        stack.finish().await?;
    }
    Ok(report)
}

impl Breaking {
    async fn rounds(&mut self, plan: &Plan, told: &mut impl FnMut(&Report)) -> Result<()> {
        let store = Store::of(&self.stack)?;
        let every = plan.kills / (plan.outages.len() + 1);
        let mut outages = plan.outages.iter().zip(1..);
        let mut outage = outages.next();
        let mut round = 0;
        while self.report.kills() < plan.kills {
            round += 1;
            let counts = !plan.counted.is_empty() && (plan.merging.is_empty() || round % 2 == 1);
            let faults = if counts { &plan.counted } else { &plan.merging };
            store.let_merge(!counts).await?;
            self.control.round.store(round, Ordering::SeqCst);
            self.control.paused.store(false, Ordering::SeqCst);
            let goal = (self.report.kills() + ROUND_KILLS).min(plan.kills);
            while self.report.kills() < goal {
                sleep(Duration::from_millis(self.rng.random_range(20..900))).await;
                if let Some((lasts, number)) = outage
                    && self.report.kills() >= number * every
                {
                    self.outage(*lasts).await?;
                    outage = outages.next();
                }
                self.fault(faults).await?;
                told(&self.report);
            }
            self.settled(&store).await?;
            if counts {
                let control = Arc::clone(&self.control);
                let sent = std::mem::take(&mut *control.sent());
                store.count_round(&sent, round, &mut self.report).await?;
                *control.sent() = sent;
                control.counted().insert(round);
            }
        }
        store.let_merge(true).await
    }

    /// Lets nobody send, and waits until everything acknowledged is stored and every order derived
    /// from it. Orders that are still wrong at the deadline are left to the verdict.
    async fn settled(&mut self, store: &Store) -> Result<()> {
        self.control.paused.store(true, Ordering::SeqCst);
        let url = format!("{}/metrics", self.stack.url(Part::Collector)?);
        let well = [
            "waybill_collector_unsent_records 0\n",
            "waybill_collector_stitch_pending 0\n",
            "waybill_collector_conservation_difference 0\n",
        ];
        let stack = &self.stack;
        let control = Arc::clone(&self.control);
        let stored = until("everything to be stored", SETTLED_DEADLINE, || async {
            let open = control.open.load(Ordering::SeqCst);
            if open > 0 {
                return Ok(Look::NotYet(format!("{open} requests are open")));
            }
            let Ok(answer) = stack.client().get(&url).send().await else {
                return Ok(Look::NotYet("no answer".to_owned()));
            };
            let page = answer.text().await?;
            let missing: Vec<&str> = well.into_iter().filter(|line| !page.contains(line)).collect();
            Ok(if missing.is_empty() { Look::Yes(()) } else { Look::NotYet(missing.concat()) })
        });
        stored.await?;
        let sent = std::mem::take(&mut *control.sent());
        let derived = until("every order to be derived", SETTLED_DEADLINE, || async {
            let wrong = store.wrong_orders(&sent).await?;
            Ok(if wrong.is_empty() { Look::Yes(()) } else { Look::NotYet(wrong.join("\n")) })
        });
        // What is wrong stays so, and is counted at the end.
        let _ = derived.await;
        *control.sent() = sent;
        Ok(())
    }
}
