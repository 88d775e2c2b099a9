//! The board, the lists and their freshness, with stage events coming in.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::otlp::{StageSignal, send};
use end_to_end::parts::Part;
use end_to_end::scale::Shape;
use order_store::read::StageFilter;

use crate::Bench;
use crate::timing::Timing;
use crate::traffic::Traffic;

/// Orders of a page.
const PAGE: u32 = 50;
/// The page that nobody reads, and everybody's database fears.
const DEEP_PAGE: u32 = 1_000;
/// The stages whose lists are read: the one with most open orders, and the ended ones.
const LISTED: [&str; 2] = ["MANUFACTURING_STARTED", "CLOSED"];
/// Questions that are not counted: connections and caches warm up.
const WARM_UP: usize = 5;
/// Events whose way to the page is timed.
const FRESHNESS_EVENTS: u64 = 50;
/// An event that is not seen by then never will be.
const FRESHNESS_DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked for: the error of the figure.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Prints the times of board, lists and freshness.
pub(crate) async fn measure(bench: &mut Bench) -> Result<()> {
    bench.stack.start_part(Part::Collector).await?;
    let (rate, seed) = (bench.settings.events_per_second, bench.settings.seed);
    // Events go to the lower half of the orders; the upper half is free for freshness.
    let half = bench.shape.orders() / 2;
    let traffic = Traffic::start(&bench.stack, rate, half, seed)?;
    board(bench).await?;
    for stage in LISTED {
        lists(bench, stage).await?;
    }
    freshness(bench, half).await?;
    let answered = traffic.stop().await?;
    println!("| stage events coming in meanwhile | {answered:.0}/s of {rate}/s |");
    bench.stack.stop_part(Part::Collector).await?;
    Ok(())
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
    println!("| board | {} |", timing.line());
    Ok(())
}

async fn lists(bench: &Bench, stage: &str) -> Result<()> {
    let reader = &bench.reader;
    let before = PAGE * (DEEP_PAGE - 1);
    let walked =
        reader.stage_orders(Some(stage), StageFilter::default(), before, None, None).await?;
    let mut pages = vec![("first page", None)];
    if walked.next.is_some() {
        pages.push(("thousandth page", walked.next));
    } else {
        println!("| list of {stage}: thousandth page | only {} orders |", walked.orders.len());
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
        println!("| list of {stage}: {name} | {} |", timing.line());
    }
    Ok(())
}

/// From sending a stage event to its order being read in the new stage.
async fn freshness(bench: &Bench, first: u64) -> Result<()> {
    let (client, url) = (bench.stack.client(), bench.stack.otlp_http()?);
    let mut timing = Timing::default();
    for order in first..(first + FRESHNESS_EVENTS).min(bench.shape.orders()) {
        let id = Shape::order_id(order);
        let signal = StageSignal::now(&id, "PACKAGING", "mes");
        let at = i64::try_from(signal.at_ns / 1_000_000).context("a clock beyond all bounds")?;
        let begun = Instant::now();
        send(client, &url, &signal.request()).await?;
        loop {
            let seen = bench.reader.order(&id).await?.map(|order| order.summary.last_event_at);
            if seen.is_some_and(|seen| seen >= at) {
                break;
            }
            if begun.elapsed() > FRESHNESS_DEADLINE {
                bail!("an event of {id} is not seen after {} s", FRESHNESS_DEADLINE.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        timing.push(begun.elapsed());
    }
    println!("| freshness: event sent → order read in its new stage | {} |", timing.line());
    Ok(())
}
