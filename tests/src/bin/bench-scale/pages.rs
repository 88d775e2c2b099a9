//! The board, the lists and their freshness, with stage events coming in.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::otlp::{StageSignal, send};
use end_to_end::parts::Part;
use order_store::read::{StageCursor, StageFilter};

use crate::Bench;
use crate::timing::Timing;
use crate::traffic::Traffic;
use crate::usage::cpu_seconds;
use crate::views;
use crate::writing::engine_cpu;

/// Orders of a page.
pub(crate) const PAGE: u32 = 50;
/// The page that nobody reads, and everybody's database fears.
pub(crate) const DEEP_PAGE: u32 = 1_000;
/// Orders of a page on the way there.
const WALKED: u32 = 450;
/// The stages whose lists are read: the one with most open orders, and the ended ones.
pub(crate) const LISTED: [&str; 2] = ["MANUFACTURING_STARTED", "CLOSED"];
/// Questions that are not counted: connections and caches warm up.
pub(crate) const WARM_UP: usize = 5;
/// Events whose way to the page is timed.
const FRESHNESS_EVENTS: usize = 50;
/// An event that is not seen by then never will be.
const FRESHNESS_DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked for: the error of the figure.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The cheapest look at an order: whole pages, asked for a hundred times a second, would be most of
/// the load.
const LOOK: &str = "SELECT toUnixTimestamp64Milli(LastEventAt) FROM orders FINAL \
    WHERE OrderId = {order:String}";

/// How long events come in before anything is measured.
const IN_STEP: Duration = Duration::from_secs(5);

/// Prints the times of board, lists and freshness.
pub(crate) async fn measure(bench: &mut Bench) -> Result<()> {
    bench.stack.start_part(Part::Collector).await?;
    let (rate, seed) = (bench.settings.events_per_second, bench.settings.seed);
    // Some of the open orders are kept apart for freshness.
    let (orders, apart) = open_orders(bench).await?;
    println!("| open orders that events come for | {} |", orders.len());
    let traffic = Traffic::start(&bench.stack, rate, orders, seed)?;
    // Until the stitcher is in step: what comes before is no steady state.
    tokio::time::sleep(IN_STEP).await;
    let (begun, before) = (Instant::now(), [engine_cpu(bench)?, collector_cpu(bench)?]);
    freshness(bench, &apart).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let used = [engine_cpu(bench)? - before[0], collector_cpu(bench)? - before[1]];
    let cores = used.map(|cpu| cpu / seconds);
    println!("| cores used meanwhile, engine / collector | {:.2} / {:.2} |", cores[0], cores[1]);
    board(bench).await?;
    for stage in LISTED {
        lists(bench, stage).await?;
    }
    views::measure(bench).await?;
    let answered = traffic.stop().await?;
    println!("| stage events coming in meanwhile | {answered:.0}/s of {rate}/s |");
    bench.stack.stop_part(Part::Collector).await?;
    Ok(())
}

fn collector_cpu(bench: &mut Bench) -> Result<f64> {
    cpu_seconds(bench.stack.process(Part::Collector)?.id().context("the collector has ended")?)
}

/// Open orders from anywhere in the store, and some more.
async fn open_orders(bench: &Bench) -> Result<(Vec<String>, Vec<String>)> {
    let open = "SELECT OrderId FROM open_orders_v1 ORDER BY cityHash64(OrderId)";
    let mut orders: Vec<String> = bench.store.client().query(open).fetch_all().await?;
    if orders.len() <= FRESHNESS_EVENTS {
        bail!("{} open orders are too few", orders.len());
    }
    let apart = orders.split_off(orders.len() - FRESHNESS_EVENTS);
    Ok((orders, apart))
}

async fn board(bench: &Bench) -> Result<()> {
    let mut timing = Timing::default();
    for number in 0..bench.settings.questions + WARM_UP {
        let begun = Instant::now();
        bench.reader.board(None).await?;
        if number >= WARM_UP {
            timing.push(begun.elapsed());
        }
    }
    println!("| board, computed by the store without a pause | {} |", timing.line());
    Ok(())
}

async fn lists(bench: &Bench, stage: &str) -> Result<()> {
    let reader = &bench.reader;
    let mut pages = vec![("first page", None)];
    match walk(bench, stage).await? {
        Ok(cursor) => pages.push(("thousandth page", Some(cursor))),
        Err(orders) => println!("| list of {stage}: thousandth page | only {orders} orders |"),
    }
    for (name, cursor) in pages {
        let mut timing = Timing::default();
        for number in 0..bench.settings.questions + WARM_UP {
            let begun = Instant::now();
            let filter = StageFilter::default();
            reader.stage_orders(Some(stage), filter, PAGE, cursor.clone(), None).await?;
            if number >= WARM_UP {
                timing.push(begun.elapsed());
            }
        }
        println!(
            "| list of {stage}: {name}, computed by the store without a pause | {} |",
            timing.line()
        );
    }
    Ok(())
}

/// Where the deep page begins, or how many orders the list has.
async fn walk(bench: &Bench, stage: &str) -> Result<Result<StageCursor, usize>> {
    let (mut cursor, mut orders) = (None, 0);
    for _ in 0..(DEEP_PAGE - 1) * PAGE / WALKED {
        let filter = StageFilter::default();
        let page = bench.reader.stage_orders(Some(stage), filter, WALKED, cursor, None).await?;
        orders += page.orders.len();
        let Some(next) = page.next else { return Ok(Err(orders)) };
        cursor = Some(next);
    }
    Ok(cursor.ok_or(orders))
}

/// From sending a stage event to its order being read in the new stage.
async fn freshness(bench: &Bench, orders: &[String]) -> Result<()> {
    let (client, url) = (bench.stack.client(), bench.stack.otlp_http()?);
    let mut timing = Timing::default();
    for id in orders {
        let signal = StageSignal::now(id, "PACKAGING", "mes");
        let at = i64::try_from(signal.at_ns / 1_000_000).context("a clock beyond all bounds")?;
        let begun = Instant::now();
        send(client, &url, &signal.request()).await?;
        loop {
            let look = bench.store.client().query(LOOK).param("order", id);
            if look.fetch_one::<i64>().await? >= at {
                break;
            }
            if begun.elapsed() > FRESHNESS_DEADLINE {
                bail!("an event of {id} is not seen after {} s", FRESHNESS_DEADLINE.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let shown = bench.reader.order(id).await?.map(|order| order.summary.stage);
        if shown.as_deref() != Some("PACKAGING") {
            bail!("{id} was packed, and is shown as {shown:?}");
        }
        timing.push(begun.elapsed());
    }
    println!("| freshness: event sent → order read in its new stage | {} |", timing.line());
    Ok(())
}
