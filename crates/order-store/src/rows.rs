//! Rows as the tables hold them: what the writer inserts, column for column.
//!
//! Times are nanoseconds since 1970 (`DateTime64(9)`) unless a field says milliseconds
//! (`DateTime64(3)`). Ids are lower-case hexadecimal, as the OpenTelemetry exporter writes them.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

/// A map column: `Map(LowCardinality(String), String)`.
pub type Attributes = Vec<(String, String)>;

/// A row of `otel_traces`: the columns of the OpenTelemetry ClickHouse exporter, then ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SpanRow {
    /// Start time.
    pub timestamp: i64,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// 16 hexadecimal digits, or empty for a root.
    pub parent_span_id: String,
    /// W3C trace state.
    pub trace_state: String,
    /// Span name.
    pub span_name: String,
    /// `Internal`, `Server`, `Client`, `Producer`, `Consumer` or `Unspecified`.
    pub span_kind: String,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Attributes of the resource.
    pub resource_attributes: Attributes,
    /// Instrumentation scope.
    pub scope_name: String,
    /// Its version.
    pub scope_version: String,
    /// Attributes of the span.
    pub span_attributes: Attributes,
    /// Nanoseconds from start to end; 0 when the end lies before the start.
    pub duration: u64,
    /// `Unset`, `Ok` or `Error`.
    pub status_code: String,
    /// Text of an error.
    pub status_message: String,
    /// Times of the span's events.
    #[serde(rename = "Events.Timestamp")]
    pub events_timestamp: Vec<i64>,
    /// Their names.
    #[serde(rename = "Events.Name")]
    pub events_name: Vec<String>,
    /// Their attributes.
    #[serde(rename = "Events.Attributes")]
    pub events_attributes: Vec<Attributes>,
    /// Traces that the span is linked to.
    #[serde(rename = "Links.TraceId")]
    pub links_trace_id: Vec<String>,
    /// Spans that the span is linked to.
    #[serde(rename = "Links.SpanId")]
    pub links_span_id: Vec<String>,
    /// Trace states of the links.
    #[serde(rename = "Links.TraceState")]
    pub links_trace_state: Vec<String>,
    /// Attributes of the links.
    #[serde(rename = "Links.Attributes")]
    pub links_attributes: Vec<Attributes>,
    /// When the collector received it, milliseconds; partitions and retention go by it.
    pub received_at: i64,
}

/// A row of `otel_logs`: the columns of the OpenTelemetry ClickHouse exporter, then ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogRow {
    /// Time of the record, or the observed time when it has none.
    pub timestamp: i64,
    /// 32 hexadecimal digits or empty.
    pub trace_id: String,
    /// 16 hexadecimal digits or empty.
    pub span_id: String,
    /// W3C trace flags.
    pub trace_flags: u8,
    /// As the source writes it.
    pub severity_text: String,
    /// 1 to 24, 0 when not said.
    pub severity_number: u8,
    /// `service.name` of the resource.
    pub service_name: String,
    /// The text.
    pub body: String,
    /// Schema of the resource.
    pub resource_schema_url: String,
    /// Attributes of the resource.
    pub resource_attributes: Attributes,
    /// Schema of the scope.
    pub scope_schema_url: String,
    /// Instrumentation scope.
    pub scope_name: String,
    /// Its version.
    pub scope_version: String,
    /// Its attributes.
    pub scope_attributes: Attributes,
    /// Attributes of the record.
    pub log_attributes: Attributes,
    /// Name of the event, if the record is one.
    pub event_name: String,
    /// When the collector received it, milliseconds.
    pub received_at: i64,
}

/// A row of `order_events`: one signal of an order. Its identity is
/// (order, signal, stage, event time, source).
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OrderEventRow {
    /// The order, or empty when only the trace is known: then it belongs to the trace's orders.
    pub order_id: String,
    /// `stage` or `price_requested` (`order_model::keys`).
    pub signal: String,
    /// The stage as the source wrote it; empty for other signals.
    pub stage: String,
    /// When, by the clock of the source.
    pub event_time: i64,
    /// When the collector received it, milliseconds.
    pub received_at: i64,
    /// `service.name`.
    pub source: String,
    /// Trace it came in, or empty.
    pub trace_id: String,
    /// Span it came in, or empty.
    pub span_id: String,
    /// Attempt of a calculation, 0 when not said.
    pub attempt: u32,
    /// `span`, `span_event`, `log` or `rule:<name>`, `host`, `error`, …: what the page shows.
    pub evidence: Attributes,
}

