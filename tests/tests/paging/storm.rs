//! A thousand orders hang by one cause: on-call is called once.

use std::time::Duration;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use end_to_end::wait::{Look, until};
use rand::RngExt;

use crate::scene::{DEADLINE, RULE, STORM, Scene};
use crate::watched::{Hangs, Watched};

/// Orders that hang.
const ORDERS: usize = 1_000;
/// Until the first hour is over: all is stored by then.
const LEAD: TimeDelta = TimeDelta::seconds(8);
/// In which time the hours are over.
const SPREAD_MS: i64 = 2_000;
/// A group that were still to be told of would be by then: `group_wait` of alertmanager.yml.
const GROUP_WAIT: Duration = Duration::from_secs(10);

/// With the waits of production: the hours are over within two seconds, so the first ones are
/// alone over theirs when the evaluator looks, and are told to Alertmanager before there is a storm.
#[tokio::test]
async fn a_thousand_orders_with_one_cause_call_once() -> Result<()> {
    let mut scene = Scene::start(true, &[]).await?;
    let first = Utc::now() + LEAD;
    let mut hanging = Vec::new();
    for number in 0..ORDERS {
        let over_at = first + TimeDelta::milliseconds(scene.rng.random_range(0..SPREAD_MS));
        hanging.push(Watched::new(format!("S-{number}"), Hangs::Running, over_at));
    }
    scene.send(&hanging).await?;
    println!(
        "all is sent {} ms before the first deadline",
        (first - Utc::now()).num_milliseconds()
    );

    let storm = scene.on_call.hears(STORM, "firing", 1, DEADLINE).await?.remove(0);
    let known_ms = (storm.alert.starts_at - first).num_milliseconds();
    let called_ms = (storm.at - storm.alert.starts_at).num_milliseconds();
    println!("the storm began {known_ms} ms after the first deadline; called {called_ms} ms later");
    let told = "1000 orders have awaited a price for over an hour, 1000 of them hang at the same \
        place (running)";
    assert!(storm.alert.annotation("description").starts_with(told), "{storm:?}");

    let what = "every single page to be held back by the storm";
    let look = || async {
        let held = scene.held(RULE).await?;
        let back = held.iter().filter(|held| !held.status.inhibited_by.is_empty()).count();
        Ok(if back == ORDERS {
            Look::Yes(())
        } else {
            Look::NotYet(format!("{back} of {} are", held.len()))
        })
    };
    until(what, DEADLINE, look).await?;
    tokio::time::sleep(GROUP_WAIT).await;
    assert_eq!(scene.on_call.calls(), 1, "{:?}", scene.on_call.heard());
    scene.stack.finish().await
}
