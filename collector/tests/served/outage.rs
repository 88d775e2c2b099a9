//! The store away: what is answered is kept, senders are pressed back only when the journal is full,
//! and all of it is in the store once afterwards.

use prost::Message;
use reqwest::Client;

use crate::grpc::{grpc_status, post_raw};
use crate::http::post;
use crate::otlp::{grpc_frame, span, text, traces};
use crate::stack::{Stack, eventually, start_collector};

const PROTOBUF: &str = "application/x-protobuf";
/// The smallest journal there may be.
const SMALL_JOURNAL: [&str; 2] = ["--journal-bytes-max", "33554432"];

fn body(id: u64) -> Vec<u8> {
    traces("shop", vec![span(1, id, vec![])]).encode_to_vec()
}

#[tokio::test]
async fn while_the_store_is_away_what_is_answered_is_kept() {
    let mut stack = Stack::start(&[]).await;
    stack.engine.kill();
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body(1)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = post_raw(&stack, "", grpc_frame(false, &body(2))).await;
    assert_eq!(grpc_status(&answer).0, tonic::Code::Ok as i32);
    // Ready, and honest about it.
    eventually("the store is missed", async || {
        let (status, text) = stack.readiness().await;
        status == 200 && text.starts_with("ok\nstore: ")
    })
    .await;
    // A collector that dies and comes back without a store goes on.
    stack.restart_collector(&[]);
    eventually("the journal is open", async || stack.readiness().await.0 == 200).await;
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body(3)).send().await.unwrap();
    assert_eq!(answer.status(), 200);

    stack.restart_engine();
    stack.ready().await;
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["3"]);
    let log = stack.collector.log();
    // Once by the first collector, and once by the second.
    assert_eq!(log.matches("store does not answer").count(), 2, "{log}");
    assert_eq!(log.matches("store answers again").count(), 1, "{log}");
}

#[tokio::test]
async fn a_full_journal_presses_back_and_nothing_answered_is_lost() {
    let flags = [&SMALL_JOURNAL[..], &["--retry-after", "3s"]].concat();
    let mut stack = Stack::start(&flags).await;
    stack.engine.kill();
    let large = |id: u64| {
        let value = "x".repeat(30_000);
        let attributes = (0..30).map(|n| text(&format!("k{n}"), &value)).collect();
        traces("shop", vec![span(1, id, attributes)]).encode_to_vec()
    };
    let mut answered = 0;
    let refused = loop {
        let url = stack.http("/v1/traces");
        let answer = post(url, PROTOBUF, "", large(answered + 1)).send().await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 100, "the journal takes more than its bound");
    };
    assert!(answered > 10, "{answered}");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "3");
    let status = tonic_types::Status::decode(refused.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, tonic::Code::Unavailable as i32);
    assert!(status.message.contains("journal is full"), "{}", status.message);
    let refused = post_raw(&stack, "", grpc_frame(false, &large(1_000))).await;
    assert_eq!(grpc_status(&refused).0, tonic::Code::Unavailable as i32);
    // RetryInfo stands in the details.
    assert!(refused.headers().contains_key("grpc-status-details-bin"));
    eventually("not ready while full", async || {
        let again = post(stack.http("/v1/traces"), PROTOBUF, "", large(2_000)).send().await;
        assert_eq!(again.unwrap().status(), 503);
        let (status, text) = stack.readiness().await;
        status == 503 && text.starts_with("journal: full")
    })
    .await;

    stack.restart_engine();
    stack.ready().await;
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, [answered.to_string()]);
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", large(3_000)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
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
async fn before_the_store_is_there_data_is_taken_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens on port 1.
    let mut collector = start_collector(folder.path(), "http://127.0.0.1:1", &[]);
    let admin = collector.address("admin").to_owned();
    let status = async |url: String| Client::new().get(url).send().await.unwrap().status();
    assert_eq!(status(format!("http://{admin}/livez")).await, 200);
    eventually("the journal is open", async || {
        status(format!("http://{admin}/readyz")).await == 200
    })
    .await;
    let url = format!("http://{}/v1/traces", collector.address("otlp-http"));
    let answer = post(url, PROTOBUF, "", body(1)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    collector.terminate();
    assert_eq!(collector.exit_code(), Some(0), "{}", collector.log());
    let inspected = crate::process::run(&[
        "journal",
        "inspect",
        folder.path().join("journal").to_str().unwrap(),
    ]);
    let told = String::from_utf8(inspected.stdout).unwrap();
    assert!(told.ends_with("not known to be in the store: 1 records\n"), "{told}");
}

#[tokio::test]
async fn a_store_that_stands_still_holds_up_neither_start_nor_stop() {
    let mut stack = Stack::start(&["--drain-deadline", "2s"]).await;
    stack.engine.freeze();
    stack.restart_collector(&["--drain-deadline", "2s"]);
    eventually("the journal is open", async || stack.readiness().await.0 == 200).await;
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body(1)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    eventually("it is said that nothing is stored", async || {
        stack.readiness().await.1.contains("inserts: the store has taken nothing for")
    })
    .await;
    let begun = std::time::Instant::now();
    stack.collector.terminate();
    assert_eq!(stack.collector.exit_code(), Some(0), "{}", stack.collector.log());
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    stack.engine.thaw();
    stack.restart_collector(&[]);
    stack.ready().await;
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["1"]);
}

/// Who asks the store with the wrong name is told so, and loses nothing meanwhile.
#[tokio::test]
async fn a_store_that_knows_the_collector_not_is_named_and_nothing_is_lost() {
    let mut stack = Stack::start(&[]).await;
    stack.restart_collector(&["--store-user", "stranger"]);
    eventually("the journal is open", async || stack.readiness().await.0 == 200).await;
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body(1)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    eventually("what the store says is remarked", async || {
        let (status, text) = stack.readiness().await;
        status == 200 && text.contains("Authentication failed")
    })
    .await;
    assert!(stack.collector.log().contains("Authentication failed"), "{}", stack.collector.log());
    stack.restart_collector(&[]);
    stack.ready().await;
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["1"]);
}
