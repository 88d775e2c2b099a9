//! What a step leaves behind for others: messages with the context of the span that published
//! them. Also the translation from plans to the SDK's values.

use crate::attributes::MESSAGING_DESTINATION_NAME;
use crate::trace_plan::{Attributes, SpanPlan, SpanRole, Value};
use crate::wire::{Message, TRACEPARENT};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue, Value as OtelValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

/// Collects what a step publishes.
pub(super) struct Produced {
    order_id: String,
    pub(super) messages: Vec<Message>,
}

impl Produced {
    pub(super) const fn new(order_id: String) -> Self {
        Self { order_id, messages: Vec::new() }
    }

    /// Notes the message that the span publishes, if it does; `context` holds the span.
    pub(super) fn note(&mut self, plan: &SpanPlan, context: &Context) {
        let Some(message_id) = &plan.publishes else { return };
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(context, &mut headers);
        let queue = plan.attributes.iter().find(|(key, _)| key == MESSAGING_DESTINATION_NAME);
        self.messages.push(Message {
            queue: match queue {
                Some((_, Value::Text(queue))) => queue.clone(),
                _ => String::new(),
            },
            message_id: message_id.clone(),
            order_id: self.order_id.clone(),
            headers: headers.into_iter().collect(),
        });
    }
}

/// The span that published a message, from the message's headers.
pub(super) fn producer(message: &Message) -> Option<SpanContext> {
    let headers: &BTreeMap<_, _> = &message.headers;
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), headers.get(TRACEPARENT)?.clone())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    let producer = context.span().span_context().clone();
    producer.is_valid().then_some(producer)
}

/// The plan's attributes as the SDK takes them.
pub(super) fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    let pair = |(key, value): &(String, Value)| KeyValue::new(key.clone(), otel_value(value));
    attributes.iter().map(pair).collect()
}

pub(super) fn otel_value(value: &Value) -> OtelValue {
    match value {
        Value::Flag(flag) => OtelValue::Bool(*flag),
        Value::Int(number) => OtelValue::I64(*number),
        Value::Text(text) => OtelValue::String(text.clone().into()),
    }
}

pub(super) const fn span_kind(role: SpanRole) -> SpanKind {
    match role {
        SpanRole::Internal => SpanKind::Internal,
        SpanRole::Server => SpanKind::Server,
        SpanRole::Client => SpanKind::Client,
        SpanRole::Producer => SpanKind::Producer,
        SpanRole::Consumer => SpanKind::Consumer,
    }
}

/// A plan's time as the SDK takes it; plans know no time before 1970.
pub(super) fn system_time(unix_ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))
}
