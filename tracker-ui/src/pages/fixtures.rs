//! Fixed data for the tests of pages: nothing here reads a clock.

use order_store::read::{
    Board, BoardStage, Condition, OrderDetail, OrderSummary, SourceHeard, SpanItem, Through, Visit,
};

use crate::reads::BoardData;

/// 2026-03-10T12:00:00Z, a Tuesday.
pub(crate) const NOW: i64 = 1_773_144_000_000;
/// Milliseconds in a minute.
pub(crate) const MINUTE: i64 = 60_000;

/// An order in `stage` for 72 minutes.
pub(crate) fn summary(stage: &str, condition: Condition) -> OrderSummary {
    let lifecycle = order_model::Lifecycle::default();
    let known = lifecycle.stage(stage);
    let waits = known.is_none_or(|stage| stage.deadlines.is_some()).then_some(());
    OrderSummary {
        order_id: "ORD-2026-000123".into(),
        stage: stage.into(),
        rank: lifecycle.rank(stage),
        known: known.is_some(),
        label_ru: known.map_or(String::new(), |stage| stage.label.ru.clone()),
        label_en: known.map_or(String::new(), |stage| stage.label.en.clone()),
        since: NOW - 72 * MINUTE,
        age_seconds: 72 * 60,
        condition,
        terminal: known.is_some_and(|stage| stage.terminal),
        waiting_for: known.map_or(String::new(), |stage| stage.waiting_for.clone()),
        kind: "custom".into(),
        channel: "b2c".into(),
        first_event_at: NOW - 120 * MINUTE,
        last_event_at: NOW - 72 * MINUTE,
        last_received_at: NOW - 71 * MINUTE,
        late_at: waits.map(|()| NOW - 42 * MINUTE),
        stuck_at: waits.map(|()| NOW - 12 * MINUTE),
        promised_at: Some(NOW + 20 * 24 * 60 * MINUTE),
        overdue: false,
        lost_in_handover: condition == Condition::LostInHandover,
        retrying: condition == Condition::Retrying,
        silent_sources: vec![],
        ended: known.is_some_and(|stage| stage.terminal && stage.deadlines.is_none()),
    }
}

/// An order with a history of `(stage, minutes ago, source, attempt)`.
pub(crate) fn detail(order: OrderSummary, stays: &[(&str, i64, &str, u32)]) -> OrderDetail {
    let visit = |(stage, minutes, source, attempt): &(&str, i64, &str, u32)| Visit {
        stage: (*stage).into(),
        entered_at: NOW - minutes * MINUTE,
        source: (*source).into(),
        attempt: *attempt,
    };
    let history = stays.iter().map(visit).collect();
    OrderDetail {
        as_of: NOW,
        summary: order,
        history,
        calculation: None,
        other_ids: vec![],
        handover: None,
        sign_of_life: None,
        abandoned_at: None,
        not_confirmed_at: None,
        refold_at: None,
    }
}

/// A span; times in nanoseconds after [`NOW`].
pub(crate) fn span(trace: &str, id: &str, parent: &str, start: i64, duration: u64) -> SpanItem {
    SpanItem {
        trace_id: trace.into(),
        span_id: id.into(),
        parent_span_id: parent.into(),
        name: id.into(),
        kind: "Internal".into(),
        service: "shop".into(),
        start: NOW * 1_000_000 + start,
        duration,
        status_code: "Unset".into(),
        status_message: String::new(),
        attributes: vec![],
        through: Through::Named,
    }
}

/// A board with `(stage, total, late, stuck)`; stages not named are empty.
pub(crate) fn board(counts: &[(&str, u64, u64, u64)]) -> BoardData {
    let lifecycle = order_model::Lifecycle::default();
    let of = |name: &str| counts.iter().find(|(stage, ..)| *stage == name).copied();
    let stage = |name: &str| {
        let known = lifecycle.stage(name);
        let (_, total, late, stuck) = of(name).unwrap_or_default();
        let some = (total > 0).then_some(());
        BoardStage {
            stage: name.into(),
            rank: lifecycle.rank(name),
            label_ru: known.map_or(String::new(), |stage| stage.label.ru.clone()),
            label_en: known.map_or(String::new(), |stage| stage.label.en.clone()),
            terminal: known.is_some_and(|stage| stage.terminal),
            total,
            late,
            stuck,
            lost_in_handover: 0,
            retrying: 0,
            abandoned: 0,
            not_confirmed: 0,
            oldest_since: some.map(|()| NOW - 3 * 24 * 60 * MINUTE - 4 * 60 * MINUTE),
            median_age_seconds: some.map(|()| 5_400),
            p90_age_seconds: some.map(|()| 86_400),
        }
    };
    let mut stages: Vec<_> = lifecycle.stages.iter().map(|known| stage(&known.name)).collect();
    let unknown = counts.iter().filter(|(name, ..)| lifecycle.stage(name).is_none());
    stages.extend(unknown.map(|(name, ..)| stage(name)));
    let seen: u64 = counts.iter().map(|(_, total, ..)| total).sum();
    let heard = |source: &str, seconds: i64| SourceHeard {
        source: source.into(),
        last_received_at: NOW - seconds * 1000,
        last_timestamp: NOW - seconds * 1000,
        silent: seconds > 600,
    };
    let sources = vec![heard("crm", 40), heard("mes", 32 * 60), heard("shop", 3)];
    let board = Board {
        as_of: NOW,
        stages,
        seen,
        derived: seen,
        merged: 0,
        difference: 0,
        unexplained_ms: 0,
        checked_at: NOW - 20_000,
        stitch_lag_ms: 0,
        last_received_at: sources.iter().map(|source| source.last_received_at).max(),
        sources,
    };
    BoardData { board, active_alerts: Some(2), replica_lag: None }
}
