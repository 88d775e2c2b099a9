//! Records as they lie in journals in the field: those of older versions are read for ever, and
//! what is written now changes only with a new version.
//!
//! `golden/version_1_*.record` were written by a collector of that version, from the three requests
//! in `crates/otlp-columns/tests`.

use std::fmt::Write;

use bytes::Bytes;

use super::*;
use crate::encoded_rows::EncodedRows;
use crate::row_binary::TableRow;
use crate::rows::metrics::{
    Exemplars, ExponentialHistogramRow, GaugeRow, HistogramRow, MetricPoint, Metrics, SumRow,
    SummaryRow,
};
use crate::rows::{
    Batch, HeartbeatRow, LogRow, OrderAliasRow, OrderEventRow, OrderTraceRow, SpanRow, TraceLinkRow,
};

const VERSION_1: [(&str, &[u8]); 3] = [
    ("traces", include_bytes!("golden/version_1_traces.record")),
    ("logs", include_bytes!("golden/version_1_logs.record")),
    ("metrics", include_bytes!("golden/version_1_metrics.record")),
];

fn version_1() -> Vec<Bytes> {
    VERSION_1.iter().map(|(_, bytes)| Bytes::from_static(bytes)).collect()
}

#[test]
fn records_of_version_1_are_read_as_they_were_written() {
    let mut told = String::new();
    for (name, bytes) in VERSION_1 {
        let block = Block::read(&[Bytes::from_static(bytes)]).unwrap();
        writeln!(told, "{name}: {:?}", block.touched()).unwrap();
        for target in block.targets() {
            let bytes: usize = block.parts_for(target).iter().map(Bytes::len).sum();
            let rows = block.rows_for(target);
            writeln!(told, "  {rows} rows, {bytes} bytes under {}", target.token("batch")).unwrap();
        }
    }
    let block = Block::read(&version_1()).unwrap();
    assert!(Table::ALL.iter().all(|table| block.count(*table) > 0), "every table is among them");
    insta::assert_snapshot!(told);
}

