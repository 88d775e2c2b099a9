//! Spans to rows of `otel_traces` and order facts.

use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, Status};
use order_model::time;
use order_store::rows::SpanRow;

use crate::attributes::{RowLosses, bytes_of, note_count};
use crate::limits::{DROPPED_EVENTS, DROPPED_LINKS};
use crate::mapped::Rejection;
use crate::mapper::{Mapping, Origin};
use crate::span_facts::{self, Around, SpanIds, add_facts};

/// Memory of a span row beyond its attributes.
const ROW_BYTES: usize = 640;

/// Memory of an event or a link beyond its attributes.
const PART_BYTES: usize = 128;

/// What a span takes of the bound on the rows of a request.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    /// Memory of what it repeats of its resource and its scope.
    pub(crate) shared: usize,
    /// Memory of its texts and attributes, and of those of its events and links.
    pub(crate) own: usize,
    /// Events and links.
    pub(crate) parts: usize,
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        ROW_BYTES + self.shared + self.own + PART_BYTES * self.parts
    }
}

fn own_bytes(row: &SpanRow) -> usize {
    let maps = row.events_attributes.iter().chain(&row.links_attributes);
    let inner_texts = row.events_name.iter().chain(&row.links_trace_state);
    let texts = [&row.trace_state, &row.span_name, &row.status_message];
    bytes_of(&row.span_attributes)
        + maps.map(bytes_of).sum::<usize>()
        + inner_texts.chain(texts).map(String::len).sum::<usize>()
}

fn parts_of(row: &SpanRow) -> usize {
    row.events_name.len() + row.links_span_id.len()
}

/// Maps the spans of one scope.
pub(crate) fn map_scope(mapping: &mut Mapping<'_>, origin: &Origin<'_>, scope_spans: ScopeSpans) {
    let scope = scope_spans.scope.unwrap_or_default();
    let found = mapping.read(&scope.attributes);
    let mut losses = RowLosses::default();
    let name = mapping.columns().name(scope.name, &mut losses);
    let version = mapping.columns().name(scope.version, &mut losses);
    mapping.count(&losses);
    let shared_bytes = origin.bytes + name.len() + version.len();
    for span in scope_spans.spans {
        let Some((trace_id, span_id)) = ids(mapping, &span) else { continue };
        if !mapping.has_room() {
            mapping.out.rejected.add(Rejection::Limit, &span.name);
            continue;
        }
        let ids = SpanIds { trace_id: &trace_id, span_id: &span_id };
        let view = span_facts::view(mapping, &span);
        let around = Around { service: &origin.service, scope: &found, resource: &origin.found };
        add_facts(mapping, around, &view, ids);
        drop(view);
        let row = SpanRow {
            trace_id,
            span_id,
            service_name: origin.service.clone(),
            resource_attributes: origin.attributes.clone(),
            scope_name: name.clone(),
            scope_version: version.clone(),
            received_at: mapping.received_at,
            ..SpanRow::default()
        };
        let row = fill(mapping, row, span);
        let charge = Charge { shared: shared_bytes, own: own_bytes(&row), parts: parts_of(&row) };
        let bytes = charge.bytes();
        mapping.charge(bytes);
        mapping.out.tally.spans += 1;
        mapping.out.batch.spans.push(row);
    }
}

fn ids(mapping: &mut Mapping<'_>, span: &Span) -> Option<(String, String)> {
    let Some(trace_id) = hex_id::<16>(&span.trace_id) else {
        mapping.out.rejected.add(Rejection::TraceId, &span.name);
        return None;
    };
    let Some(span_id) = hex_id::<8>(&span.span_id) else {
        mapping.out.rejected.add(Rejection::SpanId, &span.name);
        return None;
    };
    Some((trace_id, span_id))
}

/// A valid id in hexadecimal.
pub(crate) fn hex_id<const LENGTH: usize>(bytes: &[u8]) -> Option<String> {
    is_id::<LENGTH>(bytes).then(|| hex::encode(bytes))
}

