//! Rows as the tables hold them: what the writer inserts, column for column.
//!
//! Times are nanoseconds since 1970 (`DateTime64(9)`) unless a field says milliseconds
//! (`DateTime64(3)`). Ids are lower-case hexadecimal, as the OpenTelemetry exporter writes them.

pub mod metrics;

use std::borrow::Cow;
use std::collections::BTreeSet;

use clickhouse::Row;
use order_model::graph::message_carrier;
use order_model::keys::ALIAS_MESSAGE_ID;
use serde::{Deserialize, Serialize};

use crate::encoded_rows::EncodedRows;
pub use crate::touched::Touched;
use metrics::Metrics;

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
    /// The order, or empty when only a carrier is known: then it belongs to the carrier's orders.
    pub order_id: String,
    /// What tells the order when none is named: the message (`message_carrier`), else the trace.
    /// Empty when an order is named.
    pub carrier: String,
    /// One of `order_model::keys::SIGNAL_*`.
    pub signal: String,
    /// The stage as the source wrote it; the destination of a message handed or taken over; empty
    /// for a request for a price.
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

/// A row of `order_events`, borrowed: to be written and not kept.
#[derive(Debug, Clone, Copy)]
pub struct OrderEventParts<'a> {
    /// As in [`OrderEventRow`], like all that follow.
    pub order_id: &'a str,
    /// What tells the order when none is named.
    pub carrier: &'a str,
    /// What was signalled.
    pub signal: &'a str,
    /// The stage, or the destination of a message.
    pub stage: &'a str,
    /// When, by the clock of the source.
    pub event_time: i64,
    /// When the collector received it, milliseconds.
    pub received_at: i64,
    /// `service.name`.
    pub source: &'a str,
    /// Trace it came in, or empty.
    pub trace_id: &'a str,
    /// Span it came in, or empty.
    pub span_id: &'a str,
    /// Attempt of a calculation, 0 when not said.
    pub attempt: u32,
    /// What the page shows.
    pub evidence: &'a [(&'a str, Cow<'a, str>)],
}

/// A row of `order_heartbeats`: long work on an order is alive. Rows of one (order, carrier,
/// source, worker, attempt) fold to the latest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HeartbeatRow {
    /// The order, or empty as in [`OrderEventRow`].
    pub order_id: String,
    /// What tells the order when none is named.
    pub carrier: String,
    /// `service.name`.
    pub source: String,
    /// `service.instance.id`, else `host.name`, else empty.
    pub worker: String,
    /// Attempt of a calculation, 0 when not said.
    pub attempt: u32,
    /// The latest, by the clock of the source.
    pub last_at: i64,
    /// When the collector received it, milliseconds.
    pub received_at: i64,
}

/// A row of `order_traces`: a trace (or, with an empty id, a log without one) named this order.
/// Rows of one (order, trace, span) fold by minimum and maximum.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OrderTraceRow {
    /// The order.
    pub order_id: String,
    /// The trace, or empty.
    pub trace_id: String,
    /// Empty for the trace as a whole. A span that names orders and meets links or messages
    /// (it publishes, consumes, has links or a message id) has a row of its own beside it.
    pub span_id: String,
    /// 1 if only the partner's own number was named, which stands for the order.
    pub provisional: u8,
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

/// A row of `trace_links`: a span of one trace links to a span of another; or a span that names
/// no order has a message id: then `linked_trace_id` is its `message_carrier`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TraceLinkRow {
    /// The trace that links (by convention the consumer's).
    pub trace_id: String,
    /// Its span.
    pub span_id: String,
    /// The trace linked to (by convention the producer's), or a message.
    pub linked_trace_id: String,
    /// Its span, or empty.
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
    /// `partner_number` (of one order), `shared_number` (named together with several orders) or
    /// `message_id`. The writer itself adds `order_id`.
    pub alias_kind: String,
    /// The partner whose number it is, in the form of the search box; empty when not said, and
    /// for messages.
    pub scope: String,
    /// The order.
    pub order_id: String,
    /// As in [`OrderTraceRow`].
    pub provisional: u8,
    /// When the collector received it, milliseconds.
    pub received_at: i64,
}

/// Everything that one batch of OTLP requests adds to the store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Spans.
    pub spans: Vec<SpanRow>,
    /// More spans, which were never such rows: they are finished already.
    pub span_rows: EncodedRows,
    /// Log records.
    pub logs: Vec<LogRow>,
    /// Data points of metrics.
    pub metrics: Metrics,
    /// Signals of orders.
    pub order_events: Vec<OrderEventRow>,
    /// More signals, finished already. The orders that they name MUST stand in `order_traces`.
    pub order_event_rows: EncodedRows,
    /// The carriers of those of them that name no order.
    pub order_event_carriers: BTreeSet<String>,
    /// Signs of life.
    pub order_heartbeats: Vec<HeartbeatRow>,
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
        self.span_rows.append(&mut other.span_rows);
        self.logs.append(&mut other.logs);
        self.metrics.append(other.metrics);
        self.order_events.append(&mut other.order_events);
        self.order_event_rows.append(&mut other.order_event_rows);
        self.order_event_carriers.append(&mut other.order_event_carriers);
        self.order_heartbeats.append(&mut other.order_heartbeats);
        self.order_traces.append(&mut other.order_traces);
        self.trace_links.append(&mut other.trace_links);
        self.order_aliases.append(&mut other.order_aliases);
    }

    /// Number of rows over all tables.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.spans.len()
            + self.span_rows.len()
            + self.logs.len()
            + self.metrics.len()
            + self.order_events.len()
            + self.order_event_rows.len()
            + self.order_heartbeats.len()
            + self.order_traces.len()
            + self.trace_links.len()
            + self.order_aliases.len()
    }

    /// What the batch touches, for the stitcher: the orders named, the carriers whose facts may
    /// be of other orders, and the carriers that were named and so may leave another order.
    #[must_use]
    pub fn touched(&self) -> Touched {
        let mut touched = Touched::default();
        for row in &self.order_traces {
            add_once(&mut touched.orders, &row.order_id);
            if !row.trace_id.is_empty() {
                add_once(&mut touched.named, &row.trace_id);
            }
        }
        for row in &self.order_aliases {
            add_once(&mut touched.orders, &row.order_id);
            if row.alias_kind == ALIAS_MESSAGE_ID {
                touched.named.insert(message_carrier(&row.alias));
            }
        }
        let events = self.order_events.iter().map(|row| (&row.order_id, &row.carrier));
        let beats = self.order_heartbeats.iter().map(|row| (&row.order_id, &row.carrier));
        for (order_id, carrier) in events.chain(beats) {
            if order_id.is_empty() {
                add_once(&mut touched.carriers, carrier);
            } else {
                add_once(&mut touched.orders, order_id);
            }
        }
        touched.carriers.extend(self.order_event_carriers.iter().cloned());
        // The far end is found over the link, and there only the orders that the link meets.
        touched.carriers.extend(self.trace_links.iter().map(|row| row.trace_id.clone()));
        touched
    }
}

/// Most ids are there already: only new ones are copied.
fn add_once(ids: &mut BTreeSet<String>, id: &str) {
    if !ids.contains(id) {
        ids.insert(id.to_owned());
    }
}
