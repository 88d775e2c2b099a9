//! What is counted of who comes in. Sources are few and named by the file, so each has its own
//! counts; services are named by senders, and have none.

use daemon::Metrics;
use daemon::tls::HandshakeFailure;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Labels of a count of one source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

/// Labels of a count of one source by how its requests ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSourceReason {
    source: String,
    reason: &'static str,
}

/// Labels of a count of one setting whose files are read again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSetting {
    setting: &'static str,
}

/// Labels of a count of reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    setting: &'static str,
    outcome: &'static str,
}

/// The metrics of who comes in. Clones share them.
#[derive(Debug, Clone)]
pub struct AccessMetrics {
    source_requests: Family<OfSourceReason, Counter>,
    source_items: Family<OfSource, Counter>,
    source_bytes: Family<OfSource, Counter>,
    reloads: Family<Reload, Counter>,
    reload_refused: Family<OfSetting, Gauge>,
    /// Handshakes that failed, by reason.
    pub handshake_failures: Family<HandshakeFailure, Counter>,
    /// Services with a rate of their own.
    pub rated_services: Gauge,
}

impl AccessMetrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            source_requests: metrics.add(
                "source_requests",
                "Requests of each source of the tokens file by outcome",
                Family::default(),
            ),
            source_items: metrics.add(
                "source_items",
                "Spans and log records that each source was granted",
                Family::default(),
            ),
            source_bytes: metrics.add(
                "source_body_bytes",
                "Bytes of bodies of each source",
                Family::default(),
            ),
            reloads: metrics.add(
                "reloads",
                "Changed files of tokens and certificates, taken or refused",
                Family::default(),
            ),
            reload_refused: metrics.add(
                "reload_refused",
                "1 while the files on disk are bad and older ones are in force",
                Family::default(),
            ),
            handshake_failures: metrics.add(
                "tls_handshake_failures",
                "TLS handshakes that failed",
                Family::default(),
            ),
            rated_services: metrics.add(
                "rated_services",
                "Services with a rate of their own in memory",
                Gauge::default(),
            ),
        }
    }

    /// Counts how a request of a source ended.
    pub fn request(&self, source: &str, reason: &'static str) {
        let labels = OfSourceReason { source: source.to_owned(), reason };
        self.source_requests.get_or_create(&labels).inc();
    }

    /// Counts what a source was granted.
    pub fn items(&self, source: &str, items: u64) {
        self.source_items.get_or_create(&OfSource { source: source.to_owned() }).inc_by(items);
    }

    /// Counts bytes of a source.
    pub fn bytes(&self, source: &str, bytes: u64) {
        self.source_bytes.get_or_create(&OfSource { source: source.to_owned() }).inc_by(bytes);
    }

    /// Counts that changed files were taken, or refused.
    pub fn reloaded(&self, setting: &'static str, taken: bool) {
        let outcome = if taken { "taken" } else { "refused" };
        self.reloads.get_or_create(&Reload { setting, outcome }).inc();
        self.in_force(setting, taken);
    }

    /// Shows whether what is in force is what is on disk.
    pub fn in_force(&self, setting: &'static str, is_newest: bool) {
        let gauge = self.reload_refused.get_or_create(&OfSetting { setting });
        gauge.set(i64::from(!is_newest));
    }
}
