//! Heartbeats, in paused time.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use order_signal::limits::{
    HEARTBEAT_INTERVAL_MAX, HEARTBEAT_INTERVAL_MIN, HEARTBEAT_LIFE_MAX, HEARTBEATS_MAX,
};
use order_signal::{Heartbeat, OrderSignals, Refusal};
use tokio::time::sleep;

use crate::recorded::{Service, map};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn it_beats_at_once_every_interval_and_when_it_ends() {
    let service = Service::new();
    let signals = service.through_logs();
    let heartbeat = signals
        .heartbeat("ORD-1")
        .stage("CALCULATION_RUNNING")
        .attempt(3)
        .every(Duration::from_secs(30))
        .start();
    assert_eq!(service.logs().len(), 1, "at once");
    sleep(Duration::from_secs(29)).await;
    assert_eq!(service.logs().len(), 1, "not before the interval is over");
    sleep(MINUTE + Duration::from_secs(2)).await;
    assert_eq!(service.logs().len(), 4, "every interval");
    heartbeat.stop();
    assert_eq!(service.logs().len(), 5, "the last");
    sleep(10 * MINUTE).await;
    let logs = service.logs();
    assert_eq!(logs.len(), 5, "silent afterwards");
    let expected =
        map([("order.id", "ORD-1"), ("order.stage", "CALCULATION_RUNNING"), ("calc.attempt", "3")]);
    for log in &logs {
        assert_eq!((log.name.as_str(), &log.attributes), ("order.heartbeat", &expected));
    }
    assert_eq!((signals.counts().beats(), signals.counts().stages()), (5, 0));
    assert_eq!(signals.counts().refusals(), []);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_work_whatever_the_end() {
    let service = Service::new();
    let signals = service.through_logs();
    let beating = signals.clone();
    let work = tokio::spawn(async move {
        let _heartbeat = beating.heartbeat("ORD-1").start();
        sleep(Duration::from_secs(45)).await;
        panic!("the work fails");
    });
    assert!(work.await.is_err(), "the work panicked");
    assert_eq!(service.logs().len(), 3, "at once, after 30 s, and the last");
    sleep(10 * MINUTE).await;
    assert_eq!(service.logs().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn beats_belong_to_the_trace_and_do_not_hold_its_span() {
    let service = Service::new();
    let signals = service.through_logs();
    let span = service.tracers.tracer("test").start("calculate");
    let context = Context::current_with_span(span);
    let trace = context.span().span_context().clone();
    let inside = context.attach();
    let heartbeat = signals.heartbeat("ORD-1").start();
    drop(inside);
    assert_eq!(service.spans().len(), 1, "the span ended while the heartbeat lives");
    sleep(MINUTE).await;
    drop(heartbeat);
    for log in service.logs() {
        assert_eq!(log.trace, Some((trace.trace_id(), trace.span_id())));
    }
}

#[tokio::test(start_paused = true)]
async fn spans_of_no_length_beat_as_well() {
    let service = Service::new();
    let signals = service.through_spans();
    let heartbeat = signals.heartbeat(&["ORD-1", "ORD-2"]).start();
    sleep(Duration::from_secs(31)).await;
    drop(heartbeat);
    let spans = service.spans();
    assert_eq!(spans.len(), 3);
    for span in &spans {
        assert_eq!((span.name.as_ref(), span.start_time), ("order.heartbeat", span.end_time));
    }
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_held_within_its_bounds() {
    let asked = [
        (Duration::ZERO, HEARTBEAT_INTERVAL_MIN),
        (Duration::MAX, HEARTBEAT_INTERVAL_MAX),
        (MINUTE, MINUTE),
    ];
    for (asked, interval) in asked {
        let service = Service::new();
        let heartbeat = service.through_logs().heartbeat("ORD-1").every(asked).start();
        sleep(interval - Duration::from_millis(10)).await;
        assert_eq!(service.logs().len(), 1, "{asked:?}");
        sleep(Duration::from_millis(20)).await;
        assert_eq!(service.logs().len(), 2, "{asked:?}");
        drop(heartbeat);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_heartbeat_falls_silent() {
    let service = Service::new();
    let signals = service.through_logs();
    let forgotten = signals.heartbeat("ORD-1").every(HEARTBEAT_INTERVAL_MAX).start();
    sleep(HEARTBEAT_LIFE_MAX + HEARTBEAT_INTERVAL_MAX).await;
    assert_eq!(signals.counts().refusals(), [(Refusal::HeartbeatTooOld, 1)]);
    let beats = service.logs().len();
    sleep(HEARTBEAT_LIFE_MAX).await;
    assert_eq!(service.logs().len(), beats);
    std::mem::forget(forgotten);
}

#[tokio::test(start_paused = true)]
async fn one_heartbeat_too_many_beats_at_its_ends_only_and_places_come_back() {
    let service = Service::new();
    let signals = service.through_logs();
    let mut running: Vec<Heartbeat> =
        (0..HEARTBEATS_MAX).map(|_| signals.heartbeat("ORD-1").start()).collect();
    assert_eq!(signals.counts().refusals(), []);
    let more = signals.heartbeat("ORD-2").start();
    assert_eq!(signals.counts().refusals(), [(Refusal::TooManyHeartbeats, 1)]);
    drop(running.pop());
    // The place is given back when the runtime drops the task. Time is paused: it moves when
    // nobody has anything left to do.
    sleep(Duration::from_millis(1)).await;
    running.push(signals.heartbeat("ORD-3").start());
    assert_eq!(signals.counts().refusals(), [(Refusal::TooManyHeartbeats, 1)]);
    drop(more);
    let beats = service.logs().iter().filter(|log| log.attributes["order.id"] == "ORD-2").count();
    assert_eq!(beats, 2, "at its start and at its end");
}

#[test]
fn without_a_runtime_it_beats_at_its_ends_and_says_so() {
    let service = Service::new();
    let signals = service.through_logs();
    signals.heartbeat("ORD-1").start().stop();
    assert_eq!(service.logs().len(), 2);
    assert_eq!(signals.counts().refusals(), [(Refusal::NoRuntime, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_nothing_is_silent() {
    let service = Service::new();
    let signals: OrderSignals = service.through_logs();
    let heartbeat = signals.heartbeat("").stage("\u{7}").start();
    sleep(MINUTE).await;
    drop(heartbeat);
    assert!(service.logs().is_empty());
    let expected = [(Refusal::NotAnOrderId, 1), (Refusal::NoOrder, 1), (Refusal::NotAStage, 1)];
    assert_eq!(signals.counts().refusals(), expected);
}
