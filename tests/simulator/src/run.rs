//! A whole run: the population first, then live traffic, and the truth after each.

mod live;
mod report;

use crate::broker::Broker;
use crate::failure::RunError;
use crate::population::{OrderPlan, PopulationSettings, plan};
use crate::settings::RunSettings;
use crate::truth::{OrderHistory, truth};
use chrono::Utc;
use std::future::Future;

/// Orders acted out side by side; the steps of this many are under way at once.
const ORDERS_AT_ONCE: usize = 1_000;

/// Acts a run out; `stop` ends the live traffic.
///
/// # Errors
/// When a service fails, a file cannot be written, or anything made was not delivered: the
/// truth printed would not be what the receiver knows.
pub async fn run(settings: &RunSettings, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let population_settings = PopulationSettings {
        seed: settings.seed,
        orders: settings.orders,
        mix: settings.mix,
        hang_share: settings.hang_share,
    };
    let population = plan(&population_settings, Utc::now().timestamp_millis());
    let mut broker = Broker::start(settings)?;
    tokio::pin!(stop);
    tokio::select! {
        done = act_out(&mut broker, &population.orders) => done?,
        () = &mut stop => return Err(RunError::Stopped),
    }
    let mut orders: Vec<OrderHistory> = population.orders.iter().map(Into::into).collect();
    tell(settings, &mut broker, &orders, "population").await?;
    if let Some(path) = &settings.examples_file {
        report::write_json(path, &population.examples)?;
    }
    if settings.rate > 0.0 {
        let duration = settings.duration;
        let ends = async {
            if duration.is_zero() {
                stop.await;
            } else {
                tokio::select! { () = stop => {}, () = tokio::time::sleep(duration) => {} }
            }
        };
        orders.extend(live::traffic(settings, &population_settings, &mut broker, ends).await?);
        tell(settings, &mut broker, &orders, "run").await?;
    }
    broker.stop().await
}

/// Acts out back-dated orders, step after step.
async fn act_out(broker: &mut Broker, orders: &[OrderPlan]) -> Result<(), RunError> {
    for orders in orders.chunks(ORDERS_AT_ONCE) {
        let steps_most = orders.iter().map(|order| order.steps.len()).max().unwrap_or(0);
        for index in 0..steps_most {
            let step = |order: &OrderPlan| {
                Some((order.identity.id.clone(), order.steps.get(index)?.clone()))
            };
            broker.act(orders.iter().filter_map(step).collect(), false).await?;
        }
        broker.forget(|_| true);
    }
    Ok(())
}

/// Delivers everything and tells the truth about it.
async fn tell(
    settings: &RunSettings,
    broker: &mut Broker,
    orders: &[OrderHistory],
    what: &str,
) -> Result<(), RunError> {
    let delivered = broker.flush().await?;
    let truth = truth(orders, Utc::now().timestamp_millis());
    report::print(what, &truth, &delivered, broker.message_counts());
    for (system, delivered) in delivered {
        if !delivered.complete() {
            return Err(RunError::Undelivered { system, delivered });
        }
    }
    if let Some(path) = &settings.truth_file {
        report::write_json(path, &truth)?;
    }
    Ok(())
}
