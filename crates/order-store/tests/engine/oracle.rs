//! The derivation in SQL gives what the pure fold gives, whatever arrives in whatever order.

use clickhouse::Row;
use order_model::fold::{OrderTraits, SignalKind, StageSignal, fold};
use order_model::keys::{SIGNAL_PRICE_REQUESTED, SIGNAL_STAGE};
use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, to_millis};
use order_model::{Lifecycle, OrderState};
use order_store::rows::{Batch, OrderEventRow, OrderTraceRow, TraceLinkRow};
use order_store::{Stitcher, Writer};
use rand::prelude::*;
use rand::rngs::StdRng;
use serde::Deserialize;

use crate::server::Server;

/// Orders of one run: random histories, all derived together.
const ORDERS: usize = 400;

/// What was made up for one order.
struct Case {
    order_id: String,
    traits: OrderTraits,
    signals: Vec<StageSignal>,
}

#[derive(Debug, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Derived {
    order_id: String,
    stage: String,
    stage_since: i64,
    channel: String,
    has_model: u8,
    last_event_at: i64,
    history: Vec<(String, i64, String, u32)>,
    calculation_requested_at: Option<i64>,
    calculation_started_at: Option<i64>,
    calculation_answered_at: Option<i64>,
    calculation_part: String,
    refold_at: Option<i64>,
    derived_at: i64,
}

fn random_case(rng: &mut StdRng, lifecycle: &Lifecycle, index: usize, now: i64) -> Case {
    let sources = ["shop", "crm", "mes", "calc-engine"];
    let kinds = ["", "", "custom", "ready_made"];
    let channels = ["", "", "b2c", "b2b"];
    let stage = |rng: &mut StdRng| match rng.random_range(0..20) {
        0 => "QUALITY_CHECK".to_owned(),
        1 => "Ожидание".to_owned(),
        _ => lifecycle.stages.choose(rng).unwrap().name.clone(),
    };
    // Few distinct moments, close together, so that ties and the skew window are met often.
    let moments: Vec<i64> = (0..6)
        .map(|_| match rng.random_range(0..10) {
            0 => now + rng.random_range(10_000..90_000) * NANOS_PER_SECOND,
            1 => rng.random_range(1..1_000_000) * NANOS_PER_SECOND,
            _ => now - rng.random_range(60_000..60_020) * NANOS_PER_SECOND / 2,
        })
        .collect();
    let signals = (0..rng.random_range(0..9))
        .map(|_| StageSignal {
            kind: if rng.random_bool(0.15) {
                SignalKind::PriceRequested
            } else {
                SignalKind::Stage(stage(rng))
            },
            event_time: *moments.choose(rng).unwrap() + rng.random_range(0..3) * NANOS_PER_MILLI,
            source: (*sources.choose(rng).unwrap()).to_owned(),
            attempt: rng.random_range(0..3),
        })
        .collect();
    let traits = OrderTraits {
        kind: (*kinds.choose(rng).unwrap()).to_owned(),
        channel: (*channels.choose(rng).unwrap()).to_owned(),
        has_model: rng.random_bool(0.3),
    };
    Case { order_id: format!("ORD-{index:04}"), traits, signals }
}

/// The rows a case makes. Some signals name no order and lie in a trace that names it; some of
/// those traces are only linked with one that does.
fn rows(rng: &mut StdRng, case: &Case, received_at: i64) -> Vec<Batch> {
    let named = format!("{}-named", case.order_id);
    let linked = format!("{}-linked", case.order_id);
    let mut batches = vec![Batch {
        order_traces: vec![OrderTraceRow {
            order_id: case.order_id.clone(),
            trace_id: named.clone(),
            start: received_at * NANOS_PER_MILLI,
            end: received_at * NANOS_PER_MILLI,
            received_at,
            has_model: u8::from(case.traits.has_model),
            kind: case.traits.kind.clone(),
            channel: case.traits.channel.clone(),
        }],
        ..Batch::default()
    }];
    let (from, to) = if rng.random() { (&linked, &named) } else { (&named, &linked) };
    batches.push(Batch {
        trace_links: vec![TraceLinkRow {
            trace_id: from.clone(),
            span_id: "a".into(),
            linked_trace_id: to.clone(),
            linked_span_id: "b".into(),
            received_at,
        }],
        ..Batch::default()
    });
    for signal in &case.signals {
        let (order_id, trace_id) = match rng.random_range(0..3) {
            0 => (case.order_id.clone(), named.clone()),
            1 => (String::new(), named.clone()),
            _ => (String::new(), linked.clone()),
        };
        let (kind, stage) = match &signal.kind {
            SignalKind::Stage(stage) => (SIGNAL_STAGE, stage.clone()),
            SignalKind::PriceRequested => (SIGNAL_PRICE_REQUESTED, String::new()),
        };
        let row = OrderEventRow {
            order_id,
            signal: kind.to_owned(),
            stage,
            event_time: signal.event_time,
            received_at,
            source: signal.source.clone(),
            trace_id,
            attempt: signal.attempt,
            ..OrderEventRow::default()
        };
        let batch = Batch { order_events: vec![row], ..Batch::default() };
        // A client's repeat through another collector: other batch, same identity.
        for _ in 0..rng.random_range(1..3) {
            batches.push(batch.clone());
        }
    }
    batches
}

