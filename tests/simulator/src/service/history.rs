//! Acts out a step of the past: spans with begin and end set explicitly.

use super::EndSpan;
use super::produced::{Produced, key_values, producer, span_kind, system_time};
use crate::attributes::ORDER_STAGE;
use crate::telemetry::{Telemetry, shifted};
use crate::trace_plan::{EventPlan, SpanPlan, StepPlan, Value};
use crate::wire::Message;
use opentelemetry::Context;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer};
use std::time::SystemTime;

/// Writes the step's spans and log records; returns the ends of those that end last.
pub(super) fn act(
    telemetry: &Telemetry,
    step: &StepPlan,
    message: Option<&Message>,
    produced: &mut Produced,
) -> Vec<EndSpan> {
    let mut history = History {
        telemetry,
        at_ms: step.at_ms,
        producer: message.and_then(producer),
        produced,
        ends: Vec::new(),
    };
    let root = history.write(&step.root, &Context::new());
    for log in &step.logs {
        let at = system_time(step.at_ms + log.at_ms);
        write_log(telemetry, log, at, root.span().span_context());
    }
    history.ends
}

struct History<'a> {
    telemetry: &'a Telemetry,
    at_ms: i64,
    producer: Option<SpanContext>,
    produced: &'a mut Produced,
    ends: Vec<EndSpan>,
}

impl History<'_> {
    /// Writes a span and what is below it.
    fn write(&mut self, plan: &SpanPlan, parent: &Context) -> Context {
        let context = start(self.telemetry, plan, parent, self.at_ms, self.producer.as_ref());
        self.produced.note(plan, &context);
        for child in &plan.children {
            self.write(child, &context);
        }
        let end = system_time(self.at_ms + plan.start_ms + plan.duration_ms);
        if plan.ends_last {
            let context = context.clone();
            self.ends.push(Box::new(move || context.span().end_with_timestamp(end)));
        } else {
            context.span().end_with_timestamp(end);
        }
        context
    }
}

/// Starts a span whose times are given; the context returned holds it.
pub(super) fn start(
    telemetry: &Telemetry,
    plan: &SpanPlan,
    parent: &Context,
    at_ms: i64,
    producer: Option<&SpanContext>,
) -> Context {
    let links = producer.filter(|_| plan.links_to_producer).map(|p| Link::with_context(p.clone()));
    let builder = SpanBuilder::from_name(plan.name.clone())
        .with_kind(span_kind(plan.role))
        .with_start_time(system_time(at_ms + plan.start_ms))
        .with_attributes(key_values(&plan.attributes))
        .with_links(links.into_iter().collect());
    let context = parent.with_span(telemetry.tracer.build_with_context(builder, parent));
    for event in &plan.events {
        let at = system_time(at_ms + event.at_ms);
        let attributes = key_values(&event.attributes);
        context.span().add_event_with_timestamp(event.name.clone(), at, attributes);
    }
    if let Some(error) = &plan.error {
        context.span().set_status(Status::error(error.clone()));
    }
    context
}

/// Writes a stage's log record within a span.
pub(super) fn write_log(
    telemetry: &Telemetry,
    log: &EventPlan,
    at: SystemTime,
    span: &SpanContext,
) {
    let at = shifted(at, telemetry.clock_offset_ms);
    let mut record = telemetry.logger.create_log_record();
    record.set_event_name(ORDER_STAGE);
    record.set_timestamp(at);
    record.set_observed_timestamp(at);
    record.set_severity_number(Severity::Info);
    record.set_severity_text("INFO");
    record.set_body(AnyValue::from("order stage began"));
    record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
    for (key, value) in &log.attributes {
        let value = match value {
            Value::Flag(flag) => AnyValue::from(*flag),
            Value::Int(number) => AnyValue::from(*number),
            Value::Text(text) => AnyValue::from(text.clone()),
        };
        record.add_attribute(key.clone(), value);
    }
    telemetry.counts.log_made();
    telemetry.logger.emit(record);
}
