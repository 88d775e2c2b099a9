//! Facts about orders, collected over one request: signals, namings, aliases, links.

use std::collections::{HashMap, HashSet};

use order_model::order_id::{ORDER_ID_BYTES_MAX, search_key};
use order_model::{UnixNanos, keys};
use order_store::rows::{
    Attributes, Batch, OrderAliasRow, OrderEventRow, OrderTraceRow, TraceLinkRow,
};

use crate::found::Found;

/// Memory of a row of facts beyond its texts.
const ROW_BYTES: usize = 320;

/// Where a fact was found: the sets of attributes, from most specific to least, and its span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Attribute sets; for each value the first set that has it counts.
    pub(crate) sets: &'a [&'a Found],
    /// Trace in hexadecimal, or empty.
    pub(crate) trace_id: &'a str,
    /// Span in hexadecimal, or empty.
    pub(crate) span_id: &'a str,
    /// Name of the span or event, as evidence.
    pub(crate) name: &'a str,
    /// `service.name`.
    pub(crate) service: &'a str,
}

/// A signal of an order, before it is known of which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignalFact<'a> {
    /// `order_model::keys::SIGNAL_*`.
    pub(crate) signal: &'static str,
    /// The stage, or empty.
    pub(crate) stage: &'a str,
    /// When.
    pub(crate) event_time: UnixNanos,
    /// `span`, `span_event`, `log` or `rule`.
    pub(crate) form: &'static str,
    /// Name of the rule, or empty.
    pub(crate) rule: &'a str,
    /// Text of an error that stands outside attributes, or empty.
    pub(crate) error: &'a str,
}

/// Facts of one request.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    received_at: i64,
    events: Vec<OrderEventRow>,
    traces: Vec<OrderTraceRow>,
    trace_at: HashMap<(String, String), usize>,
    links: Vec<TraceLinkRow>,
    aliases: HashSet<(String, &'static str, String)>,
    /// Memory of the rows so far.
    pub(crate) bytes: usize,
    pub(crate) unattributable: u64,
}

impl<'a> Place<'a> {
    fn first<T>(&self, pick: impl Fn(&'a Found) -> Option<T>) -> Option<T> {
        self.sets.iter().find_map(|set| pick(set))
    }

    /// The orders named by the most specific set that names any.
    pub(crate) fn orders(&self) -> &'a [String] {
        self.first(|set| (!set.order_ids.is_empty()).then_some(&*set.order_ids)).unwrap_or(&[])
    }

    /// The stage said by the most specific set that says one.
    pub(crate) fn stage(&self) -> Option<&'a str> {
        self.first(|set| set.stage.as_deref())
    }
}

impl Facts {
    pub(crate) fn new(received_at: i64) -> Self {
        Self { received_at, ..Self::default() }
    }

    /// A signal of `orders`; of the trace's orders when there are none.
    pub(crate) fn signal(&mut self, orders: &[String], place: &Place<'_>, fact: &SignalFact<'_>) {
        let unknown = [String::new()];
        let orders = if !orders.is_empty() {
            orders
        } else if place.trace_id.is_empty() {
            self.unattributable += 1;
            return;
        } else {
            &unknown
        };
        let evidence = evidence(place, fact);
        let evidence_bytes: usize = evidence.iter().map(|(k, v)| k.len() + v.len() + 48).sum();
        for order in orders {
            self.bytes += ROW_BYTES + evidence_bytes + order.len();
            self.events.push(OrderEventRow {
                order_id: order.clone(),
                signal: fact.signal.to_owned(),
                stage: fact.stage.to_owned(),
                event_time: fact.event_time,
                received_at: self.received_at,
                source: place.service.to_owned(),
                trace_id: place.trace_id.to_owned(),
                span_id: place.span_id.to_owned(),
                attempt: place.first(|set| set.attempt).unwrap_or(0),
                evidence: evidence.clone(),
            });
        }
    }

