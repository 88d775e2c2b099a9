//! A made-up world: orders, their traces, messages and numbers, and what is said of them.

use std::collections::BTreeSet;

use order_model::Lifecycle;
use order_model::graph::{Graph, Link, Naming, Number, message_carrier};
use order_model::keys;
use order_model::order_id::search_key;
use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use order_store::rows::{
    Batch, HeartbeatRow, OrderAliasRow, OrderEventRow, OrderTraceRow, TraceLinkRow,
};
use rand::prelude::*;
use rand::rngs::StdRng;

use super::expected::Expected;

/// Ids of orders that the world has at most.
pub(super) const ORDERS: usize = 240;
const SOURCES: [&str; 4] = ["shop", "crm", "mes", "calc-engine"];

/// Facts; some of them are heard once more, later.
pub(super) struct World {
    pub(super) facts: Batch,
}

impl World {
    /// Random facts about some hundred orders, whose moments lie close together, so that ties,
    /// the skew and the future are met often.
    pub(super) fn random(rng: &mut StdRng, lifecycle: &Lifecycle, received_at: i64) -> Self {
        let mut world = Self { facts: Batch::default() };
        for index in 0..ORDERS {
            world.add_order(rng, lifecycle, index, received_at);
        }
        for _ in 0..ORDERS / 2 {
            world.add_link(rng, received_at);
        }
        world.hear_at_different_times(rng);
        world
    }

    /// Everything was received within five seconds; of some events a repeat comes at another time.
    fn hear_at_different_times(&mut self, rng: &mut StdRng) {
        let Batch { order_traces, order_events, order_heartbeats, .. } = &mut self.facts;
        let again: Vec<_> = order_events.iter().filter(|_| rng.random_bool(0.2)).cloned().collect();
        order_events.extend(again);
        order_traces.iter_mut().for_each(|row| row.received_at -= rng.random_range(0..5_000));
        order_events.iter_mut().for_each(|row| row.received_at -= rng.random_range(0..5_000));
        order_heartbeats.iter_mut().for_each(|row| row.received_at -= rng.random_range(0..5_000));
    }

    fn add_order(
        &mut self,
        rng: &mut StdRng,
        lifecycle: &Lifecycle,
        index: usize,
        received_at: i64,
    ) {
        let named_by_number = rng.random_bool(0.1);
        let number = format!("P {}", rng.random_range(0..ORDERS));
        let order_id = if named_by_number { number.clone() } else { format!("ORD-{index:04}") };
        let provisional = u8::from(named_by_number);
        let kind = *["", "", "custom", "ready_made"].choose(rng).unwrap();
        let channel = *["", "", "b2c", "b2b"].choose(rng).unwrap();
        for n in 0..rng.random_range(1..3) {
            // Some traces are shared with a neighbour: batches, and numbers beside ids.
            let trace = if rng.random_bool(0.3) { index / 2 * 2 } else { index };
            let mut row = OrderTraceRow {
                order_id: order_id.clone(),
                trace_id: format!("trace-{trace}-{n}"),
                start: received_at * NANOS_PER_MILLI,
                end: received_at * NANOS_PER_MILLI,
                received_at,
                provisional,
                has_model: u8::from(rng.random_bool(0.2)),
                kind: kind.to_owned(),
                channel: channel.to_owned(),
                ..OrderTraceRow::default()
            };
            self.facts.order_traces.push(row.clone());
            if rng.random_bool(0.5) {
                row.span_id = format!("span-{index}");
                self.facts.order_traces.push(row);
            }
        }
        let mut alias = |alias: &str, alias_kind: &str, scope: &str| {
            self.facts.order_aliases.push(OrderAliasRow {
                alias: search_key(alias),
                alias_kind: alias_kind.to_owned(),
                scope: scope.to_owned(),
                order_id: order_id.clone(),
                provisional,
                received_at,
            });
        };
        if named_by_number || rng.random_bool(0.25) {
            let scope = if rng.random_bool(0.8) { "" } else { "ACME" };
            alias(&number, keys::ALIAS_PARTNER_NUMBER, scope);
        }
        if rng.random_bool(0.08) {
            alias("P of a basket", keys::ALIAS_PARTNER_NUMBER, "");
        }
        for _ in 0..rng.random_range(0..2) {
            alias(&format!("m{}", rng.random_range(0..ORDERS)), keys::ALIAS_MESSAGE_ID, "");
        }
        for _ in 0..rng.random_range(0..9) {
            let carrier = self.some_carrier(rng, index);
            self.add_signal(rng, lifecycle, (&order_id, &carrier), received_at);
        }
        if rng.random_bool(0.2) {
            let carrier = self.some_carrier(rng, index);
            let named = rng.random_bool(0.5);
            self.facts.order_heartbeats.push(HeartbeatRow {
                order_id: if named { order_id } else { String::new() },
                carrier: if named { String::new() } else { carrier },
                source: "mes".to_owned(),
                worker: format!("worker-{}", rng.random_range(0..3)),
                attempt: 1,
                last_at: (received_at - if rng.random_bool(0.3) { -20_000_000 } else { 9_000 })
                    * NANOS_PER_MILLI,
                received_at,
            });
        }
    }

