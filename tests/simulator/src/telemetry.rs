//! The OpenTelemetry SDK of one service: exporters, processors, resource.
//!
//! Ordinary spans and logs go out in batches. A live signal that a stage began goes out at once:
//! of a hung step nothing else is ever heard.

mod delivery;
mod routing;

pub(crate) use routing::shifted;

pub use delivery::{Delivered, DeliveryCounts, DeliveryWatch};

use crate::settings::{Protocol, ServiceSettings};
use crate::trace_plan::System;
use delivery::Delivering;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, Protocol as OtlpProtocol, SpanExporter, WithExportConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder as LogBatchConfig, BatchLogProcessor, SdkLogger, SdkLoggerProvider,
};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, SimpleSpanProcessor,
};
use routing::RoutingProcessor;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Spans and log records of one export request.
const BATCH_ITEMS_MAX: usize = 1_024;
/// Spans that may wait for export. The service flushes at half of it, so that the SDK, which
/// drops what does not fit, never has to; if it did, the counts would tell.
pub(crate) const QUEUE_SPANS_MAX: usize = 65_536;
/// How long a span waits for its batch to fill.
const BATCH_DELAY: Duration = Duration::from_millis(500);
/// How long one export request may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(20);
/// The SDK gives up waiting for a flush after a few seconds while the flush goes on; it is
/// asked this many times before the service reports what is still outstanding.
const FLUSH_ATTEMPTS_MAX: u32 = 12;

/// Why a service has no telemetry.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The runtime under the gRPC client did not start.
    #[error("starting the runtime of the exporters")]
    Runtime(#[source] std::io::Error),
    /// An exporter refused its settings.
    #[error("building the exporter to {endpoint}")]
    Exporter {
        /// Where to.
        endpoint: String,
        /// Why.
        #[source]
        source: ExporterBuildError,
    },
}

/// The SDK of one service.
#[derive(Debug)]
pub struct Telemetry {
    /// Writes spans.
    pub tracer: SdkTracer,
    /// Writes log records.
    pub logger: SdkLogger,
    /// How far this service's clock is off, in milliseconds.
    pub clock_offset_ms: i64,
    /// What has become of everything so far.
    pub counts: Arc<DeliveryCounts>,
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
    /// Drives the gRPC client; dropped last.
    _runtime: tokio::runtime::Runtime,
}

impl Telemetry {
    /// Sets the SDK up for that system.
    ///
    /// # Errors
    /// When an endpoint cannot be understood or the runtime does not start.
    pub fn start(
        system: System,
        settings: &ServiceSettings,
        counts: Arc<DeliveryCounts>,
    ) -> Result<Self, TelemetryError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(TelemetryError::Runtime)?;
        let _inside = runtime.enter();
        let failed =
            |source| TelemetryError::Exporter { endpoint: settings.endpoint.clone(), source };
        let spans = || {
            let exporter = span_exporter(settings).map_err(failed)?;
            Ok(Delivering::new(exporter, Arc::clone(&counts)))
        };
        let logs = Delivering::new(log_exporter(settings).map_err(failed)?, Arc::clone(&counts));
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS_MAX)
            .with_max_export_batch_size(BATCH_ITEMS_MAX)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let processor = RoutingProcessor {
            at_once: SimpleSpanProcessor::new(spans()?),
            batched: BatchSpanProcessor::builder(spans()?).with_batch_config(batch).build(),
            clock_offset_ms: settings.clock_offset_ms,
            counts: Arc::clone(&counts),
        };
        let batch = LogBatchConfig::default()
            .with_max_queue_size(QUEUE_SPANS_MAX)
            .with_max_export_batch_size(BATCH_ITEMS_MAX)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let resource = resource(system);
        let tracers = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_span_processor(processor)
            .build();
        let loggers = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_log_processor(BatchLogProcessor::builder(logs).with_batch_config(batch).build())
            .build();
        Ok(Self {
            tracer: tracers.tracer("simulator"),
            logger: opentelemetry::logs::LoggerProvider::logger(&loggers, "simulator"),
            clock_offset_ms: settings.clock_offset_ms,
            counts,
            tracers,
            loggers,
            _runtime: runtime,
        })
    }

    /// Sends what waits, spans and logs.
    pub fn flush(&self) {
        for _ in 0..FLUSH_ATTEMPTS_MAX {
            // Both are asked each time: neither failing may keep the other waiting.
            let spans = self.tracers.force_flush();
            let logs = self.loggers.force_flush();
            if spans.is_ok() && logs.is_ok() {
                return;
            }
        }
    }

    /// Sends the log records that wait.
    pub fn flush_logs(&self) {
        if let Err(error) = self.loggers.force_flush() {
            tracing::warn!(%error, "log records still wait for their export");
        }
    }

    /// Whether so much waits that it must go out before more is made.
    #[must_use]
    pub fn nearly_full(&self) -> bool {
        self.counts.so_far().outstanding() > QUEUE_SPANS_MAX as u64 / 2
    }

    /// Sends what waits and closes the connections.
    pub fn stop(&self) {
        self.flush();
        for (signal, result) in
            [("traces", self.tracers.shutdown()), ("logs", self.loggers.shutdown())]
        {
            if let Err(error) = result {
                tracing::warn!(%error, signal, "the exporter did not stop cleanly");
            }
        }
    }
}

/// Who is speaking. SDK name, language and version are the SDK's own doing.
fn resource(system: System) -> Resource {
    let (version, host) = match system {
        System::Shop => ("4.12.0", "shop-7c9d5b6f4-x2x9q"),
        System::Crm => ("2.8.3", "crm-5f66d9c7b8-mm4tz"),
        System::Mes => ("7.1.0", "mes-win-03"),
    };
    Resource::builder()
        .with_service_name(system.name())
        .with_attributes([
            KeyValue::new("service.version", version),
            KeyValue::new("service.namespace", "jeweller"),
            KeyValue::new("service.instance.id", format!("{host}-{}", std::process::id())),
            KeyValue::new("host.name", host),
            KeyValue::new("deployment.environment.name", "simulation"),
        ])
        .build()
}

fn span_exporter(settings: &ServiceSettings) -> Result<SpanExporter, ExporterBuildError> {
    match settings.protocol {
        Protocol::Http => SpanExporter::builder()
            .with_http()
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_endpoint(signal_url(&settings.endpoint, "traces"))
            .with_timeout(EXPORT_TIMEOUT)
            .build(),
        Protocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&settings.endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build(),
    }
}

fn log_exporter(settings: &ServiceSettings) -> Result<LogExporter, ExporterBuildError> {
    match settings.protocol {
        Protocol::Http => LogExporter::builder()
            .with_http()
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_endpoint(signal_url(&settings.endpoint, "logs"))
            .with_timeout(EXPORT_TIMEOUT)
            .build(),
        Protocol::Grpc => LogExporter::builder()
            .with_tonic()
            .with_endpoint(&settings.endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build(),
    }
}

/// The path of a signal: <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>.
fn signal_url(endpoint: &str, signal: &str) -> String {
    format!("{}/v1/{signal}", endpoint.trim_end_matches('/'))
}
