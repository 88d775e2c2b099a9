//! Stage signals in their three forms, and what is refused.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::trace::Sampler;
use order_signal::limits::{ORDERS_PER_CALL_MAX, ORDERS_PER_SIGNAL_MAX};
use order_signal::{OrderChannel, OrderKind, OrderSignals, Refusal};
use proptest::prelude::*;

use crate::recorded::{Service, attributes, map};

/// A signal with all its parts.
fn send_full(signals: &OrderSignals, on_current_span: bool) {
    let signal = signals
        .stage("ORD-7", "CALCULATION_RUNNING")
        .kind(OrderKind::Custom)
        .channel(OrderChannel::B2b)
        .attempt(2)
        .model_key("models/ring.stl")
        .partner_number("P-19/4")
        .partner_id("acme")
        .at(then());
    if on_current_span { signal.send_on_current_span() } else { signal.send() }
}

fn then() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn full() -> std::collections::BTreeMap<String, String> {
    map([
        ("order.id", "ORD-7"),
        ("order.stage", "CALCULATION_RUNNING"),
        ("order.kind", "custom"),
        ("order.channel", "b2b"),
        ("calc.attempt", "2"),
        ("order.model.key", "models/ring.stl"),
        ("order.partner.number", "P-19/4"),
        ("order.partner.id", "acme"),
    ])
}

#[test]
fn a_log_record_carries_every_part_and_the_trace() {
    let service = Service::new();
    let signals = service.through_logs();
    let span = service.tracers.tracer("test").start("POST /orders");
    let context = Context::current_with_span(span);
    let trace = context.span().span_context().clone();
    let inside = context.attach();
    send_full(&signals, false);
    // It is there although the span around it is not over.
    let [log] = &service.logs()[..] else { panic!("one record: {:?}", service.logs()) };
    assert_eq!((log.name.as_str(), log.time), ("order.stage", Some(then())));
    assert_eq!(log.attributes, full());
    assert_eq!(log.trace, Some((trace.trace_id(), trace.span_id())));
    assert!(service.spans().is_empty(), "the span around it still runs");
    drop(inside);
    assert_eq!((signals.counts().stages(), signals.counts().refusals()), (1, vec![]));
}

#[test]
fn a_span_of_no_length_carries_the_same() {
    let service = Service::new();
    let signals = service.through_spans();
    let span = service.tracers.tracer("test").start("POST /orders");
    let context = Context::current_with_span(span);
    let parent = context.span().span_context().clone();
    let inside = context.attach();
    // The order is in the baggage, too: the attribute must not stand twice.
    let in_order = signals.order_context("ORD-7").attach();
    send_full(&signals, false);
    let [span] = &service.spans()[..] else { panic!("one span: {:?}", service.spans()) };
    drop(in_order);
    drop(inside);
    assert_eq!(span.name, "order.stage");
    assert_eq!((span.start_time, span.end_time), (then(), then()));
    assert_eq!(attributes(span), full());
    assert_eq!(span.span_context.trace_id(), parent.trace_id());
    assert_eq!(span.parent_span_id, parent.span_id());
}

#[test]
fn a_span_event_carries_the_same() {
    let service = Service::new();
    let signals = service.through_logs();
    service.tracers.tracer("test").in_span("POST /orders", |_| send_full(&signals, true));
    let spans = service.spans();
    let [span] = &spans[..] else { panic!("one span: {spans:?}") };
    let [event] = &span.events.events[..] else { panic!("one event: {span:?}") };
    assert_eq!((event.name.as_ref(), event.timestamp), ("order.stage", then()));
    let carried: std::collections::BTreeMap<_, _> =
        event.attributes.iter().map(|kv| (kv.key.to_string(), kv.value.to_string())).collect();
    assert_eq!(carried, full());
    assert!(service.logs().is_empty(), "an event is no log record");
}

#[test]
fn without_a_span_a_signal_has_no_trace() {
    let service = Service::new();
    service.through_logs().stage("ORD-7", "SHIPPED").send();
    service.through_spans().stage("ORD-7", "SHIPPED").send();
    assert_eq!(service.logs()[0].trace, None);
    assert_eq!(service.spans()[0].parent_span_id, SpanId::INVALID);
}

