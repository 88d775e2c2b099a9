//! Derived states over the real engine: numbers and the lists behind them, lost messages, silent
//! systems, and ids that turn out to be one order.

use std::time::Duration;

use order_model::keys::SIGNAL_HANDED_OVER;
use order_store::Batch;

use crate::orders::{HOUR, MINUTE, Order, samples};
use crate::stack::{STORE_URL, Stack};

const LOST: &str = "ORD-LOST";

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Approved by CRM, which told MES, which never took the message.
fn lost(now_ms: i64) -> Batch {
    Order::new(LOST, now_ms)
        .trace(1, 2 * HOUR, "custom", "b2c")
        .stage(1, 2 * HOUR, "mes", "PRICE_CALCULATED")
        .stage(1, HOUR, "crm", "MANUFACTURING_APPROVED")
        .signal(1, HOUR, "crm", SIGNAL_HANDED_OVER, "mes.production", 0)
        .done()
}

#[tokio::test]
async fn numbers_and_the_lists_behind_them_agree() {
    let stack = Stack::start(&[]).await;
    let mut batch = samples(now_ms());
    batch.append(lost(now_ms()));
    stack.insert(&batch).await;
    let board = stack.json("/api/v1/board", 200).await;
    let as_of = board["as_of"].as_str().unwrap();
    let stages = board["stages"].as_array().unwrap();
    for condition in ["stuck", "late", "lost_in_handover", "retrying"] {
        let sum: u64 = stages.iter().map(|stage| stage[condition].as_u64().unwrap()).sum();
        let path = format!("/api/v1/orders?condition={condition}&as_of={as_of}&limit=500");
        let list = stack.json(&path, 200).await;
        assert_eq!(list["as_of"], as_of);
        assert_eq!(list["orders"].as_array().unwrap().len() as u64, sum, "{condition}: {list:#}");
        assert!(sum > 0, "{condition} is tried: {board:#}");
    }
    let first = stack.json("/api/v1/orders?limit=2", 200).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = stack.json(&format!("/api/v1/orders?limit=2&cursor={cursor}"), 200).await;
    assert_eq!(second["as_of"], first["as_of"]);
    assert_ne!(second["orders"][0]["order_id"], first["orders"][0]["order_id"]);
    stack.json("/api/v1/orders?as_of=noon", 400).await;
    stack.page("/orders?as_of=noon", 400).await;
    // An hour before, nobody had waited that long.
    let early = stack.json("/api/v1/orders?condition=stuck&as_of=2000-01-01T00:00:00Z", 200).await;
    assert_eq!(early["orders"].as_array().unwrap().len(), 0);

    let page = stack.page("/orders?condition=stuck&lang=en", 200).await;
    assert!(page.contains("Open orders") && page.contains("ORD-2026-000105"), "{page}");
    assert!(!page.contains("ORD-2026-000104"), "{page}");
}

#[tokio::test]
async fn a_message_that_nobody_took_is_told() {
    let stack = Stack::start(&[]).await;
    stack.insert(&lost(now_ms())).await;
    let order = stack.json(&format!("/api/v1/orders/{LOST}"), 200).await;
    assert_eq!(order["order"]["lost_in_handover"], true);
    assert_eq!(order["order"]["condition"], "lost_in_handover");
    assert_eq!(order["handover"]["destination"], "mes.production");
    assert_eq!(order["handover"]["from"], "crm");
    let page = stack.page(&format!("/orders/{LOST}?lang=en"), 200).await;
    assert!(
        page.contains("Lost in hand-over from crm to mes: message to mes.production"),
        "{page}"
    );
    let board = stack.page("/?lang=en", 200).await;
    assert!(board.contains("/stages/MANUFACTURING_APPROVED?condition=lost_in_handover"), "{board}");
}

