//! What must never reach a row, wherever it stands, and what must stay byte for byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use order_model::Lifecycle;
use order_store::rows::SpanRow;
use otlp_columns::redact::{RedactionRules, ValueRule};
use otlp_columns::{Encoding, Limits, Mapped, Mapper, Redaction, Signal};
use prost::Message;

/// Texts, and the part of each that must not be stored.
const GONE: &[(&str, &str)] = &[
    ("call anna.k+1@mail.example.ru back", "anna.k+1@mail"),
    ("анна@почта.рф", "почта"),
    ("GET /users/anna%40mail.ru", "anna%40"),
    ("+7 (900) 123-45-67", "123-45-67"),
    ("tel +79001234567", "79001234567"),
    ("8 (900) 123-45-67 after six", "123-45-67"),
    ("paid by 4111 1111 1111 1111 12/27", "4111 1111"),
    ("card=5555555555554444", "5555555555554444"),
    ("3782-822463-10005", "822463"),
    ("2200 0000 0000 0004", "2200 0000"),
    ("Authorization: Bearer abc.DEF-123", "abc.DEF"),
    ("basic dXNlcjpwYXNz", "dXNlcjpw"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIi"),
    ("https://s3.local/m/1.stl?X-Amz-Signature=abc1", "abc1"),
    ("see https://s3.local/m/1.stl?X-Amz-Signature=abc1 now", "abc1"),
    ("/m/1.stl?X-Amz-Date=1&X-Amz-Signature=abc1", "abc1"),
    ("amqp://guest:hunter2@mq:5672/", "hunter2"),
    ("both amqp://u:hunter2@a,amqp://u:hunter2@b", "hunter2"),
    ("INN 7707083893 of the buyer", "7707083893"),
    ("password=hunter2 refused", "hunter2"),
    ("Key (phone)=(89161234567) already exists", "89161234567"),
    ("insert into people (name) values ('Иван')", "Иван"),
];

/// Attributes whose values stay as they are.
const KEPT: &[(&str, &str)] = &[
    // By these orders are found, whatever they look like.
    ("order.id", "4111111111111111"),
    ("order_id", "8-900-123-45-67"),
    ("orderId", "anna@mail.ru"),
    ("app.order.id", "INN 7707083893"),
    ("baggage.order.id", "+79001234567"),
    ("messaging.header.order_id", "5555-5555-5555-4444"),
    ("order.stage", "WAITING 4111111111111111"),
    ("order.partner.number", "4111 1111 1111 1111"),
    ("partner_order_number", "378282246310005"),
    ("partner.id", "shop@partner.example.com"),
    ("messaging.message.id", "4111111111111111"),
    ("messaging.message_id", "ID:mq@host.example.com-1"),
    ("service.instance.id", "rabbit@mq-0.cluster.local"),
    ("host.name", "worker@node.example.com"),
    // These are ids and numbers by their keys.
    ("invoice.number", "4111111111111111"),
    ("app.ref_id", "5555555555554444"),
    ("product.ean", "4222222222222"),
    // These are by their looks.
    ("custom.uuid_like", "550e8400-e29b-41d4-4716-446655440002"),
    ("custom.trace", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ("custom.long", "41111111111111114111111111111111"),
    ("custom.digits", "4111111111111112"),
    ("custom.order", "ORD-4111111111111111"),
    ("custom.at", "2026-11-23T06:12:22.123456789+03:00"),
    ("custom.go_time", "2026-11-23 06:12:22.123456789 +0300 MSK m=+0.123456789"),
    ("custom.nanos", "1795399990000000000"),
    ("custom.ratio", "0.4111111111111111"),
    ("custom.peer", "10.0.0.17:5672"),
    ("custom.url", "https://shop.example.com/orders/17"),
    ("custom.java", "at java.base@17.0.1/java.lang.Thread.run(Thread.java:840)"),
    ("custom.node", "rabbit@rabbitmq-1"),
    ("custom.prose", "basic auth is off"),
    ("custom.package", "@opentelemetry/instrumentation-http"),
    ("custom.version", "1.2.3-rc.4+build.5"),
    ("custom.place", "+55.7558+037.6173/"),
    ("thread.name", "http-nio-8080-exec-1"),
    ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    ("http.request.method", "POST"),
];

fn mapper() -> Mapper {
    let values = vec![ValueRule { name: "inn".into(), pattern: r"\bINN \d{10}\b".into() }];
    let redaction = Redaction::of(&RedactionRules { values, ..Default::default() }).unwrap();
    Mapper::new(Arc::new(Lifecycle::default()), redaction, Limits::default())
}

fn any(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.to_owned())) }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// The text under a key that says nothing, in a list, in a map and as the key of a map.
fn attributes(text: &str) -> Vec<KeyValue> {
    let list = Value::ArrayValue(ArrayValue { values: vec![any("x"), any(text)] });
    let leaves = vec![pair("deep", any(text)), pair(text, any("x"))];
    let map = Value::KvlistValue(KeyValueList { values: leaves });
    vec![
        pair("custom.note", any(text)),
        pair("app.comments", AnyValue { value: Some(list) }),
        pair("app.extra", AnyValue { value: Some(map) }),
        pair("", any(text)),
        pair("error.message", any(text)),
        pair("http.route", any(text)),
        pair("db.operation.name", any(text)),
        pair(text, any("x")),
    ]
}

fn resource(text: &str) -> Option<Resource> {
    Some(Resource { attributes: attributes(text), ..Resource::default() })
}

