//! The exporters: where to, how often they try, and a count of what they gave up.

use std::time::Duration;

use opentelemetry::logs::Severity;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, Protocol as OtlpProtocol, RetryPolicy, SpanExporter,
    WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as ExportsLogs};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as ExportsSpans};

use super::{PipelineSettings, Protocol};
use crate::counts::SignalCounts;

/// How long one try at an export request may take.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is tried again; with the delays between, a receiver may be away for about
/// half a minute. Then the batch is given up and counted in [`SignalCounts::unsent`].
pub const EXPORT_RETRIES_MAX: usize = 10;
/// The delay before the first retry; it doubles up to [`EXPORT_RETRY_DELAY_MAX`].
pub const EXPORT_RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
/// The longest delay between two tries, unless the receiver asks for more.
pub const EXPORT_RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

fn retries() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(EXPORT_RETRIES_MAX)
        .with_initial_delay(EXPORT_RETRY_DELAY_MIN)
        .with_max_delay(EXPORT_RETRY_DELAY_MAX)
}

pub(super) fn spans(settings: &PipelineSettings) -> Result<SpanExporter, ExporterBuildError> {
    let builder = SpanExporter::builder();
    match settings.protocol {
        Protocol::HttpProtobuf => {
            let exporter = builder.with_http().with_protocol(OtlpProtocol::HttpBinary);
            at(exporter.with_retry_policy(retries()), signal_url(settings, "traces")).build()
        }
        Protocol::Grpc => {
            let exporter = builder.with_tonic().with_retry_policy(retries());
            at(exporter, settings.endpoint.clone()).build()
        }
    }
}

pub(super) fn logs(settings: &PipelineSettings) -> Result<LogExporter, ExporterBuildError> {
    let builder = LogExporter::builder();
    match settings.protocol {
        Protocol::HttpProtobuf => {
            let exporter = builder.with_http().with_protocol(OtlpProtocol::HttpBinary);
            at(exporter.with_retry_policy(retries()), signal_url(settings, "logs")).build()
        }
        Protocol::Grpc => {
            let exporter = builder.with_tonic().with_retry_policy(retries());
            at(exporter, settings.endpoint.clone()).build()
        }
    }
}

fn at<E: WithExportConfig>(exporter: E, endpoint: Option<String>) -> E {
    let exporter = exporter.with_timeout(EXPORT_TIMEOUT);
    match endpoint {
        Some(endpoint) => exporter.with_endpoint(endpoint),
        None => exporter,
    }
}

/// The path of a signal: <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>.
fn signal_url(settings: &PipelineSettings, signal: &str) -> Option<String> {
    let root = settings.endpoint.as_deref()?;
    Some(format!("{}/v1/{signal}", root.trim_end_matches('/')))
}

/// An exporter that counts what it gave up. The SDK logs it.
#[derive(Debug)]
pub(super) struct Counting<E> {
    pub(super) exporter: E,
    pub(super) counts: SignalCounts,
}

impl<E> Counting<E> {
    fn counted(&self, result: OTelSdkResult, items: usize) -> OTelSdkResult {
        if result.is_err() {
            self.counts.gave_up(items);
        }
        result
    }
}

impl<E: ExportsSpans> ExportsSpans for Counting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let items = batch.len();
        self.counted(self.exporter.export(batch).await, items)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: ExportsLogs> ExportsLogs for Counting<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let items = batch.iter().count();
        self.counted(self.exporter.export(batch).await, items)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.exporter.event_enabled(level, target, name)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
