//! Alertmanager's webhook: written down once, shown on the order's page.

use serde_json::{Value, json};

use crate::orders::{STUCK, samples};
use crate::stack::Stack;

fn notification(status: &str, starts_at: &str, ends_at: &str) -> Value {
    json!({
        "version": "4", "groupKey": "g", "truncatedAlerts": 0, "status": status,
        "receiver": "waybill", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager", "somethingNew": true,
        "alerts": [{
            "status": status, "fingerprint": "f1", "generatorURL": "",
            "labels": {"alertname": "CalculationOverOneHour", "severity": "critical",
                       "order_id": STUCK},
            "annotations": {"summary": "running for 72 min"},
            "startsAt": starts_at, "endsAt": ends_at,
        }],
    })
}

async fn post(stack: &Stack, secret: Option<&str>, body: String) -> u16 {
    let mut request = stack.client.post(stack.url("/api/v1/alerts/webhook")).body(body);
    if let Some(secret) = secret {
        request = request.bearer_auth(secret);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_page_is_shown_once_until_it_is_resolved() {
    let stack = Stack::start(&["--webhook-secret", "hush"]).await;
    let now = chrono::Utc::now();
    stack.insert(&samples(now.timestamp_millis())).await;
    let starts_at = (now - chrono::Duration::minutes(30)).to_rfc3339();
    let firing = notification("firing", &starts_at, "0001-01-01T00:00:00Z").to_string();

    assert_eq!(post(&stack, None, firing.clone()).await, 401);
    assert_eq!(post(&stack, Some("wrong"), firing.clone()).await, 401);
    for _ in 0..3 {
        assert_eq!(post(&stack, Some("hush"), firing.clone()).await, 204);
    }
    let path = format!("/orders/{STUCK}?lang=en");
    let page = stack.page(&path, 200).await;
    assert_eq!(page.matches("still active").count(), 1, "{page}");
    assert!(page.contains("running for 72 min"), "{page}");
    let order = stack.json(&format!("/api/v1/orders/{STUCK}"), 200).await;
    assert_eq!(order["alerts"].as_array().unwrap().len(), 1);
    assert!(order["alerts"][0]["resolved_at"].is_null());
    assert_eq!(stack.json("/api/v1/board", 200).await["active_alerts"], 1);

    let resolved = notification("resolved", &starts_at, &now.to_rfc3339()).to_string();
    assert_eq!(post(&stack, Some("hush"), resolved).await, 204);
    let page = stack.page(&path, 200).await;
    assert!(page.contains("resolved at") && !page.contains("still active"), "{page}");
}

#[tokio::test]
async fn what_is_no_notification_is_refused_for_good() {
    let stack = Stack::start(&[]).await;
    assert_eq!(post(&stack, None, "{".into()).await, 400);
    assert_eq!(post(&stack, None, json!({"version": "5", "alerts": []}).to_string()).await, 400);
    assert_eq!(post(&stack, None, " ".repeat((1 << 20) + 1)).await, 413);
    assert_eq!(post(&stack, None, json!({"version": "4", "alerts": []}).to_string()).await, 204);
}
