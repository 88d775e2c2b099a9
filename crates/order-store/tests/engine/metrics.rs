//! Metrics on the real engine: every column comes back, repeats fold, and no two points do.

use insta::assert_snapshot;
use order_model::Lifecycle;
use order_store::rows::metrics::{
    Exemplars, ExponentialHistogramRow, GaugeRow, HistogramRow, MetricPoint, Metrics, SumRow,
    SummaryRow,
};
use order_store::rows::{Attributes, Batch};
use order_store::{Reader, Writer};

use crate::server::Server;

const TABLES: [&str; 5] = [
    "otel_metrics_gauge",
    "otel_metrics_sum",
    "otel_metrics_histogram",
    "otel_metrics_exponential_histogram",
    "otel_metrics_summary",
];
/// 2026-11-01 10:00:00.000000001.
const AT: i64 = 1_793_527_200_000_000_001;

fn pairs(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A point with something in every column.
fn point() -> MetricPoint {
    MetricPoint {
        resource_attributes: pairs(&[("host.name", "mes-1"), ("service.name", "mes")]),
        resource_schema_url: "https://resource".into(),
        scope_name: "runtime".into(),
        scope_version: "2.1".into(),
        scope_attributes: pairs(&[("build", "7")]),
        scope_dropped_attr_count: 3,
        scope_schema_url: "https://scope".into(),
        service_name: "mes".into(),
        metric_name: "queue.depth".into(),
        metric_description: "Messages that wait".into(),
        metric_unit: "{message}".into(),
        attributes: pairs(&[("broker", "rabbit-1"), ("queue", "calc")]),
        start_time_unix: AT - 7,
        time_unix: AT,
        flags: u32::MAX,
        ordinal: 9,
        received_at: chrono::Utc::now().timestamp_millis(),
    }
}

fn exemplars() -> Exemplars {
    Exemplars {
        filtered_attributes: vec![pairs(&[("order.id", "A-1")]), vec![]],
        time_unix: vec![AT - 2, AT - 1],
        value: vec![0.5, f64::NEG_INFINITY],
        span_id: vec!["eee19b7ec3c1b174".into(), String::new()],
        trace_id: vec!["5b8efff798038103d269b633813fc60c".into(), String::new()],
    }
}

fn gauge() -> GaugeRow {
    GaugeRow { point: point(), value: -12.25, exemplars: exemplars() }
}

fn sum() -> SumRow {
    SumRow {
        point: point(),
        value: f64::NAN,
        exemplars: exemplars(),
        aggregation_temporality: 2,
        is_monotonic: true,
    }
}

fn histogram() -> HistogramRow {
    HistogramRow {
        point: point(),
        count: u64::MAX,
        sum: 31.25,
        bucket_counts: vec![1, 2, u64::MAX],
        explicit_bounds: vec![0.5, f64::INFINITY],
        exemplars: exemplars(),
        min: f64::MIN,
        max: f64::MAX,
        aggregation_temporality: 1,
    }
}

fn exponential() -> ExponentialHistogramRow {
    ExponentialHistogramRow {
        point: point(),
        count: 9,
        sum: -4.5,
        scale: -2,
        zero_count: 2,
        positive_offset: i32::MAX,
        positive_bucket_counts: vec![1, 0, 4],
        negative_offset: i32::MIN,
        negative_bucket_counts: vec![2],
        exemplars: exemplars(),
        min: -9.0,
        max: 70.0,
        aggregation_temporality: 2,
    }
}

fn summary() -> SummaryRow {
    SummaryRow {
        point: point(),
        count: 100,
        sum: 250.0,
        quantiles: vec![0.5, 1.0],
        values: vec![2.0, f64::NAN],
    }
}

async fn migrated() -> Server {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    server
}

async fn insert(server: &Server, metrics: Metrics, token: &str) {
    let batch = Batch { metrics, ..Batch::default() };
    Writer::new(server.store.clone()).insert(&batch, token).await.unwrap();
}

async fn count(server: &Server, from: &str) -> u64 {
    let sql = format!("SELECT count() FROM {from}");
    server.store.client().query(&sql).fetch_one().await.unwrap()
}

#[tokio::test]
async fn every_column_comes_back_as_it_was_sent() {
    let server = migrated().await;
    let metrics = Metrics {
        gauges: vec![gauge()],
        sums: vec![sum()],
        histograms: vec![histogram()],
        exponential_histograms: vec![exponential()],
        summaries: vec![summary()],
    };
    insert(&server, metrics, "token").await;
    let mut stored = String::new();
    for table in TABLES {
        let sql = format!(
            "SELECT formatRow('JSONEachRow', * EXCEPT ReceivedAt) FROM {table}_v1 \
             SETTINGS output_format_json_quote_denormals = 1"
        );
        let row: String = server.store.client().query(&sql).fetch_one().await.unwrap();
        let row: serde_json::Value = serde_json::from_str(&row).unwrap();
        stored.push_str(&format!("{table} {row:#}\n"));
        let received = format!("{table} WHERE abs(ReceivedAt - now64(3)) < 600");
        assert_eq!(count(&server, &received).await, 1, "{table}");
    }
    assert_snapshot!(stored);
    // Metrics say nothing about orders: nobody was heard of by them.
    assert_eq!(count(&server, "sources").await, 0);
    let board = Reader::new(server.store.clone()).board(None).await.unwrap();
    assert!(board.sources.is_empty() && board.seen == 0);
}

/// Each change makes another point.
fn others() -> Vec<MetricPoint> {
    let changes: [fn(&mut MetricPoint); 14] = [
        |point| point.service_name = "crm".into(),
        |point| point.metric_name = "queue.age".into(),
        |point| point.metric_unit = "1".into(),
        |point| point.attributes[1].1 = "prices".into(),
        |point| point.attributes.truncate(1),
        |point| point.time_unix += 1,
        |point| point.start_time_unix += 1,
        |point| point.resource_attributes[0].1 = "mes-2".into(),
        |point| point.resource_schema_url.clear(),
        |point| point.scope_name = "other".into(),
        |point| point.scope_version.clear(),
        |point| point.scope_attributes.clear(),
        |point| point.flags = 0,
        |point| point.ordinal = 8,
    ];
    let changed = |change: &fn(&mut MetricPoint)| {
        let mut other = point();
        change(&mut other);
        other
    };
    changes.iter().map(changed).collect()
}

/// The points above in every table, each with values of its own, too.
fn different() -> Metrics {
    let mut metrics = Metrics {
        gauges: vec![gauge(), GaugeRow { value: 1.0, ..gauge() }],
        sums: vec![
            sum(),
            SumRow { value: 1.0, ..sum() },
            SumRow { aggregation_temporality: 1, ..sum() },
            SumRow { is_monotonic: false, ..sum() },
        ],
        histograms: vec![
            histogram(),
            HistogramRow { count: 1, ..histogram() },
            HistogramRow { sum: 1.0, ..histogram() },
            HistogramRow { bucket_counts: vec![2, 1, u64::MAX], ..histogram() },
            HistogramRow { explicit_bounds: vec![0.25, 0.5], ..histogram() },
            HistogramRow { max: 1.0, ..histogram() },
        ],
        exponential_histograms: vec![
            exponential(),
            ExponentialHistogramRow { scale: 2, ..exponential() },
            ExponentialHistogramRow { zero_count: 1, ..exponential() },
            ExponentialHistogramRow { positive_offset: 1, ..exponential() },
            ExponentialHistogramRow { positive_bucket_counts: vec![4, 0, 1], ..exponential() },
            ExponentialHistogramRow { negative_bucket_counts: vec![1], ..exponential() },
        ],
        summaries: vec![
            summary(),
            SummaryRow { count: 1, ..summary() },
            SummaryRow { quantiles: vec![0.5, 0.75], ..summary() },
            SummaryRow { values: vec![2.0, 3.0], ..summary() },
        ],
    };
    for point in others() {
        metrics.gauges.push(GaugeRow { point: point.clone(), ..gauge() });
        metrics.sums.push(SumRow { point: point.clone(), ..sum() });
        metrics.histograms.push(HistogramRow { point: point.clone(), ..histogram() });
        let row = ExponentialHistogramRow { point: point.clone(), ..exponential() };
        metrics.exponential_histograms.push(row);
        metrics.summaries.push(SummaryRow { point, ..summary() });
    }
    metrics
}

#[tokio::test]
async fn a_clients_repeat_folds_and_no_two_points_do() {
    let server = migrated().await;
    let metrics = different();
    let sent = metrics.len() as u64;
    insert(&server, metrics.clone(), "one").await;
    // Our own repeat, under the same token, is not even stored.
    insert(&server, metrics.clone(), "one").await;
    let mut later = metrics;
    let later_ms = chrono::Utc::now().timestamp_millis() + 1;
    later.gauges.iter_mut().for_each(|row| row.point.received_at = later_ms);
    // A client's repeat, through another collector.
    insert(&server, later, "two").await;
    let (mut stored, mut read, mut merged) = (0, 0, 0);
    for table in TABLES {
        stored += count(&server, table).await;
        read += count(&server, &format!("{table}_v1")).await;
        let merge = format!("OPTIMIZE TABLE {table} FINAL");
        server.store.client().query(&merge).execute().await.unwrap();
        merged += count(&server, table).await;
    }
    assert_eq!((stored, read, merged), (2 * sent, sent, sent));
}

/// Clocks of 1970 and 2200 lie in the partition of their receipt, and are found by their time.
#[tokio::test]
async fn points_of_far_times_are_kept_and_found() {
    let server = migrated().await;
    let times = [0, 7_258_118_400_000_000_000, i64::MAX];
    let gauges =
        times.map(|time_unix| GaugeRow { point: MetricPoint { time_unix, ..point() }, ..gauge() });
    insert(&server, Metrics { gauges: gauges.to_vec(), ..Metrics::default() }, "t").await;
    let sql = "SELECT toUnixTimestamp64Nano(TimeUnix) FROM otel_metrics_gauge ORDER BY TimeUnix";
    let stored: Vec<i64> = server.store.client().query(sql).fetch_all().await.unwrap();
    assert_eq!(stored, times);
    let found = "otel_metrics_gauge_v1 WHERE TimeUnix > '2199-01-01' AND TimeUnix < '2201-01-01'";
    assert_eq!(count(&server, found).await, 1);
    let partitions = "system.parts WHERE active AND table = 'otel_metrics_gauge'";
    assert_eq!(count(&server, partitions).await, 1);
}
