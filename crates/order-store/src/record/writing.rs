//! A batch as records.

use bytes::Bytes;

use super::identity::identified;
use super::{SECTION_HEAD_BYTES, TOUCHED_CARRIERS, TOUCHED_NAMED, TOUCHED_ORDERS, Table, VERSION};
use crate::encoded_rows::EncodedRows;
use crate::row_binary::{TableRow, Value};
use crate::rows::Batch;

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
    writing.finished(Table::Logs, &identified(&batch.logs));
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
