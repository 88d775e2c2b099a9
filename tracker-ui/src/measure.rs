//! What the program measures about itself.

use std::time::Duration;

use daemon::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// From a millisecond to ten seconds.
const BUCKETS_S: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    /// As the URL map writes it, so that ids are no label values.
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Query {
    query: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

/// The metrics of the process; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    requests: Family<Answered, Counter>,
    request_seconds: Family<Route, Histogram, fn() -> Histogram>,
    query_seconds: Family<Query, Histogram, fn() -> Histogram>,
    query_failures: Family<Query, Counter>,
    refused: Family<Refused, Counter>,
    /// Alerts that the webhook wrote down.
    pub(crate) alerts_recorded: Counter,
    /// Open connections.
    pub(crate) connections: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS_S)
}

impl Measure {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let by_route = Family::new_with_constructor(histogram as fn() -> Histogram);
        let by_query = Family::new_with_constructor(histogram as fn() -> Histogram);
        Self {
            requests: metrics.add(
                "requests",
                "Requests answered, by route and status",
                Family::default(),
            ),
            request_seconds: metrics.add(
                "request_seconds",
                "Time to the head of the answer, by route",
                by_route,
            ),
            query_seconds: metrics.add(
                "store_query_seconds",
                "Time of questions to the store",
                by_query,
            ),
            query_failures: metrics.add(
                "store_query_failures",
                "Questions that the store did not answer",
                Family::default(),
            ),
            refused: metrics.add(
                "requests_refused",
                "Requests refused at a bound, by reason",
                Family::default(),
            ),
            alerts_recorded: metrics.add(
                "alerts_recorded",
                "Alerts of the webhook written to the store, repeats included",
                Counter::default(),
            ),
            connections: metrics.add("connections", "Open connections", Gauge::default()),
        }
    }

    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&Answered { route: route.to_owned(), status }).inc();
        let route = Route { route: route.to_owned() };
        self.request_seconds.get_or_create(&route).observe(took.as_secs_f64());
    }

    pub(crate) fn queried(&self, query: &'static str, took: Duration) {
        self.query_seconds.get_or_create(&Query { query }).observe(took.as_secs_f64());
    }

    pub(crate) fn query_failed(&self, query: &'static str) {
        self.query_failures.get_or_create(&Query { query }).inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }
}