async fn derived(server: &Server) -> Vec<Derived> {
    let sql = "SELECT OrderId, Stage, StageSince, Channel, HasModel, LastEventAt, \
        arrayZip(HistoryStage, HistoryEnteredAt, HistorySource, HistoryAttempt) AS History, \
        CalculationRequestedAt, CalculationStartedAt, CalculationAnsweredAt, CalculationPart, \
        RefoldAt, DerivedAt FROM orders FINAL ORDER BY OrderId";
    server.store.client().query(sql).fetch_all().await.unwrap()
}

fn compare(case: &Case, found: &Derived, state: &OrderState, seed: u64) {
    let calculation = state.calculation.as_ref();
    let history: Vec<_> = state
        .history
        .iter()
        .map(|v| (v.stage.clone(), to_millis(v.entered_at), v.source.clone(), v.attempt))
        .collect();
    let context =
        format!("seed {seed}, {} of {:?}: {:#?}", case.order_id, case.traits, case.signals);
    assert_eq!(found.stage, state.stage, "{context}");
    assert_eq!(found.history, history, "{context}");
    assert_eq!(found.channel, state.channel, "{context}");
    assert_eq!(found.has_model == 1, state.has_model, "{context}");
    assert_eq!(found.refold_at, state.refold_at.map(to_millis), "{context}");
    if !state.stage.is_empty() {
        assert_eq!(found.stage_since, to_millis(state.stage_since), "{context}");
        assert_eq!(found.last_event_at, to_millis(state.last_event_at), "{context}");
    }
    let part = calculation.map_or("", |c| c.part.as_str());
    assert_eq!(found.calculation_part, part, "{context}");
    let asked = calculation.map(|c| to_millis(c.requested_at));
    assert_eq!(found.calculation_requested_at, asked, "{context}");
    let started = calculation.and_then(|c| c.started_at).map(to_millis);
    assert_eq!(found.calculation_started_at, started, "{context}");
    let answered = calculation.and_then(|c| c.answered_at).map(to_millis);
    assert_eq!(found.calculation_answered_at, answered, "{context}");
}

/// Any order of arrival, any repetition, any split into batches, stitched as it arrives or only
/// at the end: the state is that of the fold over all signals.
#[tokio::test]
async fn sql_and_fold_agree() {
    let seed: u64 =
        std::env::var("WAYBILL_SEED").ok().map_or_else(rand::random, |s| s.parse().unwrap());
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    let mut rng = StdRng::seed_from_u64(seed);
    let lifecycle = Lifecycle::default();
    let server = Server::start();
    server.store.migrate(&lifecycle).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let stitcher = Stitcher::new(server.store.clone());
    let received_at = chrono::Utc::now().timestamp_millis();
    let now = received_at * NANOS_PER_MILLI;
    let cases: Vec<_> =
        (0..ORDERS).map(|index| random_case(&mut rng, &lifecycle, index, now)).collect();
    let mut arrivals: Vec<Batch> =
        cases.iter().flat_map(|case| rows(&mut rng, case, received_at)).collect();
    arrivals.shuffle(&mut rng);
    for (index, chunk) in arrivals.chunks(arrivals.len().div_ceil(12)).enumerate() {
        let mut batch = Batch::default();
        for part in chunk {
            batch.append(part.clone());
        }
        writer.insert(&batch, &format!("batch-{index}")).await.unwrap();
        stitcher.stitch(&batch.touched()).await.unwrap();
    }
    let found = derived(&server).await;
    assert_eq!(found.len(), cases.len());
    for (case, found) in cases.iter().zip(&found) {
        assert_eq!(case.order_id, found.order_id);
        compare(
            case,
            found,
            &fold(&lifecycle, &case.signals, &case.traits, found.derived_at),
            seed,
        );
    }
    let sum = server.store.client().query("SELECT Difference FROM conservation_v1");
    assert_eq!(sum.fetch_one::<i64>().await.unwrap(), 0);
}
