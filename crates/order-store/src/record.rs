//! What one request adds to the store, as bytes that outlive the process: finished rows of every
//! table, and what they touch.
//!
//! A record is a version byte and sections: a kind (a table, or ids that were touched), the number
//! of rows or ids, the number of bytes, and these. Rows are `RowBinary` with the columns of that
//! version, so that a record is sent byte for byte as it was written, by whatever version of the
//! program. Integrity is the journal's business.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::encoded_rows::EncodedRows;
use crate::row_binary::{TableRow, Value, take_text};
use crate::rows::metrics::{ExponentialHistogramRow, GaugeRow, HistogramRow, SumRow, SummaryRow};
use crate::rows::{
    Batch, HeartbeatRow, LogRow, OrderAliasRow, OrderEventRow, OrderTraceRow, SpanRow, Touched,
    TraceLinkRow,
};

/// The version of the columns below.
const VERSION: u8 = 1;
/// Before the bytes of a section: its kind, rows and bytes.
const SECTION_HEAD_BYTES: usize = 1 + 4 + 4;

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

    pub(crate) const fn columns(self) -> &'static [&'static str] {
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

    fn of_kind(kind: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == kind)
    }
}

/// Sections of touched ids.
const TOUCHED_ORDERS: u8 = 64;
const TOUCHED_CARRIERS: u8 = 65;
const TOUCHED_NAMED: u8 = 66;

/// A record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It was written by a newer program.
    #[error("a record of version {found}; this program knows up to {VERSION}: run a newer one")]
    Version {
        /// Its version.
        found: u8,
    },
    /// It is no record.
    #[error("a record that ends or goes on where it should not")]
    Malformed,
}

/// Writes a batch as records of about `bytes_max` bytes each, the facts before the spans; a single
/// row may make one larger.
#[must_use]
pub fn write(batch: &Batch, bytes_max: usize) -> Vec<Bytes> {
    let mut writing = Writing { records: Vec::new(), open: vec![VERSION], bytes_max };
    let touched = batch.touched();
    for (kind, ids) in [
        (TOUCHED_ORDERS, &touched.orders),
        (TOUCHED_CARRIERS, &touched.carriers),
        (TOUCHED_NAMED, &touched.named),
    ] {
        writing.section(kind, ids, |id, out| id.put(out));
    }
    writing.rows(Table::OrderTraces, &batch.order_traces);
    writing.rows(Table::OrderEvents, &batch.order_events);
    writing.finished(Table::OrderEvents, &batch.order_event_rows);
    writing.rows(Table::OrderHeartbeats, &batch.order_heartbeats);
    writing.rows(Table::TraceLinks, &batch.trace_links);
    writing.rows(Table::OrderAliases, &batch.order_aliases);
    writing.rows(Table::Spans, &batch.spans);
    writing.finished(Table::Spans, &batch.span_rows);
    writing.rows(Table::Logs, &batch.logs);
    writing.rows(Table::Gauges, &batch.metrics.gauges);
    writing.rows(Table::Sums, &batch.metrics.sums);
    writing.rows(Table::Histograms, &batch.metrics.histograms);
    writing.rows(Table::ExponentialHistograms, &batch.metrics.exponential_histograms);
    writing.rows(Table::Summaries, &batch.metrics.summaries);
    writing.end()
}

struct Writing {
    records: Vec<Bytes>,
    open: Vec<u8>,
    bytes_max: usize,
}

impl Writing {
    fn rows<R: TableRow>(&mut self, table: Table, rows: &[R]) {
        self.section(table as u8, rows, TableRow::put);
    }

    fn section<T>(
        &mut self,
        kind: u8,
        items: impl IntoIterator<Item = T>,
        put: impl Fn(T, &mut Vec<u8>),
    ) {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let head = self.begin(kind);
            let mut count = 0_u32;
            while let Some(item) = items.next_if(|_| count == 0 || self.open.len() < self.bytes_max)
            {
                put(item, &mut self.open);
                count += 1;
            }
            self.close(head, count);
        }
    }

    /// Rows that need only be copied.
    fn finished(&mut self, table: Table, rows: &EncodedRows) {
        let mut first = 0;
        while first < rows.len() {
            let head = self.begin(table as u8);
            let room = self.bytes_max.saturating_sub(self.open.len());
            let (count, bytes) = rows.take(first, room);
            self.open.extend_from_slice(bytes);
            first += count;
            self.close(head, u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// Begins a section; returns where.
    fn begin(&mut self, kind: u8) -> usize {
        let head = self.open.len();
        self.open.push(kind);
        self.open.extend_from_slice(&[0; SECTION_HEAD_BYTES - 1]);
        head
    }

    /// Ends the section that began at `head`, and the record if it is long enough.
    fn close(&mut self, head: usize, count: u32) {
        let bytes = self.open.len() - head - SECTION_HEAD_BYTES;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.open[head + 1..head + 5].copy_from_slice(&count.to_le_bytes());
        self.open[head + 5..head + 9].copy_from_slice(&bytes.to_le_bytes());
        if self.open.len() >= self.bytes_max {
            self.records.push(std::mem::replace(&mut self.open, vec![VERSION]).into());
        }
    }

    fn end(mut self) -> Vec<Bytes> {
        if self.open.len() > 1 {
            self.records.push(self.open.into());
        }
        self.records
    }
}

/// Records that are inserted together: the rows of each table as they were written.
#[derive(Debug, Clone, Default)]
pub struct Block {
    rows: [TableRows; Table::ALL.len()],
    touched: Touched,
}

/// The rows of one table.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableRows {
    pub(crate) count: u64,
    pub(crate) parts: Vec<Bytes>,
}

impl Block {
    /// Takes records apart; nothing is copied.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn read(records: &[Bytes]) -> Result<Self, BadRecord> {
        let mut block = Self::default();
        for record in records {
            block.add(record)?;
        }
        Ok(block)
    }

    fn add(&mut self, record: &Bytes) -> Result<(), BadRecord> {
        match record.first() {
            Some(&VERSION) => {}
            Some(&found) => return Err(BadRecord::Version { found }),
            None => return Err(BadRecord::Malformed),
        }
        let mut at = 1;
        while at < record.len() {
            let (kind, count, body) = section(record, at).ok_or(BadRecord::Malformed)?;
            at += SECTION_HEAD_BYTES + body.len();
            let touched = match kind {
                TOUCHED_ORDERS => &mut self.touched.orders,
                TOUCHED_CARRIERS => &mut self.touched.carriers,
                TOUCHED_NAMED => &mut self.touched.named,
                _ => {
                    let table = Table::of_kind(kind).ok_or(BadRecord::Malformed)?;
                    let rows = &mut self.rows[table as usize - 1];
                    rows.count += u64::from(count);
                    rows.parts.push(body);
                    continue;
                }
            };
            take_ids(touched, count, &body).ok_or(BadRecord::Malformed)?;
        }
        Ok(())
    }

    /// Rows for a table.
    #[must_use]
    pub fn count(&self, table: Table) -> u64 {
        self.of(table).count
    }

    /// Rows over all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.iter().map(|rows| rows.count).sum()
    }

    /// What the rows touch, for the stitcher.
    #[must_use]
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    pub(crate) fn of(&self, table: Table) -> &TableRows {
        &self.rows[table as usize - 1]
    }
}

