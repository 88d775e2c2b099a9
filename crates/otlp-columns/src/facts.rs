//! Facts about orders, collected over one request: signals, signs of life, namings, aliases, links.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use order_model::graph::message_carrier;
use order_model::order_id::{ORDER_ID_BYTES_MAX, search_key};
use order_model::time::NANOS_PER_MILLI;
use order_model::{UnixNanos, keys};
use order_store::EncodedRows;
use order_store::row_binary::TableRow as _;
use order_store::rows::{
    Batch, HeartbeatRow, OrderAliasRow, OrderEventParts, OrderEventRow, OrderTraceRow, TraceLinkRow,
};

use crate::evidence::{Evidence, SignalFact};
use crate::found::Found;
use crate::place::{Named, Place};
use crate::redact::TextRules;

/// Memory of a row of facts beyond its texts.
const ROW_BYTES: usize = 320;

/// A minute.
const NANOS_PER_MINUTE: i64 = 60_000_000_000;

/// Charged for a fact that folds into another: a request of nothing but repeats takes no memory,
/// and must come to an end all the same.
const REPEAT_BYTES: usize = 32;

/// When a span or log that names orders began and ended, and whether messages or links meet it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamingFact {
    /// Earliest moment.
    pub(crate) start: UnixNanos,
    /// Latest moment.
    pub(crate) end: UnixNanos,
    /// Whether the span is told apart from its trace.
    pub(crate) of_span: bool,
}

/// What a naming says beside the order and the span.
#[derive(Debug, Clone, Copy)]
struct Naming<'a> {
    trace_id: &'a str,
    provisional: u8,
    start: UnixNanos,
    end: UnixNanos,
    has_model: u8,
    kind: &'a str,
    channel: &'a str,
}

/// Another name of an order, without what folds.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct AliasKey {
    alias_kind: &'static str,
    alias: String,
    scope: String,
    order_id: String,
}

/// Whose sign of life it is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LifeKey {
    order_id: String,
    carrier: String,
    source: String,
    worker: String,
    attempt: u32,
    /// Of a clock that is ahead, its minute: the store keeps the latest of each.
    ahead_minute: i64,
}

/// Facts of one request.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    received_at: i64,
    /// What the evidence of signals loses.
    texts: Arc<TextRules>,
    /// Whether signals become finished rows at once.
    finishes: bool,
    events: Vec<OrderEventRow>,
    event_rows: EncodedRows,
    /// Carriers of the signals in `event_rows` that name no order.
    event_carriers: BTreeSet<String>,
    /// Signs of life, each with its latest moment.
    lives: BTreeMap<LifeKey, UnixNanos>,
    traces: Vec<OrderTraceRow>,
    /// Where in `traces` the row of a trace, span (or empty) and order stands.
    trace_at: HashTable<usize>,
    hashing: DefaultHashBuilder,
    links: Vec<TraceLinkRow>,
    /// Traces and the messages that they met without naming an order.
    met: HashSet<(String, String)>,
    /// Aliases, each with whether it is of a provisional order only.
    aliases: HashMap<AliasKey, bool>,
    /// Memory of the rows so far.
    pub(crate) bytes: usize,
    pub(crate) unattributable: u64,
}

impl Facts {
    pub(crate) fn new(received_at: i64, texts: Arc<TextRules>) -> Self {
        Self { received_at, texts, ..Self::default() }
    }

    /// Facts whose signals become finished rows: most are written, and never looked at again.
    pub(crate) fn finishing(self) -> Self {
        Self { finishes: true, ..self }
    }

    /// A signal of the orders that the place names; of its carrier's orders when there are none.
    pub(crate) fn signal(&mut self, place: &Place<'_>, fact: &SignalFact<'_>) {
        let Some((orders, carrier)) = self.whose(place) else { return };
        let said = Evidence::of(place, fact, &self.texts);
        let evidence = said.entries();
        let evidence_bytes: usize = evidence.iter().map(|(k, v)| k.len() + v.len() + 48).sum();
        let mut parts = OrderEventParts {
            order_id: "",
            carrier: &carrier,
            signal: fact.signal,
            stage: fact.stage,
            event_time: fact.event_time,
            received_at: self.received_at,
            source: place.service,
            trace_id: place.trace_id,
            span_id: place.span_id,
            attempt: attempt(place),
            evidence,
        };
        for order in orders {
            self.bytes += ROW_BYTES + evidence_bytes + order.len() + carrier.len();
            parts.order_id = order;
            if self.finishes {
                self.event_rows.push(|out| parts.put(out));
            } else {
                self.events.push(kept(&parts));
            }
        }
        if self.finishes && !carrier.is_empty() && !self.event_carriers.contains(&carrier) {
            self.event_carriers.insert(carrier);
        }
    }

