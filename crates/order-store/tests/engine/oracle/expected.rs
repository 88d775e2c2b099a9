//! What the pure rules say of a world, and how the store's columns and views compare.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clickhouse::Row;
use order_model::fold::{Heartbeat, OrderTraits, SignalKind, StageSignal, fold};
use order_model::graph::{Through, message_of};
use order_model::judgement::{Condition, Judgement, judge};
use order_model::time::to_millis;
use order_model::{Lifecycle, OrderState, keys};
use order_store::Reader;
use serde::Deserialize;

use super::awaiting::{compare_ended_stays, compare_prices};
use super::lists::{compare_ages, compare_lists};
use super::world::World;
use crate::server::Server;

/// Points in time at which the views are read, hours from now.
const VIEWS_AT_HOURS: [i64; 7] = [-900, -24, 0, 1, 20, 24 * 8, 24 * 30];

/// What must stand in the row of one id.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) merged_into: String,
    pub(super) members: BTreeSet<String>,
    pub(super) carriers: BTreeMap<String, Through>,
    pub(super) state: OrderState,
    pub(super) judgement: Judgement,
    pub(super) derived_at: i64,
    pub(super) last_received_at: i64,
}

/// The pure rules over all facts, at the moment at which each id was derived.
pub(super) fn expect(
    world: &World,
    lifecycle: &Lifecycle,
    derived_at: &HashMap<String, i64>,
    heard: &Heard,
) -> BTreeMap<String, Expected> {
    let graph = world.graph();
    let ids: BTreeSet<&String> = world.facts.order_traces.iter().map(|r| &r.order_id).collect();
    ids.into_iter()
        .map(|id| {
            let group = graph.group_of(id);
            let carriers = graph.carriers_of_group(&group);
            let now = derived_at.get(id).copied().unwrap_or(i64::MAX);
            let is_of = |order: &str, carrier: &str| match order {
                "" => carriers.contains_key(carrier),
                _ => group.members.contains(order),
            };
            let (signals, beats, traits) = about(world, heard, is_of);
            let last_received_at = last_received_at(world, is_of);
            let state = fold(lifecycle, &signals, &beats, &traits, now);
            let judgement = judge(lifecycle, &state);
            let shown = group.order_id == *id;
            let merged_into = if shown { String::new() } else { group.order_id };
            let members = group.members;
            let derived_at = now;
            let expected = Expected {
                merged_into,
                members,
                carriers,
                state,
                judgement,
                derived_at,
                last_received_at,
            };
            (id.clone(), expected)
        })
        .collect()
}

/// When any fact of an order was received last.
fn last_received_at(world: &World, is_of: impl Fn(&str, &str) -> bool) -> i64 {
    let events = world.facts.order_events.iter();
    let events = events.filter(|r| is_of(&r.order_id, &r.carrier)).map(|r| r.received_at);
    let beats = world.facts.order_heartbeats.iter();
    let beats = beats.filter(|r| is_of(&r.order_id, &r.carrier)).map(|r| r.received_at);
    let namings = world.facts.order_traces.iter();
    let namings = namings.filter(|r| is_of(&r.order_id, "")).map(|r| r.received_at);
    events.chain(beats).chain(namings).max().unwrap_or_default()
}

/// What the store says beside each signal: when it first came in.
pub(super) type Heard = HashMap<(String, String, String, String, i64, String), i64>;

/// Reads it.
pub(super) async fn heard(server: &Server) -> Heard {
    let sql = "SELECT OrderId, Carrier, toString(Signal), toString(Stage), \
        toUnixTimestamp64Nano(EventTime), toString(Source), \
        toUnixTimestamp64Milli(min(FirstInsertedAt)) FROM order_events GROUP BY ALL";
    type Said = (String, String, String, String, i64, String, i64);
    let rows: Vec<Said> = server.store.client().query(sql).fetch_all().await.unwrap();
    let heard = rows.into_iter().map(|(order, carrier, signal, stage, at, source, heard_at)| {
        ((order, carrier, signal, stage, at, source), heard_at)
    });
    heard.collect()
}

