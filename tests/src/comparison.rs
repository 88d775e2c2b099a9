//! The truth of the simulator against what the pages say, difference by difference.

use std::collections::BTreeMap;

use simulator::truth::{OrderTruth, Truth};

use crate::pages::{Board, Order};

/// Differences shown; of more, the rest is counted.
const SHOWN_MAX: usize = 20;

/// What differs, one sentence each; empty when nothing does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences(pub Vec<String>);

impl Differences {
    /// Whether all is as it should be.
    #[must_use]
    pub const fn none(&self) -> bool {
        self.0.is_empty()
    }

    fn check<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: &T, came: &T) {
        if expected != came {
            self.0.push(format!("{what}: expected {expected:?}, came {came:?}"));
        }
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.none() {
            return f.write_str("no difference");
        }
        write!(f, "{} differences", self.0.len())?;
        self.0.iter().take(SHOWN_MAX).try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

/// The board against the truth about every order there is.
#[must_use]
pub fn board(truth: &Truth, board: &Board) -> Differences {
    let mut differences = Differences::default();
    differences.check("orders seen", &truth.orders_total, &board.conservation.seen);
    differences.check("difference of facts and state", &0, &board.conservation.difference);
    let expected: BTreeMap<_, _> = truth
        .stages
        .iter()
        .map(|(stage, count)| (stage.name(), (count.total, count.late, count.stuck)))
        .collect();
    for stage in &board.stages {
        let counts = (stage.total, stage.late, stage.stuck);
        let Some(truth) = expected.get(stage.stage.as_str()) else {
            differences.0.push(format!("stage {}: unknown to the truth", stage.stage));
            continue;
        };
        differences.check(&format!("{} (total, late, stuck)", stage.stage), truth, &counts);
    }
    for stage in expected.keys().filter(|name| !board.stages.iter().any(|s| s.stage == **name)) {
        differences.0.push(format!("stage {stage}: not on the board"));
    }
    differences
}

/// The orders of the truth against those of the lists: stage and condition of each. Orders that
/// the truth does not know are passed over when `others_too`.
#[must_use]
pub fn orders(truth: &Truth, listed: &[Order], others_too: bool) -> Differences {
    let mut differences = Differences::default();
    let mut by_id: BTreeMap<&str, &Order> = BTreeMap::new();
    for order in listed {
        if by_id.insert(&order.order_id, order).is_some() {
            differences.0.push(format!("{}: listed twice", order.order_id));
        }
    }
    for expected in &truth.orders {
        match by_id.remove(expected.id.as_str()) {
            Some(order) => one(&mut differences, expected, order),
            None => differences.0.push(format!("{}: not listed", expected.id)),
        }
    }
    if !others_too {
        differences.0.extend(by_id.keys().map(|id| format!("{id}: unknown to the truth")));
    }
    differences
}

fn one(differences: &mut Differences, expected: &OrderTruth, order: &Order) {
    let came = (order.stage.as_str(), order.condition == "late", order.condition == "stuck");
    let wanted = (expected.stage.name(), expected.late, expected.stuck);
    differences.check(&format!("{} (stage, late, stuck)", expected.id), &wanted, &came);
    let came = (order.channel.as_str(), order.kind.as_str());
    let wanted = (expected.channel.name(), expected.kind.name());
    differences.check(&format!("{} (channel, kind)", expected.id), &wanted, &came);
}

#[cfg(test)]
mod tests {
    use simulator::population::{PopulationSettings, plan};
    use simulator::truth::{OrderHistory, truth};

    use super::*;
    use crate::pages::{BoardStage, Conservation};

    fn a_truth() -> Truth {
        let mix = "b2c=1".parse().unwrap();
        let settings = PopulationSettings { seed: 1, orders: 20, mix, hang_share: 0.2 };
        let now_ms = 1_790_000_000_000;
        let histories: Vec<_> =
            plan(&settings, now_ms).orders.iter().map(OrderHistory::from).collect();
        truth(&histories, now_ms)
    }

    fn board_of(truth: &Truth) -> Board {
        let stage = |(stage, count): (&simulator::stage::Stage, _)| {
            let simulator::truth::StageCount { total, late, stuck } = count;
            BoardStage { stage: stage.name().to_owned(), total, late, stuck }
        };
        let seen = truth.orders_total;
        Board {
            as_of: chrono::DateTime::UNIX_EPOCH,
            active_alerts: None,
            conservation: Conservation { seen, on_the_board: seen, difference: 0 },
            stages: truth.stages.iter().map(|(name, count)| stage((name, *count))).collect(),
        }
    }

    fn list_of(truth: &Truth) -> Vec<Order> {
        let condition = |order: &OrderTruth| match (order.late, order.stuck) {
            (true, _) => "late",
            (_, true) => "stuck",
            _ => "fine",
        };
        let order = |order: &OrderTruth| Order {
            order_id: order.id.clone(),
            stage: order.stage.name().to_owned(),
            since: chrono::DateTime::UNIX_EPOCH,
            condition: condition(order).to_owned(),
            channel: order.channel.name().to_owned(),
            kind: order.kind.name().to_owned(),
        };
        truth.orders.iter().map(order).collect()
    }

    #[test]
    fn every_single_difference_is_found() {
        let truth = a_truth();
        assert!(board(&truth, &board_of(&truth)).none());
        type Change = fn(&mut Board);
        let changes: [(&str, Change); 6] = [
            ("total", |board| board.stages[2].total += 1),
            ("late", |board| board.stages[6].late += 1),
            ("stuck", |board| board.stages[3].stuck += 1),
            ("a stage missing", |board| drop(board.stages.remove(0))),
            ("a stage too many", |board| board.stages[0].stage = "LIMBO".to_owned()),
            ("conservation", |board| board.conservation.difference = 1),
        ];
        for (what, change) in changes {
            let mut changed = board_of(&truth);
            change(&mut changed);
            assert!(!board(&truth, &changed).none(), "{what}");
        }
    }

    #[test]
    fn every_single_order_counts() {
        let truth = a_truth();
        assert!(orders(&truth, &list_of(&truth), false).none());
        type Change = fn(&mut Vec<Order>);
        let changes: [(&str, Change); 5] = [
            ("missing", |list| drop(list.pop())),
            ("twice", |list| list.push(list[0].clone())),
            ("elsewhere", |list| list[0].stage = "LIMBO".to_owned()),
            ("late", |list| list[0].condition = "late".to_owned()),
            ("another channel", |list| list[0].channel = "b2b".to_owned()),
        ];
        for (what, change) in changes {
            let mut changed = list_of(&truth);
            change(&mut changed);
            assert!(!orders(&truth, &changed, true).none(), "{what}");
        }
        let mut more = list_of(&truth);
        more.push(Order { order_id: "ORD-2026-999".to_owned(), ..more[0].clone() });
        assert!(orders(&truth, &more, true).none(), "a live order beside the truth");
        assert!(!orders(&truth, &more, false).none(), "an order nobody made");
    }
}
