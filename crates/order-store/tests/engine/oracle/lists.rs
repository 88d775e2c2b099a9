//! The lists behind the numbers of a board, and the ages beside them.

use std::collections::{BTreeMap, BTreeSet};

use order_model::judgement::Condition;
use order_store::Reader;
use order_store::read::{Board, StageFilter};

use crate::server::Server;

/// Every number of the board is as many orders as the list behind it has.
pub(super) async fn compare_lists(server: &Server, board: &Board, seed: u64) {
    let reader = Reader::new(server.store.clone());
    for stage in &board.stages {
        for (condition, number) in [
            (None, stage.total),
            (Some(Condition::Stuck), stage.stuck),
            (Some(Condition::Late), stage.late),
            (Some(Condition::LostInHandover), stage.lost_in_handover),
            (Some(Condition::Retrying), stage.retrying),
            (Some(Condition::Abandoned), stage.abandoned),
            (Some(Condition::NotConfirmed), stage.not_confirmed),
        ] {
            let filter = StageFilter { condition };
            let (mut listed, mut after) = (BTreeSet::new(), None);
            loop {
                let name = Some(stage.stage.as_str());
                let page = reader.stage_orders(name, filter, 20, after, Some(board.as_of)).await;
                let page = page.unwrap();
                assert_eq!(page.as_of, board.as_of, "seed {seed}");
                for order in page.orders {
                    assert_eq!(order.stage, stage.stage, "seed {seed}");
                    let id = order.order_id.clone();
                    assert!(listed.insert(order.order_id), "seed {seed}, {id} is listed twice");
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let context = format!("seed {seed}, {:?} of {}", condition, stage.stage);
            assert_eq!(listed.len() as u64, number, "{context}: {listed:?}");
        }
    }
}

/// The ages of each stage: the oldest, and those that half and nine of ten have not reached, from
/// the states one by one.
pub(super) async fn compare_ages(server: &Server, board: &Board, seed: u64) {
    let sql = "SELECT toString(Stage), toUnixTimestamp64Milli(StageSince) FROM orders FINAL \
        WHERE IsOpen = 1";
    let rows: Vec<(String, i64)> = server.store.client().query(sql).fetch_all().await.unwrap();
    let mut since_of: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (stage, since) in rows {
        since_of.entry(stage).or_default().push(since);
    }
    for stage in &board.stages {
        let found = (stage.oldest_since, stage.median_age_seconds, stage.p90_age_seconds);
        let expected = since_of.get(&stage.stage).map(|since| {
            // Whole seconds by the clock, and nobody is younger than now.
            let second = |ms: i64| ms.div_euclid(1_000);
            let age = |since: &i64| (second(board.as_of) - second(*since)).max(0);
            let mut ages: Vec<i64> = since.iter().map(age).collect();
            ages.sort_unstable();
            (since.iter().min().copied(), ages[ages.len() / 2], ages[ages.len() * 9 / 10])
        });
        let expected = expected
            .map_or((None, None, None), |(oldest, median, p90)| (oldest, Some(median), Some(p90)));
        assert_eq!(found, expected, "seed {seed}, {} at {}", stage.stage, board.as_of);
    }
}
