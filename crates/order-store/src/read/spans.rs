//! Every span of an order, over all its traces.

use std::collections::HashSet;

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::Reader;
use crate::error::StoreError;
use crate::rows::Attributes;

/// Most traces of one order that are looked into; the count of spans says if there are more.
const TRACES_MAX: usize = 5_000;

/// How a trace belongs to the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// It names the order.
    Named,
    /// It is linked with one that does, and names no order of its own.
    Linked,
}

/// The spans of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSpans {
    /// In the order of start time, trace, span; at most as many as asked for.
    pub spans: Vec<SpanItem>,
    /// How many there are in all.
    pub total: u64,
}

/// One span of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanItem {
    /// Trace.
    pub trace_id: String,
    /// Span.
    pub span_id: String,
    /// Parent, or empty.
    pub parent_span_id: String,
    /// Span name.
    pub name: String,
    /// `Server`, `Client`, `Producer`, `Consumer`, `Internal`.
    pub kind: String,
    /// `service.name`.
    pub service: String,
    /// Start, nanoseconds since 1970.
    pub start: i64,
    /// Duration, nanoseconds.
    pub duration: u64,
    /// `Unset`, `Ok` or `Error`.
    pub status_code: String,
    /// Text of an error.
    pub status_message: String,
    /// Attributes of the span.
    pub attributes: Attributes,
    /// How its trace belongs to the order.
    pub through: Through,
}

/// The traces of an order as its state has them.
#[derive(Default, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TracesRow {
    traces: Vec<String>,
    linked_traces: Vec<String>,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpanRow {
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
    span_attributes: Attributes,
}

impl Reader {
    /// At most `limit` spans of the order, each identity once.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn order_spans(&self, order_id: &str, limit: u32) -> Result<OrderSpans, StoreError> {
        let doing = "read the spans of an order";
        let held: Option<TracesRow> = self
            .store
            .fetch_optional(doing, |client| {
                client
                    .query("SELECT ?fields FROM orders FINAL WHERE OrderId = {order:String}")
                    .param("order", order_id)
            })
            .await?;
        let TracesRow { mut traces, linked_traces } = held.unwrap_or_default();
        let named = traces.len();
        traces.extend(linked_traces);
        traces.truncate(TRACES_MAX);
        let linked: HashSet<&str> = traces.iter().skip(named).map(String::as_str).collect();
        // Of repeats one is left: folding them as `otel_traces_v1` does takes half as long again.
        let spans: Vec<SpanRow> = self
            .store
            .fetch_all(doing, |client| {
                client
                    .query(
                        "SELECT TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
                     Timestamp, Duration, StatusCode, StatusMessage, SpanAttributes \
                     FROM otel_traces WHERE TraceId IN {traces:Array(String)} \
                     ORDER BY Timestamp, TraceId, SpanId \
                     LIMIT 1 BY TraceId, SpanId LIMIT {limit:UInt32}",
                    )
                    .param("traces", &traces)
                    .param("limit", limit)
            })
            .await?;
        let found = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        let total = if found < limit {
            u64::from(found)
        } else {
            let count = "SELECT uniqExact(TraceId, SpanId) FROM otel_traces \
                 WHERE TraceId IN {traces:Array(String)}";
            let count = |client: &Client| client.query(count).param("traces", &traces);
            self.store.fetch_one(doing, count).await?
        };
        let through = |id: &str| if linked.contains(id) { Through::Linked } else { Through::Named };
        let spans = spans.into_iter().map(|span| span.into_item(through)).collect();
        Ok(OrderSpans { spans, total })
    }
}

impl SpanRow {
    fn into_item(self, through: impl Fn(&str) -> Through) -> SpanItem {
        SpanItem {
            through: through(&self.trace_id),
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent_span_id,
            name: self.span_name,
            kind: self.span_kind,
            service: self.service_name,
            start: self.timestamp,
            duration: self.duration,
            status_code: self.status_code,
            status_message: self.status_message,
            attributes: self.span_attributes,
        }
    }
}
