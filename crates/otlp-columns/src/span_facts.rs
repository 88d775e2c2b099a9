//! What a span, its events and its links say of orders. Read before anything is cut.

use std::borrow::Cow;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use order_model::lifecycle::{RuleSignal, SpanMoment};
use order_model::{Lifecycle, UnixNanos, keys, time};

use crate::evidence::SignalFact;
use crate::facts::{Facts, NamingFact};
use crate::found::Found;
use crate::mapper::Mapping;
use crate::place::Place;
use crate::spans::hex_id;

/// The ids of a valid span, in hexadecimal.
#[derive(Clone, Copy)]
pub(crate) struct SpanIds<'a> {
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
}

/// What stands around a span.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) service: &'a str,
    pub(crate) scope: &'a Found<'a>,
    pub(crate) resource: &'a Found<'a>,
}

/// A span with everything that its attribute sets say.
#[derive(Debug)]
pub(crate) struct SpanView<'a> {
    pub(crate) name: &'a str,
    /// `SpanKind` as a number.
    pub(crate) kind: i32,
    pub(crate) start_time_unix_nano: u64,
    pub(crate) end_time_unix_nano: u64,
    /// Text of the status, if it is that of an error.
    pub(crate) error: Option<&'a str>,
    /// What its own attributes say.
    pub(crate) own: Found<'a>,
    /// Its events within the bound.
    pub(crate) events: Vec<EventView<'a>>,
    /// Its links within the bound.
    pub(crate) links: Vec<LinkView<'a>>,
}

/// An event of a span.
#[derive(Debug)]
pub(crate) struct EventView<'a> {
    pub(crate) name: &'a str,
    pub(crate) time_unix_nano: u64,
    pub(crate) found: Found<'a>,
}

/// A link of a span.
#[derive(Debug)]
pub(crate) struct LinkView<'a> {
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) found: Found<'a>,
}

/// The text of a status, if it is that of an error.
pub(crate) fn error_of(code: i32, message: &str) -> Option<&str> {
    (code == StatusCode::Error as i32).then_some(message)
}

/// A span with what follows from all that its attribute sets say.
struct Reading<'a> {
    span: &'a SpanView<'a>,
    start: UnixNanos,
    end: UnixNanos,
    /// What events or links name belongs to the span as well, after its own and before what
    /// scope and resource name.
    inner: Found<'a>,
    error: &'a str,
}

/// Adds the facts of one span.
pub(crate) fn add_facts(
    mapping: &mut Mapping<'_>,
    around: Around<'_>,
    span: &SpanView<'_>,
    ids: SpanIds<'_>,
) {
    let reading = Reading::of(span, mapping.limits().order_ids_max);
    let place = Place {
        own: &[&span.own, &reading.inner],
        shared: [around.scope, around.resource],
        trace_id: ids.trace_id,
        span_id: ids.span_id,
        name: span.name,
        service: around.service,
    };
    let lifecycle = mapping.lifecycle;
    let facts = &mut mapping.facts;
    add_namings(facts, &reading, &place);
    add_links(facts, &reading, &place);
    add_stages_and_lives(facts, lifecycle, &reading, &place);
    add_message(facts, lifecycle, &reading, &place);
    add_ruled(facts, lifecycle, &reading, &place);
}

/// The view of a decoded span; what its attribute sets say is read and counted.
pub(crate) fn view<'a>(mapping: &mut Mapping<'_>, span: &'a Span) -> SpanView<'a> {
    let own = mapping.read(&span.attributes);
    let (events_max, links_max) = (mapping.limits().events_max, mapping.limits().links_max);
    let event = |event: &'a Event| EventView {
        name: &event.name,
        time_unix_nano: event.time_unix_nano,
        found: mapping.read(&event.attributes),
    };
    let events = span.events.iter().take(events_max).map(event).collect();
    let link = |link: &'a Link| LinkView {
        trace_id: &link.trace_id,
        span_id: &link.span_id,
        found: mapping.read(&link.attributes),
    };
    let links = span.links.iter().take(links_max).map(link).collect();
    SpanView {
        name: &span.name,
        kind: span.kind,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        error: span.status.as_ref().and_then(|status| error_of(status.code, &status.message)),
        own,
        events,
        links,
    }
}

/// What events and links say, one after the other.
fn inner_sets<'a>(span: &'a SpanView<'a>) -> impl Iterator<Item = &'a Found<'a>> + Clone {
    let events = span.events.iter().map(|event| &event.found);
    events.chain(span.links.iter().map(|link| &link.found))
}