fn about(
    world: &World,
    heard: &Heard,
    is_of: impl Fn(&str, &str) -> bool,
) -> (Vec<StageSignal>, Vec<Heartbeat>, OrderTraits) {
    let signals = world.facts.order_events.iter().filter(|r| is_of(&r.order_id, &r.carrier));
    let signals = signals.map(|row| {
        let said = |key: &str| {
            let found = row.evidence.iter().find(|(name, _)| name == key);
            found.map_or_else(String::new, |(_, text)| text.clone())
        };
        let identity = (
            row.order_id.clone(),
            row.carrier.clone(),
            row.signal.clone(),
            row.stage.clone(),
            row.event_time,
            row.source.clone(),
        );
        StageSignal {
            kind: match row.signal.as_str() {
                keys::SIGNAL_STAGE => SignalKind::Stage(row.stage.clone()),
                keys::SIGNAL_PRICE_REQUESTED => SignalKind::PriceRequested,
                keys::SIGNAL_HANDED_OVER => SignalKind::HandedOver(row.stage.clone()),
                _ => SignalKind::TakenOver(row.stage.clone()),
            },
            event_time: row.event_time,
            source: row.source.clone(),
            attempt: row.attempt,
            heard_at: heard[&identity],
            worker: said("worker"),
            error: said("error"),
        }
    });
    let beats = world.facts.order_heartbeats.iter().filter(|r| is_of(&r.order_id, &r.carrier));
    let beats = beats.map(|row| Heartbeat { at: row.last_at, worker: row.worker.clone() });
    let mut traits = OrderTraits::default();
    for row in world.facts.order_traces.iter().filter(|r| is_of(&r.order_id, "")) {
        traits.has_model |= row.has_model == 1;
        traits.kind = traits.kind.max(row.kind.clone());
        traits.channel = traits.channel.max(row.channel.clone());
    }
    (signals.collect(), beats.collect(), traits)
}

#[derive(Debug, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Columns {
    order_id: String,
    kind: String,
    channel: String,
    has_model: u8,
    is_ready_made: u8,
    stage: String,
    stage_rank: u16,
    stage_since: i64,
    last_event_at: i64,
    last_received_at: i64,
    terminal: u8,
    waiting_for: String,
    next_set_by: Vec<String>,
    late_at: Option<i64>,
    stuck_at: Option<i64>,
    promised_at: Option<i64>,
    overdue_at: Option<i64>,
    abandoned_at: Option<i64>,
    not_confirmed_at: Option<i64>,
    calculation_requested_at: Option<i64>,
    calculation_started_at: Option<i64>,
    calculation_answered_at: Option<i64>,
    calculation_answer_heard_at: Option<i64>,
    calculation_failed_at: Option<i64>,
    calculation_part: String,
    calculation_attempt: u32,
    calculation_worker: String,
    calculation_error: String,
    retrying_since: Option<i64>,
    last_sign_of_life_at: Option<i64>,
    sign_of_life_worker: String,
    handover_destination: String,
    handover_from: String,
    handover_to: Vec<String>,
    handed_over_at: Option<i64>,
    handover_lost_at: Option<i64>,
    traces: Vec<String>,
    linked_traces: Vec<String>,
    history: Vec<(String, i64, String, u32, u32, String)>,
    refold_at: Option<i64>,
    is_open: u8,
}

/// Every derived column of every id.
pub(super) async fn compare_columns(
    server: &Server,
    world: &World,
    expected: &BTreeMap<String, Expected>,
    seed: u64,
) {
    let sql = "SELECT OrderId, Kind, Channel, HasModel, IsReadyMade, Stage, StageRank, StageSince, \
        LastEventAt, LastReceivedAt, Terminal, WaitingFor, NextSetBy, LateAt, StuckAt, PromisedAt, OverdueAt, \
        AbandonedAt, NotConfirmedAt, CalculationRequestedAt, CalculationStartedAt, \
        CalculationAnsweredAt, CalculationAnswerHeardAt, CalculationFailedAt, CalculationPart, CalculationAttempt, \
        CalculationWorker, CalculationError, RetryingSince, LastSignOfLifeAt, SignOfLifeWorker, \
        HandoverDestination, HandoverFrom, HandoverTo, HandedOverAt, HandoverLostAt, \
        arraySort(Traces) AS Traces, arraySort(LinkedTraces) AS LinkedTraces, \
        arrayZip(HistoryStage, HistoryEnteredAt, HistorySource, HistoryAttempt, \
            HistoryStuckSeconds, HistoryWaitingFor) AS History, RefoldAt, IsOpen FROM orders FINAL ORDER BY OrderId";
    let rows: Vec<Columns> = server.store.client().query(sql).fetch_all().await.unwrap();
    for row in rows {
        let expected = &expected[&row.order_id];
        let about = world.about(expected);
        let context = format!("seed {seed}, {}\n{expected:#?}\n{about:#?}", row.order_id);
        compare_row(&row, expected, &context);
    }
}

