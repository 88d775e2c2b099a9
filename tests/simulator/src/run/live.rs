//! Live traffic: new orders at a rate, each walking through its stages by the clock.

use crate::broker::Broker;
use crate::failure::RunError;
use crate::population::{OrderPlan, PopulationSettings, live_order};
use crate::scenario::identity::ORDERS_MAX;
use crate::settings::RunSettings;
use chrono::Utc;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// An order on its way.
struct Walking {
    /// What it has done so far; steps that have not happened are not in it.
    done: OrderPlan,
    /// What it will do, the next step last, each with the wait before it.
    ahead: Vec<(Duration, crate::trace_plan::StepPlan)>,
}

/// Makes orders until `ends` completes; returns them as far as they came.
pub(super) async fn traffic(
    settings: &RunSettings,
    population: &PopulationSettings,
    broker: &mut Broker,
    ends: impl Future<Output = ()>,
) -> Result<Vec<OrderPlan>, RunError> {
    let between = Duration::from_secs_f64(60.0 / settings.rate);
    // Live orders are numbered after the population, which may exceed the number asked for.
    let mut number = ORDERS_MAX / 2;
    let mut walking: Vec<Walking> = Vec::new();
    let mut due: BinaryHeap<Reverse<(Instant, usize)>> = BinaryHeap::new();
    let mut next_order = Instant::now();
    tokio::pin!(ends);
    loop {
        let next_step = due.peek().map_or(next_order, |Reverse((at, _))| *at);
        tokio::select! {
            biased;
            () = &mut ends => break,
            () = tokio::time::sleep_until(next_step.min(next_order)) => {}
        }
        let now = Instant::now();
        if next_order <= now && number < ORDERS_MAX {
            let (order, gaps_ms) = new_order(population, number, settings.stage_interval);
            due.push(Reverse((now, walking.len())));
            walking.push(Walking::new(order, gaps_ms));
            number += 1;
            if number == ORDERS_MAX {
                tracing::warn!(orders = ORDERS_MAX / 2, "no further live orders: ids are used up");
            }
        }
        if next_order <= now {
            next_order = (next_order + between).max(now);
        }
        let mut steps = Vec::new();
        while let Some(Reverse((_, index))) = due.peek().filter(|Reverse((at, _))| *at <= now) {
            let index = *index;
            due.pop();
            let order = &mut walking[index];
            if let Some((_, mut step)) = order.ahead.pop() {
                step.at_ms = Utc::now().timestamp_millis();
                steps.push((order.done.identity.id.clone(), step.clone()));
                order.done.steps.push(step);
            }
            if let Some((wait, _)) = order.ahead.last() {
                due.push(Reverse((now + *wait, index)));
            }
        }
        let ended: Vec<_> = steps.iter().map(|(order_id, _)| order_id.clone()).collect();
        broker.act(steps, true).await?;
        let over = |order: &&Walking| order.ahead.is_empty();
        let over: Vec<_> =
            walking.iter().filter(over).map(|order| &order.done.identity.id).collect();
        broker.forget(|order_id| {
            over.iter().any(|id| *id == order_id) && ended.iter().any(|id| id == order_id)
        });
    }
    Ok(walking.into_iter().map(|order| order.done).collect())
}

impl Walking {
    fn new(mut order: OrderPlan, gaps_ms: Vec<i64>) -> Self {
        let wait = |gap_ms: i64| Duration::from_millis(gap_ms.unsigned_abs());
        let steps = std::mem::take(&mut order.steps);
        let mut ahead: Vec<_> = gaps_ms.into_iter().map(wait).zip(steps).collect();
        ahead.reverse();
        Self { done: order, ahead }
    }
}

fn new_order(
    population: &PopulationSettings,
    number: u64,
    stage_interval: Duration,
) -> (OrderPlan, Vec<i64>) {
    live_order(population, number, Utc::now().timestamp_millis(), stage_interval)
}
