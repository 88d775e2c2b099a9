//! Small requests, written as JSON, and the facts that come of them, one line each.
//!
//! Attributes are an object; ids are numbers; what is not given is empty. The service is `mes`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use order_model::Lifecycle;
use order_store::rows::Batch;
use serde_json::Value;

use crate::{Decoded, Limits, Mapped, Mapper, Redaction, Request};

/// Maps spans: `trace`, `span`, `name`, `kind`, `start`, `end`, `with` (attributes), `events`
/// (`name`, `at`, `with`), `links` (`trace`, `span`, `with`), `status`.
pub(crate) fn spans(resource: &Value, spans: &Value) -> Mapped {
    let spans = items(spans).iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = Some(service(resource));
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    map(Request::Traces(ExportTraceServiceRequest { resource_spans }))
}

/// Maps log records: `trace`, `span`, `name`, `at`, `with`.
pub(crate) fn logs(resource: &Value, records: &Value) -> Mapped {
    let record = |record: &Value| LogRecord {
        trace_id: id::<16>(&record["trace"]),
        span_id: id::<8>(&record["span"]),
        event_name: record["name"].as_str().unwrap_or_default().to_owned(),
        time_unix_nano: record["at"].as_u64().unwrap_or(1),
        attributes: attributes(&record["with"]),
        ..LogRecord::default()
    };
    let log_records = items(records).iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource = Some(service(resource));
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    map(Request::Logs(ExportLogsServiceRequest { resource_logs }))
}

/// The facts, in the order of the tables, without the part that no rule here decides.
pub(crate) fn told(batch: &Batch) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &batch.order_events {
        let whose = format!("{}{}", row.order_id, short(&row.carrier));
        lines.push(format!("{} {} of {whose} @{}", row.signal, row.stage, row.event_time));
    }
    for row in &batch.order_heartbeats {
        let whose = format!("{}{}", row.order_id, short(&row.carrier));
        let who = format!("{}#{}", row.worker, row.attempt);
        lines.push(format!("alive {who} of {whose} @{}", row.last_at));
    }
    for row in &batch.order_traces {
        let place = format!("{}/{}", short(&row.trace_id), short(&row.span_id));
        let mark = if row.provisional == 1 { "?" } else { "" };
        lines.push(format!("{place} names {}{mark} {}-{}", row.order_id, row.start, row.end));
    }
    for row in &batch.trace_links {
        let place = format!("{}/{}", short(&row.trace_id), short(&row.span_id));
        let other = format!("{}/{}", short(&row.linked_trace_id), short(&row.linked_span_id));
        lines.push(format!("{place} meets {other}"));
    }
    for row in &batch.order_aliases {
        let mark = if row.provisional == 1 { "?" } else { "" };
        let name = format!("{} {}[{}]", row.alias_kind, row.alias, row.scope);
        lines.push(format!("{name} is {}{mark}", row.order_id));
    }
    lines
}

/// Checks requests of spans against the lines that they become.
#[track_caller]
pub(crate) fn check_spans(resource: &Value, request: &Value, expected: &[&str]) {
    let mapped = spans(resource, request);
    assert_eq!(told(&mapped.batch), expected, "{request}");
}

/// Checks requests of log records against the lines that they become.
#[track_caller]
pub(crate) fn check_logs(resource: &Value, request: &Value, expected: &[&str]) {
    let mapped = logs(resource, request);
    assert_eq!(told(&mapped.batch), expected, "{request}");
}

fn map(request: Request) -> Mapped {
    let lifecycle = Arc::new(Lifecycle::default());
    let mapper = Mapper::new(lifecycle, Redaction::with(&[]).unwrap(), Limits::default());
    mapper.map(Decoded { request, repaired_strings: 0 }, 7)
}

fn span(span: &Value) -> Span {
    let event = |event: &Value| Event {
        name: event["name"].as_str().unwrap_or_default().to_owned(),
        time_unix_nano: event["at"].as_u64().unwrap_or(0),
        attributes: attributes(&event["with"]),
        ..Event::default()
    };
    let link = |link: &Value| Link {
        trace_id: id::<16>(&link["trace"]),
        span_id: id::<8>(&link["span"]),
        attributes: attributes(&link["with"]),
        ..Link::default()
    };
    Span {
        trace_id: id::<16>(span.get("trace").unwrap_or(&Value::from(1))),
        span_id: id::<8>(span.get("span").unwrap_or(&Value::from(1))),
        name: span["name"].as_str().unwrap_or("work").to_owned(),
        kind: i32::try_from(span["kind"].as_i64().unwrap_or(1)).unwrap(),
        start_time_unix_nano: span["start"].as_u64().unwrap_or(10),
        end_time_unix_nano: span["end"].as_u64().unwrap_or(20),
        attributes: attributes(&span["with"]),
        events: items(&span["events"]).iter().map(event).collect(),
        links: items(&span["links"]).iter().map(link).collect(),
        status: span["status"]
            .as_i64()
            .map(|code| Status { code: i32::try_from(code).unwrap(), ..Status::default() }),
        ..Span::default()
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn service(attributes_of_it: &Value) -> Resource {
    let mut attributes = attributes(attributes_of_it);
    attributes.push(pair("service.name", &Value::from("mes")));
    Resource { attributes, ..Resource::default() }
}

fn attributes(value: &Value) -> Vec<KeyValue> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, value)| pair(key, value)).collect()
}

fn pair(key: &str, value: &Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

fn any(value: &Value) -> AnyValue {
    let value = match value {
        Value::Number(number) => Any::IntValue(number.as_i64().unwrap()),
        Value::Array(values) => {
            Any::ArrayValue(ArrayValue { values: values.iter().map(any).collect() })
        }
        other => Any::StringValue(other.as_str().unwrap().to_owned()),
    };
    AnyValue { value: Some(value) }
}

/// A number as an id of that many bytes; nothing as no id.
fn id<const LENGTH: usize>(value: &Value) -> Vec<u8> {
    let Some(number) = value.as_u64() else { return Vec::new() };
    let mut bytes = vec![0; LENGTH];
    bytes[LENGTH - 1] = u8::try_from(number).unwrap();
    bytes
}

/// An id as the number it was made of.
fn short(id: &str) -> String {
    if id.contains(':') { id.to_owned() } else { id.trim_start_matches('0').to_owned() }
}
