//! The rules of `docs/stitching.md` about one order, as small stories and what becomes of them.

pub(crate) mod story;

use proptest::prelude::*;
use story::{Story, told, told_millis};

use super::*;

/// The current stage and when it began.
#[track_caller]
fn check_current(story: &str, expected: &str) {
    let state = Story::of(story).state();
    let since = if state.stage.is_empty() { String::new() } else { told(state.stage_since) };
    assert_eq!(format!("{} {since}", state.stage).trim(), expected, "{story}");
}

#[test]
fn of_the_latest_stages_the_one_furthest_along_is_current() {
    for (story, expected) in [
        ("", ""),
        ("0s shop SUBMITTED", "SUBMITTED 0s"),
        ("0s shop SUBMITTED; 1h crm MANUFACTURING_APPROVED", "MANUFACTURING_APPROVED 1h"),
        ("1h crm MANUFACTURING_APPROVED; 0s shop SUBMITTED", "MANUFACTURING_APPROVED 1h"),
        // Rework: a stage that goes backwards is where the order is.
        ("0s mes PACKAGING; 1h mes MANUFACTURING_STARTED", "MANUFACTURING_STARTED 1h"),
        // Up to the skew, exactly.
        ("0s mes PACKAGING; 2s mes MANUFACTURING_STARTED", "PACKAGING 0s"),
        ("0s mes PACKAGING; 2s1ns mes MANUFACTURING_STARTED", "MANUFACTURING_STARTED 2s1ns"),
        ("0s mes PACKAGING; 0s mes MANUFACTURING_STARTED", "PACKAGING 0s"),
        // The last event of a stage counts, and its stay began with the first.
        ("0s mes PACKAGING; 9s mes PACKAGING; 10s mes MANUFACTURING_STARTED", "PACKAGING 0s"),
        // The latest time is that of a stage: other signals decide nothing.
        ("0s mes PACKAGING; 1s mes MANUFACTURING_STARTED; 1h crm asks", "PACKAGING 0s"),
    ] {
        check_current(story, expected);
    }
}

#[test]
fn a_retry_within_the_skew_leaves_the_failure_current() {
    let story = "model; 0s mes CALCULATION_RUNNING #1; 9s mes CALCULATION_FAILED !no memory";
    check_current(&format!("{story}; 11s mes CALCULATION_RUNNING #2"), "CALCULATION_FAILED 9s");
    check_current(
        &format!("{story}; 11s1ns mes CALCULATION_RUNNING #2"),
        "CALCULATION_RUNNING 11s1ns",
    );
    // The calculation itself is known to run again.
    let again = format!("{story}; 11s mes CALCULATION_RUNNING #2");
    check_calculation(&again, "running 0s, started 11s, failed 9s no memory, try 2, again 11s");
}

#[test]
fn an_unknown_status_is_shown_as_written_and_is_behind_every_known_one() {
    for (story, expected) in [
        ("0s shop SUBMITTED; 1h mes На_проверке", "На_проверке 1h"),
        ("0s shop SUBMITTED; 2s mes QUALITY_CHECK", "SUBMITTED 0s"),
        ("0s shop SUBMITTED; 2s1ns mes QUALITY_CHECK", "QUALITY_CHECK 2s1ns"),
        // Between two of them the name decides, so that arrival does not.
        ("0s mes ALPHA; 1s mes BETA", "BETA 1s"),
        ("0s mes BETA; 1s mes ALPHA", "BETA 0s"),
    ] {
        check_current(story, expected);
    }
    let state = Story::of("0s mes QUALITY_CHECK").state();
    assert_eq!((state.history.len(), state.history[0].stage.as_str()), (1, "QUALITY_CHECK"));
}

