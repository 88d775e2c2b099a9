//! Rows as `RowBinary`, the format in which they travel and lie in the journal.
//!
//! <https://clickhouse.com/docs/interfaces/formats/RowBinary>: numbers little-endian, texts and
//! arrays with their length as LEB128 before them, a map as an array of pairs.

use std::borrow::Cow;

use crate::rows::{
    HeartbeatRow, LogRow, OrderAliasRow, OrderEventParts, OrderEventRow, OrderTraceRow, SpanRow,
    TraceLinkRow,
};

/// A value of a column.
pub trait Value {
    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);
}

/// A row of a table, its columns in a fixed order.
pub trait TableRow {
    /// The columns.
    const COLUMNS: &'static [&'static str];

    /// Appends the row.
    fn put(&self, out: &mut Vec<u8>);
}

/// Appends a length, as it stands before a text or an array.
#[inline]
pub fn put_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128")]
    out.push(length as u8);
}

/// A length and the bytes behind it; `None` where the bytes end before.
pub(crate) fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

/// A text with its length; `None` where the bytes end before, or are no UTF-8.
pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = take_length(bytes)?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

macro_rules! number_values {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

number_values!(u8, u32, u64, i32, i64, f64);

impl Value for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }
}

impl Value for str {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
}

impl Value for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl Value for Cow<'_, str> {
    fn put(&self, out: &mut Vec<u8>) {
        str::put(self, out);
    }
}

impl<T: Value + ?Sized> Value for &T {
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }
}

impl<T: Value> Value for [T] {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        self.iter().for_each(|value| value.put(out));
    }
}

impl<T: Value> Value for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_slice().put(out);
    }
}

impl<K: Value, V: Value> Value for (K, V) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
}

/// The columns of a row, and the fields that fill them.
macro_rules! columns {
    ($row:ty: $($column:literal = $($field:ident).+),* $(,)?) => {
        impl TableRow for $row {
            const COLUMNS: &'static [&'static str] = &[$($column),*];

            fn put(&self, out: &mut Vec<u8>) {
                $(self.$($field).+.put(out);)*
            }
        }
    };
    ($row:ty, $borrowed:ty: $($columns:tt)*) => {
        columns! { $row: $($columns)* }
        columns! { $borrowed: $($columns)* }
    };
}

mod metrics;

columns! { SpanRow:
    "Timestamp" = timestamp,
    "TraceId" = trace_id,
    "SpanId" = span_id,
    "ParentSpanId" = parent_span_id,
    "TraceState" = trace_state,
    "SpanName" = span_name,
    "SpanKind" = span_kind,
    "ServiceName" = service_name,
    "ResourceAttributes" = resource_attributes,
    "ScopeName" = scope_name,
    "ScopeVersion" = scope_version,
    "SpanAttributes" = span_attributes,
    "Duration" = duration,
    "StatusCode" = status_code,
    "StatusMessage" = status_message,
    "Events.Timestamp" = events_timestamp,
    "Events.Name" = events_name,
    "Events.Attributes" = events_attributes,
    "Links.TraceId" = links_trace_id,
    "Links.SpanId" = links_span_id,
    "Links.TraceState" = links_trace_state,
    "Links.Attributes" = links_attributes,
    "ReceivedAt" = received_at,
}

columns! { LogRow:
    "Timestamp" = timestamp,
    "TraceId" = trace_id,
    "SpanId" = span_id,
    "TraceFlags" = trace_flags,
    "SeverityText" = severity_text,
    "SeverityNumber" = severity_number,
    "ServiceName" = service_name,
    "Body" = body,
    "ResourceSchemaUrl" = resource_schema_url,
    "ResourceAttributes" = resource_attributes,
    "ScopeSchemaUrl" = scope_schema_url,
    "ScopeName" = scope_name,
    "ScopeVersion" = scope_version,
    "ScopeAttributes" = scope_attributes,
    "LogAttributes" = log_attributes,
    "EventName" = event_name,
    "ReceivedAt" = received_at,
}

/// The columns of a log record with its id behind it (`record::identity`).
pub(crate) const LOG_COLUMNS_WITH_ID: [&str; LogRow::COLUMNS.len() + 1] = {
    let mut columns = ["RecordId"; LogRow::COLUMNS.len() + 1];
    let mut at = 0;
    while at < LogRow::COLUMNS.len() {
        columns[at] = LogRow::COLUMNS[at];
        at += 1;
    }
    columns
};

columns! { OrderEventRow, OrderEventParts<'_>:
    "OrderId" = order_id,
    "Carrier" = carrier,
    "Signal" = signal,
    "Stage" = stage,
    "EventTime" = event_time,
    "ReceivedAt" = received_at,
    "Source" = source,
    "TraceId" = trace_id,
    "SpanId" = span_id,
    "Attempt" = attempt,
    "Evidence" = evidence,
}

columns! { HeartbeatRow:
    "OrderId" = order_id,
    "Carrier" = carrier,
    "Source" = source,
    "Worker" = worker,
    "Attempt" = attempt,
    "LastAt" = last_at,
    "ReceivedAt" = received_at,
}

columns! { OrderTraceRow:
    "OrderId" = order_id,
    "TraceId" = trace_id,
    "SpanId" = span_id,
    "Provisional" = provisional,
    "Start" = start,
    "End" = end,
    "ReceivedAt" = received_at,
    "HasModel" = has_model,
    "Kind" = kind,
    "Channel" = channel,
}

columns! { TraceLinkRow:
    "TraceId" = trace_id,
    "SpanId" = span_id,
    "LinkedTraceId" = linked_trace_id,
    "LinkedSpanId" = linked_span_id,
    "ReceivedAt" = received_at,
}

columns! { OrderAliasRow:
    "Alias" = alias,
    "AliasKind" = alias_kind,
    "Scope" = scope,
    "OrderId" = order_id,
    "Provisional" = provisional,
    "ReceivedAt" = received_at,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_texts_come_back() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, usize::MAX] {
            let mut bytes = Vec::new();
            put_length(length, &mut bytes);
            assert_eq!(take_length(&mut bytes.as_slice()), Some(length));
            assert_eq!(take_length(&mut &bytes[..bytes.len() - 1]), None, "{length}");
        }
        let mut bytes = Vec::new();
        "Größe".put(&mut bytes);
        assert_eq!(take_text(&mut bytes.as_slice()), Some("Größe"));
        assert_eq!(take_text(&mut &bytes[..3]), None);
    }

    #[test]
    fn a_row_is_its_columns_one_after_the_other() {
        let row = HeartbeatRow {
            order_id: "A".into(),
            carrier: String::new(),
            source: "mes".into(),
            worker: "w".into(),
            attempt: 2,
            last_at: -1,
            received_at: 1,
        };
        let mut bytes = Vec::new();
        TableRow::put(&row, &mut bytes);
        let expected = b"\x01A\x00\x03mes\x01w\x02\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\
            \x01\0\0\0\0\0\0\0";
        assert_eq!(bytes, expected);
    }
}
