//! Live traffic: new orders at a rate, each walking through its stages by the clock.

use crate::broker::Broker;
use crate::failure::RunError;
use crate::population::{PopulationSettings, live_order};
use crate::scenario::identity::ORDERS_MAX;
use crate::settings::RunSettings;
use crate::trace_plan::StepPlan;
use crate::truth::{Happened, OrderHistory};
use chrono::Utc;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Live orders are numbered from here, after any population.
const LIVE_FROM: u64 = ORDERS_MAX / 2;

/// An order on its way.
struct Walking {
    /// What it has done so far; steps that have not happened are not in it.
    done: OrderHistory,
    /// What it will do, the next step last, each with the wait before it.
    ahead: Vec<(Duration, StepPlan)>,
}

/// All live orders of a run. They are kept to its end, with what the truth needs of them: less
/// than a kilobyte each, and at most [`ORDERS_MAX`] of them.
#[derive(Default)]
struct Traffic {
    orders: Vec<Walking>,
    /// When which order's next step is due.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// Makes orders until `ends` completes; returns them as far as they came.
pub(super) async fn traffic(
    settings: &RunSettings,
    population: &PopulationSettings,
    broker: &mut Broker,
    ends: impl Future<Output = ()>,
) -> Result<Vec<OrderHistory>, RunError> {
    let between = Duration::from_secs_f64(60.0 / settings.rate);
    let mut numbers = LIVE_FROM..ORDERS_MAX;
    let mut traffic = Traffic::default();
    let mut next_order = Instant::now();
    tokio::pin!(ends);
    loop {
        let next_step = traffic.due.peek().map_or(next_order, |Reverse((at, _))| *at);
        tokio::select! {
            biased;
            () = &mut ends => break,
            () = tokio::time::sleep_until(next_step.min(next_order)) => {}
        }
        let now = Instant::now();
        if next_order <= now {
            next_order = (next_order + between).max(now);
            match numbers.next() {
                Some(number) => traffic.enter(now, new_order(settings, population, number)),
                None => tracing::warn!(orders_max = ORDERS_MAX, "no order made: ids are used up"),
            }
        }
        let (steps, arrived) = traffic.steps(now);
        broker.act(steps, true).await?;
        if !arrived.is_empty() {
            broker.forget(|order_id| arrived.contains(order_id));
        }
    }
    Ok(traffic.orders.into_iter().map(|order| order.done).collect())
}

impl Traffic {
    fn enter(&mut self, now: Instant, order: Walking) {
        self.due.push(Reverse((now, self.orders.len())));
        self.orders.push(order);
    }

    /// The steps that are due, and the orders that have none ahead of them any more.
    fn steps(&mut self, now: Instant) -> (Vec<(String, StepPlan)>, HashSet<String>) {
        let (mut steps, mut arrived) = (Vec::new(), HashSet::new());
        while let Some(Reverse((_, index))) = self.due.peek().filter(|due| due.0.0 <= now) {
            let index = *index;
            self.due.pop();
            let order = &mut self.orders[index];
            let order_id = &order.done.identity.id;
            if let Some((_, mut step)) = order.ahead.pop() {
                step.at_ms = Utc::now().timestamp_millis();
                order.done.steps.push(Happened::from(&step));
                steps.push((order_id.clone(), step));
            }
            match order.ahead.last() {
                Some((wait, _)) => self.due.push(Reverse((now + *wait, index))),
                None => {
                    arrived.insert(order_id.clone());
                }
            }
        }
        (steps, arrived)
    }
}

fn new_order(settings: &RunSettings, population: &PopulationSettings, number: u64) -> Walking {
    let now_ms = Utc::now().timestamp_millis();
    let (order, gaps_ms) = live_order(population, number, now_ms, settings.stage_interval);
    let wait = |gap_ms: i64| Duration::from_millis(gap_ms.unsigned_abs());
    let mut ahead: Vec<_> = gaps_ms.into_iter().map(wait).zip(order.steps).collect();
    ahead.reverse();
    Walking { done: OrderHistory { identity: order.identity, steps: Vec::new() }, ahead }
}
