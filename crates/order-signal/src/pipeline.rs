//! Providers that export to an endpoint by OTLP, set so that a signal leaves at once: the batch
//! processors wait 200 ms, not the 1 s (logs) and 5 s (spans) that are the SDK's defaults.

mod exporters;

use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder as LogBatchConfig, BatchLogProcessor, SdkLoggerProvider,
};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};

use crate::counts::SignalCounts;
use crate::keys::{HOST_NAME, SERVICE_INSTANCE_ID};
use crate::processors::{OrderIdOnLogs, OrderIdOnSpans};
use crate::signals::OrderSignals;
use exporters::Counting;

pub use exporters::{
    EXPORT_RETRIES_MAX, EXPORT_RETRY_DELAY_MAX, EXPORT_RETRY_DELAY_MIN, EXPORT_TIMEOUT,
};

/// How long a signal waits for others before it leaves.
pub const SIGNAL_DELAY_DEFAULT: Duration = Duration::from_millis(200);
/// Spans and log records that may wait for export, each. The SDK drops what does not fit and logs
/// how many.
pub const QUEUE_ITEMS_MAX: usize = 8_192;
/// Spans or log records of one export request.
pub const BATCH_ITEMS_MAX: usize = 512;
/// How long stopping may take, for spans and for logs each.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no pipeline, or it did not end well.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// An exporter refused its settings.
    #[error("building the exporter of {signal}")]
    Exporter {
        /// `traces` or `logs`.
        signal: &'static str,
        /// Why.
        #[source]
        source: ExporterBuildError,
    },
    /// gRPC was asked for outside of a tokio runtime, which it needs.
    #[error("OTLP over gRPC needs a tokio runtime")]
    NoRuntime,
    /// Not everything was sent.
    #[error("sending the last {signal}")]
    Unsent {
        /// `traces` or `logs`.
        signal: &'static str,
        /// Why.
        #[source]
        source: OTelSdkError,
    },
    /// The thread that waits for the end was lost.
    #[error("waiting for the last signals to be sent")]
    Lost(#[source] tokio::task::JoinError),
}

/// By what the receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// OTLP/HTTP with protobuf, port 4318.
    #[default]
    HttpProtobuf,
    /// OTLP/gRPC, port 4317.
    Grpc,
}

/// In which form signals leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Log records.
    #[default]
    Logs,
    /// Spans of no length.
    Spans,
}

/// Where to, as whom, and how.
#[derive(Debug, Clone)]
pub struct PipelineSettings {
    /// `service.name`: `shop`, `crm`, `mes`, …
    pub service: String,
    /// The root of the receiver, without a path; by default what the environment says
    /// (`OTEL_EXPORTER_OTLP_ENDPOINT`), else this machine.
    pub endpoint: Option<String>,
    /// By what it is spoken to.
    pub protocol: Protocol,
    /// In which form signals leave.
    pub form: Form,
    /// How long a signal waits for others before it leaves.
    pub delay: Duration,
    /// More of the resource. `service.instance.id` and `host.name` are found if they are not here
    /// and not in `OTEL_RESOURCE_ATTRIBUTES`: they are the worker and the host of a heartbeat.
    pub resource: Vec<KeyValue>,
}

impl PipelineSettings {
    /// The defaults for that service.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            endpoint: None,
            protocol: Protocol::default(),
            form: Form::default(),
            delay: SIGNAL_DELAY_DEFAULT,
            resource: Vec::new(),
        }
    }
}

/// The providers of a service, and its signals.
#[derive(Debug)]
pub struct Pipeline {
    /// For the service's own spans too.
    pub tracers: SdkTracerProvider,
    /// For the service's own logs too.
    pub loggers: SdkLoggerProvider,
    /// Stages and heartbeats.
    pub signals: OrderSignals,
}

impl Pipeline {
    /// Makes the providers. They are not made global: that is the service's decision.
    ///
    /// # Errors
    /// The endpoint cannot be understood, or gRPC has no runtime.
    pub fn start(settings: &PipelineSettings) -> Result<Self, PipelineError> {
        if settings.protocol == Protocol::Grpc && tokio::runtime::Handle::try_current().is_err() {
            return Err(PipelineError::NoRuntime);
        }
        let counts = SignalCounts::default();
        let resource = resource(settings);
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_ITEMS_MAX)
            .with_max_export_batch_size(BATCH_ITEMS_MAX)
            .with_scheduled_delay(settings.delay)
            .build();
        let exporter = exporters::spans(settings)
            .map_err(|source| PipelineError::Exporter { signal: "traces", source })?;
        let exporter = Counting { exporter, counts: counts.clone() };
        let spans = BatchSpanProcessor::builder(exporter).with_batch_config(batch);
        let tracers = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_span_processor(OrderIdOnSpans::counting(counts.clone()))
            .with_span_processor(spans.build())
            .build();
        let batch = LogBatchConfig::default()
            .with_max_queue_size(QUEUE_ITEMS_MAX)
            .with_max_export_batch_size(BATCH_ITEMS_MAX)
            .with_scheduled_delay(settings.delay)
            .build();
        let exporter = exporters::logs(settings)
            .map_err(|source| PipelineError::Exporter { signal: "logs", source })?;
        let exporter = Counting { exporter, counts: counts.clone() };
        let logs = BatchLogProcessor::builder(exporter).with_batch_config(batch);
        let loggers = SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_log_processor(OrderIdOnLogs::counting(counts.clone()))
            .with_log_processor(logs.build())
            .build();
        let signals = match settings.form {
            Form::Logs => OrderSignals::through_logs(&loggers),
            Form::Spans => OrderSignals::through_spans(&tracers),
        };
        Ok(Self { tracers, loggers, signals: signals.counting(counts) })
    }

    /// Sends what waits, spans and logs, and stops the exporters. Nothing is sent afterwards.
    ///
    /// # Errors
    /// Not everything was sent in time; the other kind was tried all the same. What a receiver
    /// refused is no error here, but counted in [`SignalCounts::unsent`].
    pub async fn stop(self) -> Result<(), PipelineError> {
        // Both wait for the exporters' own threads, which would hold up this one.
        let stopped = tokio::task::spawn_blocking(move || {
            (
                self.loggers.shutdown_with_timeout(STOP_TIMEOUT),
                self.tracers.shutdown_with_timeout(STOP_TIMEOUT),
            )
        });
        let (logs, traces) = stopped.await.map_err(PipelineError::Lost)?;
        logs.map_err(|source| PipelineError::Unsent { signal: "logs", source })?;
        traces.map_err(|source| PipelineError::Unsent { signal: "traces", source })
    }
}

fn resource(settings: &PipelineSettings) -> Resource {
    let known = Resource::builder()
        .with_service_name(settings.service.clone())
        .with_attributes(settings.resource.iter().cloned())
        .build();
    let found =
        [(SERVICE_INSTANCE_ID, Some(uuid::Uuid::new_v4().to_string())), (HOST_NAME, host_name())];
    let missing = found.into_iter().filter_map(|(key, value)| {
        let value = value.filter(|_| known.get(&Key::from_static_str(key)).is_none())?;
        Some(KeyValue::new(key, value))
    });
    let attributes: Vec<KeyValue> = known
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
        .chain(missing)
        .collect();
    Resource::builder_empty().with_attributes(attributes).build()
}

/// As the environment says (containers do), else as the kernel does.
fn host_name() -> Option<String> {
    let said = std::env::var("HOSTNAME")
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"))
        .ok()?;
    let name = said.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
