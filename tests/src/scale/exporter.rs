//! The OpenTelemetry ClickHouse exporter's tables, for comparison: its published DDL in a database
//! of its own. Added is `non_replicated_deduplication_window`, so that filling can be resumed;
//! its retention is left out.

use anyhow::{Context, Result};
use clickhouse::{Client, Row};
use serde::Deserialize;

/// Its spans.
pub const TRACES: &str = "exporter.otel_traces";
/// Spans of one timeline, as many as Waybill's page asks for.
const SPANS_MAX: u32 = 5_000;

/// One span of a timeline: what Waybill's reader asks for, too.
#[derive(Debug, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "read in full, as a page would, and looked at by nobody")]
struct Span {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    span_name: String,
    span_kind: String,
    service_name: String,
    timestamp: i64,
    duration: u64,
    status_code: String,
    status_message: String,
    span_attributes: Vec<(String, String)>,
}

/// The traces that carry the order's id as an attribute of a span. There is no order index: the
/// skip index on attribute values says which granules need not be read.
///
/// # Errors
/// The store refused.
pub async fn traces_of_order(client: &Client, order_id: &str) -> Result<Vec<String>> {
    client
        .query(&format!(
            "SELECT DISTINCT TraceId FROM {TRACES} \
             WHERE SpanAttributes['order.id'] = {{order:String}} \
             AND has(mapValues(SpanAttributes), {{order:String}})"
        ))
        .param("order", order_id)
        .fetch_all()
        .await
        .context("looking for the traces of an order")
}

/// Every span of the traces, found as the exporter's documentation says: first the time range of
/// the traces, then the spans within it. Gives their number.
///
/// # Errors
/// The store refused.
pub async fn timeline(client: &Client, traces: &[String]) -> Result<usize> {
    let (start, end): (u32, u32) = client
        .query(
            "SELECT min(Start), max(End) + 1 FROM exporter.otel_traces_trace_id_ts \
             WHERE TraceId IN {traces:Array(String)}",
        )
        .param("traces", traces)
        .fetch_one()
        .await
        .context("reading the time range of traces")?;
    let spans: Vec<Span> = client
        .query(&format!(
            "SELECT TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, Timestamp, \
             Duration, StatusCode, StatusMessage, SpanAttributes FROM {TRACES} \
             WHERE TraceId IN {{traces:Array(String)}} \
             AND Timestamp >= toDateTime({{start:UInt32}}) \
             AND Timestamp <= toDateTime({{end:UInt32}}) \
             ORDER BY Timestamp, TraceId, SpanId LIMIT {SPANS_MAX}"
        ))
        .param("traces", traces)
        .param("start", start)
        .param("end", end)
        .fetch_all()
        .await
        .context("reading the spans of traces")?;
    Ok(spans.len())
}

/// Makes its tables.
///
/// # Errors
/// The store refused.
pub async fn create(client: &Client) -> Result<()> {
    for statement in include_str!("exporter.sql").split(";\n").filter(|s| !s.trim().is_empty()) {
        client.query(statement).execute().await.context("making the exporter's tables")?;
    }
    Ok(())
}
