-- Spans and logs: the columns and types of the OpenTelemetry ClickHouse exporter, so that other
-- tools read them with no mapping; ReceivedAt and RecordId are ours.
--
-- A span's identity is (TraceId, SpanId): the table folds repeats by merge, the view at once.
-- Partitions and retention go by the time of receipt: a clock in 1970 or 2200 can neither delete
-- a row on arrival nor open thousands of partitions. Sort order, codecs and index are measured
-- choices (docs/adr/0005-span-storage.md). The index says which partitions do not hold a trace: the
-- key alone would have a granule read in every part.
CREATE TABLE IF NOT EXISTS otel_traces (
    Timestamp DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    Duration UInt64 CODEC(T64, ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (
        Timestamp DateTime64(9, 'UTC'),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    ReceivedAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    INDEX trace TraceId TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toDate(ReceivedAt)
ORDER BY (TraceId, SpanId)
TTL toDateTime(ReceivedAt) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, string_serialization_version = 'single_stream',
         non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS otel_traces_v1 AS SELECT * FROM otel_traces FINAL;

-- The exporter's index of traces by time, for tools that ask it first. A view: spans are sorted by
-- trace, so that they are their own index. DateTime ends in 2106: times beyond are held there.
CREATE VIEW IF NOT EXISTS otel_traces_trace_id_ts AS
SELECT
    TraceId,
    toDateTime(least(min(Timestamp), toDateTime64('2106-02-07 06:28:15', 9, 'UTC')), 'UTC') AS Start,
    toDateTime(least(max(Timestamp), toDateTime64('2106-02-07 06:28:15', 9, 'UTC')), 'UTC') AS End
FROM otel_traces
GROUP BY TraceId;

-- A log record's identity is RecordId: a digest of all that was sent and of its place among equal
-- ones of its request, made by the collector (docs/adr/0011-identity-of-log-records.md). The table
-- folds repeats by merge, the view at once. Rows that come without one are each their own. The
-- index is short (PRIMARY KEY): ids are looked for by nobody. TraceId stands in the order because
-- the shard goes by it.
CREATE TABLE IF NOT EXISTS otel_logs (
    Timestamp DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    TimestampTime DateTime('UTC')
        DEFAULT toDateTime(least(Timestamp, toDateTime64('2106-02-07 06:28:15', 9, 'UTC')), 'UTC'),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName String CODEC(ZSTD(1)),
    ReceivedAt DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    RecordId UUID DEFAULT generateUUIDv4() CODEC(NONE)
) ENGINE = ReplacingMergeTree
PARTITION BY toDate(ReceivedAt)
PRIMARY KEY (ServiceName, TimestampTime, Timestamp)
ORDER BY (ServiceName, TimestampTime, Timestamp, TraceId, RecordId)
TTL toDateTime(ReceivedAt) + INTERVAL 90 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS otel_logs_v1 AS SELECT * FROM otel_logs FINAL;

-- When each system was last heard of, and how its clocks stand: the least delay from a clock of the
-- source to ours, of a day. A negative one proves a clock ahead by at least as much; one that is
-- large on every day, a clock behind or a source that sends late. Extremes only: repeats change
-- nothing.
CREATE TABLE IF NOT EXISTS sources (
    Source LowCardinality(String),
    Host String,
    Day Date,
    LastReceivedAt SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    LastTimestamp SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    LeastDelayMs SimpleAggregateFunction(min, Int64)
) ENGINE = AggregatingMergeTree
ORDER BY (Source, Host, Day)
TTL Day + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS sources_from_spans_mv TO sources AS
SELECT
    ServiceName AS Source, ResourceAttributes['host.name'] AS Host,
    toDate(otel_traces.ReceivedAt) AS Day,
    max(otel_traces.ReceivedAt) AS LastReceivedAt, max(Timestamp) AS LastTimestamp,
    min(toUnixTimestamp64Milli(otel_traces.ReceivedAt)
        - intDiv(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration), 1000000)) AS LeastDelayMs
FROM otel_traces GROUP BY Source, Host, Day;

CREATE MATERIALIZED VIEW IF NOT EXISTS sources_from_logs_mv TO sources AS
SELECT
    ServiceName AS Source, ResourceAttributes['host.name'] AS Host,
    toDate(otel_logs.ReceivedAt) AS Day,
    max(otel_logs.ReceivedAt) AS LastReceivedAt, max(Timestamp) AS LastTimestamp,
    min(toUnixTimestamp64Milli(otel_logs.ReceivedAt)
        - intDiv(toUnixTimestamp64Nano(Timestamp), 1000000)) AS LeastDelayMs
FROM otel_logs GROUP BY Source, Host, Day;
