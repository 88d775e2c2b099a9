//! Settings that questions and inserts carry in a cluster, each with what goes wrong without it.

/// For the server that is written to, and that stitchers and the evaluator read: an answer there
/// knows every acknowledged insert.
pub const PRIMARY_SETTINGS: [(&str, &str); 6] = [
    // An insert is acknowledged when the shards have it, not when it waits on disk to be sent.
    ("distributed_foreground_insert", "1"),
    // The default, 2, lets each shard insert what it selects into itself, past the sharding key.
    ("parallel_distributed_insert_select", "0"),
    // A second Distributed name in `IN` or `JOIN` is read once by the asked server, and not
    // refused.
    ("distributed_product_mode", "global"),
    // Reads and inserts go to the first replica of each shard that is alive. The asked server is
    // no exception, and a slow answer is no reason to ask one that may know less.
    ("load_balancing", "in_order"),
    ("prefer_localhost_replica", "0"),
    ("use_hedged_requests", "0"),
];

/// For servers that are only read.
pub const REPLICA_SETTINGS: [(&str, &str); 2] = [
    ("distributed_product_mode", "global"),
    // With every replica of a shard too far behind the question fails here, and the primary is
    // asked.
    ("fallback_to_stale_replicas_for_distributed_queries", "0"),
];

/// How far a replica of another shard may be behind and still be asked, in seconds.
pub const LAG_SETTING: &str = "max_replica_delay_for_distributed_queries";