fn compare_row(row: &Columns, expected: &Expected, context: &str) {
    let Expected { state, judgement, derived_at, .. } = expected;
    let ms = |at: Option<i64>| at.map(to_millis);
    let heard = !state.stage.is_empty();
    assert_eq!((&row.kind, &row.channel), (&state.kind, &state.channel), "{context}");
    assert_eq!(
        (row.has_model == 1, row.is_ready_made == 1),
        (state.has_model, judgement.ready_made),
        "{context}"
    );
    assert_eq!(row.stage, state.stage, "{context}");
    if heard {
        assert_eq!(row.stage_since, to_millis(state.stage_since), "{context}");
        assert_eq!(row.last_event_at, to_millis(state.last_event_at), "{context}");
    }
    assert_eq!(row.last_received_at, expected.last_received_at, "{context}");
    assert_eq!(
        (row.terminal == 1, &row.waiting_for),
        (judgement.terminal, &judgement.waiting_for),
        "{context}"
    );
    assert_eq!(row.next_set_by, judgement.next_set_by, "{context}");
    let times = [
        (row.late_at, judgement.late_at, "late"),
        (row.stuck_at, judgement.stuck_at, "stuck"),
        (row.promised_at, judgement.promised_at, "promised"),
        (row.overdue_at, judgement.overdue_at, "overdue"),
        (row.abandoned_at, judgement.abandoned_at, "abandoned"),
        (row.not_confirmed_at, judgement.not_confirmed_at, "not confirmed"),
    ];
    for (found, expected, what) in times {
        assert_eq!(found, ms(expected), "{what}: {context}");
    }
    compare_calculation(row, state, context);
    let (alive_at, worker) = state.sign_of_life.clone().unzip();
    assert_eq!(row.last_sign_of_life_at, ms(alive_at), "{context}");
    assert_eq!(row.sign_of_life_worker, worker.unwrap_or_default(), "{context}");
    let handover = state.handover.as_ref();
    let place = handover.map(|h| (h.destination.as_str(), h.from.as_str()));
    let found = (row.handover_destination.as_str(), row.handover_from.as_str());
    assert_eq!(found, place.unwrap_or_default(), "{context}");
    assert_eq!(row.handover_to, handover.map_or(vec![], |h| h.to.clone()), "{context}");
    assert_eq!(row.handed_over_at, ms(handover.map(|h| h.at)), "{context}");
    assert_eq!(row.handover_lost_at, ms(handover.map(|h| h.lost_at)), "{context}");
    let traces = |wanted: Through| -> Vec<&String> {
        let all =
            expected.carriers.iter().filter(|(c, by)| **by == wanted && message_of(c).is_none());
        all.map(|(carrier, _)| carrier).collect()
    };
    assert_eq!(row.traces.iter().collect::<Vec<_>>(), traces(Through::Named), "{context}");
    assert_eq!(row.linked_traces.iter().collect::<Vec<_>>(), traces(Through::Linked), "{context}");
    let history: Vec<_> = state
        .history
        .iter()
        .zip(&judgement.stays)
        .map(|(v, stay)| {
            let stuck = stay.stuck_after.map_or(0, |after| u32::try_from(after.as_secs()).unwrap());
            let (stage, source) = (v.stage.clone(), v.source.clone());
            (stage, to_millis(v.entered_at), source, v.attempt, stuck, stay.waiting_for.clone())
        })
        .collect();
    assert_eq!(judgement.stays.len(), state.history.len(), "{context}");
    assert_eq!(row.history, history, "{context}");
    let shown = expected.merged_into.is_empty();
    let given_up = judgement.abandoned_at.filter(|at| at > derived_at).map(|at| to_millis(at) + 1);
    let refold = ms(state.refold_at).into_iter().chain(given_up).min().filter(|_| shown);
    assert_eq!(row.refold_at, refold, "{context}");
    let open = shown && (!judgement.settled(*derived_at) || state.refold_at.is_some());
    assert_eq!(row.is_open == 1, open, "{context}");
}