#[test]
fn events_of_the_future_are_held_until_their_time() {
    for (story, expected) in [
        ("0s shop SUBMITTED; 1h mes PACKAGING; now 59m58s", "PACKAGING, again at -"),
        ("0s shop SUBMITTED; 1h mes PACKAGING; now 59m57s999999999ns", "SUBMITTED, again at 1h"),
        ("0s shop SUBMITTED; 2h mes SHIPPED; 1h mes PACKAGING; now 1m", "SUBMITTED, again at 1h"),
        ("0s shop SUBMITTED; 1h mes beats; now 1m", "SUBMITTED, again at 1h"),
        ("1h shop SUBMITTED; now 1m", ", again at 1h"),
    ] {
        let state = Story::of(story).state();
        assert_eq!(
            format!("{}, again at {}", state.stage, told(state.refold_at)),
            expected,
            "{story}"
        );
    }
    let held = Story::of("0s shop SUBMITTED; 1h mes SHIPPED; 1h mes beats @w; now 1m").state();
    assert_eq!((held.history.len(), held.promised_to, held.sign_of_life), (1, None, None));
    assert_eq!(told(held.last_event_at), "0s");
}

#[test]
fn every_stay_is_shown_rework_too() {
    for (story, expected) in [
        (
            "0s mes PACKAGING; 1h mes MANUFACTURING_STARTED; 2h mes PACKAGING",
            "PACKAGING 0s mes, MANUFACTURING_STARTED 1h mes, PACKAGING 2h mes",
        ),
        // Signals of one stay are one: its first moment, who said it then, the highest attempt.
        (
            "1m mes CALCULATION_RUNNING #3; 0s calc-engine CALCULATION_RUNNING #1; 2m mes \
             CALCULATION_RUNNING #2",
            "CALCULATION_RUNNING 0s calc-engine #3",
        ),
        // Of one moment: in the order of the lifecycle, then by name and source.
        (
            "0s mes PACKAGING; 0s shop SUBMITTED; 0s mes ODD; 0s crm SUBMITTED",
            "ODD 0s mes, SUBMITTED 0s crm, PACKAGING 0s mes",
        ),
    ] {
        let state = Story::of(story).state();
        let stays = state.history.iter().map(|stay| {
            let attempt = if stay.attempt > 0 { format!(" #{}", stay.attempt) } else { "".into() };
            format!("{} {} {}{attempt}", stay.stage, told(stay.entered_at), stay.source)
        });
        assert_eq!(stays.collect::<Vec<_>>().join(", "), expected, "{story}");
    }
}

/// The latest request for a price and what became of it.
#[track_caller]
fn check_calculation(story: &str, expected: &str) {
    let state = Story::of(story).state();
    let mut words = vec!["no clock".to_owned()];
    if let Some(c) = state.calculation {
        words = vec![format!("{} {}", c.part.as_str(), told(c.requested_at))];
        let worker = if c.worker.is_empty() { String::new() } else { format!(" by {}", c.worker) };
        words.extend(c.started_at.map(|at| format!("started {}{worker}", told(at))));
        words.extend(c.answered_at.map(|at| format!("answered {}", told(at))));
        let late = c.answer_heard_at.filter(|at| c.answered_at.is_none_or(|t| to_ms(t) != *at));
        words.extend(late.map(|at| format!("heard {}", told_millis(at))));
        let failed = c.failed_at.map(|at| format!("failed {} {}", told(at), c.error));
        words.extend(failed.map(|text| text.trim().to_owned()));
        words.extend((c.attempt > 0).then(|| format!("try {}", c.attempt)));
        words.extend(c.retrying_since.map(|at| format!("again {}", told(at))));
    }
    assert_eq!(words.join(", "), expected, "{story}");
}

fn to_ms(at: UnixNanos) -> i64 {
    crate::time::to_millis(at)
}

#[test]
fn an_order_needs_a_price_if_it_has_a_model_or_comes_from_a_partner() {
    for (story, expected) in [
        ("0s shop SUBMITTED", "no clock"),
        ("kind custom; 0s shop SUBMITTED", "no clock"),
        ("model; 0s shop SUBMITTED", "never_queued 0s"),
        ("0s shop FILE_UPLOADED; 1m shop SUBMITTED", "never_queued 1m"),
        // Without a word of the channel, who set the first stage tells it.
        ("0s calc-engine SUBMITTED", "never_queued 0s"),
        ("channel b2b; 0s shop SUBMITTED", "never_queued 0s"),
        ("channel b2c; 0s calc-engine SUBMITTED", "no clock"),
        // What is being calculated needs a price, whatever else is known.
        ("0s shop SUBMITTED; 5m crm asks", "queued 0s"),
        ("0s shop SUBMITTED; 5m mes CALCULATION_RUNNING", "running 0s, started 5m"),
        ("kind ready_made; model; 0s shop SUBMITTED; 5m mes CALCULATION_RUNNING", "no clock"),
        // Without a request nobody waits.
        ("model; 0s mes PACKAGING", "no clock"),
    ] {
        check_calculation(story, expected);
    }
}

