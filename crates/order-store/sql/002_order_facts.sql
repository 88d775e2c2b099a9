-- Facts about orders: append-only, idempotent, kept for years after the spans are gone.
--
-- A carrier is what a fact travelled in: a trace (its id) or a message (`message:` and its id in
-- the form of the search box). Orders are read one by one, from anywhere in a table: granules and
-- blocks are small. InsertedAt is the store's own clock: what a silent stitcher left
-- behind is found by it.

-- One row per signal of an order. Its identity is (OrderId, Signal, Stage, EventTime, Source);
-- readers fold by it. OrderId is empty when only a carrier is known, and Carrier when the order is.
-- Repeats may differ in what they say beside it: a merge joins them by the rule of the fold, so that
-- it changes no answer.
CREATE TABLE IF NOT EXISTS order_events (
    OrderId String CODEC(ZSTD(1)),
    Carrier String CODEC(ZSTD(1)),
    Signal LowCardinality(String),
    Stage LowCardinality(String),
    EventTime DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    ReceivedAt SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)),
    LastReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT ReceivedAt
        CODEC(Delta, ZSTD(1)),
    Source LowCardinality(String),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    Attempt SimpleAggregateFunction(max, UInt32) CODEC(T64, ZSTD(1)),
    Evidence SimpleAggregateFunction(max, Map(String, String)) CODEC(ZSTD(1)),
    -- What the fold reads of the evidence: to read a map for it costs twice as much.
    Worker SimpleAggregateFunction(max, String) MATERIALIZED Evidence['worker'] CODEC(ZSTD(1)),
    Error SimpleAggregateFunction(max, String) MATERIALIZED Evidence['error'] CODEC(ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC')
        CODEC(Delta, ZSTD(1)),
    -- When anybody could first know of it: data may have waited in a collector's journal.
    FirstInsertedAt SimpleAggregateFunction(min, DateTime64(3, 'UTC')) DEFAULT InsertedAt
        CODEC(Delta, ZSTD(1)),
    INDEX inserted InsertedAt TYPE minmax GRANULARITY 16
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (OrderId, Carrier, EventTime, Stage, Signal, Source, TraceId, SpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS ttl_only_drop_parts = 1, index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384,
         non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- Signs of life of long work: the latest of each worker and attempt. Of a clock that is ahead the
-- latest of each minute: the next would hide it before its time has come.
CREATE TABLE IF NOT EXISTS order_heartbeats (
    OrderId String CODEC(ZSTD(1)),
    Carrier String CODEC(ZSTD(1)),
    Source LowCardinality(String),
    Worker String CODEC(ZSTD(1)),
    Attempt UInt32,
    AheadMinute Int64 DEFAULT if(
        LastAt > least(ReceivedAt, InsertedAt), intDiv(toUnixTimestamp64Nano(LastAt), 60000000000), 0
    ),
    LastAt SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC')
        CODEC(ZSTD(1)),
    INDEX inserted InsertedAt TYPE minmax GRANULARITY 16
) ENGINE = AggregatingMergeTree
ORDER BY (OrderId, Carrier, Source, Worker, Attempt, AheadMinute)
TTL toDateTime(ReceivedAt) + INTERVAL 1 YEAR
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- Which traces name which order, and what they say of it. With a SpanId: that span of the trace
-- names it, kept for spans that messages and links meet. Provisional: only a partner's own number
-- was named, which stands for the order until its id is heard.
CREATE TABLE IF NOT EXISTS order_traces (
    OrderId String CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    Provisional SimpleAggregateFunction(min, UInt8),
    Start SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    HasModel SimpleAggregateFunction(max, UInt8),
    Kind SimpleAggregateFunction(max, String),
    Channel SimpleAggregateFunction(max, String),
    InsertedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC')
        CODEC(ZSTD(1)),
    INDEX inserted InsertedAt TYPE minmax GRANULARITY 16
) ENGINE = AggregatingMergeTree
ORDER BY (OrderId, TraceId, SpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- The same, found by trace.
CREATE TABLE IF NOT EXISTS trace_orders (
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    OrderId String CODEC(ZSTD(1)),
    Provisional SimpleAggregateFunction(min, UInt8),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    INDEX provisional Provisional TYPE minmax GRANULARITY 1
) ENGINE = AggregatingMergeTree
ORDER BY (TraceId, SpanId, OrderId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_orders_mv TO trace_orders AS
SELECT TraceId, SpanId, OrderId, Provisional, ReceivedAt FROM order_traces WHERE TraceId != '';

-- Links between carriers, found from either end. LinkedTraceId is a trace or a message.
CREATE TABLE IF NOT EXISTS trace_links (
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    LinkedTraceId String CODEC(ZSTD(1)),
    LinkedSpanId String CODEC(ZSTD(1)),
    ReceivedAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    InsertedAt DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(ZSTD(1)),
    INDEX inserted InsertedAt TYPE minmax GRANULARITY 16
) ENGINE = ReplacingMergeTree
ORDER BY (TraceId, LinkedTraceId, SpanId, LinkedSpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS trace_links_by_target (
    LinkedTraceId String CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    LinkedSpanId String CODEC(ZSTD(1)),
    ReceivedAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    InsertedAt DateTime64(3, 'UTC') CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
ORDER BY (LinkedTraceId, TraceId, SpanId, LinkedSpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_links_by_target_mv TO trace_links_by_target AS
SELECT LinkedTraceId, TraceId, SpanId, LinkedSpanId, ReceivedAt, InsertedAt FROM trace_links;

-- Other names of orders, in the form of the search box: `order_id` (the id itself, which a writer
-- adds once for each order that it has not met),
-- `partner_number` (glues, within the Scope of a partner), `shared_number` (a number given to
-- several orders at once: found, and glues nothing), `message_id`.
CREATE TABLE IF NOT EXISTS order_aliases (
    Alias String CODEC(ZSTD(1)),
    AliasKind LowCardinality(String),
    Scope String CODEC(ZSTD(1)),
    OrderId String CODEC(ZSTD(1)),
    Provisional SimpleAggregateFunction(min, UInt8),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC')
        CODEC(ZSTD(1)),
    INDEX inserted InsertedAt TYPE minmax GRANULARITY 16
) ENGINE = AggregatingMergeTree
ORDER BY (Alias, AliasKind, Scope, OrderId)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

-- The same but for the orders' own ids, found by order.
CREATE TABLE IF NOT EXISTS aliases_of_orders (
    OrderId String CODEC(ZSTD(1)),
    AliasKind LowCardinality(String),
    Scope String CODEC(ZSTD(1)),
    Alias String CODEC(ZSTD(1)),
    Provisional SimpleAggregateFunction(min, UInt8),
    ReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1))
) ENGINE = AggregatingMergeTree
ORDER BY (OrderId, AliasKind, Scope, Alias)
TTL toDateTime(ReceivedAt) + INTERVAL 5 YEAR
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS aliases_of_orders_mv TO aliases_of_orders AS
SELECT OrderId, AliasKind, Scope, Alias, Provisional, ReceivedAt FROM order_aliases
WHERE AliasKind != 'order_id';
