//! Orders whose hour is over at a moment that the test picks, and what is sent about them.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use end_to_end::otlp::{self, StageSignal};
use reqwest::Client;

/// Names the model of an order, which is why it needs a price.
const MODEL_KEY: &str = "order.model.key";
/// The deadline of a calculation.
const HOUR: TimeDelta = TimeDelta::hours(1);
/// How long before its end a calculation failed, where it did.
const FAILED_BEFORE: TimeDelta = TimeDelta::minutes(20);
/// Pause before a request is sent again that a collector under way did not take.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long it is tried.
const SEND_DEADLINE: Duration = Duration::from_secs(60);

/// Where an order hangs: what the storm counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangs {
    /// The price was asked for and the request never published.
    NeverQueued,
    /// The calculation began and gave no more sign.
    Running,
    /// It failed, and nobody tried again.
    Failed,
}

impl Hangs {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::NeverQueued, Self::Running, Self::Failed];
}

/// An order and every signal of it so far.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// Its id.
    pub(crate) id: String,
    /// When its hour is over.
    pub(crate) over_at: DateTime<Utc>,
    signals: Vec<StageSignal>,
}

impl Watched {
    /// An order that hangs there, and whose hour is over then.
    #[must_use]
    pub(crate) fn new(id: String, hangs: Hangs, over_at: DateTime<Utc>) -> Self {
        // What the pages and Alertmanager know a time by are milliseconds.
        let over_at =
            DateTime::from_timestamp_millis(over_at.timestamp_millis()).unwrap_or(over_at);
        let mut order = Self { id, over_at, signals: Vec::new() };
        let asked = over_at - HOUR;
        match hangs {
            Hangs::NeverQueued => order.entered("SUBMITTED", "shop", asked),
            Hangs::Running => order.entered("CALCULATION_RUNNING", "mes", asked),
            Hangs::Failed => {
                order.entered("CALCULATION_RUNNING", "mes", asked);
                order.entered("CALCULATION_FAILED", "mes", over_at - FAILED_BEFORE);
            }
        }
        order
    }

    /// The same with a price then; what was sent before is sent no more.
    #[must_use]
    pub(crate) fn priced(&self, at: DateTime<Utc>) -> Self {
        let mut order = Self { signals: Vec::new(), ..self.clone() };
        order.entered("PRICE_CALCULATED", "mes", at);
        order
    }

    /// An order that got its price in time.
    #[must_use]
    pub(crate) fn finished(id: String, over_at: DateTime<Utc>) -> Self {
        let mut order = Self::new(id, Hangs::Running, over_at);
        order.entered("PRICE_CALCULATED", "mes", over_at - FAILED_BEFORE);
        order
    }

    fn entered(&mut self, stage: &str, service: &str, at: DateTime<Utc>) {
        let mut signal = StageSignal::now(&self.id, stage, service);
        signal.at_ns = u64::try_from(at.timestamp_nanos_opt().unwrap_or_default()).unwrap_or(0);
        self.signals.push(signal.with(MODEL_KEY, "a-model.stl"));
    }
}

/// Sends what is known of these orders, one request for each service, until it is taken.
///
/// # Errors
/// The collector took it in no attempt.
pub(crate) async fn send(client: &Client, otlp_http: &str, orders: &[Watched]) -> Result<()> {
    for service in ["shop", "mes"] {
        let signals = orders.iter().flat_map(|order| &order.signals);
        let spans: Vec<_> =
            signals.filter(|signal| signal.service == service).map(StageSignal::span).collect();
        if spans.is_empty() {
            continue;
        }
        let request = otlp::request(service, spans);
        let begun = std::time::Instant::now();
        while let Err(error) = otlp::send(client, otlp_http, &request).await {
            if begun.elapsed() > SEND_DEADLINE {
                bail!("sending spans of {service}: {error:#}");
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    Ok(())
}
