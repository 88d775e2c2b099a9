//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use daemon::{Health, Metrics, Stop};
use order_model::Lifecycle;
use order_store::{Reader, Store, Writer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

use crate::measure::Measure;
use crate::reads::Reads;
use crate::replicas::{self, ReplicaLag};
use crate::settings::{BadSetting, Limits, Settings};

/// How often the store is asked whether it answers.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Without an answer for this long the program is not ready.
const STORE_QUIET_MAX: Duration = Duration::from_secs(30);

/// The state of the program; clones share it.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reads: Reads,
    store: Arc<Store>,
    replicas: replicas::Figures,
    lifecycle: Lifecycle,
    zone: Tz,
    public_url: String,
    webhook_secret: Option<String>,
    limits: Limits,
    requests: Semaphore,
    measure: Measure,
    health: Health,
    metrics: Metrics,
}

impl App {
    /// Reads what the settings name and connects; nothing is sent to the store yet.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, BadSetting> {
        let metrics = Metrics::new("tracker-ui", env!("CARGO_PKG_VERSION"));
        let measure = Measure::new(&metrics);
        let health = Health::new();
        let watch = health.watch("store", STORE_QUIET_MAX);
        let layout = settings.layout()?;
        let store = Store::connect_reading(&settings.store, &settings.replicas, layout.clone());
        let reader = Reader::new(store.clone());
        let writer = Writer::new(Store::connect_to(&settings.writer(), layout));
        let limits = settings.limits.clone();
        let reads = Reads::new(reader, writer, limits.query_time_max, measure.clone(), watch);
        let inner = Inner {
            reads,
            store: Arc::new(store),
            replicas: replicas::Figures::new(&metrics),
            lifecycle: settings.lifecycle()?,
            zone: settings.time_zone,
            public_url: settings.public_url.trim_end_matches('/').to_owned(),
            webhook_secret: settings.webhook.secret()?,
            requests: Semaphore::new(limits.requests_max),
            limits,
            measure,
            health,
            metrics,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks the store every few seconds whether it answers, until the stop signal: readiness
    /// follows it.
    pub async fn watch_store(self, stop: Stop) {
        loop {
            self.reads().probe().await;
            if !stop.sleep(PROBE_INTERVAL).await {
                return;
            }
        }
    }

    /// Follows the replicas that are read until the stop signal; ends at once without any.
    pub async fn watch_replicas(self, stop: Stop) {
        let (store, figures) = (Arc::clone(&self.inner.store), self.inner.replicas.clone());
        replicas::watch(store, figures, stop).await;
    }

    /// How far behind what is read may be, if a replica is read.
    pub(crate) fn replica_lag(&self) -> Option<ReplicaLag> {
        ReplicaLag::of(&self.inner.store.read_status())
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.inner.reads
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.inner.lifecycle
    }

    pub(crate) fn zone(&self) -> Tz {
        self.inner.zone
    }

    pub(crate) fn public_url(&self) -> &str {
        &self.inner.public_url
    }

    pub(crate) fn webhook_secret(&self) -> Option<&str> {
        self.inner.webhook_secret.as_deref()
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The gauge of open connections.
    #[must_use]
    pub fn open_connections(&self) -> Gauge {
        self.inner.measure.connections.clone()
    }

    pub(crate) fn requests(&self) -> &Semaphore {
        &self.inner.requests
    }

    pub(crate) fn measure(&self) -> &Measure {
        &self.inner.measure
    }

    pub(crate) fn health(&self) -> &Health {
        &self.inner.health
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }
}
