//! A body on both ways: straight to rows, and through the tree of messages, which is the oracle.

use bytes::Bytes;
use order_store::EncodedRows;
use otlp_columns::{DecodeError, Encoding, Mapped, Mapper, Signal};

/// When the bodies were received.
const RECEIVED_AT_MS: i64 = 1_795_400_000_000;

/// Which way a body went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Straight to rows.
    Straight,
    /// Through the tree, as nothing but the tree could read it.
    Tree,
    /// Nothing came of it, so that nobody can tell.
    Empty,
    /// Refused.
    Refused,
}

/// The same with finished rows only, and without what tells the ways apart.
pub(crate) fn finished(mut mapped: Mapped) -> Mapped {
    let batch = &mut mapped.batch;
    batch.span_rows.append(&mut EncodedRows::of(&std::mem::take(&mut batch.spans)));
    let carriers = batch.order_events.iter().filter(|row| row.order_id.is_empty());
    batch.order_event_carriers.extend(carriers.map(|row| row.carrier.clone()));
    let mut events = EncodedRows::of(&std::mem::take(&mut batch.order_events));
    batch.order_event_rows.append(&mut events);
    mapped.row_bytes = 0;
    mapped
}

/// Maps a protobuf body of spans both ways.
///
/// # Panics
/// They differ.
pub(crate) fn check(mapper: &Mapper, body: &Bytes) -> Way {
    let straight = mapper.map_body(Signal::Traces, Encoding::Protobuf, body, RECEIVED_AT_MS);
    let tree = Signal::Traces
        .decode(Encoding::Protobuf, body, mapper.limits())
        .map(|decoded| mapper.map(decoded, RECEIVED_AT_MS));
    match (straight, tree) {
        (Ok(straight), Ok(tree)) => {
            assert!(straight.row_bytes <= tree.row_bytes, "rows that are finished take no more");
            let way = match (straight.batch.spans.len(), straight.batch.span_rows.len()) {
                (0, 0) => Way::Empty,
                (0, _) => Way::Straight,
                _ => Way::Tree,
            };
            assert_eq!(finished(straight), finished(tree));
            way
        }
        (Err(straight), Err(tree)) => {
            assert_eq!(class(&straight), class(&tree), "{straight} / {tree}");
            Way::Refused
        }
        (straight, tree) => panic!("straight: {straight:?}, tree: {tree:?}"),
    }
}

fn class(error: &DecodeError) -> (std::mem::Discriminant<DecodeError>, bool, String) {
    (std::mem::discriminant(error), error.is_too_large(), error.to_string())
}