#[test]
fn the_clock_of_the_price_starts_at_the_latest_unanswered_request() {
    for (story, expected) in [
        ("0s crm asks", "queued 0s"),
        ("5m mes CALCULATION_RUNNING @w7 #1", "running 5m, started 5m by w7, try 1"),
        ("0s crm asks; 5m mes CALCULATION_RUNNING", "running 0s, started 5m"),
        // The order's own request comes first; a second one starts the clock anew.
        ("model; 5m crm asks; 0s shop SUBMITTED", "queued 0s"),
        ("model; 0s shop SUBMITTED; 30m shop SUBMITTED", "never_queued 30m"),
        // A message published again is the same request.
        ("0s crm asks; 30m crm asks", "queued 0s"),
        // The price stops it, so does the end; a failure does not.
        ("model; 0s shop SUBMITTED; 9m mes PRICE_CALCULATED", "answered 0s, answered 9m"),
        ("model; 0s shop SUBMITTED; 9m crm CANCELLED", "answered 0s, answered 9m"),
        ("model; 0s shop SUBMITTED; 9m mes CALCULATION_FAILED", "failed 0s, failed 9m"),
        // A signal of the price that was lost: an order that is approved has been priced.
        ("model; 0s shop SUBMITTED; 1d crm MANUFACTURING_APPROVED", "answered 0s, answered 1day"),
        // A new request after the price.
        ("model; 0s shop SUBMITTED; 9m mes PRICE_CALCULATED; 1h crm asks", "queued 1h"),
        (
            "model; 0s shop SUBMITTED; 9m mes PRICE_CALCULATED; 1h crm asks; \
             61m mes PRICE_CALCULATED",
            "answered 1h, answered 1h1m",
        ),
        // An answer up to the skew before its request is its answer.
        ("model; 10s mes PRICE_CALCULATED; 12s shop SUBMITTED", "answered 12s, answered 10s"),
        ("model; 10s mes PRICE_CALCULATED; 12s1ns shop SUBMITTED", "never_queued 12s1ns"),
        // When the answer was heard, of whatever answered it first by our clock.
        (
            "model; 0s shop SUBMITTED; 9m mes PRICE_CALCULATED ~2h",
            "answered 0s, answered 9m, heard 2h",
        ),
    ] {
        check_calculation(story, expected);
    }
}

#[test]
fn a_calculation_is_tried_again_after_a_failure_or_by_its_number() {
    let failed = "model; 0s shop SUBMITTED; 5m mes CALCULATION_RUNNING; \
        10m mes CALCULATION_FAILED !no memory";
    let began = "started 5m, failed 10m no memory";
    for (more, expected) in [
        ("", format!("failed 0s, {began}")),
        ("11m crm asks", format!("failed 0s, {began}, again 11m")),
        (
            "11m mes CALCULATION_RUNNING @w2",
            "running 0s, started 11m by w2, failed 10m no memory, again 11m".to_owned(),
        ),
        // Of one moment the failure counts.
        ("10m mes CALCULATION_RUNNING", "failed 0s, started 10m, failed 10m no memory".to_owned()),
        (
            "11m mes CALCULATION_RUNNING; 12m mes PRICE_CALCULATED",
            "answered 0s, started 11m, answered 12m, failed 10m no memory".to_owned(),
        ),
    ] {
        check_calculation(&format!("{failed}; {more}"), &expected);
    }
    let second = "model; 0s shop SUBMITTED; 5m mes CALCULATION_RUNNING #2";
    check_calculation(second, "running 0s, started 5m, try 2, again 5m");
    // Of two that begin at one moment the name decides, so that arrival does not.
    let both = "0s mes CALCULATION_RUNNING @w1; 0s calc-engine CALCULATION_RUNNING @w2";
    check_calculation(both, "running 0s, started 0s by w2");
    let first = "model; 0s shop SUBMITTED; 5m mes CALCULATION_RUNNING #1";
    check_calculation(first, "running 0s, started 5m, try 1");
}

