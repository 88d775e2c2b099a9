//! A client that repeats each request until it is acknowledged, as the specification of OTLP wants
//! it, and tells the oracle.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use rand::prelude::*;
use rand::rngs::StdRng;
use reqwest::{Client, StatusCode};
use tokio::time::sleep;

use super::sent::{Item, Kind, Sent};
use crate::otlp::{self, PROTOBUF, StageSignal, text};

/// How long one answer may take; a collector that was killed gives none.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Wait before a repeat, and between two looks at a pause.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);
/// Orders of one sender.
const ORDERS: u32 = 40;
/// Event times lie so far back at most: they arrive in no order.
const BACK_NS_MAX: u64 = 1_800_000_000_000;
/// Bytes of an attribute of a flood, and such attributes of a span.
const FLOOD: (usize, usize) = (30_000, 20);
const SERVICE: &str = "mes";
const STAGES: [&str; 4] =
    ["MANUFACTURING_APPROVED", "MANUFACTURING_STARTED", "MANUFACTURING_COMPLETED", "PACKAGING"];
/// The attribute by which a point of a gauge is known.
pub(super) const POINT_ID: &str = "crash.id";

/// What senders are told, and what they tell.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) is_over: AtomicBool,
    /// Whether to send large requests.
    pub(super) flood: AtomicBool,
    /// Whether to begin no request.
    pub(super) paused: AtomicBool,
    /// Requests that are not acknowledged yet.
    pub(super) open: AtomicUsize,
    pub(super) round: AtomicUsize,
    sent: Mutex<Sent>,
    /// The rounds in which everything was counted.
    counted: Mutex<BTreeSet<usize>>,
}

impl Control {
    pub(super) fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counted(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Sender {
    pub(super) otlp_http: String,
    pub(super) seed: u64,
    pub(super) number: usize,
    pub(super) control: Arc<Control>,
}

impl Sender {
    pub(super) async fn run(self) -> Result<()> {
        let client = Client::builder().no_proxy().timeout(ANSWER_DEADLINE).build()?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let control = &self.control;
        while !control.is_over.load(Ordering::SeqCst) {
            // Counted first: whoever pauses us and counts none open knows that none begins.
            control.open.fetch_add(1, Ordering::SeqCst);
            if control.paused.load(Ordering::SeqCst) {
                control.open.fetch_sub(1, Ordering::SeqCst);
                sleep(REPEAT_PAUSE).await;
                continue;
            }
            let done = self.request(&client, &mut rng).await;
            control.open.fetch_sub(1, Ordering::SeqCst);
            done?;
            sleep(Duration::from_millis(rng.random_range(0..30))).await;
        }
        Ok(())
    }

    async fn request(&self, client: &Client, rng: &mut StdRng) -> Result<()> {
        let floods = self.control.flood.load(Ordering::SeqCst);
        let round = self.control.round.load(Ordering::SeqCst);
        let kind = match rng.random_range(0..10) {
            0..6 => Kind::Span,
            6..9 => Kind::Log,
            _ => Kind::Gauge,
        };
        let count = rng.random_range(1..5);
        let signals: Vec<StageSignal> = (0..count).map(|_| self.signal(rng, floods)).collect();
        let (path, body) = match kind {
            Kind::Span => ("traces", spans(&signals).encode_to_vec()),
            Kind::Log => ("logs", logs(&signals).encode_to_vec()),
            Kind::Gauge => ("metrics", gauges(&signals).encode_to_vec()),
        };
        let tries = self.send(client, path, body).await?;
        self.control.sent().acknowledged(&signals, Item { kind, tries, round });
        Ok(())
    }

    fn signal(&self, rng: &mut StdRng, floods: bool) -> StageSignal {
        let order = format!("CRASH-{}-{}", self.number, rng.random_range(0..ORDERS));
        let stage = STAGES[rng.random_range(0..STAGES.len())];
        let mut signal = StageSignal::now(&order, stage, SERVICE);
        signal.at_ns -= rng.random_range(0..BACK_NS_MAX);
        if !floods {
            return signal;
        }
        let (bytes, count) = FLOOD;
        let value = "x".repeat(bytes);
        (0..count).fold(signal, |signal, n| signal.with(&format!("flood.{n}"), &value))
    }

    /// Sends until acknowledged; how often it took.
    async fn send(&self, client: &Client, path: &str, body: Vec<u8>) -> Result<u32> {
        for tries in 1.. {
            match otlp::post(client, &self.otlp_http, path, PROTOBUF, body.clone()).await {
                Ok(answer) if answer.status().is_success() => {
                    // Only one that is received whole is an answer.
                    if answer.bytes().await.is_ok() {
                        return Ok(tries);
                    }
                }
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

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", SERVICE)], ..Resource::default() })
}

fn spans(signals: &[StageSignal]) -> ExportTraceServiceRequest {
    otlp::request(SERVICE, signals.iter().map(StageSignal::span).collect())
}

/// The same signals as log records.
fn logs(signals: &[StageSignal]) -> ExportLogsServiceRequest {
    let record = |signal: &StageSignal| LogRecord {
        time_unix_nano: signal.at_ns,
        body: Some(AnyValue { value: Some(Value::StringValue("a stage began".to_owned())) }),
        attributes: signal.span().attributes,
        trace_id: signal.trace_id.to_vec(),
        span_id: signal.span_id.to_vec(),
        ..LogRecord::default()
    };
    let log_records = signals.iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: resource(), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

/// A point for each, known by what would be its trace.
fn gauges(signals: &[StageSignal]) -> ExportMetricsServiceRequest {
    let point = |signal: &StageSignal| {
        let flood = signal.attributes.iter().map(|(key, value)| text(key, value));
        let id = text(POINT_ID, &hex::encode(signal.trace_id));
        let attributes: Vec<KeyValue> = std::iter::once(id).chain(flood).collect();
        NumberDataPoint {
            attributes,
            time_unix_nano: signal.at_ns,
            value: Some(number_data_point::Value::AsInt(1)),
            ..NumberDataPoint::default()
        }
    };
    let gauge = Gauge { data_points: signals.iter().map(point).collect() };
    let metric = Metric {
        name: "crash.points".to_owned(),
        data: Some(metric::Data::Gauge(gauge)),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: resource(), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}
