//! Stage events through the real collector, at a steady rate, while pages are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::Stack;
use end_to_end::otlp::{StageSignal, request, send};
use rand::prelude::*;
use rand::rngs::StdRng;
use tokio::task::JoinHandle;

/// Events of one request: an SDK of a busy service sends its zero-length spans in batches.
const EVENTS_PER_REQUEST: u64 = 10;
/// Stages that the events name; the last ends an order.
const STAGES: [&str; 3] = ["MANUFACTURING_STARTED", "MANUFACTURING_COMPLETED", "PACKAGING"];
/// The stage that ends an order, and one event in how many it is: orders have nine.
const ENDS: &str = "CANCELLED";
const ENDS_ONE_IN: u32 = 9;

/// Events on their way until it is dropped.
pub(crate) struct Traffic {
    task: JoinHandle<Result<()>>,
    sent: Arc<AtomicU64>,
    begun: Instant,
}

impl Traffic {
    /// Sends `per_second` events of any of these orders, each request at its own time.
    pub(crate) fn start(
        stack: &Stack,
        per_second: u64,
        orders: Vec<String>,
        seed: u64,
    ) -> Result<Self> {
        let (client, url) = (stack.client().clone(), stack.otlp_http()?);
        let sent = Arc::new(AtomicU64::new(0));
        let (counter, begun) = (Arc::clone(&sent), Instant::now());
        let task = tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut under_way = tokio::task::JoinSet::new();
            for number in 0_u64.. {
                let due = number as f64 * EVENTS_PER_REQUEST as f64 / per_second as f64;
                tokio::time::sleep_until((begun + Duration::from_secs_f64(due)).into()).await;
                let spans = (0..EVENTS_PER_REQUEST)
                    .map(|_| {
                        let id = &orders[rng.random_range(0..orders.len())];
                        let ends = rng.random_ratio(1, ENDS_ONE_IN);
                        let stage =
                            if ends { ENDS } else { STAGES[rng.random_range(0..STAGES.len())] };
                        StageSignal::now(id, stage, "mes").span()
                    })
                    .collect();
                let (client, url, sent) = (client.clone(), url.clone(), Arc::clone(&counter));
                under_way.spawn(async move {
                    send(&client, &url, &request("mes", spans)).await?;
                    sent.fetch_add(EVENTS_PER_REQUEST, Ordering::Relaxed);
                    anyhow::Ok(())
                });
                while let Some(answer) = under_way.try_join_next() {
                    answer.context("a sender panicked")??;
                }
            }
            Ok(())
        });
        Ok(Self { task, sent, begun })
    }

    /// Ends it; gives the events answered per second.
    ///
    /// # Errors
    /// A request was refused: then the figures taken meanwhile are worth nothing.
    pub(crate) async fn stop(self) -> Result<f64> {
        if self.task.is_finished() {
            self.task.await.context("the traffic panicked")??;
            return Ok(0.0);
        }
        self.task.abort();
        Ok(self.sent.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64())
    }
}