/// The message that waits.
#[track_caller]
fn check_handover(story: &str, expected: &str) {
    let waiting = Story::of(story).state().handover.map(|h| {
        let (to, at, lost_at) = (h.to.join("+"), told(h.at), told(h.lost_at));
        format!("{} {}→{to} {at} lost {lost_at}", h.destination, h.from)
    });
    assert_eq!(waiting.as_deref().unwrap_or("taken"), expected, "{story}");
}

#[test]
fn a_message_waits_until_it_is_taken_or_its_taker_is_heard_of() {
    let waits = "mes.production crm→mes 10s lost 30m10s";
    for (more, expected) in [
        ("", waits),
        ("10s mes takes:mes.production", "taken"),
        // Clocks differ: a take up to the skew before the message is its take.
        ("8s mes takes:mes.production", "taken"),
        ("7s999999999ns mes takes:mes.production", waits),
        // Whoever takes it.
        ("11s odd takes:mes.production", "taken"),
        ("11s mes takes:crm.orders", "taken"),
        // A service that should take it says anything of the order.
        ("8s mes MANUFACTURING_STARTED", "taken"),
        ("7s999999999ns mes MANUFACTURING_STARTED", waits),
        ("1h shop PACKAGING", waits),
        // A sign of life is no taking.
        ("1h mes beats @w7", waits),
        // An order that has ended waits for nobody.
        ("1h crm CANCELLED", "taken"),
        // The latest message of a destination counts.
        ("20s mes PACKAGING; 1h crm sends:mes.production", "mes.production crm→mes 1h lost 1h30m"),
        // Of several destinations the one that is lost first.
        ("13s shop sends:crm.orders", "crm.orders shop→crm 13s lost 15m13s"),
        ("1h shop sends:crm.orders", waits),
    ] {
        check_handover(&format!("10s crm sends:mes.production; {more}"), expected);
    }
    check_handover("10s crm sends:nowhere", "taken");
}

#[test]
fn who_sends_to_itself_is_heard_of_later_than_the_skew_explains() {
    let sent = "0s calc-engine sends:calc.requests";
    let waits = "calc.requests calc-engine→mes+calc-engine 0s lost 1h";
    check_handover(sent, waits);
    check_handover(&format!("{sent}; 2s calc-engine CALCULATION_RUNNING"), waits);
    check_handover(&format!("{sent}; 2s1ns calc-engine CALCULATION_RUNNING"), "taken");
    check_handover(&format!("{sent}; 2s mes CALCULATION_RUNNING"), "taken");
}

#[test]
fn a_sign_of_life_is_the_latest_and_is_no_stage() {
    let story = "0s mes CALCULATION_RUNNING; 3m mes beats @w2; 5m mes beats @w1; 4m mes beats @w3";
    let state = Story::of(story).state();
    let (at, worker) = state.sign_of_life.clone().unwrap();
    assert_eq!((told(at).as_str(), worker.as_str()), ("5m", "w1"));
    assert_eq!((state.history.len(), told(state.last_event_at)), (1, "0s".to_owned()));
    check_current(story, "CALCULATION_RUNNING 0s");
    let silent = Story::of("3m mes beats @w2").state();
    assert_eq!((silent.stage.as_str(), silent.history.len()), ("", 0));
}

#[test]
fn the_promise_counts_from_the_first_submission_to_the_first_shipment() {
    let story = "1h shop SUBMITTED; 2h mes SHIPPED; 3h shop SUBMITTED; 4h mes SHIPPED";
    let state = Story::of(story).state();
    assert_eq!((told(state.promised_from), told(state.promised_to)), ("1h".into(), "2h".into()));
}

