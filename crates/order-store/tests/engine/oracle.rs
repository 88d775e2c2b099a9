//! The store gives what the pure rules give, whatever arrives in whatever order: gluing, carriers,
//! the fold and the derived states, with two writers that stitch what they insert.

mod world;
mod crowds;
mod lists;
mod awaiting;
mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Row;
use order_model::Lifecycle;
use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use order_store::rows::Batch;
use order_store::{Progress, Reader, Stitcher, SweepState, Writer};
use rand::prelude::*;
use rand::rngs::StdRng;
use serde::Deserialize;

use crate::server::Server;
use crate::shards;
use expected::{Expected, Views, expect};
use world::World;

/// The columns of a state that follow from the facts, as text.
const STATE: &str = "SELECT OrderId, toInt64(toUnixTimestamp64Nano(DerivedAt)) AS DerivedAt, \
    MergedInto, toString(tuple(OtherIds, Kind, Channel, HasModel, IsReadyMade, Stage, StageRank, \
    StageSince, FirstEventAt, LastEventAt, LastReceivedAt, SubmittedAt, ShippedAt, Terminal, \
    WaitingFor, NextSetBy, LateAt, StuckAt, PromisedAt, OverdueAt, AbandonedAt, NotConfirmedAt, \
    CalculationRequestedAt, CalculationStartedAt, CalculationAnsweredAt, CalculationAnswerHeardAt, \
    CalculationFailedAt, CalculationPart, CalculationAttempt, CalculationWorker, CalculationError, \
    RetryingSince, LastSignOfLifeAt, SignOfLifeWorker, HandoverDestination, HandoverFrom, \
    HandoverTo, HandedOverAt, HandoverLostAt, arraySort(Traces), arraySort(LinkedTraces), \
    HistoryStage, HistoryEnteredAt, HistorySource, HistoryAttempt, HistoryStuckSeconds, \
    HistoryWaitingFor, RefoldAt, IsOpen)) AS State \
    FROM orders FINAL ORDER BY OrderId";

#[derive(Debug, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateText {
    order_id: String,
    derived_at: i64,
    merged_into: String,
    state: String,
}

fn seeded() -> (u64, StdRng) {
    let seed: u64 =
        std::env::var("WAYBILL_SEED").ok().map_or_else(rand::random, |s| s.parse().unwrap());
    (seed, StdRng::seed_from_u64(seed))
}

async fn states(server: &Server) -> Vec<StateText> {
    server.store.client().query(STATE).fetch_all().await.unwrap()
}

/// One writer: inserts its batches and stitches what each touched, or falls over before it does.
async fn write(server: &Server, name: &str, batches: Vec<(Batch, bool)>) {
    let writer = Writer::new(server.store.clone());
    let stitcher = Stitcher::new(server.store.clone(), Default::default());
    let state = SweepState::new(name.to_owned());
    stitcher.report(&state, Progress { lag_ms: 0, stopped: false }).await.unwrap();
    for (index, (batch, stitches)) in batches.into_iter().enumerate() {
        writer.insert(&batch, &format!("{name}-{index}")).await.unwrap();
        if stitches {
            stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
        }
    }
}

fn compare(seed: u64, world: &World, expected: &BTreeMap<String, Expected>, found: &[StateText]) {
    let ids: BTreeSet<&String> = expected.keys().collect();
    assert_eq!(found.iter().map(|f| &f.order_id).collect::<BTreeSet<_>>(), ids, "seed {seed}");
    for row in found {
        let expected = &expected[&row.order_id];
        let context = || format!("seed {seed}, {}: {:#?}", row.order_id, world.about(expected));
        assert_eq!(row.merged_into, expected.merged_into, "{}", context());
    }
}

/// Any order of arrival, any repetition, any split into batches, two writers at once: what each
/// batch touches is all that it changes, and the states are those of the pure rules over all facts.
#[tokio::test]
async fn the_store_agrees_with_the_pure_rules() {
    let (seed, rng) = seeded();
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    agrees(one_server().await, seed, rng, (World::random, Falls::Never)).await;
}

/// So do two shards, of which neither knows the facts of the other.
#[tokio::test]
async fn two_shards_agree_with_the_pure_rules() {
    let (seed, rng) = seeded();
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    let server = shards::start().await;
    agrees(server, seed, rng, (World::random, Falls::NowAndThen)).await;
}

/// So they are where a message is everybody's, and where one has more links than it may.
#[tokio::test]
async fn the_store_agrees_with_the_pure_rules_about_crowds() {
    let (seed, rng) = seeded();
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    agrees(one_server().await, seed, rng, (World::crowded, Falls::NowAndThen)).await;
}

