//! The order id in context: onto spans and log records, and over the wire.

use std::collections::HashMap;

use opentelemetry::baggage::BaggageExt;
use opentelemetry::context::FutureExt;
use opentelemetry::logs::{LogRecord, Logger, LoggerProvider};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use order_signal::{Refusal, order_of, propagator};

use crate::recorded::{Service, attributes, map};

#[test]
fn spans_and_records_in_reach_name_the_order_and_others_do_not() {
    let service = Service::new();
    let signals = service.through_logs();
    let tracer = service.tracers.tracer("test");
    let logger = service.loggers.logger("test");
    let log = || {
        let mut record = logger.create_log_record();
        record.set_timestamp(std::time::SystemTime::now());
        logger.emit(record);
    };
    tracer.start("before").end();
    log();
    {
        let _inside = signals.order_context(" ORD-1 ").attach();
        tracer.in_span("outer", |_| tracer.start("inner").end());
        log();
    }
    tracer.start("after").end();
    let named: Vec<_> =
        service.spans().iter().map(|s| (s.name.to_string(), attributes(s))).collect();
    let order = || map([("order.id", "ORD-1")]);
    let expected =
        [("before", map([])), ("inner", order()), ("outer", order()), ("after", map([]))]
            .map(|(name, attributes)| (name.to_owned(), attributes));
    assert_eq!(named, expected);
    let logs: Vec<_> = service.logs().into_iter().map(|log| log.attributes).collect();
    assert_eq!(logs, [map([]), order()]);
}

#[test]
fn a_span_that_names_an_order_keeps_it() {
    let service = Service::new();
    let _inside = service.through_logs().order_context("ORD-1").attach();
    let tracer = service.tracers.tracer("test");
    let own = [KeyValue::new("order.id", "ORD-2")];
    tracer.build(tracer.span_builder("own").with_attributes(own)).end();
    assert_eq!(attributes(&service.spans()[0]), map([("order.id", "ORD-2")]));
}

/// The next service starts from the headers alone.
#[test]
fn the_order_travels_in_the_baggage_header() {
    for order in ["ORD-1", "Заказ №7, срочно", "a=b;c d"] {
        let caller = Service::new();
        let signals = caller.through_logs();
        let mut headers = HashMap::new();
        let others = Context::current().with_baggage([KeyValue::new("tenant", "eu")]).attach();
        let inside = signals.order_context(order).attach();
        let trace = caller.tracers.tracer("test").in_span("call", |context| {
            propagator().inject_context(&Context::current(), &mut headers);
            context.span().span_context().trace_id()
        });
        drop(inside);
        drop(others);
        assert!(headers["baggage"].is_ascii(), "{headers:?}");

        let callee = Service::new();
        let context = propagator().extract(&headers);
        assert_eq!(context.baggage().get("tenant").map(|v| v.as_str()), Some("eu"), "{order}");
        assert_eq!(order_of(&context).unwrap().unwrap().as_str(), order);
        callee.tracers.tracer("test").start_with_context("serve", &context).end();
        let span = &callee.spans()[0];
        assert_eq!(attributes(span), map([("order.id", order)]));
        assert_eq!(span.span_context.trace_id(), trace);
    }
}

#[tokio::test]
async fn the_order_stays_with_a_future_over_its_waits() {
    let service = Service::new();
    let signals = service.through_logs();
    let tracer = service.tracers.tracer("test");
    let serve = |order: &'static str| {
        let tracer = tracer.clone();
        async move {
            tokio::task::yield_now().await;
            tracer.start(order).end();
        }
        .with_context(signals.order_context(order))
    };
    tokio::join!(serve("ORD-1"), serve("ORD-2"));
    for span in service.spans() {
        assert_eq!(attributes(&span)["order.id"], span.name);
    }
    assert_eq!(service.spans().len(), 2);
}

#[test]
fn what_comes_from_outside_is_checked() {
    let headers = HashMap::from([("baggage".to_owned(), "order.id=a%0Ab".to_owned())]);
    let service = Service::new();
    let context = propagator().extract(&headers);
    assert!(order_of(&context).is_err());
    service.tracers.tracer("test").start_with_context("serve", &context).end();
    assert_eq!(attributes(&service.spans()[0]), map([]));
    assert_eq!(service.counts.refusals(), [(Refusal::BaggageNotAnOrderId, 1)]);
}

#[test]
fn a_baggage_that_cannot_hold_the_order_stays_as_it_is() {
    let service = Service::new();
    let signals = service.through_logs();
    let full = (0..64).map(|n| KeyValue::new(format!("k{n}"), "v"));
    let inside = Context::current().with_baggage(full.collect::<Vec<_>>()).attach();
    let context = signals.order_context("ORD-1");
    assert_eq!(order_of(&context), Ok(None));
    assert_eq!(context.baggage().len(), 64);
    drop(inside);
    assert_eq!(order_of(&signals.order_context("ORD%41")), Ok(None), "it would arrive as ORDA");
    assert_eq!(order_of(&signals.order_context("a\tb")), Ok(None));
    let expected = [(Refusal::NotAnOrderId, 1), (Refusal::BaggageCannotHold, 2)];
    assert_eq!(signals.counts().refusals(), expected);
}

#[test]
fn one_order_takes_the_place_of_another() {
    let service = Service::new();
    let signals = service.through_logs();
    let _outer = signals.order_context("ORD-1").attach();
    let inner = signals.order_context("ORD-2");
    assert_eq!(inner.baggage().len(), 1);
    assert_eq!(order_of(&inner).unwrap().unwrap().as_str(), "ORD-2");
}