/// A row of `order_traces`: a trace (or, with an empty id, a log without one) named this order.
/// Rows of one (order, trace) fold by minimum and maximum.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OrderTraceRow {
    /// The order.
    pub order_id: String,
    /// The trace, or empty.
    pub trace_id: String,
    /// Earliest time of the naming spans and logs.
    pub start: i64,
    /// Latest time of them.
    pub end: i64,
    /// Latest receipt, milliseconds.
    pub received_at: i64,
    /// 1 if any of them names a model.
    pub has_model: u8,
    /// `custom`, `ready_made` or empty.
    pub kind: String,
    /// `b2c`, `b2b` or empty.
    pub channel: String,
}

/// A row of `trace_links`: a span of one trace links to a span of another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TraceLinkRow {
    /// The trace that links (by convention the consumer's).
    pub trace_id: String,
    /// Its span.
    pub span_id: String,
    /// The trace linked to (by convention the producer's).
    pub linked_trace_id: String,
    /// Its span.
    pub linked_span_id: String,
    /// When the collector received it, milliseconds.
    pub received_at: i64,
}

/// A row of `order_aliases`: another name under which support may know the order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OrderAliasRow {
    /// The other name in the form of `order_model::order_id::search_key`.
    pub alias: String,
    /// `partner_number` or `message_id`.
    pub alias_kind: String,
    /// The order.
    pub order_id: String,
    /// When the collector received it, milliseconds.
    pub received_at: i64,
}

/// Everything that one batch of OTLP requests adds to the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Spans.
    pub spans: Vec<SpanRow>,
    /// Log records.
    pub logs: Vec<LogRow>,
    /// Signals of orders.
    pub order_events: Vec<OrderEventRow>,
    /// Traces that name orders.
    pub order_traces: Vec<OrderTraceRow>,
    /// Links between traces.
    pub trace_links: Vec<TraceLinkRow>,
    /// Other names of orders.
    pub order_aliases: Vec<OrderAliasRow>,
}

impl Batch {
    /// Adds the rows of `other`.
    pub fn append(&mut self, mut other: Self) {
        self.spans.append(&mut other.spans);
        self.logs.append(&mut other.logs);
        self.order_events.append(&mut other.order_events);
        self.order_traces.append(&mut other.order_traces);
        self.trace_links.append(&mut other.trace_links);
        self.order_aliases.append(&mut other.order_aliases);
    }

    /// Number of rows over all tables.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.spans.len()
            + self.logs.len()
            + self.order_events.len()
            + self.order_traces.len()
            + self.trace_links.len()
            + self.order_aliases.len()
    }

    /// What the batch touches, for the stitcher: orders named, and traces whose orders may have
    /// changed (signals that name no order, links).
    #[must_use]
    pub fn touched(&self) -> Touched {
        let mut touched = Touched::default();
        for row in &self.order_traces {
            touched.orders.insert(row.order_id.clone());
        }
        for row in &self.order_events {
            if row.order_id.is_empty() {
                touched.traces.insert(row.trace_id.clone());
            } else {
                touched.orders.insert(row.order_id.clone());
            }
        }
        for row in &self.trace_links {
            touched.traces.insert(row.trace_id.clone());
            touched.traces.insert(row.linked_trace_id.clone());
        }
        touched
    }
}

/// Orders and traces whose state must be derived again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Orders named.
    pub orders: std::collections::BTreeSet<String>,
    /// Traces whose orders are to be looked up.
    pub traces: std::collections::BTreeSet<String>,
}

impl Touched {
    /// Adds what `other` touches.
    pub fn merge(&mut self, mut other: Self) {
        self.orders.append(&mut other.orders);
        self.traces.append(&mut other.traces);
    }

    /// Whether nothing is touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.traces.is_empty()
    }
}