    fn some_carrier(&self, rng: &mut StdRng, index: usize) -> String {
        match rng.random_range(0..4) {
            0 => message_carrier(&search_key(&format!("m{}", rng.random_range(0..ORDERS)))),
            1 => format!("lone-{}", rng.random_range(0..ORDERS)),
            _ => format!("trace-{}-{}", index / 2 * 2, rng.random_range(0..2)),
        }
    }

    fn add_signal(
        &mut self,
        rng: &mut StdRng,
        lifecycle: &Lifecycle,
        (order_id, carrier): (&str, &str),
        received_at: i64,
    ) {
        let now = received_at * NANOS_PER_MILLI;
        let destination =
            |rng: &mut StdRng| lifecycle.handovers.choose(rng).unwrap().destination.clone();
        let (signal, stage) = match rng.random_range(0..20) {
            0 => (keys::SIGNAL_STAGE, "QUALITY_CHECK".to_owned()),
            1 => (keys::SIGNAL_STAGE, "Ожидание".to_owned()),
            2..5 => (keys::SIGNAL_PRICE_REQUESTED, String::new()),
            5..7 => (keys::SIGNAL_HANDED_OVER, destination(rng)),
            7 => (keys::SIGNAL_TAKEN_OVER, destination(rng)),
            _ => (keys::SIGNAL_STAGE, lifecycle.stages.choose(rng).unwrap().name.clone()),
        };
        let base = match rng.random_range(0..12) {
            0 => now + rng.random_range(10_000..90_000) * NANOS_PER_SECOND,
            1 => rng.random_range(1..1_000_000) * NANOS_PER_SECOND,
            2..5 => now - rng.random_range(1..40) * 86_400 * NANOS_PER_SECOND,
            _ => now - rng.random_range(60_000..60_020) * NANOS_PER_SECOND / 2,
        };
        let named = rng.random_bool(0.6);
        let text = |rng: &mut StdRng, key: &str| {
            let said = format!("{key} {}", rng.random_range(0..3));
            rng.random_bool(0.5).then_some((key.to_owned(), said))
        };
        self.facts.order_events.push(OrderEventRow {
            order_id: if named { order_id.to_owned() } else { String::new() },
            carrier: if named { String::new() } else { carrier.to_owned() },
            signal: signal.to_owned(),
            stage,
            event_time: base + rng.random_range(0..3) * NANOS_PER_MILLI,
            received_at,
            source: (*SOURCES.choose(rng).unwrap()).to_owned(),
            attempt: rng.random_range(0..3),
            evidence: [text(rng, "worker"), text(rng, "error")].into_iter().flatten().collect(),
            ..OrderEventRow::default()
        });
    }

    fn add_link(&mut self, rng: &mut StdRng, received_at: i64) {
        let end = |rng: &mut StdRng| {
            let index = rng.random_range(0..ORDERS);
            let span = if rng.random_bool(0.5) { format!("span-{index}") } else { String::new() };
            match rng.random_range(0..3) {
                0 => (format!("trace-{index}-{}", rng.random_range(0..2)), span),
                _ => (format!("lone-{index}"), span),
            }
        };
        let (trace_id, span_id) = end(rng);
        let (linked_trace_id, linked_span_id) = if rng.random_bool(0.3) {
            (
                message_carrier(&search_key(&format!("m{}", rng.random_range(0..ORDERS)))),
                String::new(),
            )
        } else {
            end(rng)
        };
        self.facts.trace_links.push(TraceLinkRow {
            trace_id,
            span_id,
            linked_trace_id,
            linked_span_id,
            received_at,
        });
    }

