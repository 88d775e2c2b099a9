//! What tells one log record from another: OTLP gives them no id, and without one a client's repeat
//! would be counted twice.
//!
//! The id is a digest of everything that was sent, and of which it is among the equal ones of its
//! request: two equal lines of one request stay two. A repeat of the request, through whatever
//! collector, has the same ids. When it was received is no part of it. ADR 11 has the reasons.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::encoded_rows::EncodedRows;
use crate::row_binary::TableRow;
use crate::rows::LogRow;

/// Bytes of an id. Of 10¹² records two have the same by chance once in 10¹⁴ times.
const ID_BYTES: usize = 16;
/// The last column of a log record: when it was received.
const RECEIVED_AT_BYTES: usize = 8;

/// The log records of one request with their ids behind them.
pub(super) fn identified(rows: &[LogRow]) -> EncodedRows {
    let mut equal = HashMap::<[u8; ID_BYTES], u32>::with_capacity(rows.len());
    let mut identified = EncodedRows::default();
    for row in rows {
        identified.push(|out| {
            let start = out.len();
            row.put(out);
            let content = digest(&[&out[start..out.len() - RECEIVED_AT_BYTES]]);
            let ordinal = equal.entry(content).and_modify(|count| *count += 1).or_default();
            let id = match *ordinal {
                0 => content,
                ordinal => digest(&[&content, &ordinal.to_le_bytes()]),
            };
            out.extend_from_slice(&id);
        });
    }
    identified
}

fn digest(parts: &[&[u8]]) -> [u8; ID_BYTES] {
    let mut sha = Sha256::new();
    parts.iter().for_each(|part| sha.update(part));
    let whole: [u8; 32] = sha.finalize().into();
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&whole[..ID_BYTES]);
    id
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rows::Attributes;

    type Change = fn(&mut LogRow, String, Attributes);

    fn row(body: &str) -> LogRow {
        LogRow {
            timestamp: 7,
            service_name: "mes".into(),
            body: body.into(),
            log_attributes: vec![("k".into(), "v".into())],
            received_at: 1,
            ..LogRow::default()
        }
    }

    fn ids(rows: &[LogRow]) -> Vec<Vec<u8>> {
        let identified = identified(rows);
        assert_eq!(identified.len(), rows.len());
        identified.iter().map(|row| row[row.len() - ID_BYTES..].to_vec()).collect()
    }

    #[test]
    fn a_repeat_has_the_ids_of_the_first_and_equal_records_stay_apart() {
        let request = [row("a"), row("b"), row("a"), row("a")];
        let first = ids(&request);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 4);
        let later = request.map(|row| LogRow { received_at: 99, ..row });
        assert_eq!(ids(&later), first);
        // Whatever else is in the request.
        assert_eq!(ids(&[row("c"), row("a")])[1], first[0]);
    }

    #[test]
    fn every_column_but_the_time_of_receipt_tells_records_apart() {
        let text = || "x".to_owned();
        let map = || vec![("k".to_owned(), "x".to_owned())];
        let changes: [Change; 16] = [
            |row, _, _| row.timestamp = 8,
            |row, text, _| row.trace_id = text,
            |row, text, _| row.span_id = text,
            |row, _, _| row.trace_flags = 1,
            |row, text, _| row.severity_text = text,
            |row, _, _| row.severity_number = 1,
            |row, text, _| row.service_name = text,
            |row, text, _| row.body = text,
            |row, text, _| row.resource_schema_url = text,
            |row, _, map| row.resource_attributes = map,
            |row, text, _| row.scope_schema_url = text,
            |row, text, _| row.scope_name = text,
            |row, text, _| row.scope_version = text,
            |row, _, map| row.scope_attributes = map,
            |row, _, map| row.log_attributes = map,
            |row, text, _| row.event_name = text,
        ];
        assert_eq!(changes.len() + 1, LogRow::COLUMNS.len());
        let mut different = BTreeSet::from([ids(&[row("a")])]);
        for change in changes {
            let mut changed = row("a");
            change(&mut changed, text(), map());
            different.insert(ids(&[changed]));
        }
        assert_eq!(different.len(), changes.len() + 1);
    }
}
