//! What the engine makes of numbers: spans, and what the collector would have derived from them.

/// Rows of one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// Where they go.
    pub(super) table: &'static str,
    /// The columns that `select` makes; the others have their defaults.
    pub(super) columns: &'static str,
    /// What a number is: it gives `o`, the order's.
    numbers: &'static str,
    /// The rest of the statement, after what is common to an order.
    select: &'static str,
}

impl Rows {
    /// The statement that makes the rows of `{first}` to `{first} + {count}`. Comments go: the
    /// client would read a `?` in them as a placeholder.
    pub(super) fn text(&self) -> String {
        let common = include_str!("orders.sql");
        let text = format!("WITH number AS {},\n{common}{}", self.numbers, self.select);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let mut text: String = lines.flat_map(|line| [line, "\n"]).collect();
        text.push_str("FROM numbers({first:UInt64}, {count:UInt64})");
        text
    }
}

/// Spans, of numbers of spans.
pub(super) const SPANS: Rows = Rows {
    table: "otel_traces",
    columns: "Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
        ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, \
        ReceivedAt",
    numbers: "n, intDiv(n, 10) AS o",
    select: include_str!("spans.sql"),
};

/// The same spans, for the exporter's table.
pub(super) const EXPORTER_SPANS: Rows = Rows {
    table: super::exporter::TRACES,
    columns: "Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, \
        ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode",
    ..SPANS
};

/// Facts of orders, of numbers of orders.
pub(super) const FACTS: [Rows; 3] = [
    Rows {
        table: "order_traces",
        columns: "OrderId, TraceId, Start, End, ReceivedAt, HasModel, Kind, Channel",
        numbers: "o",
        select: include_str!("order_traces.sql"),
    },
    Rows {
        table: "order_aliases",
        columns: "Alias, AliasKind, OrderId, ReceivedAt",
        numbers: "o",
        select: include_str!("order_aliases.sql"),
    },
    Rows {
        table: "order_events",
        columns: "OrderId, Signal, Stage, EventTime, ReceivedAt, Source, TraceId, SpanId, Evidence",
        numbers: "o",
        select: include_str!("order_events.sql"),
    },
];
