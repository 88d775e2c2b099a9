//! The shop takes an order; MES, reached by HTTP headers alone, calculates its price.

use std::collections::HashMap;

use opentelemetry::context::FutureExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use order_signal::pipeline::{Pipeline, PipelineSettings};
use order_signal::{OrderChannel, OrderKind, OrderSignals, propagator};

/// The endpoint comes from `OTEL_EXPORTER_OTLP_ENDPOINT`.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let order = std::env::args().nth(1).unwrap_or_default();
    let pipeline = Pipeline::start(&PipelineSettings::new("shop"))?;
    work(&pipeline, &order).await;
    Ok(pipeline.stop().await?)
}

/// Shop and MES in one process; the headers are all that goes from one to the other.
pub async fn work(pipeline: &Pipeline, order: &str) {
    let headers = take_order(pipeline, order).with_context(pipeline.signals.order_context(order));
    let received = propagator().extract(&headers.await);
    calculate(pipeline, order).with_context(received).await;
}

async fn take_order(pipeline: &Pipeline, order: &str) -> HashMap<String, String> {
    let (signals, tracer) = (&pipeline.signals, pipeline.tracers.tracer("shop"));
    let request = Context::current_with_span(tracer.start("POST /orders"));
    async {
        signals
            .stage(order, "SUBMITTED")
            .kind(OrderKind::Custom)
            .channel(OrderChannel::B2b)
            .model_key("models/ring.stl")
            .partner_number(&format!("P-{order}"))
            .partner_id("acme")
            .send();
        tracer.start("INSERT orders").end();
        let mut headers = HashMap::new();
        propagator().inject_context(&Context::current(), &mut headers);
        headers
    }
    .with_context(request)
    .await
}

async fn calculate(pipeline: &Pipeline, order: &str) {
    let tracer = pipeline.tracers.tracer("mes");
    let request = Context::current_with_span(tracer.start("POST /calculations"));
    async {
        // No log pipeline? A span of no length says the same.
        let spans = OrderSignals::through_spans(&pipeline.tracers);
        spans.stage(order, "CALCULATION_RUNNING").attempt(1).send();
        let heartbeat = pipeline.signals.heartbeat(order).stage("CALCULATION_RUNNING").start();
        tracer.start("slice model").end();
        spans.heartbeat(order).stage("CALCULATION_RUNNING").attempt(1).start().stop();
        heartbeat.stop();
        // A span event will do where the span around it ends soon.
        tracer.in_span("UPDATE price", |context| {
            pipeline.signals.stage(order, "PRICE_CALCULATED").send_on_current_span();
            let alive = [("order.id", order), ("order.stage", "PACKAGING")];
            let alive = alive.map(|(key, value)| KeyValue::new(key, value.to_owned()));
            context.span().add_event("order.heartbeat", alive.to_vec());
        });
    }
    .with_context(request)
    .await;
}
