//! The fold: from the signals of one order to its state, by the rules of stitching.
//!
//! Pure: the stitcher reads an order's facts, asks this module, and writes the answer down.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::keys::{CHANNEL_B2B, CHANNEL_B2C, KIND_READY_MADE};
use crate::lifecycle::Lifecycle;
use crate::time::UnixNanos;

mod calculation;
mod handover;

/// What a signal says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignalKind {
    /// A stage begins; the name as the source wrote it.
    Stage(String),
    /// A price was asked for.
    PriceRequested,
    /// A message about the order was sent to this destination.
    HandedOver(String),
    /// A message about the order was taken from this destination.
    TakenOver(String),
}

/// Most signals of one order that count, the latest that are not in the future; a real order has
/// dozens. More come from a
/// mistake or an attack, and are kept as facts.
pub const SIGNALS_MAX: usize = 10_000;

/// One signal of an order. Its identity is (kind, event time, source).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSignal {
    /// What it says.
    pub kind: SignalKind,
    /// When, by the clock of the source.
    pub event_time: UnixNanos,
    /// `service.name` of the source.
    pub source: String,
    /// Attempt of a calculation; 0 when not said.
    pub attempt: u32,
    /// When anybody could first know of it, milliseconds: the store's clock as it came in.
    pub heard_at: i64,
    /// The worker that says it, or empty.
    pub worker: String,
    /// Text of an error, or empty.
    pub error: String,
}

/// A sign of life of long work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// When, by the clock of the source.
    pub at: UnixNanos,
    /// Who, or empty.
    pub worker: String,
}

/// What is known of an order besides its signals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderTraits {
    /// `custom`, `ready_made`, or empty when nobody said.
    pub kind: String,
    /// `b2c`, `b2b`, or empty when nobody said.
    pub channel: String,
    /// Whether a source named a model.
    pub has_model: bool,
}

/// One stay in a stage: consecutive signals of the same stage are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The stage, as written.
    pub stage: String,
    /// When it began.
    pub entered_at: UnixNanos,
    /// Who said so first.
    pub source: String,
    /// The highest attempt named during the stay.
    pub attempt: u32,
}

/// Where a calculation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalculationPart {
    /// Asked for, but no published request was heard of.
    NeverQueued,
    /// The request was published and not picked up.
    Queued,
    /// A worker has begun.
    Running,
    /// The last attempt failed.
    Failed,
    /// There is a price, or none is wanted any more.
    Answered,
}

impl CalculationPart {
    /// As the store writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverQueued => "never_queued",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Answered => "answered",
        }
    }
}

/// The latest request for a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalculationState {
    /// When the clock started.
    pub requested_at: UnixNanos,
    /// When a worker last began.
    pub started_at: Option<UnixNanos>,
    /// When the clock stopped.
    pub answered_at: Option<UnixNanos>,
    /// When the collector first heard of any answer to this request, milliseconds.
    pub answer_heard_at: Option<i64>,
    /// When the last attempt failed, also if another has begun since.
    pub failed_at: Option<UnixNanos>,
    /// Where it stands.
    pub part: CalculationPart,
    /// The highest attempt that was said to begin; 0 when nobody counted.
    pub attempt: u32,
    /// Who last began, or empty.
    pub worker: String,
    /// What the last failure said, or empty.
    pub error: String,
    /// Since when it is tried again, while there is no answer.
    pub retrying_since: Option<UnixNanos>,
}

/// A message about the order that nobody has taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingHandover {
    /// Where it was published.
    pub destination: String,
    /// Who published it.
    pub from: String,
    /// Who should take it.
    pub to: Vec<String>,
    /// When it was published.
    pub at: UnixNanos,
    /// When it counts as lost.
    pub lost_at: UnixNanos,
}

