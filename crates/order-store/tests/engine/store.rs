//! Migrations, repeats of batches, sweeps and the reader, on the real engine.

use std::time::Duration;

use order_model::Lifecycle;
use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use order_store::read::{AlertRow, Condition, MatchedBy, StageFilter, Through};
use order_store::rows::{
    Batch, LogRow, OrderAliasRow, OrderEventRow, OrderTraceRow, SpanRow, TraceLinkRow,
};
use order_store::{Reader, Stitcher, SweepState, Writer};

use crate::server::Server;

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn stage(order: &str, stage: &str, age_s: i64) -> Batch {
    let received_at = now_ms();
    let event_time = received_at * NANOS_PER_MILLI - age_s * NANOS_PER_SECOND;
    let trace_id = format!("{order}-trace");
    Batch {
        order_traces: vec![OrderTraceRow {
            order_id: order.into(),
            trace_id: trace_id.clone(),
            start: event_time,
            end: event_time,
            received_at,
            has_model: 1,
            ..OrderTraceRow::default()
        }],
        order_events: vec![OrderEventRow {
            order_id: order.into(),
            signal: "stage".into(),
            stage: stage.into(),
            event_time,
            received_at,
            source: "shop".into(),
            trace_id,
            ..OrderEventRow::default()
        }],
        ..Batch::default()
    }
}

fn span(trace: &str, span: &str) -> SpanRow {
    SpanRow {
        timestamp: now_ms() * NANOS_PER_MILLI,
        trace_id: trace.into(),
        span_id: span.into(),
        span_name: "GET /".into(),
        service_name: "shop".into(),
        span_attributes: vec![("http.route".into(), "/".into())],
        events_timestamp: vec![1],
        events_name: vec!["e".into()],
        events_attributes: vec![vec![("k".into(), "v".into())]],
        received_at: now_ms(),
        ..SpanRow::default()
    }
}

async fn count(server: &Server, sql: &str) -> u64 {
    server.store.client().query(sql).fetch_one().await.unwrap()
}

#[tokio::test]
async fn migrations_run_once_and_a_changed_lifecycle_adds_a_generation() {
    let server = Server::start();
    let mut lifecycle = Lifecycle::default();
    server.store.migrate(&lifecycle).await.unwrap();
    server.store.migrate(&lifecycle).await.unwrap();
    assert_eq!(count(&server, "SELECT count() FROM lifecycles").await, 1);
    lifecycle.skew = Duration::from_secs(5);
    server.store.migrate(&lifecycle).await.unwrap();
    assert_eq!(count(&server, "SELECT count() FROM lifecycles").await, 2);
    let skew: i64 =
        server.store.client().query("SELECT SkewMs FROM lifecycle_v1").fetch_one().await.unwrap();
    assert_eq!(skew, 5000);
}

#[tokio::test]
async fn a_repeated_batch_is_stored_once_and_survives_a_kill() {
    let mut server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let mut batch = stage("ORD-1", "SUBMITTED", 5);
    batch.spans.push(span("t1", "s1"));
    batch.logs.push(LogRow {
        service_name: "mes".into(),
        received_at: now_ms(),
        ..LogRow::default()
    });
    let writer = Writer::new(server.store.clone());
    writer.insert(&batch, "token-1").await.unwrap();
    server.kill_and_restart();
    let writer = Writer::new(server.store.clone());
    writer.insert(&batch, "token-1").await.unwrap();
    for table in ["otel_traces", "otel_logs", "order_events", "otel_traces_trace_id_ts"] {
        assert_eq!(count(&server, &format!("SELECT count() FROM {table}")).await, 1, "{table}");
    }
    // A client's repeat comes under another token: the views fold it by identity.
    writer.insert(&batch, "token-2").await.unwrap();
    assert_eq!(count(&server, "SELECT count() FROM otel_traces_v1").await, 1);
}

#[tokio::test]
async fn times_of_1970_and_2200_are_kept() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let mut batch = Batch::default();
    for (id, timestamp) in [("a", 0), ("b", 7_258_118_400 * NANOS_PER_SECOND), ("c", i64::MAX)] {
        batch.spans.push(SpanRow { timestamp, ..span(id, "s") });
    }
    Writer::new(server.store.clone()).insert(&batch, "t").await.unwrap();
    let sql = "SELECT toUnixTimestamp64Nano(Timestamp) FROM otel_traces ORDER BY TraceId";
    let times: Vec<i64> = server.store.client().query(sql).fetch_all().await.unwrap();
    assert_eq!(times, [0, 7_258_118_400 * NANOS_PER_SECOND, i64::MAX]);
    let ends = "SELECT count() FROM otel_traces_trace_id_ts WHERE End >= Start";
    assert_eq!(count(&server, ends).await, 3);
}

