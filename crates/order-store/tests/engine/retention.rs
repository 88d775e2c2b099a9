//! Retention on the real engine: rows go by their time of receipt, and an order keeps its history
//! when its spans are gone.

use std::time::Duration;

use order_model::Lifecycle;
use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use order_store::rows::metrics::{MetricPoint, SumRow};
use order_store::rows::{Batch, HeartbeatRow, LogRow, OrderEventRow, OrderTraceRow, SpanRow};
use order_store::{Reader, RetentionSettings, Stitcher, Writer};

use crate::server::Server;

const DAY: Duration = Duration::from_secs(86_400);
const DAY_MS: i64 = 86_400_000;
/// Event times that must decide nothing: 1970, 2200.
const FAR_TIMES: [(&str, i64); 2] = [("1970", 0), ("2200", 7_258_118_400 * NANOS_PER_SECOND)];
/// How long to wait before asking again whether the engine has recalculated the limits.
const POLL: Duration = Duration::from_millis(20);

async fn count(server: &Server, sql: &str) -> u64 {
    server.store.client().query(sql).fetch_one().await.unwrap()
}

async fn names(server: &Server, sql: &str) -> Vec<String> {
    server.store.client().query(sql).fetch_all().await.unwrap()
}

/// An order of three stages, told `age_days` ago, with spans, log records and a sign of life.
fn order(id: &str, age_days: i64) -> Batch {
    let received_at = chrono::Utc::now().timestamp_millis() - age_days * DAY_MS;
    let mut batch = Batch::default();
    let trace_id = format!("{id}-trace");
    let times = [("now", received_at * NANOS_PER_MILLI)].into_iter().chain(FAR_TIMES);
    for (name, timestamp) in times {
        batch.spans.push(SpanRow {
            timestamp,
            trace_id: trace_id.clone(),
            span_id: name.into(),
            service_name: "shop".into(),
            received_at,
            ..SpanRow::default()
        });
        let point = MetricPoint {
            metric_name: name.into(),
            service_name: id.into(),
            time_unix: timestamp,
            received_at,
            ..MetricPoint::default()
        };
        batch.metrics.sums.push(SumRow { point, ..SumRow::default() });
        batch.logs.push(LogRow {
            timestamp,
            trace_id: trace_id.clone(),
            body: format!("{id} {name}"),
            service_name: "shop".into(),
            received_at,
            ..LogRow::default()
        });
    }
    let since = received_at * NANOS_PER_MILLI;
    batch.order_traces.push(OrderTraceRow {
        order_id: id.into(),
        trace_id: trace_id.clone(),
        start: since,
        end: since,
        received_at,
        ..OrderTraceRow::default()
    });
    for (nth, stage) in (0..).zip(["SUBMITTED", "PRICE_CALCULATED", "MANUFACTURING_APPROVED"]) {
        batch.order_events.push(OrderEventRow {
            order_id: id.into(),
            signal: "stage".into(),
            stage: stage.into(),
            event_time: since + nth * NANOS_PER_SECOND,
            received_at,
            source: "shop".into(),
            trace_id: trace_id.clone(),
            ..OrderEventRow::default()
        });
    }
    batch.order_heartbeats.push(HeartbeatRow {
        order_id: id.into(),
        worker: "w1".into(),
        last_at: since,
        received_at,
        ..HeartbeatRow::default()
    });
    batch
}

/// Waits until every part has its new limits, then has the engine merge, which takes old rows.
async fn settle(server: &Server) {
    let working = "SELECT count() FROM system.mutations WHERE NOT is_done";
    while count(server, working).await > 0 {
        tokio::time::sleep(POLL).await;
    }
    let tables = "SELECT name FROM system.tables WHERE database = currentDatabase() \
                  AND engine LIKE '%MergeTree'";
    for table in names(server, tables).await {
        let merge = format!("OPTIMIZE TABLE {table} FINAL");
        server.store.client().query(&merge).execute().await.unwrap();
    }
}

#[tokio::test]
async fn the_defaults_are_those_of_the_migrations_and_a_change_is_made_once() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let default = RetentionSettings::default();
    // The migrations give the state no end of its own.
    let state = ["orders", "orders_open", "orders_settled", "orders_by_bucket", "alert_history"];
    assert_eq!(server.store.retain(&default).await.unwrap(), state);
    let nothing: [&str; 0] = [];
    assert_eq!(server.store.retain(&default).await.unwrap(), nothing);

    let logs = RetentionSettings { retention_logs: 36 * DAY / 24, ..default };
    assert_eq!(server.store.retain(&logs).await.unwrap(), ["otel_logs"]);
    assert_eq!(server.store.retain(&logs).await.unwrap(), nothing);
    assert_eq!(server.store.retain(&default).await.unwrap(), ["otel_logs"]);

    let all = RetentionSettings {
        retention_spans: 10 * DAY,
        retention_logs: 20 * DAY,
        retention_metrics: 25 * DAY,
        retention_heartbeats: 30 * DAY,
        retention_facts: 400 * DAY,
    };
    let other = server.store.clone();
    let (one, other) = tokio::join!(server.store.retain(&all), other.retain(&all));
    assert_eq!(one.unwrap().len().max(other.unwrap().len()), 20);
    assert_eq!(server.store.retain(&all).await.unwrap(), nothing);
    let written = "SELECT count() FROM system.tables WHERE database = currentDatabase() \
                   AND engine_full LIKE '%+ toIntervalDay(400) SETTINGS%'";
    // Twelve of the facts and the state, and `sources`, which has as many days of its own.
    assert_eq!(count(&server, written).await, 13);
}