/// The state of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderState {
    /// The current stage, as written; empty when there is no stage signal yet.
    pub stage: String,
    /// When the current stay in it began.
    pub stage_since: UnixNanos,
    /// `custom`, `ready_made` or empty.
    pub kind: String,
    /// `b2c`, `b2b` or empty.
    pub channel: String,
    /// Whether the order has a 3D model.
    pub has_model: bool,
    /// The latest event that is not in the future.
    pub last_event_at: UnixNanos,
    /// Every stay, in the order of event time.
    pub history: Vec<Visit>,
    /// The latest request for a price, if the order needs one.
    pub calculation: Option<CalculationState>,
    /// The message that waits longest to be taken, unless the order has ended.
    pub handover: Option<PendingHandover>,
    /// The latest sign of life of long work, and whose.
    pub sign_of_life: Option<(UnixNanos, String)>,
    /// When the order entered its first stage, and the stages of the promise.
    pub promised_from: Option<UnixNanos>,
    /// When it reached the stage that keeps the promise.
    pub promised_to: Option<UnixNanos>,
    /// The earliest event from the future: derive again then.
    pub refold_at: Option<UnixNanos>,
}

/// What is later than this is of the future at `now`.
#[must_use]
pub fn horizon(lifecycle: &Lifecycle, now: UnixNanos) -> UnixNanos {
    now.saturating_add(nanos(lifecycle.skew))
}

