//! Every bound on requests, and settings that are refused.

use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stack::{Stack, program};

#[tokio::test]
async fn more_requests_than_the_bound_are_told_when_to_come_back() {
    let stack = Stack::start(&["--requests-max", "0"]).await;
    let response = stack.get("/?lang=en").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert!(response.text().await.unwrap().contains("Too many requests at once"));
    let problem = stack.json("/api/v1/board", 503).await;
    assert_eq!(problem["type"], "urn:waybill:problem:busy");
    assert_eq!(stack.get("/livez").await.status(), 200);
    let metrics = stack.page("/metrics", 200).await;
    assert!(metrics.contains("requests_refused_total{reason=\"requests_max\"} 2"), "{metrics}");
}

#[tokio::test]
async fn a_store_that_takes_too_long_is_given_up() {
    let stack = Stack::start(&["--query-time-max", "1us"]).await;
    assert!(stack.page("/?lang=en", 503).await.contains("The answer takes too long"));
    let problem = stack.json("/api/v1/board", 503).await;
    assert_eq!(problem["type"], "urn:waybill:problem:too-slow");
    assert!(stack.page("/readyz", 503).await.contains("the store takes too long"));
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let stack = Stack::start(&["--head-time-max", "300ms"]).await;
    let address = stack.url("");
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut answer = Vec::new();
    // Ends only when the server closes the connection.
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
}

#[test]
fn bad_settings_are_named_and_end_with_64() {
    let cases = [
        (["--time-zone", "Mars/Phobos"], "time-zone"),
        (["--lifecycle", "/no/such/file"], "lifecycle"),
        (["--webhook-secret-file", "/no/such/file"], "webhook-secret-file"),
        (["--query-time-max", "soon"], "query-time-max"),
    ];
    for (flags, expected) in cases {
        let output = Command::new(program("tracker-ui")).args(flags).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
