//! How a signal leaves: as a log record or as a span of no length.

use std::fmt::Debug;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry::trace::{Span, SpanBuilder, TraceContextExt, Tracer};
use opentelemetry::{Array, Context, KeyValue, Value};

use crate::context::without_order;
use crate::counts::Refusal;

/// A signal, ready to leave.
#[derive(Debug)]
pub(crate) struct Record {
    /// `order.stage` or `order.heartbeat`.
    pub(crate) name: &'static str,
    /// The same for people who read logs.
    pub(crate) body: &'static str,
    pub(crate) time: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
    /// Which trace it belongs to.
    pub(crate) context: Context,
}

/// One way out. It MUST NOT block: it gives the record to the SDK, whose batch processors queue.
pub(crate) trait Emit: Send + Sync + Debug {
    fn emit(&self, record: Record) -> Result<(), Refusal>;
}

/// Log records. They are not sampled, and no exporter waits for their end.
pub(crate) struct ThroughLogs<L>(pub(crate) L);

impl<L> Debug for ThroughLogs<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ThroughLogs")
    }
}

impl<L: Logger + Send + Sync> Emit for ThroughLogs<L> {
    fn emit(&self, record: Record) -> Result<(), Refusal> {
        let mut log = self.0.create_log_record();
        log.set_event_name(record.name);
        log.set_timestamp(record.time);
        log.set_observed_timestamp(SystemTime::now());
        log.set_severity_number(Severity::Info);
        log.set_severity_text(Severity::Info.name());
        log.set_body(AnyValue::from(record.body));
        let attributes = record.attributes.into_iter();
        log.add_attributes(attributes.map(|KeyValue { key, value, .. }| (key, any_value(value))));
        let span = record.context.span().span_context().clone();
        if span.is_valid() {
            log.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        }
        self.0.emit(log);
        Ok(())
    }
}

fn any_value(value: Value) -> AnyValue {
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        Value::String(value) => value.into(),
        Value::Array(Array::String(values)) => values.into_iter().collect(),
        other => other.to_string().into(),
    }
}

/// Spans of no length. They are over at once, but a sampler may leave them out.
pub(crate) struct ThroughSpans<T>(pub(crate) T);

impl<T> Debug for ThroughSpans<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ThroughSpans")
    }
}

impl<T: Tracer + Send + Sync> Emit for ThroughSpans<T> {
    fn emit(&self, record: Record) -> Result<(), Refusal> {
        let builder = SpanBuilder::from_name(record.name)
            .with_start_time(record.time)
            .with_attributes(record.attributes);
        // The signal names its orders itself: a copy from the baggage would name them twice.
        let mut span = self.0.build_with_context(builder, &without_order(&record.context));
        let sampled = span.span_context().is_sampled();
        span.end_with_timestamp(record.time);
        if sampled { Ok(()) } else { Err(Refusal::NotSampled) }
    }
}
