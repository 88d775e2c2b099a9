//! What people and programs are told when the store is gone.

use std::process::Command;

use serde_json::json;

use crate::stack::{Stack, program};

#[tokio::test]
async fn without_a_store_pages_say_so_and_the_webhook_asks_for_a_repeat() {
    let mut stack = Stack::start(&[]).await;
    // Ready once the store has answered anything.
    assert_eq!(stack.get("/stages/SUBMITTED").await.status(), 200);
    assert_eq!(stack.get("/readyz").await.status(), 200);
    stack.kill_engine();

    let response = stack.get("/?lang=en").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    let page = response.text().await.unwrap();
    assert!(
        page.contains("The data store does not answer") && page.contains("Try again"),
        "{page}"
    );
    assert_eq!(stack.get("/board/fragment").await.status(), 503);

    let problem = stack.json("/api/v1/board", 503).await;
    assert_eq!(problem["type"], "urn:waybill:problem:store-unavailable");

    let alert = json!({"status": "firing", "fingerprint": "f", "labels": {"order_id": "O"},
        "startsAt": "2026-01-02T03:04:05Z"});
    let body = json!({"version": "4", "alerts": [alert]}).to_string();
    let url = stack.url("/api/v1/alerts/webhook");
    let response = stack.client.post(url).body(body).send().await.unwrap();
    assert_eq!(response.status(), 503, "Alertmanager tries again after 5xx only");

    let ready = stack.page("/readyz", 503).await;
    assert!(ready.contains("store: the store does not answer: cannot "), "{ready}");
    let log = stack.log();
    assert_eq!(log.matches("ERROR").count(), 1, "one outage, one error: {log}");
    assert!(log.contains("store does not answer"), "{log}");
    assert_eq!(stack.get("/livez").await.status(), 200);
    let metrics = stack.page("/metrics", 200).await;
    assert!(metrics.contains("store_query_failures_total{query=\"board\"}"), "{metrics}");

    assert_eq!(stack.stop_ui(), Some(0));
    let log = stack.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("INFO stopped"), "{log}");
}

#[tokio::test]
async fn a_webhook_that_may_not_write_says_which_setting_is_wrong() {
    let stack = Stack::start(&["--writer-user", "reader"]).await;
    let alert = json!({"status": "firing", "fingerprint": "f", "labels": {"order_id": "O"},
        "startsAt": "2026-01-02T03:04:05Z"});
    let body = json!({"version": "4", "alerts": [alert]}).to_string();
    for _ in 0..2 {
        let url = stack.url("/api/v1/alerts/webhook");
        let response = stack.client.post(url).body(body.clone()).send().await.unwrap();
        assert_eq!(response.status(), 503, "Alertmanager tries again after 5xx only");
    }
    let log = stack.log();
    let said = log.matches("webhook cannot write: set --writer-user/--writer-password").count();
    assert_eq!(said, 1, "{log}");
}

#[test]
fn a_public_address_that_is_none_is_a_bad_setting() {
    let flags = ["--listen", "127.0.0.1:0", "--public-url", "waybill"];
    let answer = Command::new(program("tracker-ui")).args(flags).output().unwrap();
    assert_eq!(answer.status.code(), Some(64));
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(said.contains("--public-url") && said.contains("https://waybill.example"), "{said}");
}
