//! What of a request is stored, by the rules of redaction and the bounds of the settings.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message;

use crate::http::post;
use crate::otlp::{logs, span, text, traces};
use crate::stack::Stack;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Each names the part that must not be stored.
const TEXTS: [&str; 8] = [
    "mail leak.anna@example.ru",
    "call +7 (900) 123-00-01",
    "paid by 4111 1111 1111 1111",
    "sent Bearer leak-2",
    "eyJhbGciOi.leak3.sig",
    "see https://s3.local/m.stl?X-Amz-Signature=leak-4 now",
    "m.stl?X-Amz-Signature=leak-5",
    "TAX-leak-6",
];
const PARTS: [&str; 4] = ["leak", "123-00-01", "4111 1111", "leak3"];

async fn send(stack: &Stack, path: &str, kind: &str, body: Vec<u8>) {
    let answer = post(stack.http(path), kind, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn values_are_judged_whatever_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("redaction.toml");
    let file = "keep = [\"legacy.order\"]\n[[value]]\nname = \"tax\"\npattern = 'TAX-\\S+'\n";
    std::fs::write(&rules, file).unwrap();
    let stack = Stack::start(&["--redact-rules", rules.to_str().unwrap()]).await;
    let kept = [
        text("order.id", "4111111111111111"),
        text("legacy.order", "5555555555554444"),
        text("messaging.message.id", "TAX-kept"),
        text("custom.uuid", "550e8400-e29b-41d4-4716-446655440002"),
    ];
    for (index, said) in (1_u64..).zip(TEXTS) {
        let map = KeyValueList { values: vec![text("inner", said), text(said, "x")] };
        let map = AnyValue { value: Some(Value::KvlistValue(map)) };
        let tree =
            KeyValue { key: "app.extra".into(), value: Some(map.clone()), ..Default::default() };
        let attributes = vec![text("custom.note", said), text("order.stage", "SUBMITTED"), tree];
        let mut noisy = span(3, index, [&kept[..], &attributes].concat());
        noisy.name = said.to_owned();
        noisy.status = Some(Status { message: said.to_owned(), code: 2 });
        let event = Event { name: said.to_owned(), attributes, ..Event::default() };
        noisy.events.push(event);
        let request = traces("shop", vec![noisy]);
        send(&stack, "/v1/traces", PROTOBUF, request.encode_to_vec()).await;
        send(&stack, "/v1/traces", JSON, serde_json::to_vec(&request).unwrap()).await;
        let record =
            LogRecord { body: Some(map), severity_text: said.into(), ..Default::default() };
        send(&stack, "/v1/logs", PROTOBUF, logs("shop", vec![record]).encode_to_vec()).await;
    }
    for table in ["otel_traces", "otel_logs", "order_events", "order_traces", "order_aliases"] {
        let rows = stack.query(&format!("SELECT * FROM {table}")).await.join("\n");
        for part in PARTS {
            assert!(!rows.contains(part), "{table}: {part}: {rows}");
        }
    }
    let keys = kept.each_ref().map(|pair| format!("SpanAttributes['{}']", pair.key)).join(", ");
    let stored = stack.query(&format!("SELECT DISTINCT {keys} FROM otel_traces")).await;
    let expected = [
        "4111111111111111",
        "5555555555554444",
        "TAX-kept",
        "550e8400-e29b-41d4-4716-446655440002",
    ];
    assert_eq!(stored, [expected.join("\t")]);
    let orders = stack.query("SELECT DISTINCT OrderId FROM order_events").await;
    assert_eq!(orders, ["4111111111111111"]);
}

#[tokio::test]
async fn bounds_of_the_settings_cut_and_say_so() {
    let flags = ["--attributes-max", "2", "--attribute-value-bytes-max", "64"];
    let more = ["--attribute-key-bytes-max", "16", "--span-events-max", "1"];
    let stack = Stack::start(&[&flags[..], &more].concat()).await;
    let long = "x".repeat(100);
    let attributes = vec![text(&long, &long), text("b", "2"), text("c", "3"), text("d", "4")];
    let mut large = span(4, 1, attributes);
    large.events = vec![Event::default(); 3];
    send(&stack, "/v1/traces", PROTOBUF, traces("shop", vec![large]).encode_to_vec()).await;
    let columns = "SpanAttributes[repeat('x', 16)] = repeat('x', 64), SpanAttributes['b'], \
                   has(mapKeys(SpanAttributes), 'c'), length(Events.Name), \
                   SpanAttributes['waybill.dropped_attributes_count'], \
                   SpanAttributes['waybill.cut_values_count'], \
                   SpanAttributes['waybill.dropped_events_count']";
    let stored = stack.query(&format!("SELECT {columns} FROM otel_traces")).await;
    assert_eq!(stored, ["1\t2\t0\t1\t2\t2\t2"]);
}
