//! The process's metrics as a Prometheus text page (OpenMetrics, `prometheus-client`).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

/// Content type of the page, by the OpenMetrics 1.0 specification.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry that every part of a process adds its metrics to. Clones share it.
///
/// Names are `waybill_<program>_<what>_<unit>`; counters get `_total` from the encoder.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    before_page: Arc<Mutex<Vec<Refresh>>>,
}

/// Sets gauges to what they are now.
type Refresh = Box<dyn Fn() + Send>;

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// An empty page of `program` (for example `collector`) but for `waybill_<program>_build_info`.
    #[must_use]
    pub fn new(program: &str, version: &'static str) -> Self {
        let mut registry = Registry::with_prefix(format!("waybill_{}", program.replace('-', "_")));
        registry.register("build", "The running build", Info::new(vec![("version", version)]));
        Self { registry: Arc::new(Mutex::new(registry)), before_page: Arc::default() }
    }

    /// Adds a metric and gives it back, so that it can be kept in a struct: metrics of
    /// `prometheus-client` are cheap clones of shared counters.
    pub fn add<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(name, help, metric.clone());
        metric
    }

    /// Runs `refresh` before each page, so that gauges show the moment they are asked for. It must
    /// return soon.
    pub fn before_page(&self, refresh: impl Fn() + Send + 'static) {
        self.refreshes().push(Box::new(refresh));
    }

    fn refreshes(&self) -> MutexGuard<'_, Vec<Refresh>> {
        self.before_page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        self.refreshes().iter().for_each(|refresh| refresh());
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing to a String fails only if an encoder reports it; what was written stands.
        if encode(&mut text, &registry).is_err() {
            tracing::error!("a metric could not be encoded");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn gauges_show_the_moment_they_are_asked_for() {
        let metrics = Metrics::new("collector", "0");
        let seen: Counter = metrics.add("asked", "Pages", Counter::default());
        metrics.before_page(move || {
            seen.inc();
        });
        assert!(metrics.page().contains("waybill_collector_asked_total 1\n"));
        assert!(metrics.page().contains("waybill_collector_asked_total 2\n"));
    }

    #[test]
    fn the_page_carries_prefix_and_total() {
        let metrics = Metrics::new("tracker-ui", "1.2.3");
        let seen: Counter = metrics.add("pages", "Pages served", Counter::default());
        seen.inc();
        let page = metrics.page();
        assert!(page.contains("waybill_tracker_ui_pages_total 1"), "{page}");
        assert!(page.contains("waybill_tracker_ui_build_info{version=\"1.2.3\"} 1"), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
