//! Programs killed while orders pass their hour: on-call is called once for each, or, when
//! Alertmanager itself is killed, at least once.

use std::time::Duration;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use end_to_end::parts::Part;
use end_to_end::wait::{Look, until};
use rand::RngExt;
use rand::prelude::*;

use crate::scene::{DEADLINE, RULE, STORM, Scene, assert_starts, assert_told};
use crate::watched::{self, Hangs, Watched};

/// Until the first hour is over.
const LEAD: TimeDelta = TimeDelta::seconds(3);
/// The longest time that an order is sent before its hour is over.
const SENT_BEFORE_MS_MAX: i64 = 10_000;
/// The longest pause between two kills.
const PAUSE_MS_MAX: u64 = 2_500;

/// Orders at three places, fewer at each than a storm, whose hours are over within `spread_ms`.
/// Each is sent by a task of its own at a random moment before that.
fn send_meanwhile(
    scene: &mut Scene,
    orders: usize,
    spread_ms: i64,
) -> Result<(Vec<Watched>, tokio::task::JoinSet<Result<()>>)> {
    let first = Utc::now() + LEAD;
    let (mut hanging, mut senders) = (Vec::new(), tokio::task::JoinSet::new());
    for (number, hangs) in Hangs::ALL.into_iter().cycle().take(orders).enumerate() {
        let over_at = first + TimeDelta::milliseconds(scene.rng.random_range(0..spread_ms));
        let before = TimeDelta::milliseconds(scene.rng.random_range(0..SENT_BEFORE_MS_MAX));
        let order = Watched::new(format!("K-{number}"), hangs, over_at);
        hanging.push(order.clone());
        let (client, otlp) = (scene.stack.client().clone(), scene.stack.otlp_http()?);
        senders.spawn(async move {
            let wait = (over_at - before - Utc::now()).to_std().unwrap_or_default();
            tokio::time::sleep(wait).await;
            watched::send(&client, &otlp, &[order]).await
        });
    }
    Ok((hanging, senders))
}

/// Collector, engine and evaluator, alone or two at a time.
#[tokio::test]
async fn killed_parts_of_ours_neither_lose_nor_repeat_a_page() -> Result<()> {
    let mut scene = Scene::start(false, &[]).await?;
    let finished = Watched::finished("K-OK".to_owned(), Utc::now());
    scene.send(&[finished]).await?;
    let (mut hanging, mut senders) = send_meanwhile(&mut scene, 45, 18_000)?;
    let mut kills = [Part::Engine, Part::Collector, Part::AlertRules].repeat(3);
    kills.shuffle(&mut scene.rng);
    while let Some(part) = kills.pop() {
        let pause = scene.rng.random_range(0..PAUSE_MS_MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let other = kills.last().copied().filter(|other| *other != part);
        let together = other.filter(|_| scene.rng.random_bool(0.3));
        let mut killed = vec![part];
        if let Some(other) = together {
            kills.pop();
            killed.push(other);
        }
        killed.sort_unstable();
        println!("after {pause} ms {killed:?}");
        for part in &killed {
            scene.stack.kill_part(*part).await?;
        }
        scene.stack.start_parts(&killed).await?;
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    scene.on_call.hears(RULE, "firing", hanging.len(), DEADLINE).await?;
    hanging.push(scene.marker("K-MARK").await?);
    assert_told(&scene.on_call, "firing", &hanging, 1);
    assert_starts(&scene.on_call, &hanging);
    assert!(scene.on_call.of(RULE, "resolved").is_empty(), "nothing has ended");

    scene.price(&hanging).await?;
    scene.on_call.hears(RULE, "resolved", hanging.len(), DEADLINE).await?;
    let marker = scene.marker("K-MARK-2").await?;
    assert_told(&scene.on_call, "resolved", &hanging, 1);
    hanging.push(marker);
    assert_told(&scene.on_call, "firing", &hanging, 1);
    assert!(scene.on_call.of(STORM, "firing").is_empty(), "they were too few for a storm");
    scene.stack.finish().await
}

/// Alertmanager forgets whom it told what when it is killed. It may say it again; `tracker-ui` knows
/// it by labels and start for what it is.
#[tokio::test]
async fn a_killed_alertmanager_loses_no_page_and_a_repeat_is_folded() -> Result<()> {
    let kills = 3;
    let mut scene = Scene::start(false, &[]).await?;
    let (hanging, mut senders) = send_meanwhile(&mut scene, 30, 12_000)?;
    for _ in 0..kills {
        let pause = scene.rng.random_range(PAUSE_MS_MAX..2 * PAUSE_MS_MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        scene.stack.kill_part(Part::Alertmanager).await?;
        let pause = scene.rng.random_range(0..PAUSE_MS_MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        scene.stack.start_part(Part::Alertmanager).await?;
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    scene.on_call.hears(RULE, "firing", hanging.len(), DEADLINE).await?;
    let marker = scene.marker("K-MARK").await?;
    let counts = scene.on_call.count_by_order(RULE, "firing");
    assert!(counts.values().all(|times| *times <= kills + 1), "one more for a kill: {counts:?}");
    let repeats: usize = counts.values().map(|times| times - 1).sum();
    println!("{repeats} pages were repeated by {kills} kills of Alertmanager");
    assert_starts(&scene.on_call, &[&hanging[..], &[marker]].concat());
    assert!(scene.on_call.of(RULE, "resolved").is_empty(), "nothing has ended");

    let pages = scene.pages()?;
    for order in &hanging {
        let look = || async {
            let alerts = pages.order(&order.id).await?.and_then(|order| order.alerts);
            let alerts = alerts.unwrap_or_default();
            let starts = alerts.iter().filter(|alert| alert.name == RULE);
            let starts: Vec<_> = starts.map(|alert| alert.starts_at).collect();
            let is_one = starts == [order.over_at];
            Ok(if is_one { Look::Yes(()) } else { Look::NotYet(format!("{alerts:?}")) })
        };
        until(&format!("one page of {} on its page", order.id), DEADLINE, look).await?;
    }
    scene.stack.finish().await
}
