//! The ready-made providers against a receiver over a real socket.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue as ProtoKeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use order_signal::pipeline::{
    Form, Pipeline, PipelineError, PipelineSettings, Protocol, QUEUE_ITEMS_MAX,
};
use prost::Message;
use tokio::sync::Notify;

/// A receiver that sends so many requests away before it takes one.
struct Receiver {
    away: Mutex<u32>,
    taken: Mutex<Vec<(&'static str, Bytes)>>,
    took: Notify,
}

impl Receiver {
    async fn start(away: u32) -> Result<(Arc<Self>, String)> {
        let taken = Mutex::default();
        let receiver = Arc::new(Self { away: Mutex::new(away), taken, took: Notify::new() });
        let routes = axum::Router::new()
            .route("/v1/logs", post(async |State(here): State<Arc<Self>>, b| here.take("logs", b)))
            .route(
                "/v1/traces",
                post(async |State(here): State<Arc<Self>>, b| here.take("traces", b)),
            )
            .with_state(Arc::clone(&receiver));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = tokio::net::TcpListener::bind(any).await?;
        let endpoint = format!("http://{}/", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok((receiver, endpoint))
    }

    fn take(&self, signal: &'static str, body: Bytes) -> StatusCode {
        let mut away = self.away.lock().unwrap();
        if let Some(left) = away.checked_sub(1) {
            *away = left;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        self.taken.lock().unwrap().push((signal, body));
        self.took.notify_one();
        StatusCode::OK
    }
}

fn settings(endpoint: &str) -> PipelineSettings {
    PipelineSettings { endpoint: Some(endpoint.to_owned()), ..PipelineSettings::new("mes") }
}

fn texts(attributes: &[ProtoKeyValue]) -> BTreeMap<&str, &str> {
    attributes
        .iter()
        .filter_map(|pair| match pair.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some((pair.key.as_str(), text.as_str())),
            _ => None,
        })
        .collect()
}

/// A stage that hangs is known while it hangs: nothing is flushed or stopped before the signal
/// arrives, and the span around it is never over.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_at_once_and_outlives_an_outage() -> Result<()> {
    // The SDK itself gives up after four tries.
    let (receiver, endpoint) = Receiver::start(4).await?;
    let pipeline = Pipeline::start(&settings(&endpoint))?;
    let _hangs = pipeline.tracers.tracer("mes").start("calculate");
    pipeline.signals.stage("ORD-1", "CALCULATION_RUNNING").send();
    receiver.took.notified().await;
    let (signal, body) = receiver.taken.lock().unwrap().remove(0);
    assert_eq!(signal, "logs");
    let request = ExportLogsServiceRequest::decode(body)?;
    let resource_logs = &request.resource_logs[0];
    let resource = texts(&resource_logs.resource.as_ref().context("a resource")?.attributes);
    assert_eq!(resource["service.name"], "mes");
    assert!(!resource["service.instance.id"].is_empty() && !resource["host.name"].is_empty());
    let record = &resource_logs.scope_logs[0].log_records[0];
    assert_eq!(record.event_name, "order.stage");
    let expected = BTreeMap::from([("order.id", "ORD-1"), ("order.stage", "CALCULATION_RUNNING")]);
    assert_eq!(texts(&record.attributes), expected);
    assert_eq!(pipeline.signals.counts().unsent(), 0);
    Ok(())
}

#[tokio::test]
async fn stopping_sends_what_waits() -> Result<()> {
    for (form, expected) in [(Form::Logs, "logs"), (Form::Spans, "traces")] {
        let (receiver, endpoint) = Receiver::start(0).await?;
        let delay = Duration::from_secs(3_600);
        let pipeline = Pipeline::start(&PipelineSettings { form, delay, ..settings(&endpoint) })?;
        pipeline.signals.stage("ORD-1", "SHIPPED").send();
        pipeline.stop().await?;
        let taken: Vec<_> = receiver.taken.lock().unwrap().iter().map(|(s, _)| *s).collect();
        assert_eq!(taken, [expected]);
    }
    Ok(())
}

/// Far more than the queue holds is signalled while nothing gets through: every call comes back,
/// and so does the stop, which says that not everything was sent.
#[tokio::test]
async fn a_receiver_that_never_answers_holds_nobody_up() -> Result<()> {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let pipeline = Pipeline::start(&settings(&endpoint))?;
    for number in 0..2 * QUEUE_ITEMS_MAX {
        pipeline.signals.stage(&format!("ORD-{number}"), "SHIPPED").send();
    }
    assert_eq!(pipeline.signals.counts().stages(), 2 * QUEUE_ITEMS_MAX as u64);
    let stopped = pipeline.stop().await;
    assert!(matches!(stopped, Err(PipelineError::Unsent { signal: "logs", .. })), "{stopped:?}");
    drop(listener);
    Ok(())
}

#[tokio::test]
async fn what_a_receiver_refuses_is_counted() -> Result<()> {
    // There is no such path: 404, which is not tried again.
    let (receiver, endpoint) = Receiver::start(0).await?;
    let pipeline = Pipeline::start(&settings(&format!("{endpoint}elsewhere")))?;
    let counts = pipeline.signals.counts().clone();
    pipeline.signals.stage(&["ORD-1", "ORD-2"], "SHIPPED").send();
    pipeline.tracers.tracer("mes").in_span("work", |_| {});
    pipeline.stop().await.ok();
    assert_eq!((counts.stages(), counts.unsent()), (1, 2), "a log record and a span");
    assert!(receiver.taken.lock().unwrap().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_a_service_says_of_itself_stays() -> Result<()> {
    let (receiver, endpoint) = Receiver::start(0).await?;
    let resource = vec![KeyValue::new("service.instance.id", "mes-7")];
    let pipeline = Pipeline::start(&PipelineSettings { resource, ..settings(&endpoint) })?;
    pipeline.signals.stage("ORD-1", "SHIPPED").send();
    pipeline.stop().await?;
    let body = receiver.taken.lock().unwrap().remove(0).1;
    let request = ExportLogsServiceRequest::decode(body)?;
    let resource = request.resource_logs[0].resource.as_ref().context("a resource")?;
    assert_eq!(texts(&resource.attributes)["service.instance.id"], "mes-7");
    Ok(())
}

#[test]
fn bad_settings_are_errors() {
    let grpc = PipelineSettings { protocol: Protocol::Grpc, ..settings("http://localhost:4317") };
    assert!(matches!(Pipeline::start(&grpc), Err(PipelineError::NoRuntime)));
    let nowhere = Pipeline::start(&settings("not a url"));
    assert!(matches!(nowhere, Err(PipelineError::Exporter { .. })), "{nowhere:?}");
}