/// So are they when the writers fall over now and then before they stitch, and another takes over.
#[tokio::test]
async fn the_store_agrees_with_the_pure_rules_after_crashes() {
    let (seed, rng) = seeded();
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    agrees(one_server().await, seed, rng, (World::random, Falls::NowAndThen)).await;
}

async fn one_server() -> Server {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    server
}

/// How a world is made.
type Made = fn(&mut StdRng, &Lifecycle, i64) -> World;

/// How often a writer inserts a batch and then forgets it, as by a crash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Falls {
    Never,
    NowAndThen,
}

async fn agrees(server: Server, seed: u64, mut rng: StdRng, (made, falls): (Made, Falls)) {
    let lifecycle = Lifecycle::default();
    let received_at = chrono::Utc::now().timestamp_millis();
    let world = made(&mut rng, &lifecycle, received_at);
    let mut sides = [Vec::new(), Vec::new()];
    let count = rng.random_range(4..100);
    for batch in world.batches(&mut rng, count) {
        let stitches = falls == Falls::Never || rng.random_ratio(7, 8);
        sides[rng.random_range(0..2)].push((batch, stitches));
    }
    let [left, right] = sides;
    tokio::join!(write(&server, "left", left), write(&server, "right", right));
    let stitcher = Stitcher::new(server.store.clone(), Default::default());
    if falls == Falls::NowAndThen {
        stitcher.sweep(&mut SweepState::new("heir".to_owned())).await.unwrap();
    }

    let found = states(&server).await;
    let derived_at = found.iter().map(|f| (f.order_id.clone(), f.derived_at)).collect();
    let expected = expect(&world, &lifecycle, &derived_at, &expected::heard(&server).await);
    compare(seed, &world, &expected, &found);
    expected::compare_columns(&server, &world, &expected, seed).await;
    let views = Views { lifecycle: &lifecycle, received_at, lists_at: rng.random_range(0..7) };
    expected::compare_views(&server, &world, &views, &expected, seed).await;

    // A full derivation gives the same tables.
    stitcher.restitch("", |_, _| {}).await.unwrap();
    let again = states(&server).await;
    for (before, after) in found.iter().zip(&again) {
        assert!(before.derived_at < after.derived_at);
        let context = format!("seed {seed}, {}", before.order_id);
        assert_eq!(
            (&before.merged_into, &before.state),
            (&after.merged_into, &after.state),
            "{context}"
        );
    }
    let board = Reader::new(server.store.clone()).board(None).await.unwrap();
    assert_eq!(board.difference, 0, "seed {seed}");
    let shown = expected.values().filter(|e| e.merged_into.is_empty()).count() as u64;
    assert_eq!((board.seen, board.derived), (shown, shown), "seed {seed}");
    assert_eq!(board.stages.iter().map(|s| s.total).sum::<u64>(), shown, "seed {seed}");
}

/// A stale derivation never overwrites a newer one: two stitchers derive one order over and over
/// while its facts arrive; the last state knows all of them.
#[tokio::test]
async fn a_stale_derivation_never_stays() {
    let (seed, mut rng) = seeded();
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    let lifecycle = Lifecycle::default();
    let server = Server::start();
    server.store.migrate(&lifecycle).await.unwrap();
    let now = chrono::Utc::now().timestamp_millis();
    let rounds = 40_i64;
    let signals = |from: i64| {
        let server = &server;
        async move {
            for n in (from..rounds).step_by(2) {
                let at = now * NANOS_PER_MILLI - (rounds - n) * NANOS_PER_SECOND;
                let batch = world::stage_of("ONE", "SUBMITTED", at, &format!("s{n}"), now);
                write(server, &format!("writer-{n}"), vec![(batch, true)]).await;
            }
        }
    };
    let stale = async {
        let stitcher = Stitcher::new(server.store.clone(), Default::default());
        let one = order_store::Touched {
            orders: BTreeSet::from(["ONE".to_owned()]),
            ..order_store::Touched::default()
        };
        for _ in 0..rounds {
            stitcher.stitch(&one, Duration::ZERO).await.unwrap();
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..20))).await;
        }
    };
    tokio::join!(signals(0), signals(1), stale);
    let sql = "SELECT toUnixTimestamp64Milli(LastEventAt) FROM orders FINAL WHERE OrderId = 'ONE'";
    let last: i64 = server.store.client().query(sql).fetch_one().await.unwrap();
    assert_eq!(last, now - 1_000, "seed {seed}");
}
