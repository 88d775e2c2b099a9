//! The row of a span, in the order of the columns of `order_store::rows::SpanRow`.

use order_model::time;
use order_store::row_binary::{Value as _, put_length};

use super::attribute::Attribute;
use super::cells::HexId;
use super::memo::Memo;
use super::shared::{GroupParts, ScopeParts};
use super::span::{SpanParts, StatusPart};
use crate::attributes::RowLosses;
use crate::limits::{DROPPED_EVENTS, DROPPED_LINKS};
use crate::mapper::Mapping;
use crate::spans::{Charge, is_id, kind_name, status_name};
use crate::text;

/// Bytes of the columns that a span has for itself, without its texts and attributes.
const OWN_BYTES: usize = 160;

/// The ids of a span that is kept.
pub(super) struct Ids {
    pub(super) trace: HexId<32>,
    pub(super) span: HexId<16>,
}

/// The columns from `ServiceName` to `ScopeVersion`, which spans of one scope share.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    bytes: Vec<u8>,
    /// Up to where they are of the resource.
    resource_end: usize,
    service: String,
    /// Memory of the resource's part of a row.
    resource_charge: usize,
    /// Memory of all of it.
    charge: usize,
}

impl Prefix {
    /// Writes what spans of that resource share.
    pub(super) fn begin_resource(
        &mut self,
        mapping: &mut Mapping<'_>,
        service: &str,
        parts: &GroupParts<'_>,
        memo: &Memo,
    ) {
        let columns = mapping.columns();
        let mut losses = RowLosses::default();
        let value_bytes_max = columns.limits.value_bytes_max;
        self.bytes.clear();
        self.service.clear();
        self.service.push_str(text::within(service, value_bytes_max, &mut losses.losses));
        self.service.put(&mut self.bytes);
        // It is a column of log records only; what is cut is counted all the same.
        let schema_url = text::within(parts.schema_url, value_bytes_max, &mut losses.losses);
        let map = columns.put_map(&parts.resource, memo, &mut losses, &mut self.bytes);
        let attributes = map.close(losses.notes(), &mut self.bytes);
        self.resource_charge = self.service.len() + schema_url.len() + attributes;
        losses.tally(&mut mapping.out.tally);
        self.resource_end = self.bytes.len();
    }

    /// Writes what spans of that scope share besides.
    pub(super) fn begin_scope(&mut self, mapping: &mut Mapping<'_>, scope: &ScopeParts<'_>) {
        let columns = mapping.columns();
        let mut losses = RowLosses::default();
        self.bytes.truncate(self.resource_end);
        self.charge = self.resource_charge
            + columns.put_name(scope.name, &mut losses, &mut self.bytes)
            + columns.put_name(scope.version, &mut losses, &mut self.bytes);
        losses.tally(&mut mapping.out.tally);
    }

    /// `ServiceName`.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// What so many rows take at least.
    pub(super) fn bytes_of(&self, rows: usize) -> usize {
        rows * (self.bytes.len() + OWN_BYTES)
    }
}

/// What was written before.
pub(super) struct Memos<'m> {
    pub(super) attributes: &'m Memo,
    pub(super) titles: &'m mut Memo,
}

