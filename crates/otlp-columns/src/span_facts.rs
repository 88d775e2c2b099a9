//! What a span, its events and its links say of orders. Read before anything is cut.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use order_model::lifecycle::{RuleSignal, SpanMoment};
use order_model::{Lifecycle, UnixNanos, keys, time};

use crate::facts::{Facts, NamingFact, SignalFact};
use crate::found::Found;
use crate::mapper::{Mapping, Origin};
use crate::place::Place;
use crate::spans::hex_id;

/// The ids of a valid span, in hexadecimal.
#[derive(Clone, Copy)]
pub(crate) struct SpanIds<'a> {
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
}

/// A span with everything that its attribute sets say.
struct Reading<'a> {
    span: &'a Span,
    start: UnixNanos,
    end: UnixNanos,
    own: Found,
    events: Vec<(&'a Event, Found)>,
    links: Vec<(&'a Link, Found)>,
    /// What events or links name belongs to the span as well, after its own and before what
    /// scope and resource name.
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
    let place = Place {
        own: &[&reading.own, &reading.inner],
        shared: [scope, &origin.found],
        trace_id: ids.trace_id,
        span_id: ids.span_id,
        name: &span.name,
        service: &origin.service,
    };
    let lifecycle = mapping.lifecycle;
    let facts = &mut mapping.facts;
    add_namings(facts, &reading, &place);
    add_links(facts, &reading, &place);
    add_stages_and_lives(facts, lifecycle, &reading, &place);
    add_message(facts, lifecycle, &reading, &place);
    add_ruled(facts, lifecycle, &reading, &place);
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
    let sets = events.iter().map(|(_, found)| found).chain(links.iter().map(|(_, found)| found));
    let inner = merged(sets, mapping.limits().order_ids_max);
    let start = time::from_otlp(span.start_time_unix_nano);
    let end = time::from_otlp(span.end_time_unix_nano).max(start);
    let status = span.status.as_ref().filter(|status| status.code == StatusCode::Error as i32);
    let error = status.map_or("", |status| status.message.as_str());
    Reading { span, start, end, own, events, links, inner, error }
}

/// Orders and numbers that several sets name, at most `names_max` of each; and their message, if
/// they speak of one only: a batch of messages is not one of them.
fn merged<'a>(sets: impl Iterator<Item = &'a Found> + Clone, names_max: usize) -> Found {
    let mut merged = Found::default();
    for found in sets.clone() {
        add_new(&mut merged.order_ids, &found.order_ids, names_max);
        add_new(&mut merged.numbers, &found.numbers, names_max);
    }
    let mut messages = sets.filter(|found| !found.message_key.is_empty());
    if let Some(first) = messages.next()
        && messages.all(|other| other.message_key == first.message_key)
    {
        merged.message_id.clone_from(&first.message_id);
        merged.message_key.clone_from(&first.message_key);
    }
    merged
}

fn add_new(names: &mut Vec<String>, more: &[String], names_max: usize) {
    for name in more {
        if names.len() < names_max && !names.contains(name) {
            names.push(name.clone());
        }
    }
}

impl Reading<'_> {
    fn inner_sets(&self) -> impl Iterator<Item = &Found> {
        let events = self.events.iter().map(|(_, found)| found);
        events.chain(self.links.iter().map(|(_, found)| found))
    }

    fn is_kind(&self, kind: SpanKind) -> bool {
        self.span.kind == kind as i32
    }

    /// Whether messages or links meet this span, so that what it names is told apart from what
    /// the others of its trace name.
    fn is_met(&self) -> bool {
        self.is_kind(SpanKind::Producer)
            || self.is_kind(SpanKind::Consumer)
            || !self.links.is_empty()
            || !self.own.message_key.is_empty()
            || self.inner_sets().any(|found| !found.message_key.is_empty())
    }

    /// What the span does with a message, as a signal of the orders that it is about. A message
    /// that could not be sent is nowhere.
    fn passing(&self) -> Option<&'static str> {
        self.doing().filter(|signal| !self.failed() || *signal != keys::SIGNAL_HANDED_OVER)
    }

    fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
    }

    fn doing(&self) -> Option<&'static str> {
        if self.is_kind(SpanKind::Producer) {
            return Some(keys::SIGNAL_HANDED_OVER);
        }
        if self.is_kind(SpanKind::Consumer) {
            return Some(keys::SIGNAL_TAKEN_OVER);
        }
        match self.own.operation.as_deref()? {
            "create" | "send" | "publish" => Some(keys::SIGNAL_HANDED_OVER),
            "receive" | "process" | "deliver" | "settle" => Some(keys::SIGNAL_TAKEN_OVER),
            _ => None,
        }
    }
}

