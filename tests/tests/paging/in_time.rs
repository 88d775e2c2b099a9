//! How long an order may be over its hour before Alertmanager knows, and that on-call hears once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::wait::{Look, until};
use rand::RngExt;

use crate::scene::{DEADLINE, RULE, STORM, Scene, assert_starts, assert_told};
use crate::watched::{Hangs, Watched};

/// Orders whose hour is over while the test looks.
const ORDERS: usize = 200;
/// Orders that got their price in time.
const FINISHED: usize = 20;
/// The first of them: few enough to page alone.
const EARLY: usize = 10;
/// Until the first hour is over: all is stored by then.
const LEAD: TimeDelta = TimeDelta::seconds(6);
/// How long the first ones are over theirs before the others begin to be.
const ALONE: TimeDelta = TimeDelta::seconds(8);
/// In which time the hours are over, one after the other at random.
const SPREAD_MS: i64 = 20_000;
/// How often Alertmanager is asked. It says itself when it took an alert, and takes it again after
/// three seconds: a look every fifth of a second sees the first time.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A figure of two hundred orders is printed, not asserted. That every one is taken, paged for at
/// most once, and ended by its price is.
#[tokio::test]
async fn two_hundred_orders_over_the_hour_reach_alertmanager_one_by_one() -> Result<()> {
    let mut scene = Scene::start(false, &[]).await?;
    let first = Utc::now() + LEAD;
    let mut hanging = Vec::new();
    for number in 0..ORDERS {
        let early = scene.rng.random_range(0..1_000);
        let later = ALONE.num_milliseconds() + scene.rng.random_range(0..SPREAD_MS);
        let after_ms = if number < EARLY { early } else { later };
        let over_at = first + TimeDelta::milliseconds(after_ms);
        hanging.push(Watched::new(format!("T-{number}"), Hangs::Running, over_at));
    }
    let finished: Vec<_> =
        (0..FINISHED).map(|n| Watched::finished(format!("T-OK-{n}"), first)).collect();
    scene.send(&hanging).await?;
    scene.send(&finished).await?;
    println!(
        "all is sent {} ms before the first deadline",
        (first - Utc::now()).num_milliseconds()
    );

    let taken = taken_by_alertmanager(&scene, &hanging).await?;
    print_times(&hanging, &taken);
    assert!(finished.iter().all(|order| !taken.contains_key(&order.id)), "in time: no alert");
    // The first ones were paged alone; when they were too many, the storm held back the others.
    scene.on_call.hears(STORM, "firing", 1, DEADLINE).await?;

    scene.price(&hanging).await?;
    scene.holds_none(RULE).await?;
    scene.holds_none(STORM).await?;
    let paged = scene.on_call.count_by_order(RULE, "firing");
    assert!(
        paged.len() >= EARLY && paged.values().all(|times| *times == 1),
        "once each: {paged:?}"
    );
    // Also those whose end came while the storm held back every word about them.
    scene.on_call.hears(RULE, "resolved", paged.len(), DEADLINE).await?;
    hanging.push(scene.marker("T-MARK").await?);
    let told: Vec<_> =
        hanging.iter().filter(|order| paged.contains_key(&order.id)).cloned().collect();
    assert_told(&scene.on_call, "resolved", &told, 1);
    assert_told(&scene.on_call, "firing", &[&told[..], &hanging[ORDERS..]].concat(), 1);
    assert_starts(&scene.on_call, &hanging);
    for status in ["firing", "resolved"] {
        assert_eq!(scene.on_call.of(STORM, status).len(), 1, "one storm, {status}");
    }
    scene.stack.finish().await
}

/// When Alertmanager first took the alert of each order, as it says itself.
async fn taken_by_alertmanager(
    scene: &Scene,
    hanging: &[Watched],
) -> Result<BTreeMap<String, DateTime<Utc>>> {
    let mut taken = BTreeMap::new();
    let deadline = DEADLINE.as_secs();
    let begun = std::time::Instant::now();
    while taken.len() < hanging.len() {
        anyhow::ensure!(begun.elapsed() < DEADLINE, "{} taken after {deadline} s", taken.len());
        for held in scene.held(RULE).await? {
            let order = held.labels.get("order").cloned().unwrap_or_default();
            taken.entry(order).or_insert(held.updated_at);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(taken)
}

fn print_times(hanging: &[Watched], taken: &BTreeMap<String, DateTime<Utc>>) {
    let after = |order: &Watched| (taken[&order.id] - order.over_at).num_milliseconds();
    let mut after_ms: Vec<i64> = hanging.iter().map(after).collect();
    after_ms.sort_unstable();
    let at = |percent: usize| after_ms[(after_ms.len() - 1) * percent / 100];
    println!(
        "deadline to Alertmanager's acceptance, {} orders: p50 {} ms, p99 {} ms, max {} ms",
        after_ms.len(),
        at(50),
        at(99),
        at(100)
    );
}

/// Fewer than a storm, at three places: every one pages by itself.
#[tokio::test]
async fn below_a_storm_every_order_pages_once_and_its_price_resolves_it() -> Result<()> {
    let mut scene = Scene::start(false, &[]).await?;
    let first = Utc::now() + LEAD;
    let mut hanging = Vec::new();
    for (number, hangs) in Hangs::ALL.into_iter().cycle().take(45).enumerate() {
        let over_at = first + TimeDelta::milliseconds(scene.rng.random_range(0..5_000));
        hanging.push(Watched::new(format!("B-{number}"), hangs, over_at));
    }
    scene.send(&hanging).await?;
    scene.send(&[Watched::finished("B-OK".to_owned(), first)]).await?;
    scene.on_call.hears(RULE, "firing", hanging.len(), DEADLINE).await?;
    let priced_at = scene.price(&hanging).await?;
    scene.on_call.hears(RULE, "resolved", hanging.len(), DEADLINE).await?;
    let marker = scene.marker("B-MARK").await?;
    assert_told(&scene.on_call, "resolved", &hanging, 1);
    for heard in scene.on_call.of(RULE, "resolved") {
        let off_ms = (heard.alert.ends_at - priced_at).num_milliseconds();
        assert!(off_ms.abs() <= 1, "it ended with the price, {off_ms} ms off: {heard:?}");
    }
    hanging.push(marker);
    assert_told(&scene.on_call, "firing", &hanging, 1);
    assert_starts(&scene.on_call, &hanging);
    let calls = scene.on_call.heard().len();
    assert_eq!(calls, 2 * hanging.len() - 1, "and nothing else: {:?}", scene.on_call.heard());
    let look = || async {
        let order = scene.pages()?.order("B-0").await?;
        let alerts = order.and_then(|order| order.alerts).unwrap_or_default();
        let is_over = |rule: &str| {
            alerts.iter().any(|alert| alert.name == rule && alert.resolved_at.is_some())
        };
        Ok(if is_over(RULE) { Look::Yes(()) } else { Look::NotYet(format!("{alerts:?}")) })
    };
    until("the order's page to say so", DEADLINE, look).await?;
    scene.stack.finish().await
}