/// Writes the row of a span that is kept.
pub(super) fn put(
    mapping: &mut Mapping<'_>,
    span: &SpanParts<'_>,
    ids: &Ids,
    (prefix, memos): (&Prefix, &mut Memos<'_>),
) {
    let mut rows = std::mem::take(&mut mapping.out.batch.span_rows);
    let mut charge = Charge { shared: prefix.charge, ..Charge::default() };
    rows.push(|out| put_columns(mapping, span, ids, (prefix, memos), &mut charge, out));
    mapping.out.batch.span_rows = rows;
    mapping.charged_bytes += charge.bytes();
    mapping.out.tally.spans += 1;
}

fn put_columns(
    mapping: &mut Mapping<'_>,
    span: &SpanParts<'_>,
    ids: &Ids,
    (prefix, memos): (&Prefix, &mut Memos<'_>),
    charge: &mut Charge,
    out: &mut Vec<u8>,
) {
    let columns = mapping.columns();
    let head = span.head;
    let mut losses = RowLosses::default();
    time::from_otlp(head.start_time_unix_nano).put(out);
    ids.trace.put(out);
    ids.span.put(out);
    put_id::<8, 16>(mapping, head.parent_span_id, out);
    charge.own += columns.put_name(head.trace_state, &mut losses, out);
    charge.own += columns.put_known_title(head.name, memos.titles, &mut losses, out);
    kind_name(head.kind).put(out);
    out.extend_from_slice(&prefix.bytes);
    let map = columns.put_map(&span.attributes, memos.attributes, &mut losses, out);
    head.end_time_unix_nano.saturating_sub(head.start_time_unix_nano).put(out);
    let StatusPart { code, message } = head.status.unwrap_or_default();
    status_name(code).put(out);
    charge.own += columns.put_free(message, &mut losses, out);
    let dropped_events = put_events(mapping, span, memos, (&mut losses, charge), out);
    let dropped_links = put_links(mapping, span, memos, (&mut losses, charge), out);
    mapping.received_at.put(out);
    let dropped = [(DROPPED_EVENTS, dropped_events), (DROPPED_LINKS, dropped_links)];
    charge.own += map.close(dropped.into_iter().chain(losses.notes()), out);
    let tally = &mut mapping.out.tally;
    tally.dropped_events += dropped_events;
    tally.dropped_links += dropped_links;
    losses.tally(tally);
}

fn put_id<const LENGTH: usize, const DIGITS: usize>(
    mapping: &mut Mapping<'_>,
    id: &[u8],
    out: &mut Vec<u8>,
) {
    if is_id::<LENGTH>(id) {
        HexId::<DIGITS>::of(id).put(out);
    } else {
        mapping.count_emptied_id(id);
        put_length(0, out);
    }
}

/// Writes the columns of the events; returns how many are past the bound.
fn put_events(
    mapping: &mut Mapping<'_>,
    span: &SpanParts<'_>,
    memos: &mut Memos<'_>,
    (losses, charge): (&mut RowLosses, &mut Charge),
    out: &mut Vec<u8>,
) -> u64 {
    let columns = mapping.columns();
    let (kept, dropped) = within(&span.events, columns.limits.events_max);
    if kept.is_empty() {
        // Three empty arrays.
        out.extend_from_slice(&[0; 3]);
        return dropped;
    }
    put_length(kept.len(), out);
    kept.iter().for_each(|event| time::from_otlp(event.time_unix_nano).put(out));
    put_length(kept.len(), out);
    for event in kept {
        charge.own += columns.put_known_title(event.name, memos.titles, losses, out);
    }
    put_length(kept.len(), out);
    for event in kept {
        put_inner(mapping, span.of_event(event), memos, charge, out);
    }
    dropped
}

/// Writes the columns of the links; returns how many are past the bound.
fn put_links(
    mapping: &mut Mapping<'_>,
    span: &SpanParts<'_>,
    memos: &Memos<'_>,
    (losses, charge): (&mut RowLosses, &mut Charge),
    out: &mut Vec<u8>,
) -> u64 {
    let columns = mapping.columns();
    let (kept, dropped) = within(&span.links, columns.limits.links_max);
    if kept.is_empty() {
        // Four empty arrays.
        out.extend_from_slice(&[0; 4]);
        return dropped;
    }
    put_length(kept.len(), out);
    kept.iter().for_each(|link| put_id::<16, 32>(mapping, link.trace_id, out));
    put_length(kept.len(), out);
    kept.iter().for_each(|link| put_id::<8, 16>(mapping, link.span_id, out));
    put_length(kept.len(), out);
    for link in kept {
        charge.own += columns.put_name(link.trace_state, losses, out);
    }
    put_length(kept.len(), out);
    for link in kept {
        put_inner(mapping, span.of_link(link), memos, charge, out);
    }
    dropped
}

/// Writes the attributes of one event or link, with what was lost of them.
fn put_inner(
    mapping: &mut Mapping<'_>,
    attributes: &[Attribute<'_>],
    memos: &Memos<'_>,
    charge: &mut Charge,
    out: &mut Vec<u8>,
) {
    let mut losses = RowLosses::default();
    let map = mapping.columns().put_map(attributes, memos.attributes, &mut losses, out);
    charge.own += map.close(losses.notes(), out);
    charge.parts += 1;
    losses.tally(&mut mapping.out.tally);
}

/// The items within a bound, and how many are past it.
fn within<T>(items: &[T], items_max: usize) -> (&[T], u64) {
    let kept = items.len().min(items_max);
    (&items[..kept], (items.len() - kept) as u64)
}