    /// A span or log from `start` to `end` names `orders`.
    pub(crate) fn naming(
        &mut self,
        orders: &[String],
        place: &Place<'_>,
        start: UnixNanos,
        end: UnixNanos,
    ) {
        if orders.is_empty() {
            return;
        }
        let known = |text: &str, values: [&str; 2]| values.contains(&text).then(|| text.to_owned());
        let kind = place
            .first(|set| known(set.kind.as_deref()?, [keys::KIND_CUSTOM, keys::KIND_READY_MADE]));
        let channel = place
            .first(|set| known(set.channel.as_deref()?, [keys::CHANNEL_B2C, keys::CHANNEL_B2B]));
        let named = OrderTraceRow {
            order_id: String::new(),
            trace_id: place.trace_id.to_owned(),
            start: start.min(end),
            end: start.max(end),
            received_at: self.received_at,
            has_model: u8::from(place.sets.iter().any(|set| set.has_model)),
            kind: kind.unwrap_or_default(),
            channel: channel.unwrap_or_default(),
        };
        for order in orders {
            let key = (order.clone(), named.trace_id.clone());
            let row = OrderTraceRow { order_id: order.clone(), ..named.clone() };
            if let Some(&at) = self.trace_at.get(&key) {
                fold(&mut self.traces[at], row);
            } else {
                self.bytes += ROW_BYTES + 2 * order.len();
                self.trace_at.insert(key, self.traces.len());
                self.traces.push(row);
            }
        }
    }

    /// The other names that `set` gives to `orders`.
    pub(crate) fn aliases(&mut self, orders: &[String], set: &Found) {
        let names = [("partner_number", &set.partner_number), ("message_id", &set.message_id)];
        for (alias_kind, name) in names {
            let Some(alias) = name.as_deref().map(search_key) else { continue };
            if alias.is_empty() || alias.len() > ORDER_ID_BYTES_MAX {
                continue;
            }
            for order in orders {
                if self.aliases.insert((alias.clone(), alias_kind, order.clone())) {
                    self.bytes += ROW_BYTES + alias.len() + order.len();
                }
            }
        }
    }

    /// The span of `place` links to a span of another trace.
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
        let mut order_aliases: Vec<OrderAliasRow> = self
            .aliases
            .into_iter()
            .map(|(alias, alias_kind, order_id)| OrderAliasRow {
                alias,
                alias_kind: alias_kind.to_owned(),
                order_id,
                received_at,
            })
            .collect();
        order_aliases.sort_by(|a, b| {
            (&a.alias_kind, &a.alias, &a.order_id).cmp(&(&b.alias_kind, &b.alias, &b.order_id))
        });
        Batch {
            order_events: self.events,
            order_traces: self.traces,
            trace_links: self.links,
            order_aliases,
            ..Batch::default()
        }
    }
}

/// Folds two namings of one order by one trace, whichever came first.
fn fold(row: &mut OrderTraceRow, other: OrderTraceRow) {
    row.start = row.start.min(other.start);
    row.end = row.end.max(other.end);
    row.received_at = row.received_at.max(other.received_at);
    row.has_model = row.has_model.max(other.has_model);
    if other.kind > row.kind {
        row.kind = other.kind;
    }
    if other.channel > row.channel {
        row.channel = other.channel;
    }
}

fn evidence(place: &Place<'_>, fact: &SignalFact<'_>) -> Attributes {
    let error = place.first(|set| set.error.as_deref()).unwrap_or(fact.error);
    let entries = [
        ("form", fact.form),
        ("rule", fact.rule),
        ("name", place.name),
        ("host", place.first(|set| set.host.as_deref()).unwrap_or("")),
        ("worker", place.first(|set| set.worker.as_deref()).unwrap_or("")),
        ("queue", place.first(|set| set.queue.as_deref()).unwrap_or("")),
        ("message_id", place.first(|set| set.message_id.as_deref()).unwrap_or("")),
        ("error", error),
    ];
    let said = entries.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(key, value)| (key.to_owned(), crate::found::evidence(key, value))).collect()
}
