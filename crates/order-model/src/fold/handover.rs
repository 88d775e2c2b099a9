//! Hand-overs: messages about the order that were published and that nobody has taken.

use super::{PendingHandover, SignalKind, StageSignal};
use crate::lifecycle::{Handover, Lifecycle};
use crate::time::UnixNanos;

/// Of every destination the latest message counts; of those not taken, the one that is lost
/// first. An order that has ended waits for nobody.
pub(super) fn pending(
    lifecycle: &Lifecycle,
    heard: &[StageSignal],
    stage: &str,
    skew: i64,
) -> Option<PendingHandover> {
    if lifecycle.stage(stage).is_some_and(|stage| stage.terminal) {
        return None;
    }
    let waiting = lifecycle.handovers.iter().filter_map(|rule| of_destination(rule, heard, skew));
    waiting.min_by_key(|handover| (handover.lost_at, handover.destination.clone()))
}

fn of_destination(rule: &Handover, heard: &[StageSignal], skew: i64) -> Option<PendingHandover> {
    let published = heard.iter().filter(|s| is_handed_over(s, &rule.destination));
    let last = published.max_by_key(|s| (s.event_time, &s.source))?;
    if heard.iter().any(|s| takes(rule, s, last.event_time, skew)) {
        return None;
    }
    let lost_after = i64::try_from(rule.lost_after.as_nanos()).unwrap_or(i64::MAX);
    Some(PendingHandover {
        destination: rule.destination.clone(),
        from: last.source.clone(),
        to: rule.to.clone(),
        at: last.event_time,
        lost_at: last.event_time.saturating_add(lost_after),
    })
}

fn is_handed_over(signal: &StageSignal, destination: &str) -> bool {
    matches!(&signal.kind, SignalKind::HandedOver(to) if to == destination)
}

/// A consumer says that it took the message; or a service that should take it is heard of the
/// order afterwards. One that publishes there, too, must be heard later than the skew explains.
fn takes(rule: &Handover, signal: &StageSignal, at: UnixNanos, skew: i64) -> bool {
    let taken = matches!(&signal.kind, SignalKind::TakenOver(from) if *from == rule.destination);
    if taken {
        return signal.event_time >= at.saturating_sub(skew);
    }
    if !rule.to.contains(&signal.source) {
        return false;
    }
    if rule.from.contains(&signal.source) {
        signal.event_time > at.saturating_add(skew)
    } else {
        signal.event_time >= at.saturating_sub(skew)
    }
}