    /// Long work on the orders that the place names is alive at `at`.
    pub(crate) fn life(&mut self, place: &Place<'_>, at: UnixNanos) {
        let Some((orders, carrier)) = self.whose(place) else { return };
        let worker = place.first(|set| set.worker.as_deref());
        let worker = worker.or_else(|| place.first(|set| set.host.as_deref())).unwrap_or("");
        for order in orders {
            let key = LifeKey {
                order_id: order.to_string(),
                carrier: carrier.clone(),
                source: place.service.to_owned(),
                worker: worker.to_owned(),
                attempt: attempt(place),
                ahead_minute: if at > self.received_at * NANOS_PER_MILLI {
                    at / NANOS_PER_MINUTE
                } else {
                    0
                },
            };
            self.bytes += REPEAT_BYTES;
            let last = self.lives.entry(key).or_insert_with(|| {
                self.bytes += ROW_BYTES + order.len() + carrier.len() + worker.len();
                at
            });
            *last = at.max(*last);
        }
    }

    /// The orders of a fact, or, as the only one, none and its carrier. Without either the fact
    /// is counted and goes no further.
    fn whose<'a>(&mut self, place: &Place<'a>) -> Option<(&'a [Cow<'a, str>], String)> {
        /// In place of orders that are not named.
        const NOBODY: &[Cow<'static, str>] = &[Cow::Borrowed("")];
        let orders = place.named().orders;
        if !orders.is_empty() {
            return Some((orders, String::new()));
        }
        let carrier = place.carrier();
        self.unattributable += u64::from(carrier.is_empty());
        (!carrier.is_empty()).then_some((NOBODY, carrier))
    }

    /// A span or log names orders.
    pub(crate) fn naming(&mut self, named: Named<'_>, place: &Place<'_>, fact: NamingFact) {
        if named.orders.is_empty() {
            return;
        }
        let known =
            |text: &str, values: [&'static str; 2]| values.into_iter().find(|value| *value == text);
        let kind = place
            .first(|set| known(set.kind.as_deref()?, [keys::KIND_CUSTOM, keys::KIND_READY_MADE]));
        let channel = place
            .first(|set| known(set.channel.as_deref()?, [keys::CHANNEL_B2C, keys::CHANNEL_B2B]));
        let naming = Naming {
            trace_id: place.trace_id,
            provisional: u8::from(named.provisional),
            start: fact.start.min(fact.end),
            end: fact.start.max(fact.end),
            has_model: u8::from(place.first(|set| set.has_model.then_some(())).is_some()),
            kind: kind.unwrap_or_default(),
            channel: channel.unwrap_or_default(),
        };
        for order in named.orders {
            if fact.of_span {
                self.fold(order, place.span_id, naming);
            }
            self.fold(order, "", naming);
        }
    }

    /// Folds two namings of one order by one trace or span, whichever came first.
    fn fold(&mut self, order_id: &str, span_id: &str, other: Naming<'_>) {
        let (traces, hashing) = (&self.traces, &self.hashing);
        let hash = hashing.hash_one((other.trace_id, span_id, order_id));
        let known = self.trace_at.find(hash, |at| {
            let row = &traces[*at];
            row.trace_id == other.trace_id && row.span_id == span_id && row.order_id == order_id
        });
        let Some(&at) = known else {
            self.bytes += ROW_BYTES + 2 * order_id.len();
            let rehash = |at: &usize| {
                let row: &OrderTraceRow = &traces[*at];
                hashing.hash_one((&*row.trace_id, &*row.span_id, &*row.order_id))
            };
            self.trace_at.insert_unique(hash, traces.len(), rehash);
            self.traces.push(OrderTraceRow {
                order_id: order_id.to_owned(),
                trace_id: other.trace_id.to_owned(),
                span_id: span_id.to_owned(),
                provisional: other.provisional,
                start: other.start,
                end: other.end,
                received_at: self.received_at,
                has_model: other.has_model,
                kind: other.kind.to_owned(),
                channel: other.channel.to_owned(),
            });
            return;
        };
        let row = &mut self.traces[at];
        row.provisional = row.provisional.min(other.provisional);
        row.start = row.start.min(other.start);
        row.end = row.end.max(other.end);
        row.has_model = row.has_model.max(other.has_model);
        if *other.kind > *row.kind {
            other.kind.clone_into(&mut row.kind);
        }
        if *other.channel > *row.channel {
            other.channel.clone_into(&mut row.channel);
        }
    }

    /// The other names that `set`, one of the place's, gives to the orders that the place names.
    /// A message that comes with no order is met by the trace.
    pub(crate) fn aliases(&mut self, set: &Found<'_>, place: &Place<'_>) {
        let named = place.named();
        // A number that stands for its order is written where it stands, and with its partner.
        let is_shared = named.provisional && place.own.iter().all(|set| set.numbers.is_empty());
        for number in if is_shared { named.orders } else { &*set.numbers } {
            let alone = Named { orders: std::slice::from_ref(number), provisional: true };
            self.number(if named.provisional { alone } else { named }, number, place);
        }
        if set.message_key.is_empty() {
            return;
        }
        if named.orders.is_empty() {
            self.meeting(place, &set.message_key);
        } else {
            self.alias(named, keys::ALIAS_MESSAGE_ID, &set.message_key, "");
        }
    }

    fn number(&mut self, named: Named<'_>, number: &str, place: &Place<'_>) {
        let number = search_key(number);
        let scope = place.first(|set| set.partner_key.as_deref()).unwrap_or("");
        let is_one = named.orders.len() == 1;
        let kind = if is_one { keys::ALIAS_PARTNER_NUMBER } else { keys::ALIAS_SHARED_NUMBER };
        self.alias(named, kind, &number, scope);
    }

    fn alias(&mut self, named: Named<'_>, alias_kind: &'static str, alias: &str, scope: &str) {
        if alias.is_empty() || alias.len() > ORDER_ID_BYTES_MAX {
            return;
        }
        for order in named.orders {
            let (alias, scope, order_id) = (alias.to_owned(), scope.to_owned(), order.to_string());
            let bytes = ROW_BYTES + alias.len() + scope.len() + order.len();
            let key = AliasKey { alias_kind, alias, scope, order_id };
            self.bytes += REPEAT_BYTES;
            let provisional = self.aliases.entry(key).or_insert_with(|| {
                self.bytes += bytes;
                true
            });
            *provisional &= named.provisional;
        }
    }

    /// The trace of `place` met a message and named no order: once for the trace is enough.
    fn meeting(&mut self, place: &Place<'_>, message_key: &str) {
        let carrier = message_carrier(message_key);
        if place.trace_id.is_empty()
            || !self.met.insert((place.trace_id.to_owned(), carrier.clone()))
        {
            return;
        }
        self.bytes += carrier.len();
        self.link(place, &carrier, "");
    }

    /// The span of `place` links to a span of another trace, or to a message.
    pub(crate) fn link(&mut self, place: &Place<'_>, linked_trace_id: &str, linked_span_id: &str) {
        if linked_trace_id == place.trace_id {
            return;
        }
        self.bytes += ROW_BYTES;
        self.links.push(TraceLinkRow {
            trace_id: place.trace_id.to_owned(),
            span_id: place.span_id.to_owned(),
            linked_trace_id: linked_trace_id.to_owned(),
            linked_span_id: linked_span_id.to_owned(),
            received_at: self.received_at,
        });
    }

    /// The rows, in a fixed order.
    pub(crate) fn into_batch(self) -> Batch {
        let received_at = self.received_at;
        let lives = self.lives.into_iter().map(|(key, last_at)| {
            let LifeKey { order_id, carrier, source, worker, attempt, ahead_minute: _ } = key;
            HeartbeatRow { order_id, carrier, source, worker, attempt, last_at, received_at }
        });
        let mut aliases: Vec<(AliasKey, bool)> = self.aliases.into_iter().collect();
        aliases.sort_unstable();
        let aliases = aliases.into_iter().map(|(key, provisional)| OrderAliasRow {
            alias: key.alias,
            alias_kind: key.alias_kind.to_owned(),
            scope: key.scope,
            order_id: key.order_id,
            provisional: u8::from(provisional),
            received_at,
        });
        Batch {
            order_events: self.events,
            order_event_rows: self.event_rows,
            order_event_carriers: self.event_carriers,
            order_heartbeats: lives.collect(),
            order_traces: self.traces,
            trace_links: self.links,
            order_aliases: aliases.collect(),
            ..Batch::default()
        }
    }
}

fn attempt(place: &Place<'_>) -> u32 {
    place.first(|set| set.attempt).unwrap_or(0)
}

/// A row of its own.
fn kept(parts: &OrderEventParts<'_>) -> OrderEventRow {
    let evidence = parts.evidence.iter().map(|(key, value)| ((*key).to_owned(), value.to_string()));
    OrderEventRow {
        order_id: parts.order_id.to_owned(),
        carrier: parts.carrier.to_owned(),
        signal: parts.signal.to_owned(),
        stage: parts.stage.to_owned(),
        event_time: parts.event_time,
        received_at: parts.received_at,
        source: parts.source.to_owned(),
        trace_id: parts.trace_id.to_owned(),
        span_id: parts.span_id.to_owned(),
        attempt: parts.attempt,
        evidence: evidence.collect(),
    }
}