fn scope(text: &str) -> Option<InstrumentationScope> {
    let attributes = attributes(text);
    Some(InstrumentationScope { attributes, ..InstrumentationScope::default() })
}

fn one_span(attributes: Vec<KeyValue>) -> Span {
    Span { trace_id: vec![7; 16], span_id: vec![7; 8], attributes, ..Span::default() }
}

fn request_of(span: Span, text: &str) -> ExportTraceServiceRequest {
    let scope_spans =
        vec![ScopeSpans { scope: scope(text), spans: vec![span], ..Default::default() }];
    let group = ResourceSpans { resource: resource(text), scope_spans, ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

/// The text wherever a span has one; and a stage, so that it has evidence.
fn traces(text: &str) -> ExportTraceServiceRequest {
    let event = Event { name: text.to_owned(), attributes: attributes(text), ..Event::default() };
    let link = Link { trace_id: vec![8; 16], attributes: attributes(text), ..Link::default() };
    let mut own = attributes(text);
    own.push(pair("order.id", any("ORD-1")));
    own.push(pair("order.stage", any("SUBMITTED")));
    let span = Span {
        name: text.to_owned(),
        events: vec![event],
        links: vec![link],
        status: Some(Status { message: text.to_owned(), code: 2 }),
        ..one_span(own)
    };
    request_of(span, text)
}

fn logs(text: &str) -> ExportLogsServiceRequest {
    let map = attributes(text).swap_remove(2).value;
    let bodies = [Some(any(text)), map];
    let log_records = bodies.map(|body| LogRecord {
        body,
        event_name: text.to_owned(),
        severity_text: text.to_owned(),
        attributes: attributes(text),
        ..LogRecord::default()
    });
    let scope_logs = vec![ScopeLogs {
        scope: scope(text),
        log_records: log_records.into(),
        ..Default::default()
    }];
    let group = ResourceLogs { resource: resource(text), scope_logs, ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![group] }
}

fn metrics(text: &str) -> ExportMetricsServiceRequest {
    let value = Some(number_data_point::Value::AsInt(1));
    let point = NumberDataPoint { attributes: attributes(text), value, ..Default::default() };
    let metric = Metric {
        name: "m".to_owned(),
        description: text.to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: vec![point] })),
        ..Metric::default()
    };
    let scope_metrics =
        vec![ScopeMetrics { scope: scope(text), metrics: vec![metric], ..Default::default() }];
    let group = ResourceMetrics { resource: resource(text), scope_metrics, ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![group] }
}

fn holds(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

fn stored(mapped: &Mapped) -> Vec<u8> {
    let mut bytes = format!("{:?}", mapped.batch).into_bytes();
    bytes.extend_from_slice(mapped.batch.span_rows.bytes());
    bytes.extend_from_slice(mapped.batch.order_event_rows.bytes());
    bytes
}

fn map(mapper: &Mapper, signal: Signal, encoding: Encoding, body: Vec<u8>) -> Mapped {
    let mapped = mapper.map_body(signal, encoding, &Bytes::from(body), 1_795_400_000_000).unwrap();
    assert_eq!(mapped.rejected.total(), 0);
    mapped
}

#[test]
fn what_must_not_be_stored_is_not_wherever_it_stands() {
    let mapper = mapper();
    for (text, part) in GONE {
        let (spans, records, points) = (traces(text), logs(text), metrics(text));
        let bodies = [
            (Signal::Traces, spans.encode_to_vec(), serde_json::to_vec(&spans).unwrap()),
            (Signal::Logs, records.encode_to_vec(), serde_json::to_vec(&records).unwrap()),
            (Signal::Metrics, points.encode_to_vec(), serde_json::to_vec(&points).unwrap()),
        ];
        for (signal, binary, json) in bodies {
            // What is remembered from one body to the next changes nothing.
            for _ in 0..3 {
                let mapped = map(&mapper, signal, Encoding::Protobuf, binary.clone());
                assert!(!holds(&stored(&mapped), part), "{signal:?}: {text}");
                assert!(mapped.tally.redacted_values > 0, "{signal:?}: {text}");
            }
            let mapped = map(&mapper, signal, Encoding::Json, json);
            assert!(!holds(&stored(&mapped), part), "{signal:?} in JSON: {text}");
        }
    }
}

#[test]
fn what_tells_nothing_of_a_person_stays_byte_for_byte() {
    let mapper = mapper();
    let own = KEPT.iter().map(|(key, value)| pair(key, any(value))).collect();
    let request = request_of(one_span(own), "x");
    let binary = map(&mapper, Signal::Traces, Encoding::Protobuf, request.encode_to_vec());
    assert_eq!((binary.batch.span_rows.len(), binary.tally.redacted_values), (1, 0));
    let bytes = binary.batch.span_rows.bytes();
    let body = serde_json::to_vec(&request).unwrap();
    let json = map(&mapper, Signal::Traces, Encoding::Json, body);
    let row: &SpanRow = &json.batch.spans[0];
    for (key, value) in KEPT {
        assert!(holds(bytes, value), "{key}={value}");
        let is_kept = row.span_attributes.iter().any(|(k, v)| (&**k, &**v) == (*key, *value));
        assert!(is_kept, "{key}={value}: {:?}", row.span_attributes);
    }
    // The facts have them as well.
    let traces = &binary.batch.order_traces;
    assert!(!traces.is_empty() && traces.iter().all(|row| row.order_id == "4111111111111111"));
}
