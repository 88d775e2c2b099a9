//! Where the rows of each table lie in a cluster: the one place that says so.
//!
//! The rule that keeps stitching right: rows that replace or fold each other lie on one shard,
//! because `FINAL` and merges fold within a shard only. So the sharding key of a table is made of
//! columns of its sorting key. Tests over all migrations hold this.

/// Where the rows of a table lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// On the shard that this expression over the table's columns picks.
    Sharded(&'static str),
    /// On the shard of the row that a materialized view made them from. Rows that fold each other
    /// may lie on several shards: readers aggregate and never rely on `FINAL`.
    Scattered,
    /// On every server of every shard: small tables that each server joins with on its own.
    Whole,
}

/// The order, or what the fact travelled in while its order is unknown: without the latter all
/// facts of unknown orders would lie on one shard.
const BY_ORDER_OR_CARRIER: Placement =
    Placement::Sharded("cityHash64(if(OrderId = '', Carrier, OrderId))");
const BY_ORDER: Placement = Placement::Sharded("cityHash64(OrderId)");
const BY_TRACE: Placement = Placement::Sharded("cityHash64(TraceId)");
/// A series of metrics lies on one shard, so that its points fold there, and a rate is taken there.
const BY_SERIES: Placement = Placement::Sharded("cityHash64(ServiceName, MetricName, Attributes)");

/// Every table of the migrations. A table that is missing here is an error, not a guess.
const PLACEMENTS: [(&str, Placement); 26] = [
    ("otel_traces", BY_TRACE),
    // Log records outside of traces are spread by their time.
    ("otel_logs", Placement::Sharded("cityHash64(if(TraceId = '', toString(Timestamp), TraceId))")),
    ("otel_metrics_gauge", BY_SERIES),
    ("otel_metrics_sum", BY_SERIES),
    ("otel_metrics_histogram", BY_SERIES),
    ("otel_metrics_exponential_histogram", BY_SERIES),
    ("otel_metrics_summary", BY_SERIES),
    ("sources", Placement::Scattered),
    ("order_events", BY_ORDER_OR_CARRIER),
    ("order_heartbeats", BY_ORDER_OR_CARRIER),
    ("order_traces", BY_ORDER),
    // Found by trace, placed by order: a view fills it on the shard of `order_traces`, and a
    // look-up by trace asks every shard.
    ("trace_orders", BY_ORDER),
    ("trace_links", BY_TRACE),
    // Found by the trace that is linked to, placed like `trace_links`.
    ("trace_links_by_target", BY_TRACE),
    ("order_aliases", BY_ORDER),
    ("aliases_of_orders", BY_ORDER),
    ("orders", BY_ORDER),
    ("orders_open", BY_ORDER),
    ("orders_settled", BY_ORDER),
    // Placed by order, counted by bucket: the stitcher counts a bucket over all shards and writes
    // the count to the one shard of the bucket.
    ("orders_by_bucket", BY_ORDER),
    ("settled_counts", Placement::Sharded("cityHash64(Bucket)")),
    ("alert_history", BY_ORDER),
    ("lifecycles", Placement::Whole),
    ("schema_migrations", Placement::Whole),
    ("stitchers", Placement::Whole),
    ("conservation_checks", Placement::Whole),
];

/// Where the rows of that table lie; none for a name that is no table of ours.
#[must_use]
pub fn placement(table: &str) -> Option<Placement> {
    PLACEMENTS.iter().find(|(name, _)| *name == table).map(|(_, placement)| *placement)
}

impl Placement {
    /// The table that holds the rows on each server.
    pub(super) fn local_name(self, table: &str) -> String {
        match self {
            Self::Sharded(_) | Self::Scattered => format!("{table}_local"),
            Self::Whole => table.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_table_has_one_place() {
        let names: BTreeSet<_> = PLACEMENTS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), PLACEMENTS.len());
        assert_eq!(placement("no_such_table"), None);
    }
}
