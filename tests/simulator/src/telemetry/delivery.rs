//! Counts what was really delivered: the truth about orders only holds for that.
//!
//! The SDK logs an export that failed and goes on. Here each export is tried again, and what
//! was made is counted against what the receiver acknowledged.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How often an export is tried, the exporter's own retries aside. After the last failure the
/// batch is given up, counted as not delivered, and the run fails.
const EXPORT_ATTEMPTS_MAX: u32 = 3;
/// The wait after the first failure; doubles with each.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// What a service made and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Spans that ended.
    pub spans_made: u64,
    /// Spans that the receiver acknowledged.
    pub spans_delivered: u64,
    /// Log records written.
    pub logs_made: u64,
    /// Log records that the receiver acknowledged.
    pub logs_delivered: u64,
    /// Spans and log records that the receiver refused in an otherwise successful answer.
    pub rejected: u64,
    /// Export requests that failed and were tried again or given up.
    pub exports_failed: u64,
}

impl Delivered {
    /// Spans and log records made, but not acknowledged.
    #[must_use]
    pub const fn outstanding(&self) -> u64 {
        (self.spans_made + self.logs_made)
            .saturating_sub(self.spans_delivered + self.logs_delivered)
    }

    /// Whether the receiver has everything.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.outstanding() == 0 && self.rejected == 0
    }
}

/// The counters behind [`Delivered`].
#[derive(Debug, Default)]
pub struct DeliveryCounts {
    pub(super) spans_made: AtomicU64,
    spans_delivered: AtomicU64,
    logs_made: AtomicU64,
    logs_delivered: AtomicU64,
    rejected: AtomicU64,
    exports_failed: AtomicU64,
}

impl DeliveryCounts {
    /// A log record was written.
    pub fn log_made(&self) {
        self.logs_made.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now.
    #[must_use]
    pub fn so_far(&self) -> Delivered {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Delivered {
            spans_made: read(&self.spans_made),
            spans_delivered: read(&self.spans_delivered),
            logs_made: read(&self.logs_made),
            logs_delivered: read(&self.logs_delivered),
            rejected: read(&self.rejected),
            exports_failed: read(&self.exports_failed),
        }
    }
}

/// An exporter that tries again and counts.
#[derive(Debug)]
pub(super) struct Delivering<E> {
    exporter: E,
    counts: Arc<DeliveryCounts>,
}

impl<E> Delivering<E> {
    pub(super) const fn new(exporter: E, counts: Arc<DeliveryCounts>) -> Self {
        Self { exporter, counts }
    }

    /// Notes the failure and waits. It blocks: exporters run on a thread of the SDK's own, or,
    /// for signals sent at once, on the service's, which must not go on without.
    fn failed(&self, attempt: u32) {
        self.counts.exports_failed.fetch_add(1, Ordering::Relaxed);
        if attempt + 1 < EXPORT_ATTEMPTS_MAX {
            std::thread::sleep(RETRY_DELAY * 2_u32.pow(attempt));
        }
    }
}

impl<E: SpanExporter> SpanExporter for Delivering<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut result = Ok(());
        for attempt in 0..EXPORT_ATTEMPTS_MAX {
            result = self.exporter.export(batch.clone()).await;
            if result.is_ok() {
                self.counts.spans_delivered.fetch_add(batch.len() as u64, Ordering::Relaxed);
                return result;
            }
            self.failed(attempt);
        }
        if let Err(error) = &result {
            tracing::error!(%error, spans = batch.len(), "spans given up");
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Delivering<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records: Vec<_> = batch.iter().collect();
        let mut result = Ok(());
        for attempt in 0..EXPORT_ATTEMPTS_MAX {
            result = self.exporter.export(LogBatch::new(&records)).await;
            if result.is_ok() {
                self.counts.logs_delivered.fetch_add(records.len() as u64, Ordering::Relaxed);
                return result;
            }
            self.failed(attempt);
        }
        if let Err(error) = &result {
            tracing::error!(%error, records = records.len(), "log records given up");
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Hears the exporters' warnings that a receiver refused a part of a request, which they say
/// nowhere else: <https://opentelemetry.io/docs/specs/otlp/#partial-success>.
#[derive(Debug)]
pub struct DeliveryWatch(pub Arc<DeliveryCounts>);

impl<S: Subscriber> Layer<S> for DeliveryWatch {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if event.metadata().name().ends_with("PartialSuccess") {
            let mut rejected = Rejected(0);
            event.record(&mut rejected);
            self.0.rejected.fetch_add(rejected.0, Ordering::Relaxed);
        }
    }
}

struct Rejected(u64);

impl Visit for Rejected {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name().starts_with("rejected") {
            self.0 += value.unsigned_abs();
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
}