/// The section that begins there: kind, rows, bytes.
fn section(record: &Bytes, at: usize) -> Option<(u8, u32, Bytes)> {
    let head = record.get(at..at + SECTION_HEAD_BYTES)?;
    let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (count, length) = (number(1)?, usize::try_from(number(5)?).ok()?);
    let begin = at + SECTION_HEAD_BYTES;
    let end = begin.checked_add(length).filter(|end| *end <= record.len())?;
    Some((head[0], count, record.slice(begin..end)))
}

fn take_ids(ids: &mut BTreeSet<String>, count: u32, mut bytes: &[u8]) -> Option<()> {
    for _ in 0..count {
        ids.insert(take_text(&mut bytes)?.to_owned());
    }
    bytes.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(spans: usize) -> Batch {
        let span = |n: usize| SpanRow {
            trace_id: format!("t{n}"),
            span_name: "x".repeat(n % 40),
            ..SpanRow::default()
        };
        let naming = |n: usize| OrderTraceRow {
            order_id: format!("A{n}"),
            trace_id: format!("t{n}"),
            ..OrderTraceRow::default()
        };
        let event = |n: usize| OrderEventRow { carrier: format!("c{n}"), ..Default::default() };
        Batch {
            spans: (0..spans).map(span).collect(),
            order_traces: (0..spans / 3).map(naming).collect(),
            order_events: (0..spans / 5).map(event).collect(),
            ..Batch::default()
        }
    }

    #[test]
    fn what_is_written_is_read_in_one_record_or_in_many() {
        for spans in [0, 1, 7, 300] {
            let batch = batch(spans);
            let whole = write(&batch, usize::MAX);
            assert_eq!(whole.len(), usize::from(spans > 0));
            let block = Block::read(&whole).unwrap();
            for bytes_max in [1, 100, 2_000] {
                let records = write(&batch, bytes_max);
                assert!(spans < 300 || records.len() > 10);
                let longest = records.iter().map(Bytes::len).max().unwrap_or_default();
                assert!(longest < bytes_max + 400, "{longest}");
                let split = Block::read(&records).unwrap();
                assert_eq!(split.rows(), batch.rows() as u64);
                assert_eq!(split.touched(), &batch.touched());
                for table in Table::ALL {
                    let bytes = |block: &Block| block.of(table).parts.concat();
                    assert_eq!(bytes(&split), bytes(&block), "{table:?}");
                    assert_eq!(split.count(table), block.count(table), "{table:?}");
                }
            }
        }
    }

    #[test]
    fn finished_rows_are_written_as_those_that_are_not() {
        let batch = batch(300);
        let carriers = batch.order_events.iter().map(|row| row.carrier.clone());
        let finished = Batch {
            spans: Vec::new(),
            span_rows: EncodedRows::of(&batch.spans),
            order_events: Vec::new(),
            order_event_rows: EncodedRows::of(&batch.order_events),
            order_event_carriers: carriers.collect(),
            ..batch.clone()
        };
        assert_eq!(finished.rows(), batch.rows());
        for bytes_max in [1, 100, 2_000, usize::MAX] {
            assert_eq!(write(&finished, bytes_max), write(&batch, bytes_max), "{bytes_max}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let records = write(&batch(9), usize::MAX);
        let (record, whole) = (&records[0], Block::read(&records).unwrap());
        for length in 0..record.len() {
            // Between two sections a record may end.
            if let Ok(block) = Block::read(&[record.slice(..length)]) {
                assert!(block.rows() < whole.rows());
            }
        }
        let newer = Block::read(&[Bytes::from_static(b"\x02anything")]).unwrap_err();
        assert_eq!(newer, BadRecord::Version { found: 2 });
        let unknown = Bytes::from_static(b"\x01\x0d\x01\0\0\0\0\0\0\0");
        assert_eq!(Block::read(&[unknown]).unwrap_err(), BadRecord::Malformed);
    }
}
