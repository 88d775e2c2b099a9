//! The first lines of an order's page: the sentence, the conclusion, the promise, the reason.

use order_model::Lifecycle;
use order_store::read::{Calculation, Condition, OrderDetail, OrderSummary, SignOfLife};

use crate::locale::Locale;
use crate::words;

/// How far the answer to a request and the stage that gave it may lie apart.
const ANSWER_SKEW_MS: u64 = 1_000;
/// For this long after the request it is no news that no system has said it was queued.
const QUEUED_WORD_AWAITED_MS: i64 = 15 * 60 * 1_000;

/// Whether the order will be shipped as promised.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) text: String,
    pub(crate) note: String,
    pub(crate) broken: bool,
}

/// Which part of the calculation hangs.
#[derive(Debug)]
pub(crate) struct Why {
    pub(crate) text: String,
    /// Whether the hour has passed.
    pub(crate) over: bool,
}

/// Where it is and since when.
pub(crate) fn sentence(locale: Locale, detail: &OrderDetail) -> String {
    let (order, as_of) = (&detail.summary, detail.as_of);
    if order.stage.is_empty() {
        let unnamed = || locale.t("order.sentence_no_stage").to_owned();
        return future(locale, detail).unwrap_or_else(unnamed);
    }
    let time = locale.near(order.since, as_of);
    let age = locale.age_words(order.age_seconds);
    let stage = words::order_stage_label(locale, order);
    let key = if words::has_ended(order) { "order.sentence_terminal" } else { "order.sentence" };
    locale.fill(key, &[("stage", stage), ("time", &time), ("age", &age)])
}

/// What an event that lies in the future says about clocks; it does not count until then.
pub(crate) fn future(locale: Locale, detail: &OrderDetail) -> Option<String> {
    let at = detail.refold_at.filter(|at| *at > detail.as_of)?;
    let today = locale.day(at) == locale.day(detail.as_of);
    let time = if today { locale.clock(at) } else { locale.moment(at).text };
    Some(locale.fill("order.future", &[("time", &time)]))
}

/// What a conclusion of ours rests on. Only lateness is about time that was granted.
pub(crate) fn derived_hint(locale: Locale, order: &OrderSummary) -> &'static str {
    let key = match order.condition {
        Condition::Unknown if order.stage.is_empty() => "order.derived_no_stage",
        Condition::Unknown => "order.derived_unknown",
        Condition::Abandoned | Condition::NotConfirmed => "order.derived_quiet",
        Condition::LostInHandover => "order.derived_handover",
        Condition::Retrying => "order.derived_retrying",
        _ => "order.derived_time",
    };
    locale.find(key).unwrap_or_default()
}

/// Which system said that the order is there.
pub(crate) fn reported(locale: Locale, detail: &OrderDetail) -> Option<String> {
    let visits = detail.history.iter().rev();
    let visit = visits.into_iter().find(|visit| visit.stage == detail.summary.stage)?;
    Some(locale.fill("order.reported", &[("source", &visit.source)]))
}

/// The point in time behind the conclusion: passed, or to come.
pub(crate) fn limit(locale: Locale, detail: &OrderDetail) -> Option<String> {
    let (order, as_of) = (&detail.summary, detail.as_of);
    let to_come = [
        ("order.limit_will_stuck", order.stuck_at),
        ("order.limit_will_abandoned", detail.abandoned_at),
        ("order.limit_will_not_confirmed", detail.not_confirmed_at),
    ];
    let (key, at) = match order.condition {
        Condition::Stuck => ("order.limit_stuck", order.stuck_at?),
        Condition::Late => ("order.limit_late", order.late_at.filter(|at| *at <= as_of)?),
        Condition::LostInHandover => ("order.limit_lost", detail.handover.as_ref()?.lost_at),
        Condition::Abandoned => ("order.limit_abandoned", detail.abandoned_at?),
        Condition::NotConfirmed => ("order.limit_not_confirmed", detail.not_confirmed_at?),
        Condition::Fine | Condition::Retrying => {
            to_come.into_iter().find_map(|(key, at)| Some((key, at?)))?
        }
        Condition::Unknown => return None,
    };
    Some(locale.fill(key, &[("time", &locale.near(at, as_of))]))
}

