//! Records come back as they were written, whole or split, and what is none is refused.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::encoded_rows::EncodedRows;
use crate::rows::{Batch, LogRow, OrderEventRow, OrderTraceRow, SpanRow};

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
                let target = Target::new(table, VERSION);
                let bytes = |block: &Block| block.parts_for(target).concat();
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
    let newer = Block::read(&[Bytes::from_static(b"\x03anything")]).unwrap_err();
    assert_eq!(newer, BadRecord::Version { found: 3 });
    assert_eq!(Block::read(&[Bytes::from_static(b"\0")]).unwrap_err(), BadRecord::Malformed);
    let unknown = Bytes::from_static(b"\x01\x0d\x01\0\0\0\0\0\0\0");
    assert_eq!(Block::read(&[unknown]).unwrap_err(), BadRecord::Malformed);
}

#[test]
fn the_rows_of_some_tables_are_kept_and_what_they_touch() {
    let mut batch = batch(30);
    batch.logs.push(LogRow::default());
    let records = write(&batch, usize::MAX);
    let whole = Block::read(&records).unwrap();
    for tables in [vec![], vec![Table::Spans], vec![Table::Logs, Table::OrderEvents]] {
        let tables = BTreeSet::from_iter(tables);
        let kept = Block::read(&[only(&records[0], &tables).unwrap()]).unwrap();
        assert_eq!(kept.touched(), whole.touched());
        assert_eq!(kept.targets().map(Target::table).collect::<BTreeSet<_>>(), tables);
        for target in kept.targets() {
            assert_eq!(kept.parts_for(target).concat(), whole.parts_for(target).concat());
        }
    }
    assert!(only(&Bytes::from_static(b"\x03"), &BTreeSet::new()).is_err());
}
