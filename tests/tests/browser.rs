//! The pages, driven in headless Chromium as a person would; screenshots are build output.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::Stack;
use end_to_end::clients::Script;
use end_to_end::comparison;
use end_to_end::pages::{OrderWhole, Pages};
use end_to_end::parts::Part;
use end_to_end::programs::workspace;
use end_to_end::traffic::{Traffic, TrafficSettings};
use end_to_end::wait::{Look, until};
use serde::Deserialize;
use serde_json::json;
use simulator::stage::Stage;
use simulator::truth::Truth;

/// How long everything may take to be placed, and on-call to be called.
const DEADLINE: Duration = Duration::from_secs(60);
/// The stage whose stuck orders are opened.
const STUCK_STAGE: Stage = Stage::CalculationRunning;
/// The stage at which a new order appears.
const MOVED_STAGE: Stage = Stage::ManufacturingStarted;
/// Screenshots of every page: pages, languages, appearances, devices.
const SCREENSHOTS: usize = 12 * 2 * 2 * 2;

/// What the walk says.
#[derive(Debug, Deserialize)]
struct Walked {
    faults: Vec<String>,
    steps: usize,
    pages: usize,
    screenshots: usize,
}

#[tokio::test]
async fn pages_work_in_a_browser() -> Result<()> {
    let stack = Stack::start_with_alerts().await?;
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let settings = TrafficSettings {
        otlp_http: stack.otlp_http()?,
        otlp_grpc: stack.otlp_grpc()?,
        seed: 13,
        orders: 200,
        rate: 0.0,
        extra: Vec::new(),
    };
    let mut traffic = Traffic::start(&settings, stack.folder(), &stack.logs())?;
    let (truth, examples) = traffic.population().await?;
    traffic.finished().await?;
    let stuck = &examples["stuck"];
    until("the board to equal the truth", DEADLINE, || async {
        let found = comparison::board(&truth, &pages.board().await?);
        Ok(if found.none() { Look::Yes(()) } else { Look::NotYet(found.to_string()) })
    })
    .await?;
    let is_paged = |order: &OrderWhole| order.paged_at().is_some();
    pages.order_until(stuck, "to have called on-call", DEADLINE, is_paged).await?;

    let task = json!({
        "pages": pages.url(),
        "otlp": stack.otlp_http()?,
        "screenshots": workspace().join("build-output/screenshots"),
        "board": board(&truth),
        "examples": examples,
        "stuck_stage": STUCK_STAGE.name(),
        "stuck_orders": stuck_orders(&truth),
        "stuck_spans": pages.spans(stuck).await?.total,
        "moved_stage": MOVED_STAGE.name(),
        "new_order": "ORD-2026-980001",
    });
    let walked: Walked = Script::Browser
        .run(&[&task.to_string()])
        .await
        .with_context(|| format!("logs are in {}", stack.logs().display()))?;
    println!("{} steps, {} pages, {} screenshots", walked.steps, walked.pages, walked.screenshots);
    let faults = walked.faults.join("\n");
    assert!(walked.faults.is_empty(), "{} faults:\n{faults}", walked.faults.len());
    assert_eq!(walked.screenshots, SCREENSHOTS);
    stack.finish().await
}

fn board(truth: &Truth) -> BTreeMap<&'static str, [u64; 3]> {
    let row = |(stage, count): (&Stage, &simulator::truth::StageCount)| {
        (stage.name(), [count.total, count.late, count.stuck])
    };
    truth.stages.iter().map(row).collect()
}

fn stuck_orders(truth: &Truth) -> Vec<&str> {
    let stuck = truth.orders.iter().filter(|order| order.stage == STUCK_STAGE && order.stuck);
    stuck.map(|order| order.id.as_str()).collect()
}
