//! What a service holds to report its orders.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use opentelemetry::logs::{Logger, LoggerProvider};
use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, StringValue};
use order_model::OrderId;

use crate::context::{order_attribute, with_order};
use crate::counts::{Refusal, SignalCounts};
use crate::emitter::{Emit, Record, ThroughLogs, ThroughSpans};
use crate::heartbeat::HeartbeatStart;
use crate::keys::{HEARTBEAT_NAME, ORDER_ID};
use crate::limits::ORDERS_PER_SIGNAL_MAX;
use crate::orders::{self, NamesOrders};
use crate::stage::StageSignal;

/// The name of the instrumentation scope.
const SCOPE: &str = "order-signal";

/// Reports stages and heartbeats of orders. Clones share everything.
///
/// No call blocks on a receiver, fails or panics, if the provider exports in batches: what cannot
/// be sent is counted in [`OrderSignals::counts`] and logged once per reason.
#[derive(Debug, Clone)]
pub struct OrderSignals {
    emitter: Arc<dyn Emit>,
    counts: SignalCounts,
    /// Heartbeats that beat now.
    pub(crate) beating: Arc<AtomicUsize>,
}

impl OrderSignals {
    /// Signals as log records, the form of choice: no sampler leaves them out, and no exporter
    /// waits for the end of a span.
    #[must_use]
    pub fn through_logs<P>(provider: &P) -> Self
    where
        P: LoggerProvider,
        P::Logger: Logger + Send + Sync + 'static,
    {
        Self::through(Arc::new(ThroughLogs(provider.logger(SCOPE))))
    }

    /// Signals as spans of no length, for a service that sends no logs. Its sampler must keep
    /// them: one that is left out is counted as [`Refusal::NotSampled`].
    #[must_use]
    pub fn through_spans<P>(provider: &P) -> Self
    where
        P: TracerProvider,
        P::Tracer: Tracer + Send + Sync + 'static,
    {
        Self::through(Arc::new(ThroughSpans(provider.tracer(SCOPE))))
    }

    fn through(emitter: Arc<dyn Emit>) -> Self {
        Self { emitter, counts: SignalCounts::default(), beating: Arc::default() }
    }

    /// Counts together with others, such as the processors.
    #[must_use]
    pub fn counting(mut self, counts: SignalCounts) -> Self {
        self.counts = counts;
        self
    }

    /// A stage of one order or several begins now. Nothing is sent before
    /// [`StageSignal::send`].
    pub fn stage(&self, orders: &(impl NamesOrders + ?Sized), stage: &str) -> StageSignal<'_> {
        StageSignal::new(self, orders, stage)
    }

    /// Long work on one order or several. Nothing is sent before [`HeartbeatStart::start`].
    pub fn heartbeat(&self, orders: &(impl NamesOrders + ?Sized)) -> HeartbeatStart {
        HeartbeatStart::new(self.clone(), orders::read(orders, &self.counts, HEARTBEAT_NAME))
    }

    /// The current context with the order in its baggage: attach it, or run a future in it with
    /// `opentelemetry::context::FutureExt::with_context`. Every span and log record made in it
    /// names the order, here and in the services that are called, if they have
    /// [`crate::OrderIdOnSpans`] and [`crate::propagator`].
    ///
    /// With a text that is no order id, an id that holds a `%`, or no room in the baggage, it is
    /// the current context.
    #[must_use]
    pub fn order_context(&self, order: &str) -> Context {
        let current = Context::current();
        let Ok(order) = OrderId::parse(order) else {
            self.counts.refuse(Refusal::NotAnOrderId, ORDER_ID);
            return current;
        };
        with_order(&current, &order).unwrap_or_else(|| {
            self.counts.refuse(Refusal::BaggageCannotHold, ORDER_ID);
            current
        })
    }

    /// What was sent and what was refused.
    #[must_use]
    pub const fn counts(&self) -> &SignalCounts {
        &self.counts
    }

    pub(crate) fn emit(&self, record: Record) -> bool {
        let name = record.name;
        match self.emitter.emit(record) {
            Ok(()) => true,
            Err(why) => {
                self.counts.refuse(why, name);
                false
            }
        }
    }
}

/// Sets an attribute; of a key that is set twice the last value counts.
pub(crate) fn set(attributes: &mut Vec<KeyValue>, attribute: KeyValue) {
    attributes.retain(|set| set.key != attribute.key);
    attributes.push(attribute);
}

/// The attributes of one signal each: several when there are more orders than one may name.
pub(crate) fn attributes_of(
    orders: &[OrderId],
    others: &[KeyValue],
) -> impl Iterator<Item = Vec<KeyValue>> {
    orders.chunks(ORDERS_PER_SIGNAL_MAX).map(|named| {
        let named = if let [one] = named {
            order_attribute(one)
        } else {
            let ids: Vec<StringValue> =
                named.iter().map(|id| StringValue::from(id.as_str().to_owned())).collect();
            KeyValue::new(ORDER_ID, opentelemetry::Value::Array(Array::String(ids)))
        };
        std::iter::once(named).chain(others.iter().cloned()).collect()
    })
}

/// The trace of the context without its span: a context that is kept for long would keep the span
/// itself from ending.
pub(crate) fn trace_of(context: &Context) -> Context {
    let span = context.span().span_context().clone();
    if span.is_valid() { Context::new().with_remote_span_context(span) } else { Context::new() }
}
