//! The order id in context: a baggage entry, which travels in the W3C `baggage` header, and which
//! [`crate::OrderIdOnSpans`] and [`crate::OrderIdOnLogs`] copy onto everything made in its reach.
//!
//! Baggage: <https://www.w3.org/TR/baggage/>.

use opentelemetry::baggage::{Baggage, BaggageExt, KeyValueMetadata};
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry::{Context, KeyValue, StringValue};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use order_model::OrderId;
use order_model::order_id::NotAnOrderId;

use crate::keys::ORDER_ID;

/// The order named by the baggage of a context.
///
/// # Errors
/// There is an entry that is no order id: it came from outside, and is to be ignored.
pub fn order_of(context: &Context) -> Result<Option<OrderId>, NotAnOrderId> {
    let named = context.baggage().get(ORDER_ID);
    named.map(|text| OrderId::parse(text.as_str())).transpose()
}

/// What the SDK's propagator does not escape in a value, although every receiver unescapes it: an
/// id with `%41` would arrive as another order's.
const NOT_ESCAPED: char = '%';

/// The context with that order in its baggage, beside the entries that are there; `None` when the
/// baggage has no room, which is 64 entries or 8,192 bytes, or its header would change the id.
pub(crate) fn with_order(context: &Context, order: &OrderId) -> Option<Context> {
    // Without the entry that is replaced: it must not count twice against the bound.
    let mut baggage = other_entries(context);
    baggage.insert(ORDER_ID, StringValue::from(order.as_str().to_owned()));
    let fits = baggage.get(ORDER_ID).is_some_and(|kept| kept.as_str() == order.as_str());
    (fits && !order.as_str().contains(NOT_ESCAPED)).then(|| context.with_baggage(baggage))
}

/// The context without an order in its baggage.
pub(crate) fn without_order(context: &Context) -> Context {
    if context.baggage().get(ORDER_ID).is_none() {
        return context.clone();
    }
    context.with_baggage(other_entries(context))
}

/// The baggage of the context but for the order.
fn other_entries(context: &Context) -> Baggage {
    let entries = context.baggage().iter().filter(|(key, _)| key.as_str() != ORDER_ID);
    let entries = entries.map(|(key, (value, metadata))| {
        KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
    });
    entries.collect()
}

/// What carries trace and order from one service to the next: the headers `traceparent`,
/// `tracestate` and `baggage`. Set it with `opentelemetry::global::set_text_map_propagator`.
#[must_use]
pub fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ])
}

/// The attribute that names one order.
pub(crate) fn order_attribute(order: &OrderId) -> KeyValue {
    KeyValue::new(ORDER_ID, order.as_str().to_owned())
}
