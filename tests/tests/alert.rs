//! The one alert that matters: an order whose calculation began 70 minutes ago reaches the
//! webhook within ten seconds of the start of traffic, and resolves when its price arrives.

use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::Stack;
use end_to_end::otlp::{self, StageSignal};
use end_to_end::pages::{Alert, OrderWhole, Pages};
use end_to_end::parts::Part;
use end_to_end::traffic::{Traffic, TrafficSettings};

/// The requirement, from the start of traffic to the call.
const PAGED_WITHIN: Duration = Duration::from_secs(10);
/// How long a call is waited for before the test gives up.
const DEADLINE: Duration = Duration::from_secs(60);
/// The rule.
const RULE: &str = "CalculationOverOneHour";
/// How the order's page marks a call that is not over.
const OPEN_CALL: &str = "call is-active";
/// How long its calculation has been going on.
const RUNNING_FOR_MS: i64 = 70 * 60 * 1_000;
/// The deadline of a calculation.
const HOUR_MS: i64 = 60 * 60 * 1_000;

#[tokio::test]
async fn a_calculation_over_an_hour_calls_on_call_and_its_price_resolves_it() -> Result<()> {
    let stack = Stack::start_with_alerts().await?;
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let settings = TrafficSettings {
        otlp_http: stack.otlp_http()?,
        otlp_grpc: stack.otlp_grpc()?,
        seed: 12,
        orders: 150,
        rate: 0.0,
        extra: Vec::new(),
    };
    let mut traffic = Traffic::start(&settings, stack.folder(), &stack.logs())?;
    let begun_ms = traffic.begun_ms();
    let (_, examples) = traffic.population().await?;
    let stuck = &examples["stuck"];
    let is_paged = |order: &OrderWhole| order.paged_at().is_some();
    let (order, _) = pages.order_until(stuck, "to have called on-call", DEADLINE, is_paged).await?;

    let alert = the_alert(&order)?;
    let paged_ms = alert.paged_at.context("it was paged")?.timestamp_millis();
    let after_ms = paged_ms - begun_ms;
    println!("on-call was called {after_ms} ms after traffic began");
    let bound_ms = i64::try_from(PAGED_WITHIN.as_millis())?;
    assert!(after_ms <= bound_ms, "on-call was called after {after_ms} ms, bound {bound_ms} ms");
    // The clock began with the request, shortly before the calculation, 70 minutes ago.
    let over_since_ms = alert.starts_at.timestamp_millis() - (begun_ms - RUNNING_FOR_MS + HOUR_MS);
    assert!(
        (-120_000..=5_000).contains(&over_since_ms),
        "starts {over_since_ms} ms off: {alert:?}"
    );
    assert_eq!(alert.resolved_at, None, "it is open");
    assert!(pages.board().await?.active_alerts.context("the board knows")? > 0);
    let shown = page(&stack, stuck).await?;
    assert!(shown.contains(RULE), "the page names the rule:\n{shown}");
    assert!(shown.contains(OPEN_CALL), "the page says that the call is open:\n{shown}");
    let fine = pages.order(&examples["fine"]).await?.context("the fine order is known")?;
    assert_eq!(fine.alerts, Some(Vec::new()), "nobody was called about the fine order");

    let price = StageSignal::now(stuck, "PRICE_CALCULATED", "mes");
    otlp::send(stack.client(), &stack.otlp_http()?, &price.request()).await?;
    let resolved =
        |order: &OrderWhole| order.alerts.iter().flatten().all(|alert| alert.resolved_at.is_some());
    let (order, took) = pages.order_until(stuck, "to be resolved", DEADLINE, resolved).await?;
    println!("resolved {took:?} after the price");
    let alert = the_alert(&order)?;
    let priced_ms = i64::try_from(price.at_ns / 1_000_000)?;
    let off_ms = alert.resolved_at.context("resolved")?.timestamp_millis() - priced_ms;
    // The end is that of the data, not of when somebody looked.
    assert!((-1_000..=1_000).contains(&off_ms), "ended {off_ms} ms off the price: {alert:?}");
    assert_eq!(order.order.stage, "PRICE_CALCULATED");
    let shown = page(&stack, stuck).await?;
    assert!(shown.contains(RULE), "the page still names the rule:\n{shown}");
    assert!(!shown.contains(OPEN_CALL), "the page says that the call is over:\n{shown}");
    stack.finish().await
}

fn the_alert(order: &OrderWhole) -> Result<&Alert> {
    let alerts = order.alerts.as_ref().context("the store says who was called")?;
    assert_eq!(alerts.len(), 1, "one problem, one page: {alerts:?}");
    assert_eq!(alerts[0].name, RULE);
    Ok(&alerts[0])
}

async fn page(stack: &Stack, order_id: &str) -> Result<String> {
    let url = format!("{}/orders/{order_id}", stack.url(Part::TrackerUi)?);
    Ok(stack.client().get(url).send().await?.error_for_status()?.text().await?)
}
