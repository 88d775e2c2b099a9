//! The tables that records feed, and the columns that each version of records has for them.

use crate::row_binary::{LOG_COLUMNS_WITH_ID, TableRow};
use crate::rows::metrics::{ExponentialHistogramRow, GaugeRow, HistogramRow, SumRow, SummaryRow};
use crate::rows::{
    HeartbeatRow, LogRow, OrderAliasRow, OrderEventRow, OrderTraceRow, SpanRow, TraceLinkRow,
};

/// A table that a record feeds. The numbers stand in records: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `otel_traces`.
    Spans = 1,
    /// `otel_logs`.
    Logs = 2,
    /// `order_events`.
    OrderEvents = 3,
    /// `order_heartbeats`.
    OrderHeartbeats = 4,
    /// `order_traces`.
    OrderTraces = 5,
    /// `trace_links`.
    TraceLinks = 6,
    /// `order_aliases`.
    OrderAliases = 7,
    /// `otel_metrics_gauge`.
    Gauges = 8,
    /// `otel_metrics_sum`.
    Sums = 9,
    /// `otel_metrics_histogram`.
    Histograms = 10,
    /// `otel_metrics_exponential_histogram`.
    ExponentialHistograms = 11,
    /// `otel_metrics_summary`.
    Summaries = 12,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 12] = [
        Self::Spans,
        Self::Logs,
        Self::OrderEvents,
        Self::OrderHeartbeats,
        Self::OrderTraces,
        Self::TraceLinks,
        Self::OrderAliases,
        Self::Gauges,
        Self::Sums,
        Self::Histograms,
        Self::ExponentialHistograms,
        Self::Summaries,
    ];

    /// As the store names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "otel_traces",
            Self::Logs => "otel_logs",
            Self::OrderEvents => "order_events",
            Self::OrderHeartbeats => "order_heartbeats",
            Self::OrderTraces => "order_traces",
            Self::TraceLinks => "trace_links",
            Self::OrderAliases => "order_aliases",
            Self::Gauges => "otel_metrics_gauge",
            Self::Sums => "otel_metrics_sum",
            Self::Histograms => "otel_metrics_histogram",
            Self::ExponentialHistograms => "otel_metrics_exponential_histogram",
            Self::Summaries => "otel_metrics_summary",
        }
    }

    /// The columns of records of version 1.
    const fn first_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => SpanRow::COLUMNS,
            Self::Logs => LogRow::COLUMNS,
            Self::OrderEvents => OrderEventRow::COLUMNS,
            Self::OrderHeartbeats => HeartbeatRow::COLUMNS,
            Self::OrderTraces => OrderTraceRow::COLUMNS,
            Self::TraceLinks => TraceLinkRow::COLUMNS,
            Self::OrderAliases => OrderAliasRow::COLUMNS,
            Self::Gauges => GaugeRow::COLUMNS,
            Self::Sums => SumRow::COLUMNS,
            Self::Histograms => HistogramRow::COLUMNS,
            Self::ExponentialHistograms => ExponentialHistogramRow::COLUMNS,
            Self::Summaries => SummaryRow::COLUMNS,
        }
    }

    /// What a failed insert is called.
    pub(crate) const fn inserting(self) -> &'static str {
        match self {
            Self::Spans => "insert spans",
            Self::Logs => "insert log records",
            Self::OrderEvents => "insert signals of orders",
            Self::OrderHeartbeats => "insert signs of life",
            Self::OrderTraces => "insert traces of orders",
            Self::TraceLinks => "insert links of traces",
            Self::OrderAliases => "insert aliases of orders",
            Self::Gauges => "insert gauges",
            Self::Sums => "insert sums",
            Self::Histograms => "insert histograms",
            Self::ExponentialHistograms => "insert exponential histograms",
            Self::Summaries => "insert summaries",
        }
    }

    pub(super) fn of_kind(kind: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == kind)
    }
}

/// Rows that go in one insert: of one table, with the columns of one version of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    table: Table,
    /// The version that gave the table these columns.
    since: u8,
}

impl Target {
    /// Where rows of that table go, of a record of that version.
    pub(super) const fn new(table: Table, version: u8) -> Self {
        let since = match table {
            Table::Logs if version >= 2 => 2,
            _ => 1,
        };
        Self { table, since }
    }

    /// The table.
    #[must_use]
    pub const fn table(self) -> Table {
        self.table
    }

    /// The columns in the order in which the rows hold them. What was written once stays as it is:
    /// a version that adds a column has a line of its own here and in [`Target::new`], and an older
    /// record leaves the column to the default of the table.
    pub(crate) const fn columns(self) -> &'static [&'static str] {
        match (self.table, self.since) {
            (Table::Logs, 2) => &LOG_COLUMNS_WITH_ID,
            (table, _) => table.first_columns(),
        }
    }

    /// The deduplication token of this insert of what is called `name`. That of the first columns
    /// is as the first program wrote it, so that its repeats are known to later ones.
    pub(crate) fn token(self, name: &str) -> String {
        let table = self.table.name();
        match self.since {
            1 => format!("{name}-{table}"),
            since => format!("{name}-{table}-{since}"),
        }
    }
}
