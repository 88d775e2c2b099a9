//! Providers that keep what is exported, and a short way to read it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, SpanId, TraceId, Value};
use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use order_signal::{OrderIdOnLogs, OrderIdOnSpans, OrderSignals, SignalCounts};

/// A service whose exports are kept.
pub(crate) struct Service {
    pub(crate) tracers: SdkTracerProvider,
    pub(crate) loggers: SdkLoggerProvider,
    pub(crate) counts: SignalCounts,
    spans: InMemorySpanExporter,
    logs: InMemoryLogExporter,
}

/// A log record that left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Log {
    pub(crate) name: String,
    pub(crate) time: Option<SystemTime>,
    pub(crate) trace: Option<(TraceId, SpanId)>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// How many attributes there are; more than `attributes` has when a key stands twice.
    pub(crate) attribute_count: usize,
}

impl Service {
    pub(crate) fn new() -> Self {
        Self::sampling(Sampler::AlwaysOn)
    }

    pub(crate) fn sampling(sampler: Sampler) -> Self {
        let counts = SignalCounts::default();
        let spans = InMemorySpanExporter::default();
        let logs = InMemoryLogExporter::default();
        Self {
            tracers: SdkTracerProvider::builder()
                .with_sampler(sampler)
                .with_span_processor(OrderIdOnSpans::counting(counts.clone()))
                .with_simple_exporter(spans.clone())
                .build(),
            loggers: SdkLoggerProvider::builder()
                .with_log_processor(OrderIdOnLogs::counting(counts.clone()))
                .with_simple_exporter(logs.clone())
                .build(),
            counts,
            spans,
            logs,
        }
    }

    pub(crate) fn through_logs(&self) -> OrderSignals {
        OrderSignals::through_logs(&self.loggers).counting(self.counts.clone())
    }

    pub(crate) fn through_spans(&self) -> OrderSignals {
        OrderSignals::through_spans(&self.tracers).counting(self.counts.clone())
    }

    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.spans.get_finished_spans().unwrap()
    }

    pub(crate) fn logs(&self) -> Vec<Log> {
        let logs = self.logs.get_emitted_logs().unwrap();
        let read = logs.iter().map(|log| Log {
            name: log.record.event_name().unwrap_or_default().to_owned(),
            time: log.record.timestamp(),
            trace: log.record.trace_context().map(|trace| (trace.trace_id, trace.span_id)),
            attributes: log
                .record
                .attributes_iter()
                .map(|(key, value)| (key.to_string(), log_text(value)))
                .collect(),
            attribute_count: log.record.attributes_iter().count(),
        });
        read.collect()
    }
}

/// The attributes of a span, each key once or it fails.
pub(crate) fn attributes(span: &SpanData) -> BTreeMap<String, String> {
    let read: BTreeMap<_, _> =
        span.attributes.iter().map(|kv| (kv.key.to_string(), text(&kv.value))).collect();
    assert_eq!(read.len(), span.attributes.len(), "a key stands twice: {:?}", span.attributes);
    read
}

/// A map of texts.
pub(crate) fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn text(value: &Value) -> String {
    match value {
        Value::Array(Array::String(texts)) => {
            texts.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn log_text(value: &AnyValue) -> String {
    match value {
        AnyValue::String(text) => text.to_string(),
        AnyValue::Int(number) => number.to_string(),
        AnyValue::ListAny(list) => list.iter().map(log_text).collect::<Vec<_>>().join(" "),
        other => panic!("no signal has such a value: {other:?}"),
    }
}
