//! The one-hour rule: the latest request for a price, and what became of it.

use super::{CalculationPart, CalculationState, SignalKind, StageSignal};
use crate::lifecycle::Lifecycle;
use crate::time::UnixNanos;

/// The latest request and what became of it. An answer belongs to a request if it is not older
/// than the request by more than the skew.
pub(super) fn calculation(
    lifecycle: &Lifecycle,
    heard: &[StageSignal],
    skew: i64,
) -> Option<CalculationState> {
    let rule = &lifecycle.calculation;
    let named = |name: &str| -> Vec<&StageSignal> {
        let is = |s: &&StageSignal| matches!(&s.kind, SignalKind::Stage(stage) if stage == name);
        heard.iter().filter(is).collect()
    };
    let times = |signals: &[&StageSignal]| -> Vec<UnixNanos> {
        signals.iter().map(|s| s.event_time).collect()
    };
    let asked = times(&named(&rule.requested_by));
    let requests = |s: &&StageSignal| s.kind == SignalKind::PriceRequested;
    let published = times(&heard.iter().filter(requests).collect::<Vec<_>>());
    let (begun, failed) = (named(&rule.started_by), named(&rule.failed_by));
    let answered = |s: &&StageSignal| matches!(&s.kind, SignalKind::Stage(stage) if answers_a_request(lifecycle, stage));
    let answers_heard: Vec<&StageSignal> = heard.iter().filter(answered).collect();
    let answers = times(&answers_heard);

    let begun_at = times(&begun);
    let last_request = asked.iter().chain(&published).chain(&begun_at).max().copied()?;
    let before = |a: &&UnixNanos| **a < last_request.saturating_sub(skew);
    let previous_answer = answers.iter().filter(before).max().copied().unwrap_or(i64::MIN);
    let answered_at = answers.iter().filter(|a| !before(a)).min().copied();
    let open = |t: &&UnixNanos| **t > previous_answer;
    let first = published.iter().chain(&begun_at).filter(open).min().copied();
    let requested_at = asked.iter().filter(open).max().copied().or(first)?;
    let within = |t: UnixNanos| t > previous_answer && t >= requested_at.saturating_sub(skew);
    let latest = |signals: &[&StageSignal]| {
        let open = signals.iter().filter(|s| within(s.event_time));
        open.max_by(|a, b| order(a).cmp(&order(b))).map(|s| (*s).clone())
    };
    let (last_begun, last_failed) = (latest(&begun), latest(&failed));
    let started_at = last_begun.as_ref().map(|s| s.event_time);
    let failed_at = last_failed.as_ref().map(|s| s.event_time);
    let queued_at = published.iter().copied().filter(|t| within(*t)).max();
    let part = match (answered_at, started_at, failed_at) {
        (Some(_), _, _) => CalculationPart::Answered,
        (None, started, Some(failed)) if started.is_none_or(|s| failed >= s) => {
            CalculationPart::Failed
        }
        (None, Some(_), _) => CalculationPart::Running,
        (None, None, _) if queued_at.is_some() => CalculationPart::Queued,
        (None, None, _) => CalculationPart::NeverQueued,
    };
    let attempts = begun.iter().filter(|s| within(s.event_time)).map(|s| s.attempt);
    let attempt = attempts.max().unwrap_or(0);
    let again_at = started_at.max(queued_at);
    let again = part == CalculationPart::Running && attempt > 1
        || failed_at.is_some_and(|failed| again_at.is_some_and(|again| again > failed));
    Some(CalculationState {
        requested_at,
        started_at,
        answered_at,
        answer_heard_at: answers_heard
            .iter()
            .filter(|s| s.event_time >= last_request.saturating_sub(skew))
            .map(|s| s.heard_at)
            .min(),
        failed_at,
        part,
        attempt,
        worker: last_begun.map_or_else(String::new, |s| s.worker),
        error: last_failed.map_or_else(String::new, |s| s.error),
        retrying_since: again_at.filter(|_| again && answered_at.is_none()),
    })
}

/// Of two signals of one moment the evidence decides, so that arrival does not.
fn order(signal: &StageSignal) -> (UnixNanos, &str, &str) {
    (signal.event_time, &signal.worker, &signal.error)
}

/// A stage that says so, or any stage beyond it: an order that is being made has been priced,
/// also when the signal of its price was lost.
fn answers_a_request(lifecycle: &Lifecycle, stage: &str) -> bool {
    let answered_by = &lifecycle.calculation.answered_by;
    let first = answered_by.iter().map(|name| lifecycle.rank(name)).min().unwrap_or(0);
    answered_by.iter().any(|name| name == stage) || lifecycle.rank(stage) > first
}
