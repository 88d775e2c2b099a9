//! The truth about the orders of a run, computed from their plans alone.
//!
//! It is what a board must show once everything sent has arrived. `late` and `stuck` exclude
//! each other: a stuck order does not count as late.

use crate::population::OrderPlan;
use crate::scenario::identity::Identity;
use crate::stage::{CALCULATION_LIMIT_MS, Channel, Kind, PROMISE_MS, Stage};
use crate::trace_plan::StepPlan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The truth as of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// The moment, in milliseconds since 1970.
    pub as_of_ms: i64,
    /// From here on, some order has crossed a deadline and the counts of late and stuck are no
    /// longer these. `None` when nothing waits.
    pub holds_until_ms: Option<i64>,
    /// How many orders there are.
    pub orders_total: u64,
    /// Every stage, also where there is no order.
    pub stages: BTreeMap<Stage, StageCount>,
    /// Orders whose price was asked for over an hour ago.
    pub calc_over_one_hour: u64,
    /// Spans of all orders.
    pub spans_total: u64,
    /// Each order.
    pub orders: Vec<OrderTruth>,
}

/// How many orders are at a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCount {
    /// All of them.
    pub total: u64,
    /// Those over a deadline that are not stuck.
    pub late: u64,
    /// Those over the second deadline.
    pub stuck: u64,
}

/// The truth about one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTruth {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub stage: Stage,
    /// Since when, in milliseconds since 1970, by true time.
    pub since_ms: i64,
    /// Who ordered it.
    pub channel: Channel,
    /// What is ordered.
    pub kind: Kind,
    /// Whether it is over a deadline and not stuck.
    pub late: bool,
    /// Whether it is over the second deadline of its stage.
    pub stuck: bool,
    /// Whether its price was asked for over an hour ago and is still not known.
    pub calc_over_one_hour: bool,
    /// How many spans belong to it, by name, by trace or by link.
    pub spans: u64,
    /// In how many traces.
    pub traces: u64,
    /// How many signals of stages were sent for it, repeats included.
    pub stage_signals: u64,
    /// How many of them were log records.
    pub log_records: u64,
    /// The partner's own number of the order.
    pub partner_number: Option<String>,
}

/// What has happened to an order, as much of it as the truth needs.
#[derive(Clone, Debug)]
pub struct OrderHistory {
    /// Who it is.
    pub identity: Identity,
    /// The steps that were taken.
    pub steps: Vec<Happened>,
}

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Happened {
    /// When, in milliseconds since 1970, by true time.
    pub at_ms: i64,
    /// The stage that began with it.
    pub stage: Option<Stage>,
    /// How many spans it took.
    pub spans: u64,
    /// How many log records.
    pub log_records: u64,
}

impl From<&StepPlan> for Happened {
    fn from(step: &StepPlan) -> Self {
        Self {
            at_ms: step.at_ms,
            stage: step.stage,
            spans: step.root.span_count(),
            log_records: step.logs.len() as u64,
        }
    }
}

impl From<&OrderPlan> for OrderHistory {
    fn from(plan: &OrderPlan) -> Self {
        let steps = plan.steps.iter().map(Happened::from).collect();
        Self { identity: plan.identity.clone(), steps }
    }
}

/// The truth about these orders as of that moment.
#[must_use]
pub fn truth<'a>(orders: impl IntoIterator<Item = &'a OrderHistory>, as_of_ms: i64) -> Truth {
    let mut truth = Truth {
        as_of_ms,
        holds_until_ms: None,
        orders_total: 0,
        stages: Stage::ALL.into_iter().map(|stage| (stage, StageCount::default())).collect(),
        calc_over_one_hour: 0,
        spans_total: 0,
        orders: Vec::new(),
    };
    for history in orders {
        let Some(state) = OrderState::of(history) else { continue };
        let order = state.judge(history, as_of_ms);
        let count = truth.stages.entry(order.stage).or_default();
        count.total += 1;
        count.late += u64::from(order.late);
        count.stuck += u64::from(order.stuck);
        truth.orders_total += 1;
        truth.calc_over_one_hour += u64::from(order.calc_over_one_hour);
        truth.spans_total += order.spans;
        let next = state.next_change_ms(history, &order, as_of_ms);
        truth.holds_until_ms = [truth.holds_until_ms, next].into_iter().flatten().min();
        truth.orders.push(order);
    }
    truth
}

/// What the stage signals of one order add up to.
struct OrderState {
    stage: Stage,
    since_ms: i64,
    submitted_ms: Option<i64>,
    price_asked_ms: Option<i64>,
}

