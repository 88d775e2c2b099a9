//! The metrics of this program.

use daemon::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// An exception by its code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByCode {
    /// ClickHouse's number.
    pub(crate) code: u16,
}

/// What is counted.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// Queries that were admitted.
    pub(crate) queries: Counter,
    /// Queries that run now.
    pub(crate) running: Gauge,
    /// Queries that wait for their turn now.
    pub(crate) queued: Gauge,
    /// Queries turned away because too many ran and waited.
    pub(crate) turned_away: Counter,
    /// Exceptions told to clients.
    pub(crate) exceptions: Family<ByCode, Counter>,
    /// Queries cancelled because their client left.
    pub(crate) cancelled: Counter,
    /// Seconds that queries took.
    pub(crate) query_ms: Counter,
    /// Rows written.
    pub(crate) written_rows: Counter,
    /// Bytes of results before coding.
    pub(crate) answer_bytes: Counter,
    /// Open sessions.
    pub(crate) sessions: Gauge,
    /// Open connections.
    pub(crate) connections: Gauge,
    /// Entries of the log of queries that the disk had no time for.
    pub(crate) log_dropped: Counter,
    /// Files of the engine that a write did not reach.
    pub(crate) failed_writes: Counter,
}

impl Figures {
    /// Adds them to the page.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.add(name, help, Counter::default());
        let gauge = |name: &str, help: &str| metrics.add(name, help, Gauge::default());
        Self {
            queries: counter("queries", "Queries admitted"),
            running: gauge("queries_running", "Queries that run now"),
            queued: gauge("queries_queued", "Queries that wait for their turn"),
            turned_away: counter("queries_turned_away", "Queries refused with code 202"),
            exceptions: metrics.add("exceptions", "Exceptions told to clients", Family::default()),
            cancelled: counter("queries_cancelled", "Queries whose client left"),
            query_ms: counter("query_milliseconds", "Milliseconds that queries took"),
            written_rows: counter("written_rows", "Rows written, views included"),
            answer_bytes: counter("answer_bytes", "Bytes of results before coding"),
            sessions: gauge("sessions", "Sessions held"),
            connections: gauge("connections", "Open connections"),
            log_dropped: counter("query_log_dropped", "Entries the query log dropped"),
            failed_writes: counter("failed_writes", "Files that a write of the engine failed on"),
        }
    }
}