#[tokio::test]
async fn an_id_that_was_merged_leads_to_the_order() {
    let stack = Stack::start(&[]).await;
    let now_ms = now_ms();
    let order = |id, age_s, stage| {
        let order = Order::new(id, now_ms).trace(1, age_s, "custom", "b2b");
        order
            .stage(1, age_s, "crm", stage)
            .span(1, 0, age_s, 5, "crm", "POST /orders")
            .alias("partner_number", "P-900")
            .done()
    };
    let mut batch = order("B2B-900", HOUR, "SUBMITTED");
    batch.append(order("CRM-900", 30 * MINUTE, "PRICE_CALCULATED"));
    stack.insert(&batch).await;

    let board = stack.json("/api/v1/board", 200).await;
    assert_eq!(board["conservation"]["merged_ids"], 1, "{board:#}");
    assert_eq!(board["conservation"]["difference"], 0, "{board:#}");
    let order = stack.json("/api/v1/orders/CRM-900", 200).await;
    let shown = order["order"]["order_id"].as_str().unwrap();
    let other = if shown == "CRM-900" { "B2B-900" } else { "CRM-900" };
    assert!(order["other_ids"].as_array().unwrap().contains(&other.into()), "{order:#}");
    assert_eq!(
        stack.json(&format!("/api/v1/orders/{other}"), 200).await["order"]["order_id"],
        shown
    );
    for id in [shown, other] {
        let spans = stack.json(&format!("/api/v1/orders/{id}/spans"), 200).await;
        assert_eq!(spans["total"], 2, "{id}: {spans:#}");
    }

    let response = stack.get(&format!("/orders/{other}?lang=en")).await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["location"], format!("/orders/{shown}?lang=en"));
    let page = stack.page(&format!("/orders/{shown}?lang=en"), 200).await;
    assert!(page.contains("Also known as") && page.contains(other), "{page}");
}

#[tokio::test]
async fn a_silent_system_is_grey_on_the_board_and_named_on_its_orders() {
    let stack = Stack::start(&[]).await;
    // Everything was received an hour ago, and nothing since.
    let hour_ago = now_ms() - HOUR * 1_000;
    let order = Order::new("ORD-MUTE", hour_ago).trace(1, MINUTE, "custom", "b2c");
    stack
        .insert(
            &order.stage(1, MINUTE, "mes", "PACKAGING").span(1, 0, MINUTE, 5, "mes", "x").done(),
        )
        .await;
    let sources = stack.json("/api/v1/sources", 200).await;
    assert_eq!(sources["sources"][0]["source"], "mes", "{sources:#}");
    assert_eq!(sources["sources"][0]["silent"], true);
    let order = stack.json("/api/v1/orders/ORD-MUTE", 200).await;
    assert_eq!(order["silent"][0]["source"], "mes", "{order:#}");
    assert!(order["silent"][0]["last_received_at"].is_string());
    let page = stack.page("/orders/ORD-MUTE?lang=en", 200).await;
    assert!(page.contains("No data from mes since"), "{page}");
    let board = stack.page("/?lang=en", 200).await;
    assert!(board.contains("class=\"silence\""), "{board}");
    assert!(stack.page("/sources?lang=en", 200).await.contains("Systems and their clocks"));
}

#[tokio::test]
async fn a_page_read_from_a_replica_says_so() {
    // The store is its own replica: it answers and has everything.
    let stack = Stack::start(&["--store-replicas", STORE_URL]).await;
    let read = async {
        while !stack.page("/metrics", 200).await.contains("replica_is_read 1\n") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap();
    let said = "Read from a replica, at most";
    assert_eq!(stack.page("/?lang=en", 200).await.matches(said).count(), 2, "numbers and foot");
    assert!(stack.page("/orders?lang=en", 200).await.contains(said));
    assert!(stack.json("/api/v1/board", 200).await["replica_lag_ms"].is_i64());
    let metrics = stack.page("/metrics", 200).await;
    assert!(metrics.contains("replica_fit{replica=\"http://127.0.0.1:"), "{metrics}");
    let alone = Stack::start(&[]).await;
    assert!(!alone.page("/?lang=en", 200).await.contains("Read from a replica"));
    assert!(alone.json("/api/v1/board", 200).await["replica_lag_ms"].is_null());
}
