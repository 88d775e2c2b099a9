//! Spans in: at full speed, and at half of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::Stack;
use end_to_end::otlp::PROTOBUF;
use end_to_end::parts::Part;
use reqwest::Client;

use crate::Settings;
use crate::payload::Payloads;
use crate::timing::Timing;
use crate::usage::{cpu_seconds, peak_mib};

/// Where the paced requests begin: beyond any request of the full-speed run.
const PACED_FROM: usize = 10_000_000;
/// How long the stitcher may take to catch up after the run.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(300);

/// How long what was answered may take to be stored and stitched.
const SETTLED_WITHIN: Duration = Duration::from_secs(300);

/// Sends all spans as fast as they are answered; gives spans per second.
pub(crate) async fn full_speed(
    stack: &mut Stack,
    payloads: &Payloads,
    settings: &Settings,
) -> Result<f64> {
    let requests = settings.spans.div_ceil(settings.spans_per_request);
    let bodies: Arc<Vec<Vec<u8>>> = Arc::new((0..requests).map(|i| payloads.request(i)).collect());
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let spans = (requests * settings.spans_per_request) as f64;
    let pids = [pid(stack, Part::Collector)?, pid(stack, Part::Engine)?];
    let before = [cpu_seconds(pids[0])?, cpu_seconds(pids[1])?];
    let url = format!("{}/v1/traces", stack.otlp_http()?);
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = Vec::new();
    for _ in 0..settings.connections {
        let (client, url) = (stack.client().clone(), url.clone());
        let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
        senders.push(tokio::spawn(async move {
            let mut timing = Timing::default();
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                timing.push(send(&client, &url, body.clone()).await?);
            }
            anyhow::Ok(timing)
        }));
    }
    let mut timing = Timing::default();
    for sender in senders {
        timing.append(sender.await.context("a sender panicked")??);
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let stored = reaches(stack, "unsent_records", begun).await?;
    let stitched = reaches(stack, "stitch_pending", begun).await?;
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
    println!("| acknowledgement at full speed | {} |", timing.line());
    Ok(spans / elapsed)
}

/// Waits until a gauge of the collector is 0; seconds since `begun`.
async fn reaches(stack: &Stack, gauge: &str, begun: Instant) -> Result<f64> {
    let url = format!("{}/metrics", stack.url(Part::Collector)?);
    let line = format!("waybill_collector_{gauge} 0\n");
    loop {
        let page = stack.client().get(&url).send().await?.text().await?;
        if page.contains(&line) {
            return Ok(begun.elapsed().as_secs_f64());
        }
        if begun.elapsed() > SETTLED_WITHIN {
            bail!("{gauge} was not 0 within {} s", SETTLED_WITHIN.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    let url = format!("{}/v1/traces", stack.otlp_http()?);
    let mut under_way = Vec::new();
    let begun = Instant::now();
    let mut index = 0_usize;
    loop {
        let due = Duration::from_secs_f64(index as f64 / per_second);
        if due.as_secs() >= settings.paced_seconds {
            break;
        }
        let body = payloads.request(PACED_FROM + index);
        tokio::time::sleep_until((begun + due).into()).await;
        let (client, url) = (stack.client().clone(), url.clone());
        under_way.push(tokio::spawn(async move { send(&client, &url, body).await }));
        index += 1;
    }
    let mut timing = Timing::default();
    for request in under_way {
        timing.push(request.await.context("a sender panicked")??);
    }
    println!("| acknowledgement at {rate:.0} spans/s (half) | {} |", timing.line());
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

async fn send(client: &Client, url: &str, body: Vec<u8>) -> Result<Duration> {
    let begun = Instant::now();
    let request = client.post(url).header("content-type", PROTOBUF).body(body);
    let answer = request.send().await.context("sending spans")?;
    let status = answer.status();
    let text = answer.bytes().await.context("reading the answer")?;
    if !status.is_success() {
        bail!("the collector answered {status}: {}", String::from_utf8_lossy(&text));
    }
    Ok(begun.elapsed())
}
