//! What follows from an order's state and the time: deadlines, and the derived states.
//!
//! The stitcher stores the points in time ([`Judgement`]) with the state; the views of
//! `order-store` compare them with a clock ([`Marks`]). This is the oracle of both.

use std::time::Duration;

use crate::fold::OrderState;
use crate::keys::KIND_READY_MADE;
use crate::lifecycle::{Deadlines, Lifecycle, Stage};
use crate::time::{UnixNanos, to_millis};

/// The points in time at which derived states begin. They change with the facts and the
/// lifecycle, not with the clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// Whether the order ends in its stage.
    pub terminal: bool,
    /// Whether it needs no price: it says so, or has never shown a model nor a calculation.
    pub ready_made: bool,
    /// Whose turn it is: a key of the lifecycle's `[waiting_for]`; empty for an unknown stage.
    pub waiting_for: String,
    /// Services that may set the next stage.
    pub next_set_by: Vec<String>,
    /// Past the first deadline of the stage.
    pub late_at: Option<UnixNanos>,
    /// Past the second.
    pub stuck_at: Option<UnixNanos>,
    /// What the customer was promised.
    pub promised_at: Option<UnixNanos>,
    /// Past the promise; none once it is kept, or the order has ended.
    pub overdue_at: Option<UnixNanos>,
    /// The customer has given up.
    pub abandoned_at: Option<UnixNanos>,
    /// Nobody confirmed the end.
    pub not_confirmed_at: Option<UnixNanos>,
    /// What holds for each stay of [`OrderState::history`], in its order.
    pub stays: Vec<StayTerms>,
}

/// What holds for a stay in a stage, also after it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StayTerms {
    /// Whose turn it is: a key of the lifecycle's `[waiting_for]`; empty for an unknown stage.
    pub waiting_for: String,
    /// From this long on the order is stuck in it. None where there is no such deadline, and where
    /// a price is awaited: that is told of by the calculation ([`PriceWait`]).
    pub stuck_after: Option<Duration>,
}

/// The one-hour rule: the latest request for a price at a point in time. Its clock, queue
/// included, is that of `docs/stitching.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceWait {
    /// Slow from then on, if there is no price by then.
    pub late_at: UnixNanos,
    /// On-call is paged then, likewise.
    pub stuck_at: UnixNanos,
    /// Whether somebody waits for the price.
    pub awaited: bool,
    /// Whether on-call is to be paged.
    pub over_one_hour: bool,
    /// Whether the price came after the hour.
    pub answered_too_late: bool,
    /// Whether the price came within the hour and was heard of so late that on-call may have been
    /// paged meanwhile.
    pub answer_heard_too_late: bool,
}

/// The derived states at a point in time. Several may hold; [`Marks::condition`] is the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// Past the second deadline of the stage.
    pub stuck: bool,
    /// Past the first deadline or the promise, and not stuck.
    pub late: bool,
    /// A message about it was published and nobody took it in time.
    pub lost_in_handover: bool,
    /// Its calculation is being tried again.
    pub retrying: bool,
    /// The customer has given up.
    pub abandoned: bool,
    /// Nobody confirmed the end.
    pub not_confirmed: bool,
    /// In a status that the lifecycle does not know, or in none yet.
    pub unknown: bool,
}

/// The gravest of the derived states.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Condition {
    /// See [`Marks::stuck`].
    Stuck,
    /// See [`Marks::late`].
    Late,
    /// See [`Marks::lost_in_handover`].
    LostInHandover,
    /// See [`Marks::not_confirmed`].
    NotConfirmed,
    /// See [`Marks::abandoned`].
    Abandoned,
    /// See [`Marks::unknown`].
    Unknown,
    /// See [`Marks::retrying`].
    Retrying,
    /// None of them.
    Fine,
}

impl Condition {
    /// Every condition, the gravest first.
    pub const ALL: [Self; 8] = [
        Self::Stuck,
        Self::Late,
        Self::LostInHandover,
        Self::NotConfirmed,
        Self::Abandoned,
        Self::Unknown,
        Self::Retrying,
        Self::Fine,
    ];

