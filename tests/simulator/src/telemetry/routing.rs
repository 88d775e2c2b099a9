//! Decides for each ended span how it leaves: a stage signal at once, the rest in batches.
//! Also here: the clock of the host, which is as wrong as it was set to be.

use super::delivery::{Delivering, DeliveryCounts};
use crate::attributes::ORDER_STAGE;
use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SimpleSpanProcessor, Span, SpanData, SpanProcessor,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// Spans older than this when they end are back-dated history, for which "at once" has no
/// meaning: they go in batches, thousands at a time.
const HISTORY_AGE: Duration = Duration::from_secs(10);

/// The processor of every service.
#[derive(Debug)]
pub(super) struct RoutingProcessor {
    pub(super) at_once: SimpleSpanProcessor<Delivering<SpanExporter>>,
    pub(super) batched: BatchSpanProcessor,
    pub(super) clock_offset_ms: i64,
    pub(super) counts: Arc<DeliveryCounts>,
}

impl SpanProcessor for RoutingProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batched.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        self.counts.spans_made.fetch_add(1, Ordering::Relaxed);
        let live = span.start_time.elapsed().is_ok_and(|age| age < HISTORY_AGE);
        span.start_time = shifted(span.start_time, self.clock_offset_ms);
        span.end_time = shifted(span.end_time, self.clock_offset_ms);
        for event in &mut span.events.events {
            event.timestamp = shifted(event.timestamp, self.clock_offset_ms);
        }
        if live && signals_stage(&span) {
            self.at_once.on_end(span);
        } else {
            self.batched.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.at_once.force_flush()?;
        self.batched.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.at_once.shutdown_with_timeout(timeout)?;
        self.batched.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.at_once.set_resource(resource);
        self.batched.set_resource(resource);
    }
}

fn signals_stage(span: &SpanData) -> bool {
    span.name == ORDER_STAGE || span.events.events.iter().any(|event| event.name == ORDER_STAGE)
}

/// What a clock that is off by so many milliseconds shows at this time.
pub(crate) fn shifted(time: SystemTime, offset_ms: i64) -> SystemTime {
    let offset = Duration::from_millis(offset_ms.unsigned_abs());
    if offset_ms < 0 { time - offset } else { time + offset }
}
