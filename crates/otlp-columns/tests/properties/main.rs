//! What holds for every request: the encoding and the split into batches do not matter, bounds
//! hold, and no bytes make the mapping panic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod requests;
mod metric_requests;
mod mutations;
mod both_ways;
mod equality;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use order_model::Lifecycle;
use order_model::graph::message_of;
use order_model::keys::{ALIAS_MESSAGE_ID, ALIAS_SHARED_NUMBER};
use order_store::rows::{Batch, HeartbeatRow, OrderAliasRow};
use otlp_columns::{Decoded, Encoding, Limits, Mapped, Mapper, Redaction, Request, Signal};
use proptest::prelude::*;
use prost::Message;

use metric_requests::{items, metrics_request};
use requests::{logs_request, split, traces_request};

const RECEIVED_AT_MS: i64 = 1_795_400_000_000;

fn mapper(limits: Limits) -> Mapper {
    Mapper::new(Arc::new(Lifecycle::default()), Redaction::with(&[]).unwrap(), limits)
}

fn map(signal: Signal, encoding: Encoding, body: Vec<u8>) -> Mapped {
    let body = Bytes::from(body);
    let mapper = mapper(Limits::default());
    both_ways::finished(mapper.map_body(signal, encoding, &body, RECEIVED_AT_MS).unwrap())
}

/// The rows of facts, and not finished.
fn facts(request: Request) -> Batch {
    let decoded = Decoded { request, repaired_strings: 0 };
    mapper(Limits::default()).map(decoded, RECEIVED_AT_MS).batch
}

/// The rows in an order that does not depend on that of arrival, folded as the store folds them;
/// a message that a trace met counts once.
fn settled(mut batch: Batch) -> (Batch, [Vec<Vec<u8>>; 2]) {
    let finished = [&mut batch.span_rows, &mut batch.order_event_rows].map(|rows| {
        let mut rows: Vec<_> = std::mem::take(rows).iter().map(<[u8]>::to_vec).collect();
        rows.sort();
        rows
    });
    let mut met = BTreeSet::new();
    batch.trace_links.retain(|row| {
        message_of(&row.linked_trace_id).is_none()
            || met.insert((row.trace_id.clone(), row.linked_trace_id.clone()))
    });
    batch.trace_links.sort_by_key(|row| format!("{row:?}"));
    batch.order_traces = folded(
        batch.order_traces,
        |row| (row.order_id.clone(), row.trace_id.clone(), row.span_id.clone()),
        |known, row| {
            known.provisional = known.provisional.min(row.provisional);
            known.start = known.start.min(row.start);
            known.end = known.end.max(row.end);
            known.has_model = known.has_model.max(row.has_model);
            known.kind = known.kind.clone().max(row.kind);
            known.channel = known.channel.clone().max(row.channel);
        },
    );
    batch.order_aliases = folded(
        batch.order_aliases,
        |row| {
            let OrderAliasRow { alias, alias_kind, scope, order_id, .. } = row.clone();
            (alias, alias_kind, scope, order_id)
        },
        |known, row| known.provisional = known.provisional.min(row.provisional),
    );
    batch.order_heartbeats = folded(
        batch.order_heartbeats,
        |row| {
            let HeartbeatRow { order_id, carrier, source, worker, attempt, .. } = row.clone();
            (order_id, carrier, source, worker, attempt)
        },
        |known, row| known.last_at = known.last_at.max(row.last_at),
    );
    (batch, finished)
}

fn folded<Row: Clone, Key: Ord>(
    rows: Vec<Row>,
    key: impl Fn(&Row) -> Key,
    fold: impl Fn(&mut Row, Row),
) -> Vec<Row> {
    let mut folded: BTreeMap<Key, Row> = BTreeMap::new();
    for row in rows {
        fold(folded.entry(key(&row)).or_insert_with(|| row.clone()), row);
    }
    folded.into_values().collect()
}

fn names(batch: &Batch, order_id: &str) -> bool {
    batch.order_traces.iter().any(|row| row.order_id == order_id)
}

