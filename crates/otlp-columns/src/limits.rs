//! Every bound of the mapping, by name.

/// One kibibyte.
const KIB: usize = 1024;
/// One mebibyte.
const MIB: usize = 1024 * KIB;

/// Bounds on one request and on what is stored of it.
///
/// The first two refuse work before memory is spent on it; what is past the next two is marked, so
/// that the request can be refused whole ([`crate::Mapped::whole`]). The others cut: what they cut is
/// counted in [`crate::Tally`] and stands as an attribute on the row ([`DROPPED_ATTRIBUTES`] and
/// its neighbours).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed body; a larger one is refused whole (a compression bomb stops here).
    pub decoded_bytes_max: usize,
    /// Estimated memory of the decoded messages; a body of millions of empty messages is refused
    /// whole before it is decoded.
    pub structures_bytes_max: usize,
    /// Memory of the rows of one request; items past it are not mapped. Resource
    /// attributes are repeated on every row, so that rows can be far larger than the body.
    pub row_bytes_max: usize,
    /// Spans, log records or data points of one request; those past it are not mapped.
    pub items_max: usize,
    /// Attributes of one span, event, link, resource, scope, log record, data point or exemplar;
    /// those past it are cut. Order facts are read before the cut.
    pub attributes_max: usize,
    /// Bytes of an attribute key; a longer one is cut at a character boundary.
    pub key_bytes_max: usize,
    /// Bytes of an attribute value, name or status text; a longer one is cut likewise.
    pub value_bytes_max: usize,
    /// Bytes of a log record's body; a longer one is cut likewise.
    pub log_body_bytes_max: usize,
    /// Events of one span; those past it are cut.
    pub events_max: usize,
    /// Links of one span; those past it are cut.
    pub links_max: usize,
    /// Exemplars of one data point; those past it are cut. The count stands in the metrics only: an
    /// attribute would make another series of the point.
    pub exemplars_max: usize,
    /// Buckets and their bounds, or quantiles, of one data point; a point with more is rejected,
    /// because a part of a distribution would be another one.
    pub buckets_max: usize,
    /// Levels of nested arrays and maps in a value; what is deeper becomes `…`.
    pub depth_max: usize,
    /// Order ids named by one attribute; those past it are counted as refused.
    pub order_ids_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decoded_bytes_max: 32 * MIB,
            structures_bytes_max: 128 * MIB,
            row_bytes_max: 64 * MIB,
            items_max: 100_000,
            attributes_max: 1_000,
            key_bytes_max: 256,
            value_bytes_max: 32 * KIB,
            log_body_bytes_max: 64 * KIB,
            events_max: 256,
            links_max: 256,
            exemplars_max: 256,
            buckets_max: 10_000,
            depth_max: 32,
            order_ids_max: 200,
        }
    }
}

/// Attribute on a row whose attributes were cut: how many are missing.
pub const DROPPED_ATTRIBUTES: &str = "waybill.dropped_attributes_count";
/// Attribute on a row some of whose keys, values or texts were cut: how many.
pub const CUT_VALUES: &str = "waybill.cut_values_count";
/// Attribute on a span whose events were cut: how many are missing.
pub const DROPPED_EVENTS: &str = "waybill.dropped_events_count";
/// Attribute on a span whose links were cut: how many are missing.
pub const DROPPED_LINKS: &str = "waybill.dropped_links_count";
