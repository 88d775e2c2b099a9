//! The store away: senders are told to come again, nothing is dropped, all is well afterwards.

use prost::Message;
use reqwest::Client;

use crate::grpc::{grpc_status, post_raw};
use crate::http::post;
use crate::otlp::{grpc_frame, span, traces};
use crate::stack::{Stack, eventually, start_collector};

const PROTOBUF: &str = "application/x-protobuf";

#[tokio::test]
async fn while_the_store_is_away_senders_are_told_to_come_again() {
    let mut stack = Stack::start(&["--insert-deadline", "5s", "--retry-after", "3s"]).await;
    let body = traces("shop", vec![span(1, 1, vec![])]).encode_to_vec();
    stack.engine.kill();

    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "3");
    let status = tonic_types::Status::decode(answer.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, tonic::Code::Unavailable as i32);

    let answer = post_raw(&stack, "", grpc_frame(false, &body)).await;
    assert_eq!(grpc_status(&answer).0, tonic::Code::Unavailable as i32);
    // RetryInfo stands in the details.
    assert!(answer.headers().contains_key("grpc-status-details-bin"));

    let ready = format!("http://{}/readyz", stack.collector.address("admin"));
    let answer = reqwest::get(&ready).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("store: "));

    stack.restart_engine();
    stack.ready().await;
    // Either the ping or the insert below hears of it first; both say it once.
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(stack.query("SELECT count() FROM otel_traces FINAL").await, ["1"]);
    let log = stack.collector.log();
    for once in ["store does not answer", "store answers again"] {
        assert_eq!(log.matches(once).count(), 1, "{once}: {log}");
    }
    assert_eq!(log.matches("insert given up").count(), 0, "{log}");
}

#[tokio::test]
async fn without_traffic_the_return_of_the_store_is_heard_by_the_ping() {
    let mut stack = Stack::start(&["--sweep-interval", "1h"]).await;
    stack.engine.kill();
    eventually("the ping fails", async || stack.collector.log().contains("store does not answer"))
        .await;
    stack.restart_engine();
    // Neither an insert nor a sweep is there to hear of it.
    stack.ready().await;
    assert_eq!(stack.collector.log().matches("store answers again").count(), 1);
}

#[tokio::test]
async fn an_outage_shorter_than_the_deadline_is_not_noticed() {
    let mut stack = Stack::start(&["--insert-deadline", "60s"]).await;
    stack.engine.kill();
    let body = traces("shop", vec![span(1, 1, vec![])]).encode_to_vec();
    let sending = tokio::spawn(post(stack.http("/v1/traces"), PROTOBUF, "", body).send());
    // The first try has failed before the store comes back.
    eventually("an insert failed", async || {
        !stack.metrics().await.contains("insert_failures_total 0\n")
    })
    .await;
    stack.restart_engine();
    assert_eq!(sending.await.unwrap().unwrap().status(), 200);
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["1"]);
}

#[tokio::test]
async fn before_the_store_is_there_the_collector_lives_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens on port 1.
    let mut collector =
        start_collector(folder.path(), "http://127.0.0.1:1", &["--store-wait", "3s"]);
    let admin = collector.address("admin").to_owned();
    let status = async |url: String| Client::new().get(url).send().await.unwrap().status();
    assert_eq!(status(format!("http://{admin}/livez")).await, 200);
    assert_eq!(status(format!("http://{admin}/readyz")).await, 503);
    let url = format!("http://{}/v1/traces", collector.address("otlp-http"));
    // Heard also by the sender of a body that nobody wants to read.
    let answer = post(url, PROTOBUF, "", vec![0; 8 << 20]).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    // EX_UNAVAILABLE once it has waited long enough.
    assert_eq!(collector.exit_code(), Some(69));
}
