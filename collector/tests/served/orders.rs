//! From OTLP to the state of orders: the stitcher runs at once, and again after a restart.

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;

use crate::http::post;
use crate::otlp::{AT, logs, span, text, traces};
use crate::stack::{Stack, eventually};

const PROTOBUF: &str = "application/x-protobuf";

async fn send(stack: &Stack, path: &str, body: Vec<u8>) {
    let answer = post(stack.http(path), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn becomes(stack: &Stack, order: &str, stage: &str) {
    let sql = format!("SELECT Stage FROM orders FINAL WHERE OrderId = '{order}'");
    eventually(&format!("{order} is {stage}"), async || stack.query(&sql).await == [stage]).await;
}

#[tokio::test]
async fn a_stage_is_read_from_spans_events_and_logs() {
    let stack = Stack::start(&[]).await;
    let submitted = vec![text("order.id", "A-1"), text("order.stage", "SUBMITTED")];
    let body = traces("shop", vec![span(1, 1, submitted)]).encode_to_vec();
    send(&stack, "/v1/traces", body).await;
    becomes(&stack, "A-1", "SUBMITTED").await;

    let mut running = span(2, 2, vec![text("orderId", "A-1")]);
    running.events.push(opentelemetry_proto::tonic::trace::v1::span::Event {
        time_unix_nano: AT + 10_000_000_000,
        name: "order.stage".to_owned(),
        attributes: vec![text("order.stage", "CALCULATION_RUNNING")],
        ..Default::default()
    });
    send(&stack, "/v1/traces", traces("mes", vec![running]).encode_to_vec()).await;
    becomes(&stack, "A-1", "CALCULATION_RUNNING").await;

    let record = LogRecord {
        time_unix_nano: AT + 20_000_000_000,
        attributes: vec![text("order_id", "A-1"), text("order.stage", "PRICE_CALCULATED")],
        ..LogRecord::default()
    };
    send(&stack, "/v1/logs", logs("mes", vec![record]).encode_to_vec()).await;
    becomes(&stack, "A-1", "PRICE_CALCULATED").await;
}

#[tokio::test]
async fn a_signal_without_an_order_waits_for_the_span_that_names_it() {
    let stack = Stack::start(&[]).await;
    let nameless = span(3, 1, vec![text("order.stage", "PACKAGING")]);
    send(&stack, "/v1/traces", traces("mes", vec![nameless]).encode_to_vec()).await;
    let naming = span(3, 2, vec![text("order.id", "B-2")]);
    send(&stack, "/v1/traces", traces("mes", vec![naming]).encode_to_vec()).await;
    becomes(&stack, "B-2", "PACKAGING").await;
}

#[tokio::test]
async fn the_sweep_finds_what_a_killed_collector_left() {
    let mut stack = Stack::start(&["--sweep-interval", "1h"]).await;
    let submitted = vec![text("order.id", "C-3"), text("order.stage", "SUBMITTED")];
    send(&stack, "/v1/traces", traces("shop", vec![span(4, 1, submitted)]).encode_to_vec()).await;
    becomes(&stack, "C-3", "SUBMITTED").await;
    // As if the process had died between its insert and its stitch.
    stack.collector.kill();
    stack.query_now("TRUNCATE TABLE orders").await;
    stack.restart_collector(&["--sweep-interval", "1h"]);
    becomes(&stack, "C-3", "SUBMITTED").await;
}

/// What is touched while a sweep goes through the orders, and what a stop leaves, is found, too.
#[tokio::test]
async fn what_does_not_fit_into_the_list_is_found_by_sweeps() {
    const ORDERS: usize = 40;
    let flags = ["--stitch-pending-max", "2", "--sweep-interval", "1h"];
    let mut stack = Stack::start(&flags).await;
    let stages = ["SUBMITTED", "CALCULATION_RUNNING", "PRICE_CALCULATED", "PACKAGING", "SHIPPED"];
    for (step, stage) in stages.iter().enumerate() {
        let record = |n: usize| LogRecord {
            time_unix_nano: AT + step as u64 * 10_000_000_000,
            attributes: vec![text("order_id", &format!("F-{n:02}")), text("order.stage", stage)],
            ..LogRecord::default()
        };
        let body = logs("mes", (0..ORDERS).map(record).collect()).encode_to_vec();
        send(&stack, "/v1/logs", body).await;
        if *stage == "PACKAGING" {
            stack.collector.terminate();
            assert_eq!(stack.collector.exit_code(), Some(0));
            stack.restart_collector(&flags);
            stack.ready().await;
        }
        let last = format!("SELECT count() FROM orders FINAL WHERE Stage = '{stage}'");
        // The first ones follow each other while sweeps are under way.
        if step > 1 {
            eventually(stage, async || stack.query(&last).await == [ORDERS.to_string()]).await;
        }
    }
    assert!(!stack.metrics().await.contains("stitch_overflows_total 0\n"));
}

#[tokio::test]
async fn a_repeat_changes_nothing() {
    let stack = Stack::start(&[]).await;
    let attributes = vec![text("order.id", "D-4"), text("order.stage", "SUBMITTED")];
    let body = traces("shop", vec![span(5, 1, attributes)]).encode_to_vec();
    for _ in 0..3 {
        send(&stack, "/v1/traces", body.clone()).await;
    }
    becomes(&stack, "D-4", "SUBMITTED").await;
    let history = "SELECT HistoryStage FROM orders FINAL WHERE OrderId = 'D-4'";
    assert_eq!(stack.query(history).await, ["['SUBMITTED']"]);
}

#[tokio::test]
async fn what_must_not_be_stored_never_reaches_the_store() {
    let stack = Stack::start(&["--redact-key", "inn,internal.*"]).await;
    let secrets = [
        text("customer.phone", "leak-1"),
        text("url.full", "https://s3/model.stl?X-Amz-Signature=leak-2"),
        text("http.request.header.authorization", "Bearer leak-3"),
        text("db.query.text", "SELECT * FROM c WHERE name = 'leak-4'"),
        text("inn", "leak-5"),
        text("internal.note", "leak-6"),
    ];
    let mut noisy = span(6, 1, secrets.to_vec());
    noisy.events.push(opentelemetry_proto::tonic::trace::v1::span::Event {
        attributes: secrets.to_vec(),
        ..Default::default()
    });
    send(&stack, "/v1/traces", traces("shop", vec![noisy]).encode_to_vec()).await;
    let record = LogRecord { attributes: secrets.to_vec(), ..LogRecord::default() };
    send(&stack, "/v1/logs", logs("shop", vec![record]).encode_to_vec()).await;
    for table in ["otel_traces", "otel_logs", "order_events", "order_traces", "order_aliases"] {
        let rows = stack.query(&format!("SELECT * FROM {table}")).await.join("\n");
        assert!(!rows.contains("leak"), "{table}: {rows}");
    }
    assert!(stack.metrics().await.contains("redacted_values_total 18"));
}
