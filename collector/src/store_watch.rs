//! Whether the store answers: what readiness shows, and one log line for each turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::{Stop, Watch, log};
use order_store::Store;
use tokio::time::timeout;

/// How often a store that answers is asked again, so that readiness does not depend on traffic.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How often a store that is away is asked: its return is noticed within this and its answer.
const PING_INTERVAL_AWAY: Duration = Duration::from_millis(500);
/// How long one ping may take; then the store is away.
const PING_TIME_MAX: Duration = Duration::from_secs(5);

/// What is known of the store. Clones share it.
#[derive(Debug, Clone)]
pub struct StoreWatch {
    watch: Watch,
    away: Arc<AtomicBool>,
}

impl StoreWatch {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(watch: Watch) -> Self {
        Self { watch, away: Arc::new(AtomicBool::new(false)) }
    }

    /// The store did what it was asked.
    pub fn answered(&self) {
        self.watch.progressed();
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("store answers again");
        }
    }

    /// The store is there and did not do what it was asked.
    pub fn refused(&self, why: String) {
        self.watch.failed(why);
    }

    /// The store cannot be reached.
    pub fn away(&self, why: String) {
        // The first time is news, the others are not.
        if self.away.swap(true, Ordering::Relaxed) {
            tracing::debug!(error = why, "store does not answer");
        } else {
            tracing::warn!(error = why, "store does not answer");
        }
        self.watch.failed(why);
    }

    /// Whether the store was away when it was last tried.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Asks the store again and again whether it is there, until the stop.
    pub async fn ping(self, store: Store, stop: Stop) {
        loop {
            let pause = if self.is_away() { PING_INTERVAL_AWAY } else { PING_INTERVAL };
            if !stop.sleep(pause).await {
                return;
            }
            let asked = tokio::select! {
                asked = timeout(PING_TIME_MAX, store.ping()) => asked,
                () = stop.stopped() => return,
            };
            match asked {
                Ok(Ok(())) => self.answered(),
                Ok(Err(error)) => self.away(log::chain(&error)),
                Err(_) => self.away(format!("no answer within {} s", PING_TIME_MAX.as_secs())),
            }
        }
    }
}
