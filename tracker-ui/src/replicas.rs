//! Which server of the store is read: followed in the background, shown on pages and as metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daemon::{Metrics, Stop};
use order_store::connection::PROBE_INTERVAL;
use order_store::{ReadStatus, Store};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// How far behind what pages show may be, because a replica is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplicaLag {
    /// Milliseconds behind the store that is written to.
    pub(crate) lag_ms: i64,
    /// A replica further behind than this is not read.
    pub(crate) lag_max_ms: i64,
    /// Whether that store answers. If not, the lag is against the last that was heard of it.
    pub(crate) primary_answers: bool,
}

impl ReplicaLag {
    /// Nothing while the store that is written to is read itself.
    pub(crate) fn of(status: &ReadStatus) -> Option<Self> {
        let [lag_ms, lag_max_ms] = [status.lag, status.lag_max]
            .map(|lag| i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
        let lag = Self { lag_ms, lag_max_ms, primary_answers: status.primary_answers };
        (!status.is_primary).then_some(lag)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Replica {
    /// Its address; at most `order_store::connection::REPLICAS_MAX` of them.
    replica: String,
}

/// The metrics of replicas; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    fit: Family<Replica, Gauge>,
    lag_ms: Gauge,
    is_read: Gauge,
    failovers: Counter,
    primary_reads: Counter,
}

impl Figures {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            fit: metrics.add(
                "replica_fit",
                "1 while the replica answers and is within the bound on its lag",
                Family::default(),
            ),
            lag_ms: metrics.add(
                "replica_lag_milliseconds",
                "How far the replica that is read is behind; 0 while the primary is read",
                Gauge::default(),
            ),
            is_read: metrics.add(
                "replica_is_read",
                "1 while a replica is read, 0 while the primary is",
                Gauge::default(),
            ),
            failovers: metrics.add(
                "store_failovers",
                "Questions that failed at a replica and were asked again elsewhere",
                Counter::default(),
            ),
            primary_reads: metrics.add(
                "store_primary_reads",
                "Questions that went to the primary because no replica was fit",
                Counter::default(),
            ),
        }
    }

    fn show(&self, status: &ReadStatus, told: &Told) {
        for replica in &status.replicas {
            let by = Replica { replica: replica.endpoint.clone() };
            self.fit.get_or_create(&by).set(i64::from(replica.fit));
        }
        let lag = ReplicaLag::of(status);
        self.lag_ms.set(lag.map_or(0, |lag| lag.lag_ms));
        self.is_read.set(i64::from(lag.is_some()));
        self.failovers.inc_by(told.failovers.more(status.failovers));
        self.primary_reads.inc_by(told.primary_reads.more(status.primary_reads));
    }
}

/// What the counters were told already.
#[derive(Debug, Default)]
struct Told {
    failovers: Sum,
    primary_reads: Sum,
}

#[derive(Debug, Default)]
struct Sum(AtomicU64);

impl Sum {
    /// By how much a sum since the start has grown.
    fn more(&self, sum: u64) -> u64 {
        sum.saturating_sub(self.0.swap(sum, Ordering::Relaxed))
    }
}

/// Follows the replicas until the stop signal; at once when there are none.
pub(crate) async fn watch(store: Arc<Store>, figures: Figures, stop: Stop) {
    let told = Told::default();
    let showing = async {
        loop {
            figures.show(&store.read_status(), &told);
            if !stop.sleep(PROBE_INTERVAL).await {
                return;
            }
        }
    };
    tokio::select! {
        () = store.watch_replicas() => {}
        () = showing => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn status(is_primary: bool) -> ReadStatus {
        ReadStatus {
            endpoint: "http://127.0.0.1:1".into(),
            is_primary,
            lag: Duration::from_millis(if is_primary { 0 } else { 1_500 }),
            lag_max: Duration::from_secs(30),
            primary_answers: true,
            replicas: vec![],
            failovers: 3,
            primary_reads: 1,
        }
    }

    #[test]
    fn only_a_replica_has_a_lag() {
        assert_eq!(ReplicaLag::of(&status(true)), None);
        let lag = ReplicaLag { lag_ms: 1_500, lag_max_ms: 30_000, primary_answers: true };
        assert_eq!(ReplicaLag::of(&status(false)), Some(lag));
    }

    #[test]
    fn counters_grow_by_what_is_new() {
        let figures = Figures::new(&Metrics::new("test", "0"));
        let told = Told::default();
        for (failovers, expected) in [(3, 3), (3, 3), (5, 5)] {
            let status = ReadStatus { failovers, ..status(false) };
            figures.show(&status, &told);
            assert_eq!(figures.failovers.get(), expected);
        }
        assert_eq!((figures.primary_reads.get(), figures.lag_ms.get()), (1, 1_500));
    }
}
