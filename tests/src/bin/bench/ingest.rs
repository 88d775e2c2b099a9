//! Spans in: at full speed, and at half of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use end_to_end::Stack;
use end_to_end::parts::Part;

use crate::Settings;
use crate::load::{self, Target, Transport};
use crate::payload::Payloads;
use crate::settled;
use crate::usage::{cpu_seconds, peak_mib};

/// Where the paced requests begin: beyond any request of the full-speed run.
const PACED_FROM: usize = 10_000_000;
/// How long the stitcher may take to catch up after the run.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(300);

/// Sends all spans as fast as they are answered; gives spans per second.
pub(crate) async fn full_speed(
    stack: &mut Stack,
    payloads: &Payloads,
    settings: &Settings,
) -> Result<f64> {
    let requests = settings.spans.div_ceil(settings.spans_per_request);
    let bodies = Arc::new(load::bodies(payloads, 0, requests));
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    let spans = (requests * settings.spans_per_request) as f64;
    let pids = [pid(stack, Part::Collector)?, pid(stack, Part::Engine)?];
    let before = [cpu_seconds(pids[0])?, cpu_seconds(pids[1])?];
    let begun = Instant::now();
    let target = Target { transport: Transport::Http, url: stack.otlp_http()? };
    let sent = load::at_full_speed(&target, &bodies, settings.connections).await?;
    ensure!(sent.refused == 0, "{} requests were refused", sent.refused);
    let elapsed = sent.elapsed.as_secs_f64();
    settled::stored(stack).await?;
    let stored = begun.elapsed().as_secs_f64();
    settled::stitched(stack).await?;
    let stitched = begun.elapsed().as_secs_f64();
    let used = [cpu_seconds(pids[0])? - before[0], cpu_seconds(pids[1])? - before[1]];
    let per_million = 1e6 / spans;
    println!("| spans sent, unique, {:.0} bytes each | {spans:.0} |", bytes as f64 / spans);
    println!("| answered, {} connections | {:.0} spans/s |", settings.connections, spans / elapsed);
    println!("| in the store | {:.0} spans/s |", spans / stored);
    println!("| in the store and stitched | {:.0} spans/s |", spans / stitched);
    println!(
        "| collector CPU per million spans, until all are stitched | {:.1} s |",
        used[0] * per_million
    );
    println!(
        "| engine CPU per million spans, stitching included | {:.1} s |",
        used[1] * per_million
    );
    println!("| collector peak memory | {} MiB |", peak_mib(pids[0])?);
    println!("| engine peak memory | {} MiB |", peak_mib(pids[1])?);
    println!("| acknowledgement at full speed | {} |", sent.timing.line());
    Ok(spans / elapsed)
}

fn pid(stack: &mut Stack, part: Part) -> Result<u32> {
    stack.process(part)?.id().with_context(|| format!("{} has ended", part.name()))
}

/// Sends at a steady rate of spans per second, each request at its own time whether or not
/// earlier ones are answered, so that a stall is measured and not waited out.
pub(crate) async fn paced(
    stack: &Stack,
    payloads: &Payloads,
    settings: &Settings,
    rate: f64,
) -> Result<()> {
    let per_second = rate / settings.spans_per_request as f64;
    let target = Target { transport: Transport::Http, url: stack.otlp_http()? };
    let duration = Duration::from_secs(settings.paced_seconds);
    // Made before the clock runs: encoding them takes as much of the machine as taking them in.
    let requests = load::whole(per_second * duration.as_secs_f64());
    let bodies = load::bodies(payloads, PACED_FROM, requests);
    let sent = load::at_a_rate(&target, &bodies, per_second).await?;
    ensure!(sent.refused == 0, "{} requests were refused", sent.refused);
    println!("| acknowledgement at {rate:.0} spans/s (half) | {} |", sent.timing.line());
    Ok(())
}

/// Waits until the board knows every order seen, and says how long that took.
pub(crate) async fn catch_up(stack: &Stack) -> Result<()> {
    let url = format!("{}/api/v1/board", stack.url(Part::TrackerUi)?);
    let begun = Instant::now();
    loop {
        let board: serde_json::Value = stack.client().get(&url).send().await?.json().await?;
        let conservation = board.get("conservation").context("no conservation on the board")?;
        let figure = |name: &str| conservation.get(name).and_then(serde_json::Value::as_i64);
        if figure("difference") == Some(0) {
            let orders = figure("seen").unwrap_or(0);
            let waited = begun.elapsed().as_secs_f64();
            println!("| stitcher caught up with {orders} orders after | {waited:.1} s |");
            return Ok(());
        }
        if begun.elapsed() > CATCH_UP_DEADLINE {
            bail!("the stitcher has not caught up: {conservation}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
