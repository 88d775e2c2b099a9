//! What the namings of an order say of it.

use clickhouse::Row;
use order_model::UnixNanos;
use order_model::fold::OrderTraits;
use order_model::graph::Naming;
use serde::Deserialize;

use crate::UnixMillis;

/// The namings of orders, with what they say of them: to read it apart would cost as much again.
pub(super) const NAMINGS_OF_ORDERS: &str = "SELECT OrderId, TraceId, SpanId, \
    min(order_traces.Provisional) AS Provisional, max(order_traces.HasModel) AS HasModel, \
    max(order_traces.Kind) AS Kind, max(order_traces.Channel) AS Channel, \
    max(order_traces.ReceivedAt) AS LastReceivedAt, min(order_traces.Start) AS Start, \
    toUInt16(cityHash64(OrderId) % 4096) AS Bucket FROM order_traces \
    WHERE OrderId IN {ids:Array(String)} GROUP BY OrderId, TraceId, SpanId";

/// A naming of an order with what it says of it.
#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TellingRow {
    order_id: String,
    trace_id: String,
    span_id: String,
    provisional: u8,
    has_model: u8,
    kind: String,
    channel: String,
    last_received_at: UnixMillis,
    start: UnixNanos,
    bucket: u16,
}

/// What the namings of one id say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traits {
    /// Of its kind, its channel, and whether it has a model.
    pub(crate) of_order: OrderTraits,
    /// When the last of them was received.
    pub(crate) last_received_at: UnixMillis,
    /// The earliest time of one.
    pub(crate) first_named_at: UnixNanos,
    /// The bucket in which the id is counted.
    pub(crate) bucket: u16,
}

impl Traits {
    /// What several namings, or several ids of one order, say together.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Self { of_order: all, .. } = self;
        all.has_model |= other.of_order.has_model;
        if other.of_order.kind > all.kind {
            all.kind.clone_from(&other.of_order.kind);
        }
        if other.of_order.channel > all.channel {
            all.channel.clone_from(&other.of_order.channel);
        }
        self.last_received_at = self.last_received_at.max(other.last_received_at);
        self.first_named_at = self.first_named_at.min(other.first_named_at);
    }
}

impl TellingRow {
    pub(super) fn into_parts(self) -> (Naming, Traits) {
        let naming = Naming {
            carrier: self.trace_id,
            span_id: self.span_id,
            order_id: self.order_id,
            provisional: self.provisional == 1,
        };
        let of_order =
            OrderTraits { has_model: self.has_model == 1, kind: self.kind, channel: self.channel };
        let traits = Traits {
            of_order,
            last_received_at: self.last_received_at,
            first_named_at: self.start,
            bucket: self.bucket,
        };
        (naming, traits)
    }
}
