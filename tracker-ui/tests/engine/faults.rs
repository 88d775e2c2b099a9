//! What people and programs are told when the store is gone.

use serde_json::json;

use crate::stack::Stack;

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
    assert!(ready.contains("store: the store does not answer"), "{ready}");
    assert_eq!(stack.get("/livez").await.status(), 200);
    let metrics = stack.page("/metrics", 200).await;
    assert!(metrics.contains("store_query_failures_total{query=\"board\"}"), "{metrics}");
}
