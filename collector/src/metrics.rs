//! What the collector counts.

use std::sync::atomic::AtomicU64;

use daemon::connections::Signs;
use daemon::{Health, Metrics};
use order_store::Conservation;
use order_store::record::Table as StoreTable;
use otlp_columns::{Mapped, Rejection, Signal, Tally};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// OTLP/HTTP, protobuf or JSON.
    Http,
    /// OTLP/gRPC.
    Grpc,
}

/// Why a request is not read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unserved {
    /// Nothing is at that path, or no such method of gRPC.
    Path,
    /// Not a POST.
    Method,
    /// A content type that is not read.
    MediaType,
    /// A content coding that is not read.
    Coding,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnservedLabels {
    transport: &'static str,
    reason: &'static str,
}

/// Labels of one signal over one transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    signal: &'static str,
    transport: &'static str,
}

/// Labels of a count by outcome or reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteReason {
    signal: &'static str,
    transport: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Table {
    table: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Port {
    port: &'static str,
}

/// The collector's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct CollectorMetrics {
    requests: Family<RouteReason, Counter>,
    unserved_requests: Family<UnservedLabels, Counter>,
    accepted_items: Family<Route, Counter>,
    rejected_items: Family<RouteReason, Counter>,
    body_bytes: Family<Route, Counter>,
    redacted_values: Counter,
    dropped_attributes: Counter,
    cut_values: Counter,
    dropped_events: Counter,
    dropped_links: Counter,
    dropped_exemplars: Counter,
    emptied_ids: Counter,
    refused_order_ids: Counter,
    unattributable_signals: Counter,
    repaired_strings: Counter,
    inserted_rows: Family<Table, Counter>,
    connections: Family<Port, Gauge>,
    refused_connections: Family<Port, Counter>,
    full_ports: Family<Port, Counter>,
    /// Bytes of bodies and rows of requests not yet answered.
    pub in_flight_bytes: Gauge,
    /// Seconds of successful inserts.
    pub insert_seconds: Histogram,
    /// Records of the journal that one insert carried.
    pub insert_requests: Histogram,
    /// Inserts that failed and were tried again.
    pub insert_failures: Counter,
    /// Inserts that the store refused as a whole, and that were sent again as two halves.
    pub insert_splits: Counter,
    /// Records that the store refused for good, and that were set aside.
    pub refused_records: Counter,
    /// Seconds of writing and syncing a group of records.
    pub journal_sync_seconds: Histogram,
    /// Records of such a group.
    pub journal_sync_records: Histogram,
    /// Bytes of the journal's files.
    pub journal_bytes: Gauge,
    /// The bound of them.
    pub journal_bytes_max: Gauge,
    /// Records that are answered and not known to be in the store.
    pub unsent_records: Gauge,
    /// Their bytes.
    pub unsent_bytes: Gauge,
    /// Age of the oldest of them.
    pub unsent_age_seconds: Gauge<f64, AtomicU64>,
    /// Seconds from the answer to the derived state of its orders.
    pub stitch_seconds: Histogram,
    /// Orders derived because something touched them.
    pub stitched_orders: Counter,
    /// Orders derived by sweeps.
    pub swept_orders: Counter,
    /// Derivations and sweeps that failed and are tried again.
    pub stitch_failures: Counter,
    /// Times that more was touched than the list holds, so that a sweep replaced it.
    pub stitch_overflows: Counter,
    /// Orders and traces that wait to be derived again.
    pub stitch_pending: Gauge,
    /// Age of the oldest of them, seconds.
    pub stitch_lag_seconds: Gauge<f64, AtomicU64>,
    /// Orders that the store refused to derive for good.
    pub stitch_refused: Counter,
    /// Order ids that the facts name.
    pub orders_named: Gauge,
    /// Orders as the board counts them.
    pub orders_derived: Gauge,
    /// Ids that turned out to be another id of an order.
    pub orders_merged: Gauge,
    /// What is missing between them: 0 once the stitcher has caught up.
    pub conservation_difference: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl CollectorMetrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.add(name, help, Counter::default());
        let gauge = |name: &str, help: &str| metrics.add(name, help, Gauge::default());
        let inserted_rows: Family<Table, Counter> =
            metrics.add("inserted_rows", "Rows inserted", Family::default());
        // Each table is on the page from the start.
        for table in StoreTable::ALL {
            drop(inserted_rows.get_or_create(&Table { table: table.name() }));
        }
        Self {
            requests: metrics.add("requests", "Requests by outcome", Family::default()),
            unserved_requests: metrics.add(
                "unserved_requests",
                "Requests that are not read: of another path, method, content type or coding",
                Family::default(),
            ),
            accepted_items: metrics.add(
                "accepted_items",
                "Spans, log records and data points that were answered and are in the journal",
                Family::default(),
            ),
            rejected_items: metrics.add(
                "rejected_items",
                "Spans, log records and data points not taken, by reason",
                Family::default(),
            ),
            body_bytes: metrics.add("body_bytes", "Bytes of bodies as received", Family::default()),
            redacted_values: counter("redacted_values", "Attribute values removed or cut by rule"),
            dropped_attributes: counter("dropped_attributes", "Attributes past the bound"),
            cut_values: counter("cut_values", "Keys, values and texts that were cut"),
            dropped_events: counter("dropped_events", "Events of spans past the bound"),
            dropped_links: counter("dropped_links", "Links of spans past the bound"),
            dropped_exemplars: counter(
                "dropped_exemplars",
                "Exemplars of data points past the bound",
            ),
            emptied_ids: counter(
                "emptied_ids",
                "Ids of logs, parents, links and exemplars that are none",
            ),
            refused_order_ids: counter("refused_order_ids", "Values that are no order id"),
            unattributable_signals: counter(
                "unattributable_signals",
                "Signals with neither order nor trace",
            ),
            repaired_strings: counter("repaired_strings", "Strings that were not UTF-8"),
            inserted_rows,
            connections: metrics.add("connections", "Open connections", Family::default()),
            refused_connections: metrics.add(
                "refused_connections",
                "Connections closed at once because their peer had too many",
                Family::default(),
            ),
            full_ports: metrics.add(
                "full_ports",
                "Times that all connections of a port were in use, so that new ones waited",
                Family::default(),
            ),
            in_flight_bytes: metrics.add(
                "in_flight_bytes",
                "Bytes of bodies and rows of requests not yet answered",
                Gauge::default(),
            ),
            insert_seconds: metrics.add("insert_seconds", "Time of inserts", seconds()),
            insert_requests: metrics.add(
                "insert_requests",
                "Requests, or parts of large ones, that one insert carried",
                Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            ),
            insert_failures: counter("insert_failures", "Inserts that failed"),
            insert_splits: counter(
                "insert_splits",
                "Inserts that the store refused for their size or data, sent again as halves",
            ),
            refused_records: counter(
                "refused_records",
                "Records that the store refused for good, set aside beside the journal",
            ),
            journal_sync_seconds: metrics.add(
                "journal_sync_seconds",
                "Time of writing and syncing a group of requests",
                Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            ),
            journal_sync_records: metrics.add(
                "journal_sync_records",
                "Requests that one sync carried",
                Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            ),
            journal_bytes: gauge("journal_bytes", "Bytes of the journal's files"),
            journal_bytes_max: gauge("journal_bytes_max", "The bound of them"),
            unsent_records: gauge(
                "unsent_records",
                "Requests, or parts of large ones, answered and not yet in the store",
            ),
            unsent_bytes: gauge("unsent_bytes", "Their bytes"),
            unsent_age_seconds: metrics.add(
                "unsent_age_seconds",
                "Age of the oldest request that is answered and not yet in the store",
                Gauge::default(),
            ),
            stitch_seconds: metrics.add(
                "stitch_seconds",
                "Time from the answer to the derived state of its orders",
                seconds(),
            ),
            stitched_orders: counter("stitched_orders", "Orders derived when touched"),
            swept_orders: counter("swept_orders", "Orders derived by sweeps"),
            stitch_failures: counter("stitch_failures", "Derivations and sweeps that failed"),
            stitch_overflows: counter("stitch_overflows", "Sweeps that replaced a full list"),
            stitch_pending: metrics.add(
                "stitch_pending",
                "Orders and traces that wait to be derived again",
                Gauge::default(),
            ),
            stitch_lag_seconds: metrics.add(
                "stitch_lag_seconds",
                "Age of the oldest order or trace that waits to be derived again",
                Gauge::default(),
            ),
            stitch_refused: counter("stitch_refused", "Orders that the store refused to derive"),
            orders_named: gauge("orders_named", "Order ids that the facts name"),
            orders_derived: gauge("orders_derived", "Orders as the board counts them"),
            orders_merged: gauge("orders_merged", "Ids that turned out to be another order's"),
            conservation_difference: gauge(
                "conservation_difference",
                "Ids named less those merged less orders derived: 0 when all are stitched",
            ),
        }
    }

    /// Shows a check of conservation.
    pub fn conserved(&self, found: Conservation) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.orders_named.set(gauge(found.named));
        self.orders_derived.set(gauge(found.derived));
        self.orders_merged.set(gauge(found.merged));
        self.conservation_difference.set(found.difference);
    }

    /// Counts a request by how it ended.
    pub fn request(&self, signal: Signal, transport: Transport, reason: &'static str) {
        let labels =
            RouteReason { signal: signal_label(signal), transport: transport.label(), reason };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts the bytes of a body.
    pub fn body(&self, signal: Signal, transport: Transport, bytes: usize) {
        self.body_bytes.get_or_create(&route(signal, transport)).inc_by(bytes as u64);
    }

    /// Counts what mapping changed or rejected.
    pub fn mapped(&self, signal: Signal, transport: Transport, mapped: &Mapped) {
        let tally = &mapped.tally;
        for (counter, count) in [
            (&self.redacted_values, tally.redacted_values),
            (&self.dropped_attributes, tally.dropped_attributes),
            (&self.cut_values, tally.cut_values),
            (&self.dropped_events, tally.dropped_events),
            (&self.dropped_links, tally.dropped_links),
            (&self.dropped_exemplars, tally.dropped_exemplars),
            (&self.emptied_ids, tally.emptied_ids),
            (&self.refused_order_ids, tally.refused_order_ids),
            (&self.unattributable_signals, tally.unattributable_signals),
            (&self.repaired_strings, tally.repaired_strings),
        ] {
            counter.inc_by(count);
        }
        for why in Rejection::ALL {
            let count = mapped.rejected.counts[why as usize];
            if count > 0 {
                let labels = RouteReason {
                    signal: signal_label(signal),
                    transport: transport.label(),
                    reason: why.label(),
                };
                self.rejected_items.get_or_create(&labels).inc_by(count);
            }
        }
    }

    /// Counts items that are in the store.
    pub fn accepted(&self, signal: Signal, transport: Transport, tally: &Tally) {
        let items = tally.spans + tally.logs + tally.points;
        self.accepted_items.get_or_create(&route(signal, transport)).inc_by(items);
    }

    /// Counts rows that are in the store.
    pub fn inserted(&self, table: StoreTable, rows: u64) {
        self.inserted_rows.get_or_create(&Table { table: table.name() }).inc_by(rows);
    }

    /// Counts a request that is not read.
    pub fn unserved(&self, transport: Transport, why: Unserved) {
        let reason = match why {
            Unserved::Path => "path",
            Unserved::Method => "method",
            Unserved::MediaType => "media_type",
            Unserved::Coding => "coding",
        };
        let labels = UnservedLabels { transport: transport.label(), reason };
        self.unserved_requests.get_or_create(&labels).inc();
    }

    /// Where a port shows how it does.
    #[must_use]
    pub fn signs_of(&self, port: &'static str, health: &Health) -> Signs {
        Signs {
            name: port,
            open: self.connections.get_or_create(&Port { port }).clone(),
            refused: self.refused_connections.get_or_create(&Port { port }).clone(),
            full: self.full_ports.get_or_create(&Port { port }).clone(),
            note: Some(health.note(port)),
        }
    }
}

fn route(signal: Signal, transport: Transport) -> Route {
    Route { signal: signal_label(signal), transport: transport.label() }
}

fn signal_label(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "traces",
        Signal::Logs => "logs",
        Signal::Metrics => "metrics",
    }
}

impl Transport {
    fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}