    /// As the store and the API write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Late => "late",
            Self::LostInHandover => "lost_in_handover",
            Self::Unknown => "unknown",
            Self::NotConfirmed => "not_confirmed",
            Self::Abandoned => "abandoned",
            Self::Retrying => "retrying",
            Self::Fine => "fine",
        }
    }

    /// The condition of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == text)
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    /// For rows of the store and bodies of the API, both of which write conditions as text.
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no condition"))
    }
}

/// Within this an answer that was heard of has been derived, also by a stitcher that took over from
/// another.
pub const ANSWER_DERIVED_WITHIN: Duration = Duration::from_mins(15);

fn after(time: UnixNanos, wait: Duration) -> UnixNanos {
    time.saturating_add(nanos(wait))
}

fn nanos(wait: Duration) -> i64 {
    i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)
}

/// The points in time that follow from a state.
#[must_use]
pub fn judge(lifecycle: &Lifecycle, state: &OrderState) -> Judgement {
    let since = state.stage_since;
    let ready_made = state.kind == KIND_READY_MADE
        || (state.kind.is_empty() && !state.has_model && state.calculation.is_none());
    let promised_at = state.promised_from.map(|from| after(from, lifecycle.promise.within));
    let history = state.history.iter();
    let stays = history.map(|visit| stay(lifecycle, &visit.stage, ready_made)).collect();
    let Some(stage) = lifecycle.stage(&state.stage) else {
        let overdue_at = promised_at.filter(|_| state.promised_to.is_none());
        return Judgement { ready_made, promised_at, overdue_at, stays, ..Judgement::default() };
    };
    let terms = terms(stage, ready_made);
    let clock = if stage.measured_from_price_request {
        let open = state.calculation.as_ref().filter(|c| c.answered_at.is_none());
        open.map(|calculation| calculation.requested_at)
    } else {
        Some(since)
    };
    let at = |wait: fn(Deadlines) -> Duration| Some(after(clock?, wait(terms.deadlines?)));
    let kept = state.promised_to.is_some() || stage.terminal;
    Judgement {
        terminal: stage.terminal,
        ready_made,
        waiting_for: terms.waiting_for.to_owned(),
        next_set_by: next_set_by(lifecycle, state, ready_made),
        late_at: at(|deadlines| deadlines.late),
        stuck_at: at(|deadlines| deadlines.stuck),
        promised_at,
        overdue_at: promised_at.filter(|_| !kept),
        abandoned_at: stage.abandoned_after.map(|wait| after(since, wait)),
        not_confirmed_at: stage.not_confirmed_after.map(|wait| after(since, wait)),
        stays,
    }
}

/// A stage as orders of one kind pass it.
struct Terms<'a> {
    waiting_for: &'a str,
    deadlines: Option<Deadlines>,
}

fn terms(stage: &Stage, ready_made: bool) -> Terms<'_> {
    let differs = stage.ready_made.as_ref().filter(|_| ready_made);
    Terms {
        waiting_for: differs.map_or(&stage.waiting_for, |differs| &differs.waiting_for),
        deadlines: differs.map(|differs| differs.deadlines).or(stage.deadlines),
    }
}

fn stay(lifecycle: &Lifecycle, stage: &str, ready_made: bool) -> StayTerms {
    let Some(stage) = lifecycle.stage(stage) else { return StayTerms::default() };
    let Terms { waiting_for, deadlines } = terms(stage, ready_made);
    let asks_for_price = !ready_made && stage.name == lifecycle.calculation.requested_by;
    let awaits_price = asks_for_price || stage.measured_from_price_request;
    let stuck_after = deadlines.filter(|_| !awaits_price).map(|deadlines| deadlines.stuck);
    StayTerms { waiting_for: waiting_for.to_owned(), stuck_after }
}