#[tokio::test]
async fn what_moves_rows_stays_when_the_retention_changes() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let pack = "ALTER TABLE otel_logs MODIFY TTL toDateTime(ReceivedAt) + INTERVAL 90 DAY, \
                toDateTime(ReceivedAt) + INTERVAL 7 DAY RECOMPRESS CODEC(ZSTD(9))";
    server.store.client().query(pack).execute().await.unwrap();
    let default = RetentionSettings::default();
    assert!(!server.store.retain(&default).await.unwrap().contains(&"otel_logs"));
    let shorter = RetentionSettings { retention_logs: 30 * DAY, ..default };
    assert_eq!(server.store.retain(&shorter).await.unwrap(), ["otel_logs"]);
    let engine = "SELECT engine_full FROM system.tables \
                  WHERE database = currentDatabase() AND name = 'otel_logs'";
    let engine = names(&server, engine).await.remove(0);
    assert!(engine.contains("toIntervalDay(30)") && engine.contains("RECOMPRESS"), "{engine}");
    assert!(!engine.contains("toIntervalDay(90)"), "{engine}");
    assert_eq!(server.store.retain(&shorter).await.unwrap(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_shorter_retention_takes_spans_by_their_receipt_and_leaves_the_milestones() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let settings = RetentionSettings::default();
    server.store.retain(&settings).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let stitcher = Stitcher::new(server.store.clone(), Default::default());
    for (id, age_days) in [("ORD-OLD", 40), ("ORD-NEW", 0)] {
        let batch = order(id, age_days);
        writer.insert(&batch, id).await.unwrap();
        stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
    }
    settle(&server).await;
    let spans = "SELECT count() FROM otel_traces";
    assert_eq!(count(&server, spans).await, 6, "neither 1970 nor 2200 takes a row");
    let reader = Reader::new(server.store.clone());
    let before = reader.order("ORD-OLD").await.unwrap().unwrap();
    assert_eq!(before.history.len(), 3);
    assert_eq!(reader.order_spans("ORD-OLD", 10).await.unwrap().total, 3);

    let shorter = RetentionSettings {
        retention_spans: 30 * DAY,
        retention_logs: 30 * DAY,
        retention_metrics: 20 * DAY,
        retention_heartbeats: 30 * DAY,
        retention_facts: 60 * DAY,
    };
    assert_eq!(shorter.check(), Ok(()));
    server.store.retain(&shorter).await.unwrap();
    settle(&server).await;

    let left =
        names(&server, "SELECT concat(TraceId, ' ', SpanId) FROM otel_traces ORDER BY 1").await;
    assert_eq!(left, ["ORD-NEW-trace 1970", "ORD-NEW-trace 2200", "ORD-NEW-trace now"]);
    let left = names(&server, "SELECT Body FROM otel_logs ORDER BY 1").await;
    assert_eq!(left, ["ORD-NEW 1970", "ORD-NEW 2200", "ORD-NEW now"]);
    let points = "SELECT concat(ServiceName, ' ', MetricName) FROM otel_metrics_sum ORDER BY 1";
    assert_eq!(names(&server, points).await, left);
    for (table, rows) in [
        ("otel_traces_trace_id_ts", 1),
        ("order_heartbeats", 1),
        ("order_events", 6),
        ("order_traces", 2),
        ("trace_orders", 2),
        ("order_aliases", 2),
        ("orders", 2),
        ("orders_open", 2),
    ] {
        assert_eq!(count(&server, &format!("SELECT count() FROM {table}")).await, rows, "{table}");
    }
    let after = reader.order("ORD-OLD").await.unwrap().unwrap();
    assert_eq!(after.history, before.history);
    assert_eq!(after.summary.stage, "MANUFACTURING_APPROVED");
    assert_eq!(reader.order_spans("ORD-OLD", 10).await.unwrap().total, 0);
    // Deriving it again gives the same: its facts are there.
    stitcher.restitch("", |_, _| ()).await.unwrap();
    let again = reader.order("ORD-OLD").await.unwrap().unwrap();
    assert_eq!(again.history, before.history);
    assert_eq!(stitcher.conservation().await.unwrap().difference, 0);
}

/// When the facts' own time is over, the order goes as a whole.
#[tokio::test]
async fn an_order_past_its_retention_goes_with_its_state() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    server.store.retain(&RetentionSettings::default()).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let stitcher = Stitcher::new(server.store.clone(), Default::default());
    for (id, age_days) in [("ORD-OLD", 100), ("ORD-NEW", 0)] {
        let batch = order(id, age_days);
        writer.insert(&batch, id).await.unwrap();
        stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
    }
    let shorter = RetentionSettings {
        retention_spans: 30 * DAY,
        retention_logs: 30 * DAY,
        retention_metrics: 20 * DAY,
        retention_heartbeats: 30 * DAY,
        retention_facts: 90 * DAY,
    };
    server.store.retain(&shorter).await.unwrap();
    settle(&server).await;
    for table in ["order_events", "order_traces", "trace_orders", "orders", "orders_open"] {
        let ids = format!("SELECT DISTINCT OrderId FROM {table}");
        assert_eq!(names(&server, &ids).await, ["ORD-NEW"], "{table}");
    }
    assert!(Reader::new(server.store.clone()).order("ORD-OLD").await.unwrap().is_none());
    assert_eq!(stitcher.conservation().await.unwrap().difference, 0);
}
