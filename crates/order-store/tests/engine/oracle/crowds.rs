//! Messages about which too much is said.

use order_model::Lifecycle;
use order_model::graph::{HUB_LINKS_MAX, MESSAGE_ORDERS_MAX, message_carrier};
use order_model::keys;
use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use order_store::rows::{OrderAliasRow, OrderEventRow, OrderTraceRow, TraceLinkRow};
use rand::prelude::*;
use rand::rngs::StdRng;

use super::world::{ORDERS, World};

impl World {
    /// A random world with two messages about which too much is said, or nearly: one is linked with a
    /// thousand traces, and a thousand orders have the other. Some facts travel in them.
    pub(super) fn crowded(rng: &mut StdRng, lifecycle: &Lifecycle, received_at: i64) -> Self {
        let mut world = Self::random(rng, lifecycle, received_at);
        let around = |rng: &mut StdRng, bound: usize| rng.random_range(bound - 40..bound + 80);
        let (hub, shared) = (message_carrier("hub"), message_carrier("shared"));
        for n in 0..around(rng, HUB_LINKS_MAX) {
            world.facts.trace_links.push(TraceLinkRow {
                trace_id: format!("hub-{n}"),
                span_id: "s".to_owned(),
                linked_trace_id: hub.clone(),
                linked_span_id: String::new(),
                received_at,
            });
        }
        for n in 0..around(rng, MESSAGE_ORDERS_MAX) {
            let order_id = format!("CROWD-{n:04}");
            world.facts.order_traces.push(OrderTraceRow {
                order_id: order_id.clone(),
                received_at,
                ..OrderTraceRow::default()
            });
            world.facts.order_aliases.push(OrderAliasRow {
                alias: "shared".to_owned(),
                alias_kind: keys::ALIAS_MESSAGE_ID.to_owned(),
                order_id,
                received_at,
                ..OrderAliasRow::default()
            });
        }
        for _ in 0..6 {
            let order_id = format!("ORD-{:04}", rng.random_range(0..ORDERS));
            world.facts.order_traces.push(OrderTraceRow {
                order_id: order_id.clone(),
                trace_id: format!("hub-{}", rng.random_range(0..HUB_LINKS_MAX)),
                received_at,
                ..OrderTraceRow::default()
            });
            let heard_of_nobody = format!("hub-{}", rng.random_range(0..HUB_LINKS_MAX));
            for carrier in [&hub, &shared, &heard_of_nobody] {
                world.add_carried(rng, lifecycle, carrier, received_at);
            }
        }
        world
    }

    /// A stage of whoever the carrier belongs to.
    fn add_carried(
        &mut self,
        rng: &mut StdRng,
        lifecycle: &Lifecycle,
        carrier: &str,
        received_at: i64,
    ) {
        let back = rng.random_range(1..90_000) * NANOS_PER_SECOND;
        self.facts.order_events.push(OrderEventRow {
            carrier: carrier.to_owned(),
            signal: keys::SIGNAL_STAGE.to_owned(),
            stage: lifecycle.stages.choose(rng).unwrap().name.clone(),
            event_time: received_at * NANOS_PER_MILLI - back,
            received_at,
            source: "mes".to_owned(),
            ..OrderEventRow::default()
        });
    }
}