/// Who may set the next stage that an order of this kind and channel passes. A calculation that
/// fails is nobody's next step.
fn next_set_by(lifecycle: &Lifecycle, state: &OrderState, ready_made: bool) -> Vec<String> {
    let rank = usize::from(lifecycle.rank(&state.stage));
    if lifecycle.stage(&state.stage).is_some_and(|stage| stage.terminal) {
        return Vec::new();
    }
    let kind = if ready_made { KIND_READY_MADE } else { &state.kind };
    let skips = |who: &String| *who == kind || *who == state.channel;
    let passes =
        |s: &&Stage| s.name != lifecycle.calculation.failed_by && !s.skipped_by.iter().any(skips);
    let next = lifecycle.stages.iter().skip(rank).find(passes);
    next.map_or_else(Vec::new, |stage| stage.set_by.clone())
}

impl Judgement {
    /// Whether the order has ended for good at `now`: nothing is waited for and no deadline runs,
    /// or the customer has given up. Such orders stand apart in the store.
    #[must_use]
    pub fn settled(&self, now: UnixNanos) -> bool {
        let ended = self.terminal && self.stuck_at.is_none();
        ended || self.abandoned_at.is_some_and(|at| at <= now)
    }

    /// The one-hour rule at `as_of`; none if no price was ever asked for. `open`: whether the order
    /// has not ended for good, as it was derived.
    #[must_use]
    pub fn price_wait(
        &self,
        lifecycle: &Lifecycle,
        state: &OrderState,
        open: bool,
        as_of: UnixNanos,
    ) -> Option<PriceWait> {
        let calculation = state.calculation.as_ref()?;
        let stuck_at = after(calculation.requested_at, lifecycle.calculation.stuck);
        let given_up = self.abandoned_at.is_some_and(|at| at <= as_of);
        let awaited = open && !given_up && calculation.answered_at.is_none();
        let in_doubt = stuck_at.saturating_sub(nanos(ANSWER_DERIVED_WITHIN));
        let heard_in_doubt = calculation.answer_heard_at.is_some_and(|at| at > to_millis(in_doubt));
        Some(PriceWait {
            late_at: after(calculation.requested_at, lifecycle.calculation.late),
            stuck_at,
            awaited,
            over_one_hour: awaited && stuck_at <= as_of,
            answered_too_late: calculation.answered_at.is_some_and(|at| at > stuck_at),
            answer_heard_too_late: calculation.answered_at.is_some_and(|at| at <= stuck_at)
                && stuck_at <= as_of
                && heard_in_doubt,
        })
    }

    /// The derived states at `as_of`. Of an order that has ended for good nothing is waited for:
    /// it may be abandoned, and is nothing else.
    #[must_use]
    pub fn marks(&self, lifecycle: &Lifecycle, state: &OrderState, as_of: UnixNanos) -> Marks {
        let passed = |at: Option<UnixNanos>| at.is_some_and(|at| at <= as_of);
        let abandoned = passed(self.abandoned_at);
        if self.settled(as_of) {
            return Marks { abandoned, ..Marks::default() };
        }
        let stuck = passed(self.stuck_at);
        Marks {
            stuck,
            late: !stuck && (passed(self.late_at) || passed(self.overdue_at)),
            lost_in_handover: passed(state.handover.as_ref().map(|handover| handover.lost_at)),
            retrying: state.calculation.as_ref().is_some_and(|c| c.retrying_since.is_some()),
            abandoned,
            not_confirmed: passed(self.not_confirmed_at),
            unknown: lifecycle.rank(&state.stage) == 0,
        }
    }
}

impl Marks {
    /// The gravest.
    #[must_use]
    pub fn condition(self) -> Condition {
        let marks = [
            (self.stuck, Condition::Stuck),
            (self.late, Condition::Late),
            (self.lost_in_handover, Condition::LostInHandover),
            (self.not_confirmed, Condition::NotConfirmed),
            (self.abandoned, Condition::Abandoned),
            (self.unknown, Condition::Unknown),
            (self.retrying, Condition::Retrying),
        ];
        let gravest = marks.into_iter().find(|(holds, _)| *holds);
        gravest.map_or(Condition::Fine, |(_, condition)| condition)
    }
}

#[cfg(test)]
mod tests;
