//! Acts out a step now, as a real Rust service would: `tracing` spans that
//! `tracing-opentelemetry` turns into OpenTelemetry's.
//!
//! Only the zero-length stage signals are written with the OpenTelemetry interface itself: a
//! `tracing` span always takes some time.

use super::EndSpan;
use super::history::{start, write_log};
use super::produced::{Produced, key_values, otel_value, producer};
use crate::attributes::ORDER_STAGE;
use crate::telemetry::Telemetry;
use crate::trace_plan::{SpanPlan, SpanRole, StepPlan};
use crate::wire::Message;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt};
use std::time::{Duration, SystemTime};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of the service's own spans; nothing else is exported.
pub(super) const TARGET: &str = "simulator::live";
/// How long a live statement or call takes, whatever its plan says: long enough to be seen.
const LIVE_WORK: Duration = Duration::from_millis(2);

/// Does the step's work; returns the ends of the spans that end last.
pub(super) fn act(
    telemetry: &Telemetry,
    step: &StepPlan,
    message: Option<&Message>,
    produced: &mut Produced,
) -> Vec<EndSpan> {
    let producer = message.and_then(producer);
    let mut live = Live { telemetry, producer, produced, ends: Vec::new() };
    let root = live.open(&step.root, None);
    let context = root.context();
    for log in &step.logs {
        write_log(telemetry, log, SystemTime::now(), context.span().span_context());
    }
    if !step.logs.is_empty() {
        telemetry.flush_logs();
    }
    live.work(&step.root, &root);
    live.ends
}

struct Live<'a> {
    telemetry: &'a Telemetry,
    producer: Option<SpanContext>,
    produced: &'a mut Produced,
    ends: Vec<EndSpan>,
}

impl Live<'_> {
    /// Opens a span and says what its plan says.
    fn open(&self, plan: &SpanPlan, parent: Option<&Span>) -> Span {
        let (name, kind) = (plan.name.as_str(), role_name(plan.role));
        let parent_id = parent.filter(|_| !plan.ends_last).and_then(Span::id);
        let span = tracing::info_span!(
            target: TARGET, parent: parent_id, "step", otel.name = name, otel.kind = kind
        );
        if let Some(parent) = parent.filter(|_| plan.ends_last) {
            // `tracing` keeps a parent open as long as its children; this child must outlive it,
            // so that only OpenTelemetry knows them as parent and child.
            if let Err(error) = span.set_parent(parent.context()) {
                tracing::warn!(%error, name, "the span is an orphan");
            }
        }
        for (key, value) in &plan.attributes {
            span.set_attribute(key.clone(), otel_value(value));
        }
        if let Some(producer) = self.producer.as_ref().filter(|_| plan.links_to_producer) {
            span.add_link(producer.clone());
        }
        for event in &plan.events {
            span.add_event(event.name.clone(), key_values(&event.attributes));
        }
        if let Some(error) = &plan.error {
            span.set_status(Status::error(error.clone()));
        }
        span
    }

    /// Does what is below the span.
    fn work(&mut self, plan: &SpanPlan, span: &Span) {
        self.produced.note(plan, &span.context());
        for child in &plan.children {
            if child.name == ORDER_STAGE {
                self.signal(child, span);
                continue;
            }
            let inner = self.open(child, Some(span));
            self.work(child, &inner);
            if child.ends_last {
                self.ends.push(Box::new(move || drop(inner)));
            }
        }
        if plan.children.is_empty() {
            std::thread::sleep(LIVE_WORK);
        }
    }

    /// Sends a stage signal.
    fn signal(&self, plan: &SpanPlan, parent: &Span) {
        let now_ms = chrono::Utc::now().timestamp_millis();
        let context = start(self.telemetry, plan, &parent.context(), now_ms, None);
        let end = super::produced::system_time(now_ms);
        context.span().end_with_timestamp(end);
    }
}

const fn role_name(role: SpanRole) -> &'static str {
    match role {
        SpanRole::Internal => "internal",
        SpanRole::Server => "server",
        SpanRole::Client => "client",
        SpanRole::Producer => "producer",
        SpanRole::Consumer => "consumer",
    }
}