    /// The facts in random order, some of them twice, in about so many batches.
    pub(super) fn batches(&self, rng: &mut StdRng, count: usize) -> Vec<Batch> {
        let mut single: Vec<Batch> = Vec::new();
        let facts = &self.facts;
        single.extend(
            facts
                .order_traces
                .iter()
                .map(|row| Batch { order_traces: vec![row.clone()], ..Batch::default() }),
        );
        for row in &facts.order_aliases {
            // An alias comes with a naming of its order, as the collector writes it.
            let named = facts.order_traces.iter().find(|t| t.order_id == row.order_id).unwrap();
            single.push(Batch {
                order_aliases: vec![row.clone()],
                order_traces: vec![named.clone()],
                ..Batch::default()
            });
        }
        for row in &facts.order_events {
            let named = facts.order_traces.iter().find(|t| t.order_id == row.order_id);
            single.push(Batch {
                order_events: vec![row.clone()],
                order_traces: named.cloned().into_iter().collect(),
                ..Batch::default()
            });
        }
        for row in &facts.order_heartbeats {
            let named = facts.order_traces.iter().find(|t| t.order_id == row.order_id);
            single.push(Batch {
                order_heartbeats: vec![row.clone()],
                order_traces: named.cloned().into_iter().collect(),
                ..Batch::default()
            });
        }
        single.extend(
            facts
                .trace_links
                .iter()
                .map(|row| Batch { trace_links: vec![row.clone()], ..Batch::default() }),
        );
        for index in 0..single.len() {
            if rng.random_bool(0.3) {
                single.push(single[index].clone());
            }
        }
        single.shuffle(rng);
        let chunks = single.chunks(single.len().div_ceil(count));
        chunks
            .map(|chunk| {
                let mut batch = Batch::default();
                chunk.iter().for_each(|part| batch.append(part.clone()));
                batch
            })
            .collect()
    }

    /// All facts as a graph.
    pub(super) fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for row in self.facts.order_traces.iter().filter(|row| !row.trace_id.is_empty()) {
            graph.add_naming(Naming {
                carrier: row.trace_id.clone(),
                span_id: row.span_id.clone(),
                order_id: row.order_id.clone(),
                provisional: row.provisional == 1,
            });
        }
        for row in &self.facts.order_aliases {
            let order_id = row.order_id.clone();
            if row.alias_kind == keys::ALIAS_MESSAGE_ID {
                graph.add_naming(Naming {
                    carrier: message_carrier(&row.alias),
                    span_id: String::new(),
                    order_id,
                    provisional: row.provisional == 1,
                });
            } else {
                let (key, scope) = (row.alias.clone(), row.scope.clone());
                graph.add_number(Number { key, scope, order_id });
            }
        }
        for row in &self.facts.trace_links {
            graph.add_link(Link {
                carrier: row.trace_id.clone(),
                span_id: row.span_id.clone(),
                other: row.linked_trace_id.clone(),
                other_span_id: row.linked_span_id.clone(),
            });
        }
        graph
    }

    /// What the facts say of an order, for a failed test.
    pub(super) fn about(&self, expected: &Expected) -> Batch {
        let ids: &BTreeSet<String> = &expected.members;
        let carriers = &expected.carriers;
        let mut facts = self.facts.clone();
        facts.order_traces.retain(|r| ids.contains(&r.order_id));
        facts.order_aliases.retain(|r| ids.contains(&r.order_id));
        facts
            .order_events
            .retain(|r| ids.contains(&r.order_id) || carriers.contains_key(&r.carrier));
        facts.order_heartbeats.retain(|r| ids.contains(&r.order_id));
        facts.trace_links.retain(|r| carriers.contains_key(&r.trace_id));
        facts
    }
}

/// One stage signal that names its order.
pub(super) fn stage_of(
    order_id: &str,
    stage: &str,
    event_time: i64,
    source: &str,
    received_at: i64,
) -> Batch {
    Batch {
        order_traces: vec![OrderTraceRow {
            order_id: order_id.to_owned(),
            trace_id: format!("{order_id}-trace"),
            start: event_time,
            end: event_time,
            received_at,
            ..OrderTraceRow::default()
        }],
        order_events: vec![OrderEventRow {
            order_id: order_id.to_owned(),
            signal: keys::SIGNAL_STAGE.to_owned(),
            stage: stage.to_owned(),
            event_time,
            received_at,
            source: source.to_owned(),
            ..OrderEventRow::default()
        }],
        ..Batch::default()
    }
}
