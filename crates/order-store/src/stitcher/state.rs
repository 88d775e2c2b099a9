//! The row of `orders` that a derivation writes.

use std::collections::BTreeMap;

use clickhouse::Row;
use order_model::graph::{Group, Through, message_of};
use order_model::time::to_millis;
use order_model::{Judgement, OrderState};
use serde::Serialize;

use super::facts::{OrderFacts, Told};
use crate::UnixMillis;

/// Within this time of the receipt of its last fact (which may have waited in a journal) an order may
/// be derived by someone who has not read that
/// fact yet: its end is announced to `orders_open` whether or not the order stood there.
const ANNOUNCED_WITHIN_MS: i64 = 7 * 86_400_000;

/// A row of `orders`, column for column.
#[derive(Debug, Clone, Default, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StateRow {
    order_id: String,
    merged_into: String,
    other_ids: Vec<String>,
    kind: String,
    channel: String,
    has_model: u8,
    is_ready_made: u8,
    stage: String,
    stage_rank: u16,
    stage_since: UnixMillis,
    first_event_at: UnixMillis,
    last_event_at: UnixMillis,
    last_received_at: UnixMillis,
    submitted_at: Option<UnixMillis>,
    shipped_at: Option<UnixMillis>,
    terminal: u8,
    waiting_for: String,
    next_set_by: Vec<String>,
    late_at: Option<UnixMillis>,
    stuck_at: Option<UnixMillis>,
    promised_at: Option<UnixMillis>,
    overdue_at: Option<UnixMillis>,
    abandoned_at: Option<UnixMillis>,
    not_confirmed_at: Option<UnixMillis>,
    calculation_requested_at: Option<UnixMillis>,
    calculation_started_at: Option<UnixMillis>,
    calculation_answered_at: Option<UnixMillis>,
    calculation_answer_heard_at: Option<UnixMillis>,
    calculation_failed_at: Option<UnixMillis>,
    calculation_part: String,
    calculation_attempt: u32,
    calculation_worker: String,
    calculation_error: String,
    retrying_since: Option<UnixMillis>,
    last_sign_of_life_at: Option<UnixMillis>,
    sign_of_life_worker: String,
    handover_destination: String,
    handover_from: String,
    handover_to: Vec<String>,
    handed_over_at: Option<UnixMillis>,
    handover_lost_at: Option<UnixMillis>,
    traces: Vec<String>,
    linked_traces: Vec<String>,
    history_stage: Vec<String>,
    history_entered_at: Vec<UnixMillis>,
    history_source: Vec<String>,
    history_attempt: Vec<u32>,
    history_stuck_seconds: Vec<u32>,
    history_waiting_for: Vec<String>,
    refold_at: Option<UnixMillis>,
    is_open: u8,
    announced: u8,
    lifecycle_at: i64,
    derived_at: i64,
}

impl StateRow {
    /// The id that it is the row of.
    pub(super) fn order_id(&self) -> &str {
        &self.order_id
    }

    /// What it is versioned by.
    pub(super) fn version(&self) -> i64 {
        self.derived_at
    }

    /// Whether the order has ended, or the id is another order's.
    pub(super) fn is_settled(&self) -> bool {
        self.is_open == 0
    }
}

/// What a derivation is made at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The store's clock before the facts were read, nanoseconds.
    pub(super) ticket: i64,
    /// The generation of the lifecycle, microseconds.
    pub(super) lifecycle_at: i64,
}

/// One order as derived, before it is written down for each of its ids.
pub(super) struct Derived<'a> {
    pub(super) group: &'a Group,
    pub(super) carriers: &'a BTreeMap<String, Through>,
    pub(super) facts: &'a OrderFacts,
    pub(super) state: &'a OrderState,
    pub(super) judgement: &'a Judgement,
    pub(super) stage_rank: u16,
}