/// What holds for the facts of every request.
fn check_facts(batch: &Batch) -> Result<(), TestCaseError> {
    let signals = batch.order_events.iter().map(|row| (&row.order_id, &row.carrier));
    let lives = batch.order_heartbeats.iter().map(|row| (&row.order_id, &row.carrier));
    for (order_id, carrier) in signals.chain(lives) {
        prop_assert!(order_id.is_empty() != carrier.is_empty(), "{order_id} / {carrier}");
        prop_assert!(order_id.is_empty() || names(batch, order_id), "{order_id} is not named");
    }
    for row in &batch.order_events {
        let of_trace = row.carrier == row.trace_id;
        prop_assert!(row.carrier.is_empty() || of_trace || message_of(&row.carrier).is_some());
    }
    for row in &batch.order_aliases {
        prop_assert!(!row.alias.is_empty() && names(batch, &row.order_id), "{row:?}");
        prop_assert!(row.scope.is_empty() || row.alias_kind != ALIAS_MESSAGE_ID, "{row:?}");
        prop_assert!(row.provisional == 0 || row.alias_kind != ALIAS_SHARED_NUMBER, "{row:?}");
    }
    for row in batch.order_traces.iter().filter(|row| !row.span_id.is_empty()) {
        let mut whole = batch.order_traces.iter().filter(|other| {
            let same = other.order_id == row.order_id && other.trace_id == row.trace_id;
            same && other.span_id.is_empty()
        });
        let holds = whole.next().is_some_and(|whole| {
            let covers = whole.start <= row.start && whole.end >= row.end;
            covers && whole.provisional <= row.provisional
        });
        prop_assert!(holds, "{row:?}");
    }
    let keys: BTreeSet<_> = (batch.order_traces.iter())
        .map(|row| (&row.order_id, &row.trace_id, &row.span_id))
        .collect();
    prop_assert_eq!(keys.len(), batch.order_traces.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn both_encodings_of_traces_give_the_same_rows(request in traces_request()) {
        let binary = map(Signal::Traces, Encoding::Protobuf, request.encode_to_vec());
        let json = map(Signal::Traces, Encoding::Json, serde_json::to_vec(&request).unwrap());
        prop_assert_eq!(binary, json);
    }

    #[test]
    fn both_encodings_of_logs_give_the_same_rows(request in logs_request()) {
        let binary = map(Signal::Logs, Encoding::Protobuf, request.encode_to_vec());
        let json = map(Signal::Logs, Encoding::Json, serde_json::to_vec(&request).unwrap());
        prop_assert_eq!(binary, json);
    }

    #[test]
    fn both_encodings_of_metrics_give_the_same_rows(request in metrics_request()) {
        let binary = map(Signal::Metrics, Encoding::Protobuf, request.encode_to_vec());
        let json = map(Signal::Metrics, Encoding::Json, serde_json::to_vec(&request).unwrap());
        prop_assert_eq!(binary, json);
    }

    #[test]
    fn every_point_is_stored_or_rejected_and_touches_no_order(
        request in metrics_request(),
        items_max in 0_usize..4,
        buckets_max in 0_usize..4,
        exemplars_max in 0_usize..3,
    ) {
        let limits = Limits { items_max, buckets_max, exemplars_max, ..Limits::default() };
        let body = Bytes::from(request.encode_to_vec());
        let mapped = mapper(limits)
            .map_body(Signal::Metrics, Encoding::Protobuf, &body, RECEIVED_AT_MS)
            .unwrap();
        let metrics = &mapped.batch.metrics;
        prop_assert_eq!(metrics.len() as u64, mapped.tally.points);
        prop_assert_eq!(mapped.tally.points + mapped.rejected.total(), items(&request) as u64);
        prop_assert!(metrics.len() <= items_max);
        prop_assert_eq!(mapped.batch.rows(), metrics.len());
        prop_assert!(mapped.batch.touched().is_empty());
        for row in &metrics.histograms {
            prop_assert!(row.bucket_counts.len() + row.explicit_bounds.len() <= buckets_max);
        }
        for row in &metrics.gauges {
            prop_assert!(row.exemplars.value.len() <= exemplars_max);
            prop_assert_eq!(row.exemplars.value.len(), row.exemplars.trace_id.len());
            prop_assert!(row.point.attributes.is_sorted());
        }
    }

    #[test]
    fn the_split_into_batches_changes_no_row(request in traces_request()) {
        let whole = map(Signal::Traces, Encoding::Protobuf, request.encode_to_vec());
        let mut parts = Batch::default();
        let mut rejected = 0;
        for part in split(&request) {
            let mapped = map(Signal::Traces, Encoding::Protobuf, part.encode_to_vec());
            rejected += mapped.rejected.total();
            parts.append(mapped.batch);
        }
        prop_assert_eq!(whole.rejected.total(), rejected);
        prop_assert_eq!(settled(whole.batch), settled(parts));
    }

    #[test]
    fn every_fact_of_spans_has_an_order_or_a_carrier(request in traces_request()) {
        check_facts(&facts(Request::Traces(request)))?;
    }

    #[test]
    fn every_fact_of_logs_has_an_order_or_a_carrier(request in logs_request()) {
        check_facts(&facts(Request::Logs(request)))?;
    }

    #[test]
    fn an_order_is_provisional_only_where_no_id_is_named(request in traces_request()) {
        for part in split(&request) {
            let named = requests::names_an_order(&part);
            let batch = map(Signal::Traces, Encoding::Protobuf, part.encode_to_vec()).batch;
            let traces = batch.order_traces.iter().map(|row| row.provisional);
            for provisional in traces.chain(batch.order_aliases.iter().map(|row| row.provisional)) {
                prop_assert_eq!(provisional == 1, !named);
            }
        }
    }

    #[test]
    fn every_item_is_stored_or_rejected_and_no_row_exceeds_its_bounds(
        request in traces_request(),
        items_max in 0_usize..4,
        attributes_max in 0_usize..3,
        value_bytes_max in 1_usize..6,
    ) {
        let limits =
            Limits { items_max, attributes_max, value_bytes_max, ..Limits::default() };
        let decoded =
            Decoded { request: Request::Traces(request.clone()), repaired_strings: 0 };
        let mapped = mapper(limits).map(decoded, RECEIVED_AT_MS);
        let sent: usize = split(&request).len();
        prop_assert_eq!(mapped.batch.spans.len() as u64 + mapped.rejected.total(), sent as u64);
        prop_assert!(mapped.batch.spans.len() <= items_max);
        for row in &mapped.batch.spans {
            // Four notes may be added to what is cut.
            prop_assert!(row.span_attributes.len() <= attributes_max + 4);
            for (key, value) in &row.span_attributes {
                let is_ours = key.starts_with("waybill.") || value == "[redacted]";
                prop_assert!(is_ours || value.len() <= value_bytes_max, "{key}={value}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_bytes_make_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..256),
        json in any::<bool>(),
        signal in prop::sample::select(vec![Signal::Traces, Signal::Logs, Signal::Metrics]),
    ) {
        let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
        // Either outcome is right; a panic is not.
        let _ = mapper(Limits::default()).map_body(signal, encoding, &body.into(), RECEIVED_AT_MS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_damage_to_a_valid_body_makes_it_panic(
        request in traces_request(),
        json in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (encoding, mut body) = if json {
            (Encoding::Json, serde_json::to_vec(&request).unwrap())
        } else {
            (Encoding::Protobuf, request.encode_to_vec())
        };
        prop_assume!(!body.is_empty());
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = mapper(Limits::default())
            .map_body(Signal::Traces, encoding, &body.into(), RECEIVED_AT_MS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_damage_to_valid_metrics_makes_it_panic(
        request in metrics_request(),
        json in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (encoding, mut body) = if json {
            (Encoding::Json, serde_json::to_vec(&request).unwrap())
        } else {
            (Encoding::Protobuf, request.encode_to_vec())
        };
        prop_assume!(!body.is_empty());
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = mapper(Limits::default())
            .map_body(Signal::Metrics, encoding, &body.into(), RECEIVED_AT_MS);
    }
}

#[test]
fn a_string_that_is_not_utf8_costs_neither_its_request_nor_its_span() {
    let mut request = ExportTraceServiceRequest::default();
    request.resource_spans.push(requests::one_span("name-xx-end"));
    let mut body = request.encode_to_vec();
    let at = body.windows(2).position(|pair| pair == b"xx").unwrap();
    body[at] = 0xff;
    let mapped = mapper(Limits::default())
        .map_body(Signal::Traces, Encoding::Protobuf, &body.into(), RECEIVED_AT_MS)
        .unwrap();
    assert_eq!(mapped.batch.spans[0].span_name, "name-\u{fffd}x-end");
    assert_eq!(mapped.tally.repaired_strings, 1);
}