#[tokio::test]
async fn the_sweep_finds_what_nobody_stitched() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let stitcher = Stitcher::new(server.store.clone(), Default::default());
    writer.insert(&stage("ORD-1", "SUBMITTED", 5), "a").await.unwrap();
    let mut state = SweepState::new("sweeper".to_owned());
    assert_eq!(stitcher.sweep(&mut state).await.unwrap().orders, 1);
    assert_eq!(stitcher.sweep(&mut state).await.unwrap().orders, 0);
    // Another one inserts, says that it is there, and is not heard of again.
    writer.insert(&stage("ORD-2", "SUBMITTED", 5), "b").await.unwrap();
    let now = now_ms();
    for (said_at, found) in [(now, 0), (now - 31_000, 1)] {
        let peer = format!(
            "INSERT INTO stitchers (Stitcher, SaidAt, StitchedUntil, LagMs, Stopped) \
             VALUES ('peer-{found}', {}, {}, 0, 0)",
            said_at as f64 / 1e3,
            (now - 31_000) as f64 / 1e3,
        );
        server.store.client().query(&peer).execute().await.unwrap();
        assert_eq!(stitcher.sweep(&mut state).await.unwrap().orders > 0, found > 0);
    }
    assert_eq!(stitcher.sweep(&mut state).await.unwrap().orders, 0, "it was taken over once");
    assert_eq!(count(&server, "SELECT count() FROM orders FINAL").await, 2);
}

#[tokio::test]
async fn orders_of_many_traces_are_derived_too() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let mut batch = Batch::default();
    // 30 orders of 1,000 traces, and one that alone is more than a statement likes.
    for (order, traces) in (0..30).map(|n| (n, 1_000)).chain([(30, 20_000)]) {
        let order_id = format!("ORD-{order:02}");
        batch.append(stage(&order_id, "SUBMITTED", 5));
        let first = batch.order_traces.last().unwrap().clone();
        batch.order_traces.extend(
            (0..traces).map(|n| OrderTraceRow {
                trace_id: format!("{order:016}{n:016}"),
                ..first.clone()
            }),
        );
    }
    Writer::new(server.store.clone()).insert(&batch, "t").await.unwrap();
    let stitched = Stitcher::new(server.store.clone(), Default::default())
        .stitch(&batch.touched(), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(stitched.orders, 31);
    assert_eq!(
        count(&server, "SELECT count() FROM orders FINAL WHERE Stage = 'SUBMITTED'").await,
        31
    );
}

#[tokio::test]
async fn the_reader_counts_lists_finds_and_shows() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let mut batch = Batch::default();
    for (order, name, age_s) in [
        ("ORD-2026-0001", "SUBMITTED", 60),
        ("ORD-2026-0002", "SUBMITTED", 20 * 60),
        ("ORD-2026-0003", "SUBMITTED", 70 * 60),
        ("ORD-2026-0004", "QUALITY_CHECK", 60),
        ("ORD-2026-0005", "CLOSED", 60),
    ] {
        batch.append(stage(order, name, age_s));
    }
    batch.spans.push(span("ORD-2026-0001-trace", "1"));
    batch.spans.push(span("other", "2"));
    batch.trace_links.push(TraceLinkRow {
        trace_id: "other".into(),
        linked_trace_id: "ORD-2026-0001-trace".into(),
        received_at: now_ms(),
        ..TraceLinkRow::default()
    });
    batch.order_aliases.push(OrderAliasRow {
        alias: "P77".into(),
        alias_kind: "partner_number".into(),
        order_id: "ORD-2026-0002".into(),
        received_at: now_ms(),
        ..OrderAliasRow::default()
    });
    writer.insert(&batch, "t").await.unwrap();
    Stitcher::new(server.store.clone(), Default::default())
        .stitch(&batch.touched(), Duration::ZERO)
        .await
        .unwrap();
    let reader = Reader::new(server.store.clone());

    let board = reader.board(None).await.unwrap();
    let submitted = board.stages.iter().find(|s| s.stage == "SUBMITTED").unwrap();
    assert_eq!((submitted.total, submitted.late, submitted.stuck), (3, 1, 1));
    let unknown = board.stages.last().unwrap();
    assert_eq!((unknown.stage.as_str(), unknown.rank, unknown.total), ("QUALITY_CHECK", 0, 1));
    assert_eq!((board.seen, board.derived, board.difference), (5, 5, 0));
    assert_eq!(board.sources.iter().map(|s| s.source.as_str()).collect::<Vec<_>>(), ["shop"]);

    let all = StageFilter::default();
    let page =
        reader.stage_orders(Some("SUBMITTED"), all, 2, None, Some(board.as_of)).await.unwrap();
    let ids = |orders: &[order_store::read::OrderSummary]| -> Vec<String> {
        orders.iter().map(|o| o.order_id.clone()).collect()
    };
    assert_eq!(ids(&page.orders), ["ORD-2026-0001", "ORD-2026-0002"]);
    let rest =
        reader.stage_orders(Some("SUBMITTED"), all, 2, page.next, Some(page.as_of)).await.unwrap();
    assert_eq!((ids(&rest.orders), rest.next), (vec!["ORD-2026-0003".to_owned()], None));
    let stuck = StageFilter { condition: Some(Condition::Stuck) };
    let page = reader.stage_orders(Some("SUBMITTED"), stuck, 9, None, None).await.unwrap();
    assert_eq!(ids(&page.orders), ["ORD-2026-0003"]);

    let found = |hits: Vec<order_store::read::SearchHit>| -> Vec<(String, MatchedBy)> {
        hits.into_iter().map(|h| (h.order.order_id, h.matched_by)).collect()
    };
    let cases = [
        ("№ ord 2026 -0003", vec![("ORD-2026-0003", MatchedBy::OrderId)]),
        (" p-77 ", vec![("ORD-2026-0002", MatchedBy::PartnerNumber)]),
        ("0004", vec![("ORD-2026-0004", MatchedBy::PartOfOrderId)]),
        ("nothing'; DROP TABLE orders", vec![]),
        ("?", vec![]),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(|(id, by)| (id.to_owned(), by)).collect();
        assert_eq!(found(reader.search(text, 10).await.unwrap()), expected, "{text}");
    }

    let order = reader.order("ORD-2026-0003").await.unwrap().unwrap();
    assert_eq!(order.summary.condition, Condition::Stuck);
    assert_eq!(order.calculation.unwrap().part, "never_queued");
    assert_eq!(order.history[0].stage, "SUBMITTED");
    assert!(reader.order("ORD-0").await.unwrap().is_none());
    let spans = reader.order_spans("ORD-2026-0001", 10).await.unwrap();
    let through: Vec<_> = spans.spans.iter().map(|s| (s.span_id.as_str(), s.through)).collect();
    assert_eq!(through, [("1", Through::Named), ("2", Through::Linked)]);
    assert_eq!(spans.total, 2);
}

