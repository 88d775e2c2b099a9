//! A client that repeats each request until it is acknowledged, as the specification of OTLP wants
//! it, and remembers what it sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rand::prelude::*;
use rand::rngs::StdRng;
use reqwest::{Client, StatusCode};
use tokio::time::sleep;

use crate::otlp::{self, PROTOBUF, StageSignal};

/// How long one answer may take; a collector that was killed gives none.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Wait before a repeat.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);
/// Orders of one sender.
const ORDERS: u32 = 40;
/// Bytes of an attribute of a flood, and such attributes of a span.
const FLOOD: (usize, usize) = (30_000, 20);
const STAGES: [&str; 4] =
    ["MANUFACTURING_APPROVED", "MANUFACTURING_STARTED", "MANUFACTURING_COMPLETED", "PACKAGING"];

/// What was acknowledged: how often each span was sent, by trace and span.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) spans: BTreeMap<(String, String), u32>,
    pub(super) orders: BTreeMap<String, u32>,
    pub(super) requests: usize,
    pub(super) repeated: usize,
}

impl Sent {
    pub(super) fn append(&mut self, mut other: Self) {
        self.spans.append(&mut other.spans);
        self.orders.append(&mut other.orders);
        self.requests += other.requests;
        self.repeated += other.repeated;
    }
}

pub(super) struct Sender {
    pub(super) otlp_http: String,
    pub(super) seed: u64,
    pub(super) number: usize,
    pub(super) is_over: Arc<AtomicBool>,
    /// Whether to send large requests.
    pub(super) flood: Arc<AtomicBool>,
}

impl Sender {
    pub(super) async fn run(self) -> Result<Sent> {
        let client = Client::builder().timeout(ANSWER_DEADLINE).build()?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut sent = Sent::default();
        while !self.is_over.load(Ordering::Relaxed) {
            let floods = self.flood.load(Ordering::Relaxed);
            let signals: Vec<StageSignal> =
                (0..rng.random_range(1..5)).map(|_| self.signal(&mut rng, floods)).collect();
            let request = ExportTraceServiceRequest {
                resource_spans: signals.iter().flat_map(|s| s.request().resource_spans).collect(),
            };
            let tries = self.send(&client, request.encode_to_vec()).await?;
            for signal in &signals {
                let ids = (hex::encode(signal.trace_id), hex::encode(signal.span_id));
                sent.spans.insert(ids, tries);
                *sent.orders.entry(signal.order_id.clone()).or_default() += 1;
            }
            sent.requests += 1;
            sent.repeated += usize::from(tries > 1);
            sleep(Duration::from_millis(rng.random_range(0..30))).await;
        }
        Ok(sent)
    }

    fn signal(&self, rng: &mut StdRng, floods: bool) -> StageSignal {
        let order = format!("CRASH-{}-{}", self.number, rng.random_range(0..ORDERS));
        let stage = STAGES[rng.random_range(0..STAGES.len())];
        let signal = StageSignal::now(&order, stage, "mes");
        if !floods {
            return signal;
        }
        let (bytes, count) = FLOOD;
        let value = "x".repeat(bytes);
        (0..count).fold(signal, |signal, n| signal.with(&format!("flood.{n}"), &value))
    }

    /// Sends until acknowledged; how often it took.
    async fn send(&self, client: &Client, body: Vec<u8>) -> Result<u32> {
        for tries in 1.. {
            match otlp::post(client, &self.otlp_http, "traces", PROTOBUF, body.clone()).await {
                Ok(answer) if answer.status().is_success() => return Ok(tries),
                Ok(answer) => {
                    let status = answer.status();
                    let repeats = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
                    if !repeats.contains(&status) {
                        bail!("the collector answered {status}: {}", answer.text().await?);
                    }
                }
                // Killed, or not started yet.
                Err(_) => {}
            }
            sleep(REPEAT_PAUSE).await;
        }
        bail!("never acknowledged")
    }
}
