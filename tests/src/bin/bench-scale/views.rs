//! What people and scripts get: pages and API of a real tracker-ui, over HTTP.
//!
//! Asked in two ways, each named in its line: one question after the other without a pause, which
//! no people do, and at the pace of a busy office, each question at its own time whether or not
//! earlier ones are answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::parts::Part;
use end_to_end::scale::Shape;
use rand::prelude::*;
use rand::rngs::StdRng;
use reqwest::Client;

use crate::Bench;
use crate::pages::{DEEP_PAGE, LISTED, PAGE, WARM_UP};
use crate::timing::Timing;

/// Orders of a page on the way to the deep one: the most that the API gives.
const WALKED: u32 = 500;
/// Page views a second in the paced run.
const VIEWS_PER_SECOND: u32 = 10;
/// How long the paced run takes: half a minute more than any cache lives.
const PACED: Duration = Duration::from_secs(40);

/// A kind of question: its name, its path, and how many of a hundred page views are of it.
struct View {
    name: String,
    path: String,
    of_hundred: u32,
}

/// Prints the times of both ways.
pub(crate) async fn measure(bench: &mut Bench) -> Result<()> {
    bench.stack.start_part(Part::TrackerUi).await?;
    let root = bench.stack.url(Part::TrackerUi)?;
    let client = bench.stack.client().clone();
    let mut views = vec![View::new("board, API", "/api/v1/board", 10)];
    views.push(View::new("board, page", "/", 30));
    for stage in LISTED {
        let path = format!("/api/v1/stages/{stage}/orders?limit={PAGE}");
        views.push(View::new(&format!("list of {stage}: first page, API"), &path, 10));
        if let Some(cursor) = walk(&client, &root, stage).await? {
            let path = format!("{path}&cursor={cursor}");
            let name = format!("list of {stage}: page {DEEP_PAGE}, API");
            views.push(View::new(&name, &path, 1));
        }
    }
    // `{order}` stands for an order anew at each question.
    views.push(View::new("order, page", "/orders/{order}", 30));
    views.push(View::new("order's spans, API", "/api/v1/orders/{order}/spans", 9));
    let mut rng = StdRng::seed_from_u64(bench.settings.seed);
    let orders = bench.shape.orders();
    for view in &views {
        let mut timing = Timing::default();
        for number in 0..bench.settings.questions + WARM_UP {
            let took = ask(&client, &view.url(&root, &mut rng, orders)).await?;
            if number >= WARM_UP {
                timing.push(took);
            }
        }
        println!("| HTTP, without a pause: {} | {} |", view.name, timing.line());
    }
    paced(&client, &root, &views, &mut rng, orders).await?;
    bench.stack.stop_part(Part::TrackerUi).await?;
    Ok(())
}

impl View {
    fn new(name: &str, path: &str, of_hundred: u32) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), of_hundred }
    }

    fn url(&self, root: &str, rng: &mut StdRng, orders: u64) -> String {
        let order = Shape::order_id(rng.random_range(0..orders));
        format!("{root}{}", self.path.replace("{order}", &order))
    }
}

/// Views of all kinds, mixed, at a steady pace.
async fn paced(
    client: &Client,
    root: &str,
    views: &[View],
    rng: &mut StdRng,
    orders: u64,
) -> Result<()> {
    let mut timings: Vec<Timing> = views.iter().map(|_| Timing::default()).collect();
    let mut under_way = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for number in 0.. {
        let due = Duration::from_secs(1) * number / VIEWS_PER_SECOND;
        if due >= PACED {
            break;
        }
        let weighed: Vec<usize> = (0..views.len()).collect();
        let chosen = weighed.choose_weighted(rng, |index| views[*index].of_hundred)?;
        let (index, url) = (*chosen, views[*chosen].url(root, rng, orders));
        tokio::time::sleep_until((begun + due).into()).await;
        let client = client.clone();
        under_way.spawn(async move { anyhow::Ok((index, ask(&client, &url).await?)) });
    }
    while let Some(answer) = under_way.join_next().await {
        let (index, took) = answer.context("a view panicked")??;
        timings[index].push(took);
    }
    for (view, timing) in views.iter().zip(&timings) {
        let pace = format!("HTTP, {VIEWS_PER_SECOND} mixed views a second");
        println!("| {pace}: {} | {} |", view.name, timing.line());
    }
    Ok(())
}

/// The cursor of the deep page; none when the list is too short.
async fn walk(client: &Client, root: &str, stage: &str) -> Result<Option<String>> {
    let mut cursor = None::<String>;
    for _ in 0..(DEEP_PAGE - 1) * PAGE / WALKED {
        let mut url = format!("{root}/api/v1/stages/{stage}/orders?limit={WALKED}");
        if let Some(cursor) = &cursor {
            url = format!("{url}&cursor={cursor}");
        }
        let page: serde_json::Value = client.get(&url).send().await?.json().await?;
        let Some(next) = page.get("next_cursor").and_then(serde_json::Value::as_str) else {
            return Ok(None);
        };
        cursor = Some(next.to_owned());
    }
    Ok(cursor)
}

async fn ask(client: &Client, url: &str) -> Result<Duration> {
    let begun = Instant::now();
    let answer = client.get(url).send().await.with_context(|| format!("asking {url}"))?;
    let status = answer.status();
    let body = answer.bytes().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(begun.elapsed())
}
