//! Many senders and bad ones: groups form under load, slow bodies and idle heads are cut off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use prost::Message;
use tokio::task::JoinSet;

use crate::http::post;
use crate::otlp::{span, traces};
use crate::stack::Stack;

const PROTOBUF: &str = "application/x-protobuf";

#[tokio::test]
async fn what_waits_becomes_one_insert() {
    let stack = Stack::start(&[]).await;
    let requests = 40;
    let mut sending = JoinSet::new();
    stack.engine.freeze();
    let body = |id| traces("shop", vec![span(1, id, vec![])]).encode_to_vec();
    for id in 1..=requests {
        let url = stack.http("/v1/traces");
        sending.spawn(post(url, PROTOBUF, "", body(id)).send());
    }
    // All are answered while the store does nothing.
    while let Some(sent) = sending.join_next().await {
        assert_eq!(sent.unwrap().unwrap().status(), 200);
    }
    stack.engine.thaw();
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, [requests.to_string()]);
    let metrics = stack.metrics().await;
    let inserts = metrics.lines().find_map(|line| {
        line.strip_prefix("waybill_collector_insert_requests_count ")?.parse::<u64>().ok()
    });
    // One insert was in flight while the store was frozen; the others waited.
    assert!(inserts.unwrap() <= 4, "{inserts:?}");
    assert!(metrics.contains("waybill_collector_insert_requests_sum 40"), "{metrics}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_refused() {
    let stack = Stack::start(&["--body-read-timeout", "200ms"]).await;
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    let answer = say(stack.collector.address("otlp-http"), head);
    // Clients repeat it.
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("retry-after: 2\r\n"), "{answer}");
    assert!(answer.contains("the body did not arrive in time"), "{answer}");
    assert!(stack.metrics().await.contains("reason=\"slow\"} 1\n"));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let stack = Stack::start(&["--header-read-timeout", "200ms"]).await;
    for port in ["otlp-http", "otlp-grpc"] {
        for head in ["", "PRI * HT", "POST /v1/traces HTTP/1.1\r\nHost"] {
            // Closed, with or without an answer.
            let answer = say(stack.collector.address(port), head);
            assert!(!answer.starts_with("HTTP/1.1 2"), "{port} {head}: {answer}");
        }
    }
}

/// Sends these bytes and reads until the connection is closed.
fn say(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
