//! The lists behind the numbers of a board.

use std::collections::BTreeSet;

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
