//! The rows of one realistic trace, one log and metrics of each kind, as they were reviewed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use bytes::Bytes;
use order_model::Lifecycle;
use order_store::rows::Batch;
use otlp_columns::{Encoding, Limits, Mapped, Mapper, Redaction, Signal};

fn map(signal: Signal, json: &'static str) -> Mapped {
    let lifecycle = Arc::new(Lifecycle::default());
    let mapper = Mapper::new(lifecycle, Redaction::with(&[]).unwrap(), Limits::default());
    let body = Bytes::from_static(json.as_bytes());
    mapper.map_body(signal, Encoding::Json, &body, 1_795_400_000_123).unwrap()
}

fn facts(batch: &Batch) -> impl serde::Serialize {
    let Batch { order_events, order_heartbeats, order_traces, trace_links, order_aliases, .. } =
        batch;
    (order_events, order_heartbeats, order_traces, trace_links, order_aliases)
}

#[test]
fn a_trace_of_the_shop() {
    let mapped = map(Signal::Traces, include_str!("shop_trace.json"));
    let batch = &mapped.batch;
    insta::assert_json_snapshot!("spans", batch.spans);
    insta::assert_json_snapshot!("order_facts", facts(batch));
    insta::assert_debug_snapshot!("counts", (&mapped.rejected.message("spans"), mapped.tally));
}

#[test]
fn a_log_of_the_calculation() {
    let mapped = map(Signal::Logs, include_str!("calc_log.json"));
    let batch = &mapped.batch;
    insta::assert_json_snapshot!("logs", batch.logs);
    insta::assert_json_snapshot!("log_facts", facts(batch));
}

#[test]
fn metrics_of_each_kind() {
    let mapped = map(Signal::Metrics, include_str!("metrics.json"));
    let metrics = &mapped.batch.metrics;
    insta::assert_json_snapshot!("gauges", metrics.gauges);
    insta::assert_json_snapshot!("sums", metrics.sums);
    insta::assert_json_snapshot!("histograms", metrics.histograms);
    insta::assert_json_snapshot!("exponential_histograms", metrics.exponential_histograms);
    insta::assert_json_snapshot!("summaries", metrics.summaries);
    let rejected = &mapped.rejected.message("data points");
    insta::assert_debug_snapshot!("metric_counts", (rejected, mapped.tally));
}