/// Folds the signals of one order, in any order and with repeats, as seen at `now`.
#[must_use]
pub fn fold(
    lifecycle: &Lifecycle,
    signals: &[StageSignal],
    heartbeats: &[Heartbeat],
    traits: &OrderTraits,
    now: UnixNanos,
) -> OrderState {
    let skew = nanos(lifecycle.skew);
    let horizon = horizon(lifecycle, now);
    let unique = unique(signals);
    let times = unique.iter().map(|s| s.event_time).chain(heartbeats.iter().map(|beat| beat.at));
    let refold_at = times.filter(|t| *t > horizon).min();
    let heard = latest(unique.into_iter().filter(|s| s.event_time <= horizon).collect());
    let stays = stays(lifecycle, &heard);
    let stage = current_stage(lifecycle, &heard, skew);
    let since = stays.iter().rev().find(|v| v.stage == stage).map_or(0, |v| v.entered_at);
    let channel = channel(lifecycle, traits, &stays);
    let has_model = traits.has_model || stays.iter().any(|v| means_model(lifecycle, &v.stage));
    let calculation = calculation::calculation(lifecycle, &heard, skew)
        .filter(|_| needs_price(lifecycle, traits, &channel, has_model, &heard));
    let first = |name: &str| {
        let named = heard.iter().filter(|s| stage_of(s) == Some(name));
        named.map(|s| s.event_time).min()
    };
    let beats = heartbeats.iter().filter(|beat| beat.at <= horizon);
    let sign_of_life = beats.map(|beat| (beat.at, beat.worker.clone())).max();
    OrderState {
        handover: handover::pending(lifecycle, &heard, &stage, skew),
        sign_of_life,
        promised_from: first(&lifecycle.promise.from),
        promised_to: first(&lifecycle.promise.to),
        stage_since: since,
        kind: traits.kind.clone(),
        channel,
        has_model,
        last_event_at: heard.iter().map(|s| s.event_time).max().unwrap_or(0),
        history: stays,
        calculation,
        refold_at,
        stage,
    }
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// One signal per identity; of repeats the highest attempt, the first hearing and the greatest
/// text are kept. Each is a maximum or a minimum, so that the store may join repeats in any order,
/// and any part of them, beforehand.
fn unique(signals: &[StageSignal]) -> Vec<StageSignal> {
    let mut identities: BTreeMap<(SignalKind, UnixNanos, String), StageSignal> = BTreeMap::new();
    for signal in signals {
        let identity = (signal.kind.clone(), signal.event_time, signal.source.clone());
        let known = identities.entry(identity).or_insert_with(|| signal.clone());
        known.attempt = signal.attempt.max(known.attempt);
        known.heard_at = signal.heard_at.min(known.heard_at);
        for (kept, text) in [(&mut known.worker, &signal.worker), (&mut known.error, &signal.error)]
        {
            if text > kept {
                kept.clone_from(text);
            }
        }
    }
    identities.into_values().collect()
}

/// At most [`SIGNALS_MAX`] of the signals.
fn latest(mut signals: Vec<StageSignal>) -> Vec<StageSignal> {
    if signals.len() > SIGNALS_MAX {
        signals.sort_by_cached_key(|s| (Reverse(s.event_time), s.kind.clone(), s.source.clone()));
        signals.truncate(SIGNALS_MAX);
    }
    signals
}

fn stage_of(signal: &StageSignal) -> Option<&str> {
    match &signal.kind {
        SignalKind::Stage(stage) => Some(stage),
        _ => None,
    }
}

/// T is the latest stage event; of the stages whose last event is at or after T − skew, the one
/// furthest along. Unknown stages have rank 0; between two of them the name decides.
fn current_stage(lifecycle: &Lifecycle, heard: &[StageSignal], skew: i64) -> String {
    let stages = || heard.iter().filter_map(|s| stage_of(s).map(|stage| (s.event_time, stage)));
    let Some(latest) = stages().map(|(t, _)| t).max() else { return String::new() };
    let recent = stages().filter(|(t, _)| *t >= latest.saturating_sub(skew));
    let furthest = recent.max_by_key(|(_, stage)| (lifecycle.rank(stage), *stage));
    furthest.map_or(String::new(), |(_, stage)| stage.to_owned())
}

/// Stays in the order of (event time, rank, name, source).
fn stays(lifecycle: &Lifecycle, heard: &[StageSignal]) -> Vec<Visit> {
    let mut ordered: Vec<_> = heard.iter().filter_map(|s| stage_of(s).map(|st| (s, st))).collect();
    ordered.sort_by_key(|(s, stage)| (s.event_time, lifecycle.rank(stage), *stage, &s.source));
    let mut stays: Vec<Visit> = Vec::new();
    for (signal, stage) in ordered {
        match stays.last_mut() {
            Some(stay) if stay.stage == stage => stay.attempt = stay.attempt.max(signal.attempt),
            _ => stays.push(Visit {
                stage: stage.to_owned(),
                entered_at: signal.event_time,
                source: signal.source.clone(),
                attempt: signal.attempt,
            }),
        }
    }
    stays
}

/// What a source said, or who set the first stage: a service that sets the lifecycle's first
/// stage is the shop, any other means a partner.
fn channel(lifecycle: &Lifecycle, traits: &OrderTraits, stays: &[Visit]) -> String {
    if !traits.channel.is_empty() {
        return traits.channel.clone();
    }
    let Some(first) = stays.first() else { return String::new() };
    let shop = lifecycle.shop_services().contains(&first.source);
    if shop { CHANNEL_B2C } else { CHANNEL_B2B }.to_owned()
}

fn means_model(lifecycle: &Lifecycle, stage: &str) -> bool {
    lifecycle.stage(stage).is_some_and(|s| s.means_model)
}

/// A ready-made piece needs no price. Any other order does if it has a model, comes through the
/// partner API, or is already being calculated.
fn needs_price(
    lifecycle: &Lifecycle,
    traits: &OrderTraits,
    channel: &str,
    has_model: bool,
    heard: &[StageSignal],
) -> bool {
    let rule = &lifecycle.calculation;
    let calculating = |s: &StageSignal| match &s.kind {
        SignalKind::PriceRequested => true,
        SignalKind::Stage(stage) => *stage == rule.started_by || *stage == rule.failed_by,
        SignalKind::HandedOver(_) | SignalKind::TakenOver(_) => false,
    };
    traits.kind != KIND_READY_MADE
        && (has_model || channel == CHANNEL_B2B || heard.iter().any(calculating))
}

#[cfg(test)]
pub(crate) mod tests;
