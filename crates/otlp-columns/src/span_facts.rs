//! What a span, its events and its links say of orders. Read before anything is cut.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use order_model::lifecycle::{RuleSignal, SpanMoment};
use order_model::{UnixNanos, keys, time};

use crate::facts::{Facts, Place, SignalFact};
use crate::found::Found;
use crate::mapper::{Mapping, Origin};
use crate::spans::hex_id;

/// The ids of a valid span, in hexadecimal.
#[derive(Clone, Copy)]
pub(crate) struct SpanIds<'a> {
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
}

/// A span with everything that its attribute sets say.
struct Reading<'a> {
    start: UnixNanos,
    end: UnixNanos,
    own: Found,
    events: Vec<(&'a Event, Found)>,
    links: Vec<(&'a Link, Found)>,
    /// Orders that events or links name: they belong to the span as well, after its own and
    /// before those of scope and resource.
    inner: Found,
    error: &'a str,
}

/// Adds the facts of one span.
pub(crate) fn read_facts(
    mapping: &mut Mapping<'_>,
    origin: &Origin,
    scope: &Found,
    span: &Span,
    ids: SpanIds<'_>,
) {
    let reading = read(mapping, span);
    let sets = [&reading.own, &reading.inner, scope, &origin.found];
    let place = Place {
        sets: &sets,
        trace_id: ids.trace_id,
        span_id: ids.span_id,
        name: &span.name,
        service: &origin.service,
    };
    let facts = &mut mapping.facts;
    add_namings(facts, &reading, &place);
    add_links(facts, &reading, &place);
    add_stages(facts, &reading, &place);
    for rule in &mapping.lifecycle.rules {
        let condition = |key: &str| {
            let all = &reading.own.conditions;
            all.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
        };
        if !rule.matches(&origin.service, &span.name, condition) {
            continue;
        }
        let (signal, stage) = match &rule.signal {
            RuleSignal::Stage(stage) => (keys::SIGNAL_STAGE, stage.as_str()),
            RuleSignal::PriceRequested => (keys::SIGNAL_PRICE_REQUESTED, ""),
        };
        let event_time = match rule.at {
            SpanMoment::Start => reading.start,
            SpanMoment::End => reading.end,
        };
        let (form, rule, error) = ("rule", rule.name.as_str(), reading.error);
        let fact = SignalFact { signal, stage, event_time, form, rule, error };
        facts.signal(place.orders(), &place, &fact);
    }
}

fn read<'a>(mapping: &mut Mapping<'_>, span: &'a Span) -> Reading<'a> {
    let own = mapping.read(&span.attributes);
    let (events_max, links_max) = (mapping.limits().events_max, mapping.limits().links_max);
    let events: Vec<_> = span
        .events
        .iter()
        .take(events_max)
        .map(|event| (event, mapping.read(&event.attributes)))
        .collect();
    let links: Vec<_> = span
        .links
        .iter()
        .take(links_max)
        .map(|link| (link, mapping.read(&link.attributes)))
        .collect();
    let mut inner = Found::default();
    let named = events.iter().map(|(_, found)| found).chain(links.iter().map(|(_, found)| found));
    for order in named.flat_map(|found| &found.order_ids) {
        if inner.order_ids.len() < mapping.limits().order_ids_max
            && !inner.order_ids.contains(order)
        {
            inner.order_ids.push(order.clone());
        }
    }
    let start = time::from_otlp(span.start_time_unix_nano);
    let end = time::from_otlp(span.end_time_unix_nano).max(start);
    let status = span.status.as_ref().filter(|status| status.code == StatusCode::Error as i32);
    let error = status.map_or("", |status| status.message.as_str());
    Reading { start, end, own, events, links, inner, error }
}

fn add_namings(facts: &mut Facts, reading: &Reading<'_>, place: &Place<'_>) {
    let orders = place.orders();
    facts.naming(orders, place, reading.start, reading.end);
    facts.aliases(orders, &reading.own);
    let events = reading.events.iter().map(|(_, found)| found);
    for found in events.chain(reading.links.iter().map(|(_, found)| found)) {
        let mut sets = [found; 5];
        sets[1..].copy_from_slice(place.sets);
        facts.naming(
            &found.order_ids,
            &Place { sets: &sets, ..*place },
            reading.start,
            reading.end,
        );
        let named = if found.order_ids.is_empty() { orders } else { &found.order_ids };
        facts.aliases(named, found);
    }
}

fn add_links(facts: &mut Facts, reading: &Reading<'_>, place: &Place<'_>) {
    for (link, _) in &reading.links {
        if let Some(linked) = hex_id::<16>(&link.trace_id) {
            let linked_span = hex_id::<8>(&link.span_id).unwrap_or_default();
            facts.link(place, &linked, &linked_span);
        }
    }
}

fn add_stages(facts: &mut Facts, reading: &Reading<'_>, place: &Place<'_>) {
    let signal = keys::SIGNAL_STAGE;
    let (rule, error) = ("", reading.error);
    if let Some(stage) = place.stage() {
        let event_time = reading.start;
        let fact = SignalFact { signal, stage, event_time, form: "span", rule, error };
        facts.signal(place.orders(), place, &fact);
    }
    for (event, found) in &reading.events {
        let Some(stage) = &found.stage else { continue };
        let mut sets = [found; 5];
        sets[1..].copy_from_slice(place.sets);
        let place = Place { sets: &sets, name: &event.name, ..*place };
        let event_time = time::from_otlp(event.time_unix_nano);
        let fact = SignalFact { signal, stage, event_time, form: "span_event", rule, error };
        facts.signal(place.orders(), &place, &fact);
    }
}
