//! How much each source may send: rates, and its share of what is in flight.

use std::time::Duration;

use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic_types::StatusExt;

use crate::access::{PROTOBUF, Tokens, body, call, send, send_as, source, status_of};
use crate::http::post;
use crate::otlp::{span, traces};
use crate::stack::{Stack, eventually};

#[tokio::test]
async fn a_flood_of_one_source_leaves_the_others_answered() {
    let (shop, shop_token) = source("shop", "spans_per_second = 5\nburst = \"2s\"");
    let (mes, mes_token) = source("mes", "");
    let tokens = Tokens::new(&format!("{shop}{mes}"));
    let stack = tokens.stack(&[]).await;
    let shown = format!("Bearer {shop_token}");

    // Larger than all that may be saved up: taken, and paid for afterwards.
    let large = traces("shop", (1..=500).map(|id| span(1, id, vec![])).collect());
    assert_eq!(send_as(&stack, &shop_token, large.encode_to_vec()).await, 200);
    let answer = send(&stack, Some(&shown), body("shop", 501)).await;
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    // 490 spans of debt at 5 a second.
    assert!((50..=99).contains(&wait), "{wait}");
    let status = status_of(answer).await;
    assert_eq!(status.code, tonic::Code::ResourceExhausted as i32);
    assert!(status.message.contains("source `shop` is over its 5 spans"), "{}", status.message);
    let refused = call(&stack, Some(&shown), traces("shop", vec![span(1, 502, vec![])])).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    let delay = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(delay > Duration::from_secs(40) && delay < Duration::from_secs(99), "{delay:?}");

    // A flood on many connections at once, and another source in the midst of it.
    let mut flood = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let (url, shown) = (stack.http("/v1/traces"), shown.clone());
        flood.spawn(async move {
            let mut refused = 0;
            for id in 0..25_u64 {
                let request = post(url.clone(), PROTOBUF, "", body("shop", 1_000 * sender + id));
                let answer = request.header("authorization", &shown).send().await.unwrap();
                refused += u64::from(answer.status() == 429);
            }
            refused
        });
    }
    for id in 0..25 {
        assert_eq!(send_as(&stack, &mes_token, body("mes", 100_000 + id)).await, 200);
    }
    let refused: u64 = flood.join_all().await.into_iter().sum();
    assert!(refused > 100, "{refused}");
    let stored = stack.query("SELECT count() FROM otel_traces WHERE ServiceName = 'mes'").await;
    assert_eq!(stored, ["25"]);
    let metrics = stack.metrics().await;
    let limited = metrics.lines().find_map(|line| {
        let line = line.strip_prefix("waybill_collector_source_requests_total")?;
        line.strip_prefix("{source=\"shop\",reason=\"rate_limited\"} ")?.parse::<u64>().ok()
    });
    assert_eq!(limited, Some(refused + 2));
    assert!(!metrics.contains("{source=\"mes\",reason=\"rate_limited\"}"), "{metrics}");
}

/// Begins a request and never ends it.
async fn stall(stack: &Stack, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(stack.collector.address("otlp-http")).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n\
         Authorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0; 0x8000]).await.unwrap();
    stream
}

/// Whether a small request of that source is refused, in such words.
async fn is_refused(stack: &Stack, token: &str, why: &str) -> bool {
    let answer = send(stack, Some(&format!("Bearer {token}")), body("any", 1)).await;
    answer.status() == 429 && status_of(answer).await.message.contains(why)
}

#[tokio::test]
async fn a_source_that_stalls_holds_its_own_share() {
    let (flood, flood_token) = source("flood", "");
    let (good, good_token) = source("good", "");
    let tokens = Tokens::new(&format!("{flood}{good}"));
    let stack = tokens.stack(&["--in-flight-requests-max", "8"]).await;
    let mut stalled = Vec::new();
    let why = "too many requests of yours are in flight";
    while !is_refused(&stack, &flood_token, why).await {
        assert!(stalled.len() < 100, "it has no share");
        stalled.push(stall(&stack, &flood_token).await);
    }
    for id in 0..4 {
        assert_eq!(send_as(&stack, &good_token, body("good", 1_000 + id)).await, 200);
    }
    assert!(stack.metrics().await.contains("reason=\"share\"}"));
    drop(stalled);
    eventually("it has nothing in flight", async || {
        send_as(&stack, &flood_token, body("flood", 1)).await == 200
    })
    .await;
}

#[tokio::test]
async fn who_breaks_off_has_sent_it_all_the_same() {
    let (stanza, token) = source("shop", "bytes_per_second = 1000\nburst = \"1s\"");
    let tokens = Tokens::new(&stanza);
    let stack = tokens.stack(&[]).await;
    drop(stall(&stack, &token).await);
    eventually("it is over its rate", async || {
        is_refused(&stack, &token, "1000 bytes per second").await
    })
    .await;
}

#[tokio::test]
async fn bytes_have_a_rate_too() {
    let (stanza, token) = source("shop", "bytes_per_second = 1000\nburst = \"1s\"");
    let tokens = Tokens::new(&stanza);
    let stack = tokens.stack(&[]).await;
    let many = traces("shop", (1..=2_000).map(|id| span(1, id, vec![])).collect());
    // Over HTTP the length is announced, over gRPC it is not: either is charged for.
    let answer = call(&stack, Some(&format!("Bearer {token}")), many).await;
    assert!(answer.is_ok());
    let answer = send(&stack, Some(&format!("Bearer {token}")), body("shop", 2_001)).await;
    assert_eq!(answer.status(), 429);
    let status = status_of(answer).await;
    assert!(status.message.contains("1000 bytes per second"), "{}", status.message);
}

#[tokio::test]
async fn without_tokens_each_service_may_have_a_rate() {
    let stack = Stack::start(&["--service-spans-per-second", "5", "--service-burst", "1s"]).await;
    let large = traces("shop", (1..=500).map(|id| span(1, id, vec![])).collect());
    assert_eq!(send(&stack, None, large.encode_to_vec()).await.status(), 200);
    let answer = send(&stack, None, body("shop", 501)).await;
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
    let status = status_of(answer).await;
    assert!(status.message.contains("service `shop`"), "{}", status.message);
    // Others are not held up, unless they travel with it: then nothing of it is taken.
    assert_eq!(send(&stack, None, body("crm", 502)).await.status(), 200);
    let mut mixed = traces("mes", vec![span(1, 503, vec![])]);
    mixed.resource_spans.extend(traces("shop", vec![span(1, 504, vec![])]).resource_spans);
    assert_eq!(send(&stack, None, mixed.encode_to_vec()).await.status(), 429);
    let stored = "SELECT ServiceName, count() FROM otel_traces GROUP BY 1 ORDER BY 1";
    assert_eq!(stack.query(stored).await, ["crm\t1", "shop\t500"]);
}