/// The promise on the whole order, while it is open.
pub(crate) fn promise(
    locale: Locale,
    lifecycle: &Lifecycle,
    order: &OrderSummary,
    as_of: i64,
) -> Option<Promise> {
    let open = words::promise_is_open(lifecycle, order);
    let promised_at = order.promised_at.filter(|_| open)?;
    let time = locale.day(promised_at);
    let seconds = (promised_at - as_of) / 1000;
    if order.overdue {
        let age = locale.age(-seconds);
        let text = locale.fill("order.overdue", &[("time", &time), ("age", &age)]);
        return Some(Promise { text, note: String::new(), broken: true });
    }
    let note = locale.fill("order.promised_left", &[("age", &locale.age(seconds))]);
    Some(Promise { text: locale.fill("order.promised", &[("time", &time)]), note, broken: false })
}

/// What an unanswered request for a price waits for.
pub(crate) fn why(locale: Locale, detail: &OrderDetail) -> Option<Why> {
    let waiting = detail.calculation.as_ref().filter(|c| c.answered_at.is_none())?;
    let mut sentences = vec![part(locale, detail.as_of, waiting)?];
    match waiting.part.as_str() {
        "running" => sentences.extend(alive(locale, detail, waiting)),
        "failed" if !waiting.error.is_empty() => {
            sentences.push(locale.fill("calculation.error", &[("error", &waiting.error)]));
        }
        _ => {}
    }
    let over = waiting.stuck_at <= detail.as_of;
    if over {
        sentences.push(locale.t("calculation.over").to_owned());
    }
    Some(Why { text: sentences.join(" "), over })
}

/// Who runs it, and when that was last heard of.
fn alive(locale: Locale, detail: &OrderDetail, running: &Calculation) -> Vec<String> {
    let mut sentences = Vec::new();
    if !running.worker.is_empty() {
        sentences.push(locale.fill("calculation.worker", &[("worker", &running.worker)]));
    }
    if let Some(sign) = &detail.sign_of_life {
        let time = locale.near(sign.at, detail.as_of);
        let note = alive_note(locale, sign, detail.as_of);
        let values = [("time", &*time), ("note", &*note)];
        sentences.push(locale.fill("calculation.sign_of_life", &values));
    }
    sentences
}

/// How long ago a sign of life was given, and by which worker.
pub(crate) fn alive_note(locale: Locale, sign: &SignOfLife, as_of: i64) -> String {
    let age = locale.age((as_of - sign.at) / 1000);
    let ago = locale.fill("order.ago", &[("age", &age)]);
    if sign.worker.is_empty() {
        return ago;
    }
    ago + &locale.fill("order.retrying_worker", &[("value", &sign.worker)])
}

/// When the price was ready and how long it took. The clock stops also without a price (the order
/// was cancelled, or approved unpriced): then there is nothing to tell.
pub(crate) fn answered(
    locale: Locale,
    lifecycle: &Lifecycle,
    detail: &OrderDetail,
) -> Option<(String, String)> {
    let calculation = detail.calculation.as_ref()?;
    let answered_at = calculation.answered_at?;
    let prices = |stage: &String| {
        let answers = lifecycle.calculation.answered_by.contains(stage);
        answers && lifecycle.stage(stage).is_some_and(|known| !known.terminal)
    };
    detail.history.iter().find(|visit| {
        prices(&visit.stage) && visit.entered_at.abs_diff(answered_at) <= ANSWER_SKEW_MS
    })?;
    let age = locale.age((answered_at - calculation.requested_at) / 1000);
    let took = locale.fill("calculation.took", &[("age", &age)]);
    Some((locale.moment(answered_at).text, took))
}

fn part(locale: Locale, as_of: i64, calculation: &Calculation) -> Option<String> {
    let since = |millis: i64| (locale.near(millis, as_of), locale.age((as_of - millis) / 1000));
    let (requested, waited) = since(calculation.requested_at);
    let (key, time, age, attempt) = match calculation.part.as_str() {
        "never_queued" if as_of - calculation.requested_at < QUEUED_WORD_AWAITED_MS => {
            ("calculation.just_asked", requested, waited, 0)
        }
        "never_queued" => ("calculation.never_queued", requested, waited, 0),
        "queued" => ("calculation.queued", requested, waited, 0),
        "running" => {
            let (started, runs) = since(calculation.started_at?);
            ("calculation.running", started, runs, calculation.attempt)
        }
        "failed" => ("calculation.failed", requested, waited, calculation.attempt),
        _ => return None,
    };
    let key = if attempt > 0 { format!("{key}_attempt") } else { key.to_owned() };
    let n = attempt.to_string();
    Some(locale.fill(&key, &[("time", &time), ("age", &age), ("n", &n)]))
}