impl Derived<'_> {
    /// The row of one of the order's ids; `told` is its newest row.
    pub(super) fn row(
        &self,
        id: &str,
        version: i64,
        told: Option<&Told>,
        moment: Moment,
    ) -> StateRow {
        let Self { group, facts, state, judgement, .. } = self;
        let shown = group.order_id == id;
        let open = shown && (!judgement.settled(moment.ticket) || state.refold_at.is_some());
        let lately = facts.last_received_at >= to_millis(moment.ticket) - ANNOUNCED_WITHIN_MS;
        let announced = open || lately || told.is_some_and(|told| told.is_open == 1);
        let first_named = facts.first_named_at;
        let or_named = |heard: bool, at: i64| to_millis(if heard { at } else { first_named });
        let any_stage = !state.stage.is_empty();
        let first_event = state.history.first().map_or(first_named, |visit| visit.entered_at);
        let mut row = StateRow {
            order_id: id.to_owned(),
            merged_into: if shown { String::new() } else { group.order_id.clone() },
            other_ids: group.members.iter().filter(|other| *other != id).cloned().collect(),
            kind: state.kind.clone(),
            channel: state.channel.clone(),
            has_model: u8::from(state.has_model),
            is_ready_made: u8::from(judgement.ready_made),
            stage: state.stage.clone(),
            stage_rank: self.stage_rank,
            stage_since: or_named(any_stage, state.stage_since),
            first_event_at: to_millis(first_event),
            last_event_at: or_named(state.last_event_at > 0, state.last_event_at),
            last_received_at: facts.last_received_at,
            submitted_at: state.promised_from.map(to_millis),
            shipped_at: state.promised_to.map(to_millis),
            refold_at: self.refold_at(moment).filter(|_| shown),
            is_open: u8::from(open),
            announced: u8::from(announced),
            lifecycle_at: moment.lifecycle_at,
            derived_at: version,
            ..StateRow::default()
        };
        self.fill_judgement(&mut row);
        self.fill_calculation(&mut row);
        self.fill_handover(&mut row);
        self.fill_history(&mut row);
        row
    }

    /// The earliest moment ahead at which the same facts give another state: an event from the
    /// future, or that the customer has given up (one late, so that it is past).
    fn refold_at(&self, moment: Moment) -> Option<UnixMillis> {
        let given_up = self.judgement.abandoned_at.filter(|at| *at > moment.ticket);
        let given_up = given_up.map(|at| to_millis(at) + 1);
        self.state.refold_at.map(to_millis).into_iter().chain(given_up).min()
    }

    fn fill_judgement(&self, row: &mut StateRow) {
        let judgement = self.judgement;
        row.terminal = u8::from(judgement.terminal);
        row.waiting_for.clone_from(&judgement.waiting_for);
        row.next_set_by.clone_from(&judgement.next_set_by);
        row.late_at = judgement.late_at.map(to_millis);
        row.stuck_at = judgement.stuck_at.map(to_millis);
        row.promised_at = judgement.promised_at.map(to_millis);
        row.overdue_at = judgement.overdue_at.map(to_millis);
        row.abandoned_at = judgement.abandoned_at.map(to_millis);
        row.not_confirmed_at = judgement.not_confirmed_at.map(to_millis);
    }

    fn fill_calculation(&self, row: &mut StateRow) {
        if let Some((at, worker)) = &self.state.sign_of_life {
            row.last_sign_of_life_at = Some(to_millis(*at));
            row.sign_of_life_worker.clone_from(worker);
        }
        let Some(calculation) = &self.state.calculation else { return };
        row.calculation_requested_at = Some(to_millis(calculation.requested_at));
        row.calculation_started_at = calculation.started_at.map(to_millis);
        row.calculation_answered_at = calculation.answered_at.map(to_millis);
        row.calculation_answer_heard_at = calculation.answer_heard_at;
        row.calculation_failed_at = calculation.failed_at.map(to_millis);
        calculation.part.as_str().clone_into(&mut row.calculation_part);
        row.calculation_attempt = calculation.attempt;
        row.calculation_worker.clone_from(&calculation.worker);
        row.calculation_error.clone_from(&calculation.error);
        row.retrying_since = calculation.retrying_since.map(to_millis);
    }

    fn fill_handover(&self, row: &mut StateRow) {
        let Some(handover) = &self.state.handover else { return };
        row.handover_destination.clone_from(&handover.destination);
        row.handover_from.clone_from(&handover.from);
        row.handover_to.clone_from(&handover.to);
        row.handed_over_at = Some(to_millis(handover.at));
        row.handover_lost_at = Some(to_millis(handover.lost_at));
    }

    fn fill_history(&self, row: &mut StateRow) {
        for visit in &self.state.history {
            row.history_stage.push(visit.stage.clone());
            row.history_entered_at.push(to_millis(visit.entered_at));
            row.history_source.push(visit.source.clone());
            row.history_attempt.push(visit.attempt);
        }
        for stay in &self.judgement.stays {
            let stuck = stay.stuck_after.map_or(0, |after| after.as_secs());
            row.history_stuck_seconds.push(u32::try_from(stuck).unwrap_or(u32::MAX));
            row.history_waiting_for.push(stay.waiting_for.clone());
        }
        for (carrier, through) in self.carriers {
            match through {
                _ if message_of(carrier).is_some() => {}
                Through::Named => row.traces.push(carrier.clone()),
                Through::Linked => row.linked_traces.push(carrier.clone()),
            }
        }
    }
}