#[test]
fn what_cannot_be_sent_is_counted_by_reason() {
    let long = "x".repeat(201);
    type Act<'a> = &'a dyn Fn(&OrderSignals);
    let cases: [(&str, Act<'_>, &[Refusal], usize); 7] = [
        (
            "an id of blanks",
            &|s| s.stage("  ", "PAID").send(),
            &[Refusal::NotAnOrderId, Refusal::NoOrder],
            0,
        ),
        ("no orders", &|s| s.stage(&Vec::<String>::new(), "PAID").send(), &[Refusal::NoOrder], 0),
        (
            "one of two",
            &|s| s.stage(&["ORD-1", "a\nb"], "PAID").send(),
            &[Refusal::NotAnOrderId],
            1,
        ),
        ("no stage", &|s| s.stage("ORD-1", "").send(), &[Refusal::NotAStage], 0),
        ("a stage too long", &|s| s.stage("ORD-1", &long).send(), &[Refusal::NotAStage], 0),
        (
            "a key too long",
            &|s| s.stage("ORD-1", "PAID").model_key(&long).send(),
            &[Refusal::TextLeftOut],
            1,
        ),
        ("no span", &|s| s.stage("ORD-1", "PAID").send_on_current_span(), &[Refusal::NoSpan], 0),
    ];
    for (what, act, refused, sent) in cases {
        let service = Service::new();
        let signals = service.through_logs();
        act(&signals);
        let expected: Vec<_> = refused.iter().map(|why| (*why, 1)).collect();
        assert_eq!(signals.counts().refusals(), expected, "{what}");
        assert_eq!(service.logs().len(), sent, "{what}");
        assert_eq!(signals.counts().stages(), sent as u64, "{what}");
        let keys: Vec<_> = service.logs().iter().flat_map(|log| log.attributes.clone()).collect();
        assert!(keys.iter().all(|(key, _)| key != "order.model.key"), "{what}: {keys:?}");
    }
}

#[test]
fn a_span_that_the_sampler_leaves_out_is_counted() {
    let service = Service::sampling(Sampler::AlwaysOff);
    let signals = service.through_spans();
    signals.stage("ORD-1", "SHIPPED").send();
    assert!(service.spans().is_empty());
    assert_eq!(signals.counts().refusals(), [(Refusal::NotSampled, 1)]);
    assert_eq!(signals.counts().stages(), 0);
    // Log records do not ask the sampler.
    let logged = service.through_logs();
    logged.stage("ORD-1", "SHIPPED").send();
    assert_eq!(service.logs().len(), 1);
}

#[test]
fn baggage_of_others_does_not_rename_a_signal() {
    let service = Service::new();
    let signals = service.through_logs();
    let inside = signals.order_context("ORD-OF-THE-REQUEST").attach();
    signals.stage("ORD-1", "SHIPPED").send();
    drop(inside);
    let log = service.logs().remove(0);
    assert_eq!(log.attributes["order.id"], "ORD-1");
    assert_eq!(log.attribute_count, log.attributes.len());
}

#[test]
fn of_a_part_given_twice_the_last_counts() {
    let service = Service::new();
    service.through_logs().stage("ORD-1", "SHIPPED").attempt(1).attempt(2).send();
    let log = service.logs().remove(0);
    assert_eq!((log.attributes["calc.attempt"].as_str(), log.attribute_count), ("2", 3));
}

/// A refused text may be anything, also a person's name: it is not repeated.
#[test]
fn a_refusal_is_said_once_per_reason_and_without_its_text() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&said);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Written(Arc::clone(&writer)))
        .finish();
    let service = Service::new();
    let signals = service.through_logs();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..3 {
            signals.stage("Anna\nArkadyevna", "PAID").send();
        }
    });
    assert_eq!(signals.counts().refused(Refusal::NotAnOrderId), 3);
    let said = String::from_utf8(said.lock().unwrap().clone()).unwrap();
    let reasons: Vec<_> = said.lines().filter_map(|line| line.split("reason=").nth(1)).collect();
    let expected = ["not_an_order_id signal=\"order.stage\"", "no_order signal=\"order.stage\""];
    assert_eq!(reasons, expected, "{said}");
    assert!(!said.contains("Anna"), "{said}");
}

/// Keeps what is written.
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However many orders, valid or not, repeated or not: each valid one is told exactly once,
    /// up to the bound, in signals that are not too large.
    #[test]
    fn each_order_is_told_once(numbers in prop::collection::vec(0_u16..600, 0..700)) {
        let texts: Vec<String> = numbers
            .iter()
            .map(|n| if n % 7 == 0 { String::new() } else { format!("ORD-{n}") })
            .collect();
        let service = Service::new();
        let signals = service.through_logs();
        signals.stage(&texts, "PACKAGING").send();
        let mut told: Vec<String> = Vec::new();
        for log in service.logs() {
            let orders: Vec<_> = log.attributes["order.id"].split(' ').map(str::to_owned).collect();
            prop_assert!(orders.len() <= ORDERS_PER_SIGNAL_MAX);
            told.extend(orders);
        }
        let mut seen = std::collections::HashSet::new();
        let expected: Vec<_> =
            texts.iter().filter(|t| !t.is_empty() && seen.insert((*t).clone())).cloned().collect();
        prop_assert_eq!(told, expected);
        let blanks = texts.iter().filter(|text| text.is_empty()).count() as u64;
        prop_assert_eq!(signals.counts().refused(Refusal::NotAnOrderId), blanks);
    }
}

#[test]
fn orders_past_the_bound_of_a_call_are_counted() {
    let service = Service::new();
    let signals = service.through_logs();
    let orders: Vec<String> = (0..ORDERS_PER_CALL_MAX + 3).map(|n| format!("ORD-{n}")).collect();
    signals.stage(&orders, "PACKAGING").send();
    assert_eq!(service.logs().len(), ORDERS_PER_CALL_MAX / ORDERS_PER_SIGNAL_MAX);
    assert_eq!(signals.counts().refusals(), [(Refusal::TooManyOrders, 3)]);
}
