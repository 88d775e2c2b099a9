//! A stack with alerts, on-call's webhook beside it, and what Alertmanager holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use end_to_end::Stack;
use end_to_end::folder::Folder;
use end_to_end::on_call::OnCall;
use end_to_end::pages::Pages;
use end_to_end::parts::Part;
use end_to_end::stack::{Ports, Routing};
use end_to_end::wait::{Look, until};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;

use crate::watched::{self, Hangs, Watched};

/// The rule that pages for one order.
pub(crate) const RULE: &str = "CalculationOverOneHour";
/// The one that pages for many.
pub(crate) const STORM: &str = "CalculationStorm";
/// How long anything is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How long ago the hour of an order was over that is sent to see that all before it was told.
const MARKER_AGE: Duration = Duration::from_secs(600);

/// An alert that Alertmanager holds and that has not ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    /// Its identity.
    pub(crate) labels: BTreeMap<String, String>,
    /// When Alertmanager last took it.
    pub(crate) updated_at: DateTime<Utc>,
    /// Whether it is held back.
    pub(crate) status: Status,
}

/// What Alertmanager makes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// By what it is held back.
    pub(crate) inhibited_by: Vec<String>,
}

/// The stack of a test.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Its programs.
    pub(crate) stack: Stack,
    /// Who is called.
    pub(crate) on_call: OnCall,
    /// Decides what is left to chance.
    pub(crate) rng: StdRng,
    /// What Alertmanager says of itself.
    alertmanager_url: String,
}

impl Scene {
    /// Every part of a stack, with these waits of Alertmanager and arguments of the evaluator.
    ///
    /// # Errors
    /// A part does not start.
    pub(crate) async fn start(production_waits: bool, evaluator: &[&str]) -> Result<Self> {
        let seed: u64 = match std::env::var("WAYBILL_SEED") {
            Ok(seed) => seed.parse().context("WAYBILL_SEED")?,
            Err(_) => rand::random(),
        };
        println!("seed {seed} (set WAYBILL_SEED to repeat)");
        let on_call = OnCall::start().await?;
        let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
        let on_call_url = Some(on_call.url().to_owned());
        stack.route_alerts(Routing { on_call_url, production_waits });
        stack.extra(Part::AlertRules, evaluator);
        stack.start_parts(&Part::ALL).await?;
        let alertmanager_url = stack.url(Part::Alertmanager)?;
        Ok(Self { stack, on_call, rng: StdRng::seed_from_u64(seed), alertmanager_url })
    }

    /// Sends what is known of these orders.
    ///
    /// # Errors
    /// The collector does not take it.
    pub(crate) async fn send(&self, orders: &[Watched]) -> Result<()> {
        watched::send(self.stack.client(), &self.stack.otlp_http()?, orders).await
    }

    /// Gives these orders their price, now.
    ///
    /// # Errors
    /// As [`Scene::send`].
    pub(crate) async fn price(&self, orders: &[Watched]) -> Result<DateTime<Utc>> {
        let now = Utc::now();
        let priced: Vec<_> = orders.iter().map(|order| order.priced(now)).collect();
        self.send(&priced).await?;
        Ok(now)
    }

    /// The alerts of a rule that Alertmanager holds.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) async fn held(&self, rule: &str) -> Result<Vec<Held>> {
        let mut url = reqwest::Url::parse(&self.alertmanager_url)?.join("/api/v2/alerts")?;
        url.query_pairs_mut().append_pair("filter", &format!("alertname=\"{rule}\""));
        let answer = self.stack.client().get(url).send().await?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }

    /// Waits until Alertmanager holds no alert of the rule.
    ///
    /// # Errors
    /// The deadline passed.
    pub(crate) async fn holds_none(&self, rule: &str) -> Result<()> {
        let what = format!("Alertmanager to hold no {rule}");
        let look = || async {
            let held = self.held(rule).await?;
            Ok(if held.is_empty() {
                Look::Yes(())
            } else {
                Look::NotYet(format!("{} are held: {:?}", held.len(), held.first()))
            })
        };
        until(&what, DEADLINE, look).await?;
        Ok(())
    }

    /// Has one more order paged that should have been long ago: what Alertmanager had to tell
    /// before is told by then.
    ///
    /// # Errors
    /// It is not paged.
    pub(crate) async fn marker(&self, id: &str) -> Result<Watched> {
        let order = Watched::new(id.to_owned(), Hangs::NeverQueued, Utc::now() - MARKER_AGE);
        self.send(std::slice::from_ref(&order)).await?;
        let look = || async {
            let counts = self.on_call.count_by_order(RULE, "firing");
            Ok(if counts.contains_key(id) {
                Look::Yes(())
            } else {
                Look::NotYet(format!("{counts:?}"))
            })
        };
        until(&format!("the page of {id}"), DEADLINE, look).await?;
        Ok(order)
    }

    /// The pages of `tracker-ui`.
    ///
    /// # Errors
    /// It was not started.
    pub(crate) fn pages(&self) -> Result<Pages> {
        Ok(Pages::new(self.stack.client().clone(), self.stack.url(Part::TrackerUi)?))
    }
}

/// Fails unless on-call was told of exactly these orders, each so many times.
///
/// # Panics
/// It was told of others, or of one of them another number of times.
pub(crate) fn assert_told(on_call: &OnCall, status: &str, orders: &[Watched], times: usize) {
    let mut counts = on_call.count_by_order(RULE, status);
    let expected: BTreeSet<&str> = orders.iter().map(|order| order.id.as_str()).collect();
    let missing: Vec<_> = expected.iter().filter(|id| !counts.contains_key(**id)).collect();
    assert!(missing.is_empty(), "not told of, {status}: {missing:?}");
    counts.retain(|id, count| !expected.contains(id.as_str()) || *count != times);
    assert!(counts.is_empty(), "expected {times} times, {status}, and no other: {counts:?}");
}

/// Fails unless each page names the moment at which the hour of its order was over.
///
/// # Panics
/// One does not.
pub(crate) fn assert_starts(on_call: &OnCall, orders: &[Watched]) {
    let over: BTreeMap<_, _> = orders.iter().map(|order| (order.id.as_str(), order)).collect();
    for heard in on_call.heard().iter().filter(|heard| heard.alert.name() == RULE) {
        let order = over.get(heard.alert.order());
        assert_eq!(Some(heard.alert.starts_at), order.map(|order| order.over_at), "{heard:?}");
    }
}