fn add_namings(facts: &mut Facts, reading: &Reading<'_>, place: &Place<'_>) {
    let (start, end, of_span) = (reading.start, reading.end, reading.is_met());
    let fact = NamingFact { start, end, of_span };
    facts.naming(place.named(), place, fact);
    facts.aliases(&reading.own, place);
    for found in reading.inner_sets() {
        let sets = [found, &reading.own, &reading.inner];
        let place = Place { own: &sets, ..*place };
        facts.naming(place.named_by(found), &place, fact);
        facts.aliases(found, &place);
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

/// A sign of life is no stage, whatever stage it repeats.
fn add_stages_and_lives(
    facts: &mut Facts,
    lifecycle: &Lifecycle,
    reading: &Reading<'_>,
    place: &Place<'_>,
) {
    let is_life = |name: &String| lifecycle.keys.heartbeat.contains(name);
    let (signal, rule, error) = (keys::SIGNAL_STAGE, "", reading.error);
    if is_life(&reading.span.name) {
        facts.life(place, reading.start);
    } else if let Some(stage) = place.stage() {
        let event_time = reading.start;
        let fact = SignalFact { signal, stage, event_time, form: "span", rule, error };
        facts.signal(place, &fact);
    }
    for (event, found) in &reading.events {
        let sets = [found, &reading.own, &reading.inner];
        let place = Place { own: &sets, name: &event.name, ..*place };
        let event_time = time::from_otlp(event.time_unix_nano);
        if is_life(&event.name) {
            facts.life(&place, event_time);
        } else if let Some(stage) = &found.stage {
            let fact = SignalFact { signal, stage, event_time, form: "span_event", rule, error };
            facts.signal(&place, &fact);
        }
    }
}

/// A span that passes a message hands its orders over, or takes them, if the lifecycle knows the
/// destination.
fn add_message(facts: &mut Facts, lifecycle: &Lifecycle, reading: &Reading<'_>, place: &Place<'_>) {
    let (Some(signal), Some(queue)) = (reading.passing(), &reading.own.queue) else { return };
    let known = lifecycle.handovers.iter().find(|handover| handover.destination == *queue);
    let Some(handover) = known else { return };
    let (stage, event_time) = (handover.destination.as_str(), reading.start);
    let (form, rule, error) = ("span", "", reading.error);
    facts.signal(place, &SignalFact { signal, stage, event_time, form, rule, error });
}

fn add_ruled(facts: &mut Facts, lifecycle: &Lifecycle, reading: &Reading<'_>, place: &Place<'_>) {
    let condition = |key: &str| {
        let all = &reading.own.conditions;
        all.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    };
    for rule in &lifecycle.rules {
        if !rule.matches(place.service, place.name, condition) {
            continue;
        }
        let (signal, stage) = match &rule.signal {
            RuleSignal::Stage(stage) => (keys::SIGNAL_STAGE, stage.as_str()),
            // A request that could not be sent waits nowhere.
            RuleSignal::PriceRequested if reading.failed() => continue,
            RuleSignal::PriceRequested => (keys::SIGNAL_PRICE_REQUESTED, ""),
        };
        let event_time = match rule.at {
            SpanMoment::Start => reading.start,
            SpanMoment::End => reading.end,
        };
        let (form, rule, error) = ("rule", rule.name.as_str(), reading.error);
        facts.signal(place, &SignalFact { signal, stage, event_time, form, rule, error });
    }
}

#[cfg(test)]
mod tests;
