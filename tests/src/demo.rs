//! The demo: the whole product on this machine, with traffic, and a summary for a person.

mod summary;
mod folder_lock;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use simulator::truth::Truth;

use crate::comparison::{self, Differences};
use crate::folder::Folder;
use crate::pages::Pages;
use crate::parts::Part;
use crate::stack::{Ports, Stack};
use crate::traffic::{Traffic, TrafficSettings};
use crate::wait::{Look, until};
use folder_lock::FolderLock;
pub use summary::Summary;

/// How long the board may take to show what was delivered.
const BOARD_DEADLINE: Duration = Duration::from_secs(30);
/// How long the first page to on-call may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(60);
/// How often the running demo looks after its children.
const LOOK_AFTER_EVERY: Duration = Duration::from_millis(250);
/// Time between two stages of a live order.
const STAGE_INTERVAL: &str = "--stage-interval=5s";
/// Example whose calculation began 70 minutes ago.
const STUCK: &str = "stuck";

/// What a person may choose.
#[derive(Debug, Clone, Args)]
pub struct DemoSettings {
    /// Keep the data of the last run and add to it.
    #[arg(long)]
    pub keep: bool,
    /// Stop once everything was shown to work: for tests.
    #[arg(long)]
    pub exit_when_ready: bool,
    /// No simulated orders: send your own OTLP.
    #[arg(long)]
    pub no_traffic: bool,
    /// Orders that are there at the start.
    #[arg(long, default_value_t = 300)]
    pub orders: u64,
    /// Live orders per minute after that.
    #[arg(long, default_value_t = 20.0)]
    pub rate: f64,
    /// Everything random follows from it. With `--keep` the default is a new one each time.
    #[arg(long)]
    pub seed: Option<u32>,
    /// Data, logs and ports.
    #[arg(long, default_value = ".demo", value_name = "DIR")]
    pub folder: PathBuf,
    /// Free ports instead of the usual ones: for tests.
    #[arg(long)]
    pub free_ports: bool,
}

/// A demo that runs.
#[derive(Debug)]
pub struct Demo {
    stack: Stack,
    traffic: Option<Traffic>,
    _lock: FolderLock,
}

impl Demo {
    /// Starts every program and waits until all is shown to work; `say` hears of each step.
    ///
    /// # Errors
    /// A program is missing, ends, or something is not as it should be.
    pub async fn start(settings: &DemoSettings, say: impl Fn(&str)) -> Result<(Self, Summary)> {
        let begun = Instant::now();
        // What is missing is said before anything is started.
        for part in Part::ALL {
            part.executable()?;
        }
        let lock = FolderLock::take(&settings.folder)?;
        if !settings.keep {
            lock.empty()?;
        }
        let folder = std::path::absolute(&settings.folder).context("finding the demo's folder")?;
        let ports = if settings.free_ports { Ports::Free } else { Ports::Usual };
        let mut stack = Stack::new(Folder::named(folder)?, ports)?;
        for part in Part::ALL {
            let since = Instant::now();
            stack.start_part(part).await?;
            say(&format!("  {:<20} {:>5.1} s", part.name(), since.elapsed().as_secs_f64()));
            for moved in stack.moved().iter().filter(|moved| moved.part == part) {
                let instead = stack.address(part, moved.socket)?;
                say(&format!("    port {} is taken; it listens on {instead}", moved.wanted));
            }
        }
        let mut demo = Self { stack, traffic: None, _lock: lock };
        let mut summary = Summary::of(&demo.stack, settings.rate > 0.0)?;
        if !settings.no_traffic {
            demo.with_traffic(settings, &mut summary, say).await?;
        }
        summary.ready_after = begun.elapsed();
        Ok((demo, summary))
    }

    async fn with_traffic(
        &mut self,
        settings: &DemoSettings,
        summary: &mut Summary,
        say: impl Fn(&str),
    ) -> Result<()> {
        let fresh = if settings.keep { std::process::id() % 100_000 } else { 42 };
        let traffic = TrafficSettings {
            otlp_http: self.stack.otlp_http()?,
            otlp_grpc: self.stack.otlp_grpc()?,
            seed: settings.seed.unwrap_or(fresh),
            orders: settings.orders,
            rate: settings.rate,
            extra: vec![STAGE_INTERVAL.to_owned()],
        };
        let traffic = Traffic::start(&traffic, self.stack.folder(), &self.stack.logs())?;
        let traffic = self.traffic.insert(traffic);
        let (truth, examples) = traffic.population().await?;
        let sent = traffic.age();
        say(&format!("  {:<20} {:>5.1} s", "simulator", sent.as_secs_f64()));
        let pages = Pages::new(self.stack.client().clone(), self.stack.url(Part::TrackerUi)?)
            .in_large_pages();
        let on_board = board_equals(&pages, &truth).await;
        self.stack.must_run()?;
        let on_board = on_board?;
        let traffic = self.traffic.as_ref().context("there is traffic")?;
        let paged_after = paged(&pages, &examples, traffic.begun_ms()).await;
        self.stack.must_run()?;
        summary.shown(&truth, &examples, sent + on_board, paged_after?);
        Ok(())
    }

    /// Waits until a program ends that should not.
    ///
    /// # Errors
    /// Always: with which one it was and its last log lines.
    pub async fn look_after(&mut self) -> Result<()> {
        loop {
            self.stack.must_run()?;
            if let Some(traffic) = &mut self.traffic {
                traffic.must_go_on()?;
            }
            tokio::time::sleep(LOOK_AFTER_EVERY).await;
        }
    }

    /// Stops everything: traffic first, then the parts, the last started first.
    ///
    /// # Errors
    /// A program did not stop as it should; the others are stopped all the same.
    pub async fn stop(mut self) -> Result<()> {
        let traffic = match &mut self.traffic {
            Some(traffic) => traffic.stop().await,
            None => Ok(()),
        };
        let parts = self.stack.stop().await;
        match (traffic, parts) {
            (Ok(()), parts) => parts,
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(other)) => bail!("{error:#}\n{other:#}"),
        }
    }
}

/// Waits until every order of the population is where the truth says; live orders may be there
/// too.
async fn board_equals(pages: &Pages, truth: &Truth) -> Result<Duration> {
    let look = || async {
        let mut found = comparison::orders(truth, &pages.every_order().await?, true);
        if found.none() && pages.board().await?.conservation.difference != 0 {
            found = Differences(vec!["orders are still being placed".to_owned()]);
        }
        Ok(if found.none() { Look::Yes(()) } else { Look::NotYet(found.to_string()) })
    };
    Ok(until("the board to equal the simulator's truth", BOARD_DEADLINE, look).await?.1)
}

/// Waits until on-call was called about the order whose calculation began 70 minutes ago; gives
/// how long that was after the traffic began.
async fn paged(
    pages: &Pages,
    examples: &BTreeMap<String, String>,
    traffic_begun_ms: i64,
) -> Result<Duration> {
    let order_id = examples.get(STUCK).context("the simulator named no stuck order")?;
    let is_paged = |order: &crate::pages::OrderWhole| order.paged_at().is_some();
    let (order, _) =
        pages.order_until(order_id, "to have called on-call", PAGE_DEADLINE, is_paged).await?;
    let paged_at = order.paged_at().context("on-call was called")?;
    let after_ms = paged_at.timestamp_millis() - traffic_begun_ms;
    Ok(Duration::from_millis(u64::try_from(after_ms).unwrap_or(0)))
}
