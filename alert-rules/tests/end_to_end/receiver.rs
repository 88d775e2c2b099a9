//! On-call's webhook: it writes down every alert of every call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;

use crate::children::until;

/// One alert of one call, as Alertmanager sends it.
#[derive(Debug, Clone)]
pub(crate) struct Heard(pub(crate) Value);

impl Heard {
    pub(crate) fn starts_at(&self) -> &str {
        self.0["startsAt"].as_str().unwrap()
    }

    pub(crate) fn is(&self, alert: &str, status: &str) -> bool {
        self.0["labels"]["alertname"] == alert && self.0["status"] == status
    }

    pub(crate) fn annotation(&self, name: &str) -> &str {
        self.0["annotations"][name].as_str().unwrap()
    }
}

/// The webhook.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    calls: Arc<AtomicUsize>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let calls: Arc<AtomicUsize> = Arc::default();
        let state = (Arc::clone(&heard), Arc::clone(&calls));
        let router = Router::new().route("/webhook", post(hear)).with_state(state);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, heard, calls }
    }

    /// How often the webhook was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Every alert of every call, in the order of the calls.
    pub(crate) fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until an alert of that name and status was heard.
    pub(crate) async fn heard_of(&self, alert: &str, status: &str) -> Heard {
        until(&format!("{alert} {status}"), || async {
            self.all().into_iter().find(|heard| heard.is(alert, status))
        })
        .await
    }

    fn of(&self, order: &str, status: &str) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap();
        // Pages: what comes before the hour stands in tests of its own.
        let ours = |alert: &&Heard| {
            alert.0["labels"]["order"] == order
                && alert.0["status"] == status
                && (alert.0["labels"]["severity"] == "critical" || order.starts_with("odd"))
        };
        heard.iter().filter(ours).cloned().collect()
    }

    /// How often the webhook heard of the order with that status.
    pub(crate) fn count(&self, order: &str, status: &str) -> usize {
        self.of(order, status).len()
    }

    /// Waits until it was heard `times` times.
    pub(crate) async fn heard(&self, order: &str, status: &str, times: usize) -> Vec<Heard> {
        until(&format!("{order} {status} in {:?}", self.heard), || async {
            Some(self.of(order, status)).filter(|heard| heard.len() >= times)
        })
        .await
    }
}

type Shared = (Arc<Mutex<Vec<Heard>>>, Arc<AtomicUsize>);

async fn hear(State((heard, calls)): State<Shared>, Json(call): Json<Value>) {
    assert_eq!(call["version"], "4");
    calls.fetch_add(1, Ordering::Relaxed);
    let alerts = call["alerts"].as_array().unwrap().iter().cloned().map(Heard);
    heard.lock().unwrap().extend(alerts);
}