#[test]
fn the_columns_of_every_version_stay_as_they_are() {
    let mut told = String::new();
    for version in VERSION_MIN..=VERSION {
        for table in Table::ALL {
            let columns = Target::new(table, version).columns().join(", ");
            writeln!(told, "{version} {}: {columns}", table.name()).unwrap();
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn rows_of_two_versions_are_two_inserts_where_their_columns_differ() {
    let mut records = version_1();
    records.extend(write(&every_table(), usize::MAX));
    let block = Block::read(&records).unwrap();
    let twice: Vec<Table> = Table::ALL
        .into_iter()
        .filter(|table| block.targets().filter(|target| target.table() == *table).count() > 1)
        .collect();
    assert_eq!(twice, [Table::Logs]);
    let tokens: BTreeSet<String> = block.targets().map(|target| target.token("batch")).collect();
    assert_eq!(tokens.len(), Table::ALL.len() + 1, "each has a token of its own");
    let rows: u64 = block.targets().map(|target| block.rows_for(target)).sum();
    assert_eq!(rows, block.rows());
}

#[test]
fn what_is_written_now_changes_only_with_a_new_version() {
    let records = write(&every_table(), usize::MAX);
    assert_eq!(records.len(), 1);
    let block = Block::read(&records).unwrap();
    assert!(Table::ALL.iter().all(|table| block.count(*table) == 1));
    let mut told = format!("version {}\n", records[0][0]);
    for target in block.targets() {
        let rows = block.parts_for(target).concat();
        writeln!(told, "{}", target.table().name()).unwrap();
        for line in rows.chunks(40) {
            let hex = line.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            writeln!(told, "  {hex}").unwrap();
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn no_row_is_smaller_than_the_bound() {
    fn bytes<R: TableRow + Default>() -> u64 {
        EncodedRows::of(&[R::default()]).bytes().len() as u64
    }
    // Numbers always take the same, texts and lists at least their length: the least there is.
    let smallest = |table| match table {
        Table::Spans => bytes::<SpanRow>(),
        Table::Logs => bytes::<LogRow>(),
        Table::OrderEvents => bytes::<OrderEventRow>(),
        Table::OrderHeartbeats => bytes::<HeartbeatRow>(),
        Table::OrderTraces => bytes::<OrderTraceRow>(),
        Table::TraceLinks => bytes::<TraceLinkRow>(),
        Table::OrderAliases => bytes::<OrderAliasRow>(),
        Table::Gauges => bytes::<GaugeRow>(),
        Table::Sums => bytes::<SumRow>(),
        Table::Histograms => bytes::<HistogramRow>(),
        Table::ExponentialHistograms => bytes::<ExponentialHistogramRow>(),
        Table::Summaries => bytes::<SummaryRow>(),
    };
    for table in Table::ALL {
        assert!(smallest(table) >= ROW_BYTES_MIN, "{}: {}", table.name(), smallest(table));
    }
    assert_eq!(Table::ALL.map(smallest).into_iter().min(), Some(ROW_BYTES_MIN));
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn map() -> Vec<(String, String)> {
    vec![(text("k"), text("v"))]
}

fn point() -> MetricPoint {
    MetricPoint {
        resource_attributes: map(),
        service_name: text("mes"),
        metric_name: text("m"),
        attributes: map(),
        time_unix: 4,
        flags: 1,
        ordinal: 2,
        received_at: 5,
        ..MetricPoint::default()
    }
}

fn exemplars() -> Exemplars {
    Exemplars {
        filtered_attributes: vec![map()],
        time_unix: vec![3],
        value: vec![0.5],
        span_id: vec![text("s")],
        trace_id: vec![text("t")],
    }
}

/// A row of each table with something in every kind of column.
fn every_table() -> Batch {
    let (exemplars, point) = (exemplars(), point());
    Batch {
        spans: vec![SpanRow {
            timestamp: 1,
            trace_id: text("t"),
            span_id: text("s"),
            span_attributes: map(),
            duration: 2,
            events_timestamp: vec![3],
            events_name: vec![text("e")],
            events_attributes: vec![map()],
            links_trace_id: vec![text("u")],
            links_span_id: vec![text("w")],
            links_trace_state: vec![String::new()],
            links_attributes: vec![vec![]],
            received_at: 4,
            ..SpanRow::default()
        }],
        logs: vec![LogRow { body: text("b"), trace_flags: 1, received_at: 4, ..LogRow::default() }],
        order_events: vec![OrderEventRow {
            order_id: text("A-1"),
            attempt: 2,
            evidence: map(),
            ..OrderEventRow::default()
        }],
        order_heartbeats: vec![HeartbeatRow { worker: text("w"), ..HeartbeatRow::default() }],
        order_traces: vec![OrderTraceRow { provisional: 1, end: -1, ..OrderTraceRow::default() }],
        trace_links: vec![TraceLinkRow { linked_trace_id: text("u"), ..TraceLinkRow::default() }],
        order_aliases: vec![OrderAliasRow { scope: text("p"), ..OrderAliasRow::default() }],
        metrics: Metrics {
            gauges: vec![GaugeRow {
                point: point.clone(),
                value: 1.5,
                exemplars: exemplars.clone(),
            }],
            sums: vec![SumRow {
                point: point.clone(),
                value: -0.0,
                exemplars: exemplars.clone(),
                aggregation_temporality: 2,
                is_monotonic: true,
            }],
            histograms: vec![HistogramRow {
                point: point.clone(),
                bucket_counts: vec![1, 2],
                explicit_bounds: vec![f64::INFINITY],
                exemplars: exemplars.clone(),
                ..HistogramRow::default()
            }],
            exponential_histograms: vec![ExponentialHistogramRow {
                point: point.clone(),
                scale: -1,
                positive_bucket_counts: vec![3],
                exemplars,
                ..ExponentialHistogramRow::default()
            }],
            summaries: vec![SummaryRow {
                point,
                quantiles: vec![0.5],
                values: vec![7.0],
                ..SummaryRow::default()
            }],
        },
        ..Batch::default()
    }
}
