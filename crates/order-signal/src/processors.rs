//! Processors that copy the order id from the baggage onto every span and log record, so that all
//! spans of a request name their order.
//!
//! They go before the processor that exports. A span or record that names an order already keeps
//! it.

use std::time::Duration;

use opentelemetry::logs::{AnyValue, LogRecord as _};
use opentelemetry::trace::Span as _;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use order_model::OrderId;

use crate::context::{order_attribute, order_of};
use crate::counts::{Refusal, SignalCounts};
use crate::keys::ORDER_ID;

/// Copies `order.id` from the baggage onto each span that starts.
#[derive(Debug, Default)]
pub struct OrderIdOnSpans(SignalCounts);

impl OrderIdOnSpans {
    /// Counts together with others.
    #[must_use]
    pub const fn counting(counts: SignalCounts) -> Self {
        Self(counts)
    }
}

impl SpanProcessor for OrderIdOnSpans {
    fn on_start(&self, span: &mut Span, context: &Context) {
        let Some(order) = order_in(context, &self.0) else { return };
        // The SDK shows the attributes of a span under way by a copy only; it is made for spans
        // in an order's reach alone.
        let named = span.exported_data().is_none_or(|data| {
            data.attributes.iter().any(|attribute| attribute.key.as_str() == ORDER_ID)
        });
        if !named {
            span.set_attribute(order_attribute(&order));
        }
    }

    fn on_end(&self, _span: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Copies `order.id` from the baggage onto each log record.
#[derive(Debug, Default)]
pub struct OrderIdOnLogs(SignalCounts);

impl OrderIdOnLogs {
    /// Counts together with others.
    #[must_use]
    pub const fn counting(counts: SignalCounts) -> Self {
        Self(counts)
    }
}

impl LogProcessor for OrderIdOnLogs {
    fn emit(&self, record: &mut SdkLogRecord, _scope: &InstrumentationScope) {
        let Some(order) = order_in(&Context::current(), &self.0) else { return };
        if !record.attributes_iter().any(|(key, _)| key.as_str() == ORDER_ID) {
            record.add_attribute(ORDER_ID, AnyValue::from(order.into_string()));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn order_in(context: &Context, counts: &SignalCounts) -> Option<OrderId> {
    match order_of(context) {
        Ok(order) => order,
        Err(_) => {
            counts.refuse(Refusal::BaggageNotAnOrderId, ORDER_ID);
            None
        }
    }
}
