//! What was sent and what was refused, counted; a refusal is said once per reason.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why something was not sent, or not as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A text that is no order id; the other orders of the call are told.
    NotAnOrderId,
    /// No order is left to tell anything of.
    NoOrder,
    /// More orders than [`crate::limits::ORDERS_PER_CALL_MAX`]; those before it are told.
    TooManyOrders,
    /// A text that is no name of a stage; of a stage signal nothing is sent, a heartbeat goes
    /// without.
    NotAStage,
    /// Another text that is empty, too long or has control characters; the signal goes without.
    TextLeftOut,
    /// A span event was asked for where no span is recorded.
    NoSpan,
    /// The sampler of the tracer provider does not keep the span of the signal.
    NotSampled,
    /// A heartbeat outside of a tokio runtime: it beats at its start and end only.
    NoRuntime,
    /// More heartbeats than [`crate::limits::HEARTBEATS_MAX`].
    TooManyHeartbeats,
    /// A heartbeat older than [`crate::limits::HEARTBEAT_LIFE_MAX`].
    HeartbeatTooOld,
    /// The baggage has no room for the order id, or its header would change it; see
    /// [`crate::OrderSignals::order_context`].
    BaggageCannotHold,
    /// The baggage of a request holds an `order.id` that is none; it is not copied.
    BaggageNotAnOrderId,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::NotAnOrderId,
        Self::NoOrder,
        Self::TooManyOrders,
        Self::NotAStage,
        Self::TextLeftOut,
        Self::NoSpan,
        Self::NotSampled,
        Self::NoRuntime,
        Self::TooManyHeartbeats,
        Self::HeartbeatTooOld,
        Self::BaggageCannotHold,
        Self::BaggageNotAnOrderId,
    ];

    /// The reason as a label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnOrderId => "not_an_order_id",
            Self::NoOrder => "no_order",
            Self::TooManyOrders => "too_many_orders",
            Self::NotAStage => "not_a_stage",
            Self::TextLeftOut => "text_left_out",
            Self::NoSpan => "no_span",
            Self::NotSampled => "not_sampled",
            Self::NoRuntime => "no_runtime",
            Self::TooManyHeartbeats => "too_many_heartbeats",
            Self::HeartbeatTooOld => "heartbeat_too_old",
            Self::BaggageCannotHold => "baggage_cannot_hold",
            Self::BaggageNotAnOrderId => "baggage_not_an_order_id",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The counters of a service's signals. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct SignalCounts(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    stages: AtomicU64,
    beats: AtomicU64,
    #[cfg(feature = "otlp")]
    unsent: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl SignalCounts {
    /// Stage signals given to the SDK.
    #[must_use]
    pub fn stages(&self) -> u64 {
        self.0.stages.load(Ordering::Relaxed)
    }

    /// Beats given to the SDK.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    /// Spans and log records of the service, signals among them, that the exporters of
    /// [`crate::pipeline`] gave up after all retries.
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.0.unsent.load(Ordering::Relaxed)
    }

    /// How often something was refused for that reason.
    #[must_use]
    pub fn refused(&self, why: Refusal) -> u64 {
        self.0.refused[why as usize].load(Ordering::Relaxed)
    }

    /// Every reason that occurred, with how often.
    #[must_use]
    pub fn refusals(&self) -> Vec<(Refusal, u64)> {
        let counted = Refusal::ALL.map(|why| (why, self.refused(why)));
        counted.into_iter().filter(|(_, times)| *times > 0).collect()
    }

    pub(crate) fn sent_stage(&self) {
        self.0.stages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent_beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn gave_up(&self, items: usize) {
        self.0.unsent.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Counts, and says so the first time. What was refused is not logged: a text in the wrong
    /// place may be anything, also a person's name.
    pub(crate) fn refuse(&self, why: Refusal, signal: &'static str) {
        if self.0.refused[why as usize].fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(reason = %why, signal, "order signal refused; further ones are counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_label() {
        for (index, why) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index, "{why}");
        }
        let labels: std::collections::BTreeSet<_> = Refusal::ALL.map(Refusal::as_str).into();
        assert_eq!(labels.len(), Refusal::ALL.len());
    }

    #[test]
    fn clones_count_together() {
        let counts = SignalCounts::default();
        let same = counts.clone();
        same.refuse(Refusal::NoSpan, "order.stage");
        counts.refuse(Refusal::NoSpan, "order.stage");
        assert_eq!(same.refusals(), [(Refusal::NoSpan, 2)]);
    }
}