/// Whether an id is valid.
pub(crate) fn is_id<const LENGTH: usize>(bytes: &[u8]) -> bool {
    bytes.len() == LENGTH && bytes.iter().any(|byte| *byte != 0)
}

fn fill(mapping: &mut Mapping<'_>, row: SpanRow, span: Span) -> SpanRow {
    let columns = mapping.columns();
    let mut losses = RowLosses::default();
    let start = time::from_otlp(span.start_time_unix_nano);
    let duration = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    let parent_span_id = mapping.id_or_empty::<8>(&span.parent_span_id);
    let Status { message, code } = span.status.unwrap_or_default();
    let mut row = SpanRow {
        timestamp: start,
        parent_span_id,
        trace_state: columns.name(span.trace_state, &mut losses),
        span_name: columns.title(span.name, &mut losses),
        span_kind: kind_name(span.kind).to_owned(),
        duration,
        status_code: status_name(code).to_owned(),
        status_message: columns.free(message, &mut losses),
        span_attributes: columns.map(span.attributes, &mut losses),
        ..row
    };
    fill_events(mapping, &mut row, span.events, &mut losses);
    fill_links(mapping, &mut row, span.links, &mut losses);
    losses.note(&mut row.span_attributes, &mut mapping.out.tally);
    row
}

fn fill_events(
    mapping: &mut Mapping<'_>,
    row: &mut SpanRow,
    events: Vec<Event>,
    span_losses: &mut RowLosses,
) {
    let columns = mapping.columns();
    let kept = events.len().min(columns.limits.events_max);
    let dropped = (events.len() - kept) as u64;
    note_count(&mut row.span_attributes, DROPPED_EVENTS, dropped);
    mapping.out.tally.dropped_events += dropped;
    row.events_timestamp.reserve_exact(kept);
    row.events_name.reserve_exact(kept);
    row.events_attributes.reserve_exact(kept);
    for event in events.into_iter().take(kept) {
        let mut losses = RowLosses::default();
        let mut attributes = columns.map(event.attributes, &mut losses);
        losses.note(&mut attributes, &mut mapping.out.tally);
        row.events_timestamp.push(time::from_otlp(event.time_unix_nano));
        row.events_name.push(columns.title(event.name, span_losses));
        row.events_attributes.push(attributes);
    }
}

fn fill_links(
    mapping: &mut Mapping<'_>,
    row: &mut SpanRow,
    links: Vec<Link>,
    span_losses: &mut RowLosses,
) {
    let columns = mapping.columns();
    let kept = links.len().min(columns.limits.links_max);
    let dropped = (links.len() - kept) as u64;
    note_count(&mut row.span_attributes, DROPPED_LINKS, dropped);
    mapping.out.tally.dropped_links += dropped;
    for link in links.into_iter().take(kept) {
        let mut losses = RowLosses::default();
        let mut attributes = columns.map(link.attributes, &mut losses);
        losses.note(&mut attributes, &mut mapping.out.tally);
        row.links_trace_id.push(mapping.id_or_empty::<16>(&link.trace_id));
        row.links_span_id.push(mapping.id_or_empty::<8>(&link.span_id));
        row.links_trace_state.push(columns.name(link.trace_state, span_losses));
        row.links_attributes.push(attributes);
    }
}

pub(crate) fn kind_name(kind: i32) -> &'static str {
    match SpanKind::try_from(kind) {
        Ok(SpanKind::Internal) => "Internal",
        Ok(SpanKind::Server) => "Server",
        Ok(SpanKind::Client) => "Client",
        Ok(SpanKind::Producer) => "Producer",
        Ok(SpanKind::Consumer) => "Consumer",
        Ok(SpanKind::Unspecified) | Err(_) => "Unspecified",
    }
}

pub(crate) fn status_name(code: i32) -> &'static str {
    match StatusCode::try_from(code) {
        Ok(StatusCode::Ok) => "Ok",
        Ok(StatusCode::Error) => "Error",
        Ok(StatusCode::Unset) | Err(_) => "Unset",
    }
}