fn compare_calculation(row: &Columns, state: &OrderState, context: &str) {
    let calculation = state.calculation.as_ref();
    let part = calculation.map_or("", |c| c.part.as_str());
    assert_eq!(row.calculation_part, part, "{context}");
    let times = [
        (row.calculation_requested_at, calculation.map(|c| c.requested_at), "requested"),
        (row.calculation_started_at, calculation.and_then(|c| c.started_at), "started"),
        (row.calculation_answered_at, calculation.and_then(|c| c.answered_at), "answered"),
        (row.calculation_failed_at, calculation.and_then(|c| c.failed_at), "failed"),
        (row.retrying_since, calculation.and_then(|c| c.retrying_since), "retrying"),
    ];
    for (found, expected, what) in times {
        assert_eq!(found, expected.map(to_millis), "{what}: {context}");
    }
    let heard_at = calculation.and_then(|c| c.answer_heard_at);
    assert_eq!(row.calculation_answer_heard_at, heard_at, "{context}");
    assert_eq!(row.calculation_attempt, calculation.map_or(0, |c| c.attempt), "{context}");
    let texts = calculation.map(|c| (c.worker.as_str(), c.error.as_str())).unwrap_or_default();
    let found = (row.calculation_worker.as_str(), row.calculation_error.as_str());
    assert_eq!(found, texts, "{context}");
    assert_eq!(row.stage_rank > 0, Lifecycle::default().rank(&state.stage) > 0, "{context}");
}

#[derive(Debug, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Marked {
    order_id: String,
    condition: Condition,
    marks: Vec<u8>,
}

/// How views are looked at.
pub(super) struct Views<'a> {
    pub(super) lifecycle: &'a Lifecycle,
    pub(super) received_at: i64,
    /// At which of the points in time the lists are read, too.
    pub(super) lists_at: usize,
}

/// The derived states of the views at several points in time, and the board that counts them.
pub(super) async fn compare_views(
    server: &Server,
    world: &World,
    views: &Views<'_>,
    expected: &BTreeMap<String, Expected>,
    seed: u64,
) {
    let Views { lifecycle, received_at, lists_at } = views;
    for (index, hours) in VIEWS_AT_HOURS.into_iter().enumerate() {
        let as_of = received_at + hours * 3_600_000;
        let sql = "SELECT OrderId, Condition, [IsStuck, IsLate, IsLostInHandover, IsRetrying, \
            IsAbandoned, IsNotConfirmed, NOT StageKnown] AS Marks \
            FROM orders_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))";
        let query = server.store.client().query(sql).param("as_of", as_of);
        let rows: Vec<Marked> = query.fetch_all().await.unwrap();
        let mut counts: BTreeMap<(String, Condition), u64> = BTreeMap::new();
        for row in &rows {
            let expected = &expected[&row.order_id];
            let nanos = as_of * order_model::time::NANOS_PER_MILLI;
            // What has ended stays ended, at whatever time it is looked at.
            let ended = expected.judgement.settled(expected.derived_at)
                && expected.state.refold_at.is_none();
            let nanos = if ended { nanos.max(expected.derived_at) } else { nanos };
            // Deadlines stand in milliseconds.
            let marks = expected.judgement.marks(lifecycle, &expected.state, nanos + 999_999);
            let context = || {
                format!("seed {seed}, {} at {as_of}: {:#?}", row.order_id, world.about(expected))
            };
            let flags = [
                marks.stuck,
                marks.late,
                marks.lost_in_handover,
                marks.retrying,
                marks.abandoned,
                marks.not_confirmed,
                marks.unknown,
            ];
            assert_eq!(row.marks, flags.map(u8::from), "{}", context());
            assert_eq!(row.condition, marks.condition(), "{}", context());
            for (condition, holds) in
                [(Condition::Stuck, marks.stuck), (Condition::Late, marks.late)]
            {
                *counts.entry((expected.state.stage.clone(), condition)).or_default() +=
                    u64::from(holds);
            }
        }
        let board = Reader::new(server.store.clone()).board(Some(as_of)).await.unwrap();
        for stage in &board.stages {
            let count = |condition| {
                counts.get(&(stage.stage.clone(), condition)).copied().unwrap_or_default()
            };
            let found = (stage.stuck, stage.late);
            let expected = (count(Condition::Stuck), count(Condition::Late));
            assert_eq!(found, expected, "seed {seed}, {} at {as_of}", stage.stage);
        }
        assert_eq!(
            board.stages.iter().map(|s| s.total).sum::<u64>(),
            rows.len() as u64,
            "seed {seed}"
        );
        compare_ages(server, &board, seed).await;
        compare_prices(server, views.lifecycle, expected, as_of, seed).await;
        if index == *lists_at {
            compare_lists(server, &board, seed).await;
        }
    }
    compare_ended_stays(server, expected, seed).await;
}
