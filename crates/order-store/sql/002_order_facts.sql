-- Facts about orders: append-only, idempotent, kept for years after the spans are gone.

-- One row per signal of an order. Its identity is (OrderId, Signal, Stage, EventTime, Source);
-- readers fold by it. OrderId is empty when only the trace is known.
CREATE TABLE IF NOT EXISTS order_events (
    OrderId String CODEC(ZSTD(1)),
    Signal LowCardinality(String),
    Stage LowCardinality(String),
    EventTime DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    ReceivedAt DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    Source LowCardinality(String),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    Attempt UInt32 CODEC(T64, ZSTD(1)),
    Evidence Map(LowCardinality(String), String) CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (OrderId, TraceId, EventTime, Stage, Signal, Source, SpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- Which traces name which order, and what they say of it.
CREATE TABLE IF NOT EXISTS order_traces (
    OrderId String CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    HasModel SimpleAggregateFunction(max, UInt8),
    Kind SimpleAggregateFunction(max, String),
    Channel SimpleAggregateFunction(max, String)
) ENGINE = AggregatingMergeTree
ORDER BY (OrderId, TraceId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- The same, found by trace.
CREATE TABLE IF NOT EXISTS trace_orders (
    TraceId String CODEC(ZSTD(1)),
    OrderId String CODEC(ZSTD(1)),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1))
) ENGINE = AggregatingMergeTree
ORDER BY (TraceId, OrderId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_orders_mv TO trace_orders AS
SELECT TraceId, OrderId, ReceivedAt FROM order_traces WHERE TraceId != '';

-- Links between traces, found from either end.
CREATE TABLE IF NOT EXISTS trace_links (
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    LinkedTraceId String CODEC(ZSTD(1)),
    LinkedSpanId String CODEC(ZSTD(1)),
    ReceivedAt DateTime64(3, 'UTC') CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
ORDER BY (TraceId, LinkedTraceId, SpanId, LinkedSpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS trace_links_by_target AS trace_links
ENGINE = ReplacingMergeTree
ORDER BY (LinkedTraceId, TraceId, SpanId, LinkedSpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_links_by_target_mv TO trace_links_by_target AS
SELECT TraceId, SpanId, LinkedTraceId, LinkedSpanId, ReceivedAt FROM trace_links;

-- Other names under which support may know an order; Alias is in the form of the search box.
CREATE TABLE IF NOT EXISTS order_aliases (
    Alias String CODEC(ZSTD(1)),
    AliasKind LowCardinality(String),
    OrderId String CODEC(ZSTD(1)),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1))
) ENGINE = AggregatingMergeTree
ORDER BY (Alias, AliasKind, OrderId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;