#[test]
fn of_repeats_the_most_telling_is_kept() {
    let once = "model; 0s shop SUBMITTED; 5m mes CALCULATION_RUNNING @w2 #2; \
        9m mes CALCULATION_FAILED !b";
    for repeat in [
        "5m mes CALCULATION_RUNNING",
        "5m mes CALCULATION_RUNNING @w1 #1",
        "5m mes CALCULATION_RUNNING @w2 #2 ~3h",
        "9m mes CALCULATION_FAILED",
        "9m mes CALCULATION_FAILED ~3h !a",
    ] {
        let now = "now 4h";
        let (alone, twice) = (format!("{once}; {now}"), format!("{once}; {repeat}; {now}"));
        assert_eq!(Story::of(&alone).state(), Story::of(&twice).state(), "{repeat}");
    }
    let heard = "model; 0s shop SUBMITTED; 9m mes PRICE_CALCULATED ~3h; \
        9m mes PRICE_CALCULATED ~2h";
    check_calculation(heard, "answered 0s, answered 9m, heard 2h");
    // Another source that says the same is another signal, and the same stay.
    let state = Story::of("0s mes PACKAGING; 0s crm PACKAGING").state();
    assert_eq!(state.history.len(), 1);
}

#[test]
fn of_too_many_signals_the_latest_count() {
    let all = SIGNALS_MAX + 500;
    let signals: Vec<StageSignal> = (0..all)
        .map(|n| StageSignal {
            kind: SignalKind::Stage(if n % 2 == 0 { "PACKAGING" } else { "SHIPPED" }.to_owned()),
            event_time: i64::try_from(n).unwrap() * 10_000_000_000,
            source: "mes".to_owned(),
            attempt: 0,
            heard_at: 0,
            worker: String::new(),
            error: String::new(),
        })
        .collect();
    let fold = |signals: &[StageSignal]| {
        fold(&Lifecycle::default(), signals, &[], &OrderTraits::default(), i64::MAX)
    };
    let state = fold(&signals);
    assert_eq!(state.history.len(), SIGNALS_MAX);
    assert_eq!(state, fold(&signals[500..]));
    let turned: Vec<StageSignal> = signals.into_iter().rev().collect();
    assert_eq!(state, fold(&turned));
}

/// One sentence of a story about moments that lie close together, so that ties are met.
fn sentence() -> impl Strategy<Value = String> {
    let time = prop::sample::select(vec!["0s", "1s", "2s", "2s1ns", "4s", "1h", "1h2s", "2days"]);
    let source = prop::sample::select(vec!["shop", "crm", "mes", "calc-engine"]);
    let what = prop::sample::select(vec![
        "FILE_UPLOADED",
        "SUBMITTED",
        "CALCULATION_RUNNING #1 @w1",
        "CALCULATION_RUNNING #2 @w2",
        "CALCULATION_FAILED !a",
        "CALCULATION_FAILED !b",
        "PRICE_CALCULATED ~1days",
        "PRICE_CALCULATED",
        "SHIPPED",
        "ODD",
        "asks",
        "sends:calc.requests",
        "takes:calc.requests",
        "beats @w1",
        "beats @w2",
    ]);
    (time, source, what).prop_map(|(time, source, what)| format!("{time} {source} {what}"))
}

proptest! {
    /// Arrival order decides nothing, and neither do repeats.
    #[test]
    fn any_order_and_any_repetition_give_the_same_state(
        told in prop::collection::vec(sentence(), 0..12),
        arrivals in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let now = "now 1h".to_owned();
        let mut arrived = told.clone();
        arrived.extend(arrivals.iter().filter_map(|n| told.get(n.index(told.len().max(1)))).cloned());
        arrived.sort_by_key(|said| arrivals.iter().position(|n| {
            told.get(n.index(told.len().max(1))) == Some(said)
        }));
        let story = |mut told: Vec<String>| {
            told.push(now.clone());
            Story::of(&told.join(";")).state()
        };
        prop_assert_eq!(story(told), story(arrived));
    }
}
