//! Small OTLP requests of the tests' own, where no SDK would send such a thing.

use anyhow::{Context, Result, bail};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use reqwest::{Client, Response};

/// Media type of OTLP protobuf bodies.
pub const PROTOBUF: &str = "application/x-protobuf";
/// Media type of OTLP JSON bodies.
pub const JSON: &str = "application/json";

/// A signal that a stage of an order began: a zero-length span.
#[derive(Debug, Clone)]
pub struct StageSignal {
    /// The order.
    pub order_id: String,
    /// The stage.
    pub stage: String,
    /// `service.name`.
    pub service: String,
    /// When, nanoseconds since 1970.
    pub at_ns: u64,
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Further attributes.
    pub attributes: Vec<(String, String)>,
}

impl StageSignal {
    /// A signal of now, with ids of its own.
    #[must_use]
    pub fn now(order_id: &str, stage: &str, service: &str) -> Self {
        Self {
            order_id: order_id.to_owned(),
            stage: stage.to_owned(),
            service: service.to_owned(),
            at_ns: now_ns(),
            trace_id: rand::random(),
            span_id: rand::random(),
            attributes: Vec::new(),
        }
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.attributes.push((key.to_owned(), value.to_owned()));
        self
    }

    /// As a span.
    #[must_use]
    pub fn span(&self) -> Span {
        let mut attributes =
            vec![text("order.id", &self.order_id), text("order.stage", &self.stage)];
        attributes.extend(self.attributes.iter().map(|(key, value)| text(key, value)));
        Span {
            trace_id: self.trace_id.to_vec(),
            span_id: self.span_id.to_vec(),
            name: "order.stage".to_owned(),
            kind: 1,
            start_time_unix_nano: self.at_ns,
            end_time_unix_nano: self.at_ns,
            attributes,
            ..Span::default()
        }
    }

    /// As a whole request.
    #[must_use]
    pub fn request(&self) -> ExportTraceServiceRequest {
        request(&self.service, vec![self.span()])
    }
}

/// A request with the spans of one service.
#[must_use]
pub fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource =
        Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope],
            schema_url: String::new(),
        }],
    }
}

/// A text attribute.
#[must_use]
pub fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// Now, nanoseconds since 1970.
#[must_use]
pub fn now_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Sends traces over OTLP/HTTP with protobuf and requires full success.
///
/// # Errors
/// The collector does not take everything.
pub async fn send(
    client: &Client,
    otlp_http: &str,
    request: &ExportTraceServiceRequest,
) -> Result<()> {
    let answer = post(client, otlp_http, "traces", PROTOBUF, request.encode_to_vec()).await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    if !status.is_success() {
        bail!("the collector answered {status}: {}", String::from_utf8_lossy(&body));
    }
    let answer = decode_answer(&body)?;
    if let Some(partial) = answer.partial_success
        && partial.rejected_spans > 0
    {
        bail!("the collector rejected {}: {}", partial.rejected_spans, partial.error_message);
    }
    Ok(())
}

/// The success message of a traces request.
///
/// # Errors
/// The body is none.
pub fn decode_answer(
    body: &[u8],
) -> Result<opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse> {
    Message::decode(body).context("the answer is no ExportTraceServiceResponse")
}

/// Posts a body to the path of a signal.
///
/// # Errors
/// The collector cannot be reached.
pub async fn post(
    client: &Client,
    otlp_http: &str,
    signal: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Result<Response> {
    client
        .post(format!("{otlp_http}/v1/{signal}"))
        .header("content-type", content_type)
        .body(body)
        .send()
        .await
        .context("sending OTLP")
}
