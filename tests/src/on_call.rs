//! On-call's webhook: it writes down every alert of every call, and when it came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::address::ANY;
use crate::wait::{Look, until};

/// One alert of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The number of the call, from 0: one call is one page, whatever it holds.
    pub call: usize,
    /// When it came.
    pub at: DateTime<Utc>,
    /// What Alertmanager says of it.
    pub alert: Told,
}

/// An alert as Alertmanager tells of it: the part of the payload, version 4, that tests look at.
/// See <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// `firing` or `resolved`.
    pub status: String,
    /// Its identity.
    pub labels: BTreeMap<String, String>,
    /// Texts and evidence.
    pub annotations: BTreeMap<String, String>,
    /// When the condition began.
    pub starts_at: DateTime<Utc>,
    /// When it ended, if it did.
    pub ends_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Call {
    alerts: Vec<Told>,
}

#[derive(Debug, Default)]
struct Calls {
    count: usize,
    heard: Vec<Heard>,
}

/// The webhook; it serves until the runtime ends. Clones share it.
#[derive(Debug, Clone)]
pub struct OnCall {
    url: String,
    calls: Arc<Mutex<Calls>>,
}

impl Told {
    /// The name of its rule.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    /// Its order, or nothing.
    #[must_use]
    pub fn order(&self) -> &str {
        self.labels.get("order").map_or("", String::as_str)
    }

    /// A text of it, or nothing.
    #[must_use]
    pub fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", String::as_str)
    }
}

impl OnCall {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(ANY).await.context("binding on-call's webhook")?;
        let url = format!("http://{}/on-call", listener.local_addr()?);
        let calls: Arc<Mutex<Calls>> = Arc::default();
        let router = Router::new().route("/on-call", post(hear)).with_state(Arc::clone(&calls));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, calls })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Every alert of every call, in the order of the calls.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).heard.clone()
    }

    /// What was heard of a rule with that status.
    #[must_use]
    pub fn of(&self, rule: &str, status: &str) -> Vec<Heard> {
        let mut heard = self.heard();
        heard.retain(|heard| heard.alert.name() == rule && heard.alert.status == status);
        heard
    }

    /// How often each order of a rule was told of with that status.
    #[must_use]
    pub fn count_by_order(&self, rule: &str, status: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for heard in self.of(rule, status) {
            *counts.entry(heard.alert.order().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Waits until a rule was told of with that status, about so many orders.
    ///
    /// # Errors
    /// The deadline passed.
    pub async fn hears(
        &self,
        rule: &str,
        status: &str,
        orders: usize,
        deadline: Duration,
    ) -> Result<Vec<Heard>> {
        let what = format!("on-call to hear of {orders} {rule}, {status}");
        let look = || async {
            let counts = self.count_by_order(rule, status);
            Ok(if counts.len() >= orders {
                Look::Yes(self.of(rule, status))
            } else {
                Look::NotYet(format!("{counts:?}"))
            })
        };
        Ok(until(&what, deadline, look).await?.0)
    }
}

async fn hear(State(calls): State<Arc<Mutex<Calls>>>, Json(call): Json<Call>) {
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    let (number, at) = (calls.count, Utc::now());
    calls.count += 1;
    calls.heard.extend(call.alerts.into_iter().map(|alert| Heard { call: number, at, alert }));
}