impl OrderState {
    /// `None` while no stage has begun.
    fn of(history: &OrderHistory) -> Option<Self> {
        let mut signals: Vec<_> =
            history.steps.iter().filter_map(|step| Some((step.at_ms, step.stage?))).collect();
        signals.sort_by_key(|(at_ms, _)| *at_ms);
        let (at_ms, stage) = *signals.first()?;
        let mut state = Self { stage, since_ms: at_ms, submitted_ms: None, price_asked_ms: None };
        let needs_price = history.identity.kind == Kind::Custom;
        for (at_ms, stage) in signals {
            if stage != state.stage {
                (state.stage, state.since_ms) = (stage, at_ms);
            }
            match stage {
                Stage::Submitted => state.submitted_ms = state.submitted_ms.or(Some(at_ms)),
                Stage::PriceCalculated | Stage::Cancelled => state.price_asked_ms = None,
                _ => {}
            }
            if needs_price && matches!(stage, Stage::Submitted | Stage::CalculationRunning) {
                state.price_asked_ms = state.price_asked_ms.or(Some(at_ms));
            }
        }
        Some(state)
    }

    /// From when the deadline of the current stage runs.
    fn measured_from_ms(&self) -> i64 {
        let asked_ms = self.price_asked_ms.filter(|_| self.stage.measured_from_request());
        asked_ms.unwrap_or(self.since_ms)
    }

    fn judge(&self, history: &OrderHistory, as_of_ms: i64) -> OrderTruth {
        let over = |since_ms: Option<i64>, limit_ms| {
            since_ms.is_some_and(|since_ms| as_of_ms - since_ms >= limit_ms)
        };
        let identity = &history.identity;
        let deadline = self.stage.deadline(identity.kind);
        let since = Some(self.measured_from_ms());
        let stuck = deadline.is_some_and(|deadline| over(since, deadline.stuck_ms));
        let overdue = self.stage.awaits_shipment() && over(self.submitted_ms, PROMISE_MS);
        let late = overdue || deadline.is_some_and(|deadline| over(since, deadline.late_ms));
        let steps = || history.steps.iter();
        OrderTruth {
            id: identity.id.clone(),
            stage: self.stage,
            since_ms: self.since_ms,
            channel: identity.channel,
            kind: identity.kind,
            late: late && !stuck,
            stuck,
            calc_over_one_hour: over(self.price_asked_ms, CALCULATION_LIMIT_MS),
            spans: steps().map(|step| step.spans).sum(),
            traces: history.steps.len() as u64,
            stage_signals: steps().filter(|step| step.stage.is_some()).count() as u64,
            log_records: steps().map(|step| step.log_records).sum(),
            partner_number: identity.partner.as_ref().map(|(_, number)| number.clone()),
        }
    }

    /// When waiting alone next makes the order something else than it is now.
    fn next_change_ms(
        &self,
        history: &OrderHistory,
        now: &OrderTruth,
        as_of_ms: i64,
    ) -> Option<i64> {
        self.crossings_ms(history.identity.kind)
            .filter(|at_ms| *at_ms > as_of_ms)
            .filter(|at_ms| self.judge(history, *at_ms) != *now)
            .min()
    }

    /// Every moment at which the order crosses, or crossed, a deadline.
    fn crossings_ms(&self, kind: Kind) -> impl Iterator<Item = i64> {
        let deadline = self.stage.deadline(kind);
        let from_ms = self.measured_from_ms();
        let promise = self.submitted_ms.filter(|_| self.stage.awaits_shipment());
        [
            deadline.map(|deadline| from_ms + deadline.late_ms),
            deadline.map(|deadline| from_ms + deadline.stuck_ms),
            promise.map(|submitted_ms| submitted_ms + PROMISE_MS),
            self.price_asked_ms.map(|asked_ms| asked_ms + CALCULATION_LIMIT_MS),
        ]
        .into_iter()
        .flatten()
    }
}

impl Truth {
    /// The counts as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!("{:<24}{:>8}{:>8}{:>8}\n", "stage", "total", "late", "stuck");
        let mut row = |name: &str, count: StageCount| {
            let StageCount { total, late, stuck } = count;
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{name:<24}{total:>8}{late:>8}{stuck:>8}");
        };
        let mut all = StageCount::default();
        for (stage, count) in &self.stages {
            row(stage.name(), *count);
            all.total += count.total;
            all.late += count.late;
            all.stuck += count.stuck;
        }
        row("all", all);
        let _ = writeln!(table, "calculation over one hour {:>6}", self.calc_over_one_hour);
        let _ = writeln!(table, "spans {:>26}", self.spans_total);
        table
    }
}