/// The price was given in time. Whether it was heard too late goes by when the price itself came
/// into the store: no later event of the same order, nor its repeat, moves it.
#[tokio::test]
async fn an_answer_is_heard_when_it_comes_in_not_when_the_order_is() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let mut batch = Batch::default();
    for order in ["ORD-IN-TIME", "ORD-LATE"] {
        batch.append(stage(order, "SUBMITTED", 7_200));
        // The collector received it at once; a journal kept it while the store was away.
        let mut price = stage(order, "PRICE_CALCULATED", 6_600);
        price.order_events[0].received_at = now_ms() - 6_600_000;
        batch.append(price);
        batch.append(stage(order, "SHIPPED", 1));
    }
    let approved = stage("ORD-LATE", "MANUFACTURING_APPROVED", 6_000);
    batch.append(approved);
    Writer::new(server.store.clone()).insert(&batch, "t").await.unwrap();
    // One was in the store when it was received; its repeat comes now.
    let earlier = "INSERT INTO order_events (OrderId, Carrier, Signal, Stage, EventTime, \
        ReceivedAt, Source, TraceId, SpanId, InsertedAt) SELECT OrderId, Carrier, Signal, Stage, \
        EventTime, ReceivedAt, Source, TraceId, SpanId, ReceivedAt FROM order_events \
        WHERE OrderId = 'ORD-IN-TIME' AND Stage = 'PRICE_CALCULATED'";
    server.store.client().query(earlier).execute().await.unwrap();
    Stitcher::new(server.store.clone(), Default::default())
        .stitch(&batch.touched(), Duration::ZERO)
        .await
        .unwrap();
    let sql = "SELECT OrderId FROM calculations_v1 WHERE AnswerHeardTooLate";
    let late: Vec<String> = server.store.client().query(sql).fetch_all().await.unwrap();
    assert_eq!(late, ["ORD-LATE"]);
}

#[tokio::test]
async fn alerts_fold_by_fingerprint_start_and_status() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let reader = Reader::new(server.store.clone());
    let firing = AlertRow {
        order_id: "ORD-1".into(),
        fingerprint: "f".into(),
        starts_at: now_ms() - 1000,
        status: "firing".into(),
        alert_name: "CalculationOverOneHour".into(),
        severity: "critical".into(),
        ends_at: 0,
        labels: vec![],
        annotations: vec![("summary".into(), "over".into())],
        first_received_at: now_ms(),
    };
    let later = AlertRow { first_received_at: firing.first_received_at + 5000, ..firing.clone() };
    writer.record_alerts(std::slice::from_ref(&later)).await.unwrap();
    writer.record_alerts(std::slice::from_ref(&firing)).await.unwrap();
    let alerts = reader.order_alerts("ORD-1").await.unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].paged_at, Some(firing.first_received_at));
    assert_eq!(reader.active_alerts().await.unwrap(), 1);
    let ends_at = now_ms();
    let resolved = AlertRow { status: "resolved".into(), ends_at, ..later };
    writer.record_alerts(&[resolved]).await.unwrap();
    assert_eq!(reader.order_alerts("ORD-1").await.unwrap()[0].resolved_at, Some(ends_at));
    assert_eq!(reader.active_alerts().await.unwrap(), 0);
}