/// Orders and numbers that several sets name, at most `names_max` of each; and their message, if
/// they speak of one only: a batch of messages is not one of them.
fn merged<'a>(sets: impl Iterator<Item = &'a Found<'a>> + Clone, names_max: usize) -> Found<'a> {
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

fn add_new<'a>(names: &mut Vec<Cow<'a, str>>, more: &'a [Cow<'a, str>], names_max: usize) {
    for name in more {
        if names.len() < names_max && !names.contains(name) {
            names.push(Cow::Borrowed(name));
        }
    }
}

impl<'a> Reading<'a> {
    fn of(span: &'a SpanView<'a>, names_max: usize) -> Self {
        let start = time::from_otlp(span.start_time_unix_nano);
        let end = time::from_otlp(span.end_time_unix_nano).max(start);
        let inner = merged(inner_sets(span), names_max);
        Self { span, start, end, inner, error: span.error.unwrap_or_default() }
    }

    fn is_kind(&self, kind: SpanKind) -> bool {
        self.span.kind == kind as i32
    }

    /// Whether messages or links meet this span, so that what it names is told apart from what
    /// the others of its trace name.
    fn is_met(&self) -> bool {
        self.is_kind(SpanKind::Producer)
            || self.is_kind(SpanKind::Consumer)
            || !self.span.links.is_empty()
            || !self.span.own.message_key.is_empty()
            || inner_sets(self.span).any(|found| !found.message_key.is_empty())
    }

    /// What the span does with a message, as a signal of the orders that it is about. A message
    /// that could not be sent is nowhere.
    fn passing(&self) -> Option<&'static str> {
        self.doing().filter(|signal| !self.failed() || *signal != keys::SIGNAL_HANDED_OVER)
    }

    fn failed(&self) -> bool {
        self.span.error.is_some()
    }

    fn doing(&self) -> Option<&'static str> {
        if self.is_kind(SpanKind::Producer) {
            return Some(keys::SIGNAL_HANDED_OVER);
        }
        if self.is_kind(SpanKind::Consumer) {
            return Some(keys::SIGNAL_TAKEN_OVER);
        }
        match self.span.own.operation.as_deref()? {
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
    facts.aliases(&reading.span.own, place);
    for found in inner_sets(reading.span) {
        let sets = [found, &reading.span.own, &reading.inner];
        let place = Place { own: &sets, ..*place };
        facts.naming(place.named_by(found), &place, fact);
        facts.aliases(found, &place);
    }
}

fn add_links(facts: &mut Facts, reading: &Reading<'_>, place: &Place<'_>) {
    for link in &reading.span.links {
        if let Some(linked) = hex_id::<16>(link.trace_id) {
            let linked_span = hex_id::<8>(link.span_id).unwrap_or_default();
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
    let is_life = |name: &str| lifecycle.keys.heartbeat.iter().any(|known| known == name);
    let (signal, rule, error) = (keys::SIGNAL_STAGE, "", reading.error);
    if is_life(reading.span.name) {
        facts.life(place, reading.start);
    } else if let Some(stage) = place.stage() {
        let event_time = reading.start;
        let fact = SignalFact { signal, stage, event_time, form: "span", rule, error };
        facts.signal(place, &fact);
    }
    for event in &reading.span.events {
        let found = &event.found;
        let sets = [found, &reading.span.own, &reading.inner];
        let place = Place { own: &sets, name: event.name, ..*place };
        let event_time = time::from_otlp(event.time_unix_nano);
        if is_life(event.name) {
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
    let (Some(signal), Some(queue)) = (reading.passing(), &reading.span.own.queue) else { return };
    let known = lifecycle.handovers.iter().find(|handover| handover.destination == *queue);
    let Some(handover) = known else { return };
    let (stage, event_time) = (handover.destination.as_str(), reading.start);
    let (form, rule, error) = ("span", "", reading.error);
    facts.signal(place, &SignalFact { signal, stage, event_time, form, rule, error });
}

fn add_ruled(facts: &mut Facts, lifecycle: &Lifecycle, reading: &Reading<'_>, place: &Place<'_>) {
    let condition = |key: &str| {
        let all = &reading.span.own.conditions;
        all.iter().find(|(name, _)| *name == key).map(|(_, value)| &**value)
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
