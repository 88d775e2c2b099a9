//! The JSON API: numbers, pages, and errors that say what to do.

use std::collections::BTreeSet;

use crate::orders::{MINUTE, Order, STUCK, samples};
use crate::stack::Stack;

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[tokio::test]
async fn the_board_counts_and_an_order_is_whole() {
    let stack = Stack::start(&["--public-url", "https://waybill.example/"]).await;
    stack.insert(&samples(now_ms())).await;
    let board = stack.json("/api/v1/board", 200).await;
    let stages = board["stages"].as_array().unwrap();
    let sum = |name: &str| stages.iter().map(|stage| stage[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("total"), sum("late"), sum("stuck")), (18, 2, 3), "{board:#}");
    assert_eq!(board["conservation"]["difference"], 0);
    assert_eq!(board["active_alerts"], 0);
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["INITIATED", "FILE_UPLOADED", "SUBMITTED"]);
    assert!(names.contains(&"WAITING_FOR_PAINT"));

    let order = stack.json(&format!("/api/v1/orders/{STUCK}"), 200).await;
    assert_eq!(order["order"]["condition"], "stuck");
    assert_eq!(order["order"]["page"], format!("https://waybill.example/orders/{STUCK}"));
    assert_eq!(order["calculation"]["part"], "running");
    assert_eq!(order["history"].as_array().unwrap().len(), 6);
    assert!(order["as_of"].as_str().unwrap().ends_with('Z'));

    let spans = stack.json(&format!("/api/v1/orders/{STUCK}/spans?limit=4"), 200).await;
    assert_eq!(spans["total"], 9);
    assert_eq!(spans["spans"].as_array().unwrap().len(), 4);
    assert_eq!(spans["spans"][2]["duration_seconds"], 2.34);

    let found = stack.json("/api/v1/search?q=000106", 200).await;
    assert_eq!(found["hits"][0]["matched_by"], "part_of_order_id");
    let described = stack.json("/api/openapi.json", 200).await;
    assert_eq!(described["servers"][0]["url"], "https://waybill.example");
}

#[tokio::test]
async fn pages_of_a_list_agree_and_miss_nobody() {
    let stack = Stack::start(&[]).await;
    let now_ms = now_ms();
    let mut batch = order_store::Batch::default();
    for n in 0..23 {
        // Three orders to a minute: pages end among equal times.
        let age_s = (1 + n / 3) * MINUTE;
        let id = format!("ORD-{n:03}");
        let order = Order::new(&id, now_ms).trace(1, age_s, "ready_made", "b2c");
        batch.append(order.stage(1, age_s, "shop", "SUBMITTED").done());
    }
    stack.insert(&batch).await;
    let mut seen = Vec::new();
    let mut as_of = BTreeSet::new();
    let mut path = "/api/v1/stages/SUBMITTED/orders?limit=5".to_owned();
    loop {
        let page = stack.json(&path, 200).await;
        as_of.insert(page["as_of"].as_str().unwrap().to_owned());
        for order in page["orders"].as_array().unwrap() {
            let since = order["since"].as_str().unwrap().to_owned();
            seen.push((since, order["order_id"].as_str().unwrap().to_owned()));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/stages/SUBMITTED/orders?limit=5&cursor={cursor}");
    }
    assert_eq!(seen.len(), 23);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first: {seen:?}");
    assert_eq!(as_of.len(), 1, "every page is read as of the same time");
}

#[tokio::test]
async fn errors_are_problems_that_say_what_to_do() {
    let stack = Stack::start(&[]).await;
    let cases = [
        ("/api/v1/stages/SUBMITTED/orders?limit=0", 400, "limit is 0; it must be from 1 to 500"),
        ("/api/v1/stages/SUBMITTED/orders?limit=501", 400, "from 1 to 500"),
        ("/api/v1/stages/SUBMITTED/orders?limit=many", 400, "limit"),
        ("/api/v1/stages/SUBMITTED/orders?cursor=%00", 400, "start from the first page"),
        ("/api/v1/stages/SUBMITTED/orders?condition=odd", 400, "there are: stuck, late"),
        ("/api/v1/orders/ORD-0", 404, "/api/v1/search"),
        ("/api/v1/orders/%20", 400, "an order id cannot be empty"),
        ("/api/v1/orders/ORD-0/spans?limit=99999", 400, "from 1 to 10000"),
        ("/api/v1/search", 400, "missing field `q`"),
        ("/api/v1/nothing", 404, "/api/openapi.json"),
    ];
    for (path, status, expected) in cases {
        let response = stack.get(path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let problem: serde_json::Value = response.json().await.unwrap();
        assert_eq!(problem["status"], status, "{path}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{path}: {detail}");
    }
}
