-- The state of each order as the stitcher last derived it from all its facts. DerivedAt is the
-- ticket of the derivation: the store's clock before the facts were read, and above the ticket of
-- the state before it. Of two derivations the one with the later ticket stays.
--
-- An id that turned out to be another id of an order has a row, too: MergedInto names the order.
-- Points in time at which derived states begin stand here; the views compare them with a clock.
CREATE TABLE IF NOT EXISTS orders (
    OrderId String CODEC(ZSTD(1)),
    MergedInto String CODEC(ZSTD(1)),
    OtherIds Array(String) CODEC(ZSTD(1)),
    Kind LowCardinality(String),
    Channel LowCardinality(String),
    HasModel UInt8,
    IsReadyMade UInt8,
    Stage LowCardinality(String),
    StageRank UInt16,
    StageSince DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    FirstEventAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    LastEventAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    LastReceivedAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    SubmittedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    ShippedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    Terminal UInt8,
    WaitingFor LowCardinality(String),
    NextSetBy Array(LowCardinality(String)),
    LateAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    StuckAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    PromisedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    OverdueAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    AbandonedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    NotConfirmedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    CalculationRequestedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    CalculationStartedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    CalculationAnsweredAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    -- When the collector first heard of any answer to the latest request.
    CalculationAnswerHeardAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    CalculationFailedAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    CalculationPart LowCardinality(String),
    CalculationAttempt UInt32,
    CalculationWorker String CODEC(ZSTD(1)),
    CalculationError String CODEC(ZSTD(1)),
    RetryingSince Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    LastSignOfLifeAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    SignOfLifeWorker String CODEC(ZSTD(1)),
    HandoverDestination LowCardinality(String),
    HandoverFrom LowCardinality(String),
    HandoverTo Array(LowCardinality(String)),
    HandedOverAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    HandoverLostAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    -- Traces that name it, and those that name nobody and are linked with these.
    Traces Array(String) CODEC(ZSTD(1)),
    LinkedTraces Array(String) CODEC(ZSTD(1)),
    HistoryStage Array(LowCardinality(String)) CODEC(ZSTD(1)),
    HistoryEnteredAt Array(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    HistorySource Array(LowCardinality(String)) CODEC(ZSTD(1)),
    HistoryAttempt Array(UInt32) CODEC(ZSTD(1)),
    -- After so long a stay counts as stuck; 0: never, or while a price is awaited.
    HistoryStuckSeconds Array(UInt32) CODEC(ZSTD(1)),
    HistoryWaitingFor Array(LowCardinality(String)) CODEC(ZSTD(1)),
    -- Derive again then: an event from the future counts, or the customer has given up.
    RefoldAt Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    -- 0: ended for good, or given up, or another order's id.
    IsOpen UInt8,
    -- 1: `orders_open` hears of this row. Not one that had ended before anybody asked: it is open
    -- nowhere, and no derivation of the last day can say otherwise.
    Announced UInt8,
    -- The generation of the lifecycle that it was derived by.
    LifecycleAt DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    DerivedAt DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    INDEX linked LinkedTraces TYPE bloom_filter GRANULARITY 16,
    -- Whether any row is newer than a ticket: nearly always none, and that is known by part.
    INDEX derived DerivedAt TYPE minmax GRANULARITY 64
) ENGINE = ReplacingMergeTree(DerivedAt)
ORDER BY OrderId
SETTINGS index_granularity = 128,
         min_compress_block_size = 8192, max_compress_block_size = 16384, fsync_after_insert = 1, fsync_part_directory = 1;

-- The orders that are open, with no more of their history than the last three stays, which rules
-- end by: the board, lists and rules read these. An order that has ended keeps a row with
-- IsOpen = 0 until the tidying takes it.
CREATE TABLE IF NOT EXISTS orders_open AS orders
ENGINE = ReplacingMergeTree(DerivedAt)
ORDER BY OrderId
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS orders_open_mv TO orders_open AS
SELECT
    * EXCEPT (
        Traces, LinkedTraces, HistoryStage, HistoryEnteredAt, HistorySource, HistoryAttempt,
        HistoryStuckSeconds, HistoryWaitingFor
    ),
    arraySlice(orders.HistoryStage, -3) AS HistoryStage,
    arraySlice(orders.HistoryEnteredAt, -3) AS HistoryEnteredAt,
    arraySlice(orders.HistoryStuckSeconds, -3) AS HistoryStuckSeconds,
    arraySlice(orders.HistoryWaitingFor, -3) AS HistoryWaitingFor
FROM orders
WHERE Announced = 1;

-- Where the orders that have ended are listed from, newest first. A hint: an order that has moved
-- on keeps its old row, so readers look every one up in `orders`.
CREATE TABLE IF NOT EXISTS orders_settled (
    Stage LowCardinality(String),
    StageSince DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    OrderId String CODEC(ZSTD(1)),
    LastReceivedAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    DerivedAt DateTime64(9, 'UTC') CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(DerivedAt)
ORDER BY (Stage, StageSince, OrderId)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS orders_settled_mv TO orders_settled AS
SELECT Stage, StageSince, OrderId, LastReceivedAt, DerivedAt FROM orders WHERE IsOpen = 0 AND MergedInto = '';

-- The narrow state by bucket: a few thousand orders each, whose settled ones are counted again
-- whenever one of them changes. A count is derived as a state is, never added to.
CREATE TABLE IF NOT EXISTS orders_by_bucket (
    Bucket UInt16,
    OrderId String CODEC(ZSTD(1)),
    Stage LowCardinality(String),
    IsOpen UInt8,
    IsMerged UInt8,
    LastReceivedAt DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    DerivedAt DateTime64(9, 'UTC') CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(DerivedAt)
ORDER BY (Bucket, OrderId)
SETTINGS index_granularity = 256, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS orders_by_bucket_mv TO orders_by_bucket AS
SELECT
    toUInt16(cityHash64(OrderId) % 4096) AS Bucket, OrderId, Stage, IsOpen,
    MergedInto != '' AS IsMerged, LastReceivedAt, DerivedAt
FROM orders;

CREATE TABLE IF NOT EXISTS settled_counts (
    Bucket UInt16,
    Stages Array(LowCardinality(String)),
    Orders Array(UInt64),
    Merged UInt64,
    DerivedAt DateTime64(9, 'UTC')
) ENGINE = ReplacingMergeTree(DerivedAt)
ORDER BY Bucket
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The stitchers and how far each has come. One that says nothing any more without having stopped
-- in order left work behind: another takes over what was inserted since StitchedUntil.
CREATE TABLE IF NOT EXISTS stitchers (
    Stitcher String,
    SaidAt DateTime64(3, 'UTC'),
    StitchedUntil DateTime64(3, 'UTC'),
    LagMs Int64,
    Stopped UInt8
) ENGINE = ReplacingMergeTree(SaidAt)
ORDER BY Stitcher
TTL toDateTime(SaidAt) + INTERVAL 30 DAY DELETE WHERE Stopped = 1
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Conservation, checked against the facts over and over: the ids that the facts name, against the
-- orders of the board and the ids that turned out to be another order's.
CREATE TABLE IF NOT EXISTS conservation_checks (
    Checker String,
    CheckedAt DateTime64(3, 'UTC'),
    Named UInt64,
    Derived UInt64,
    Merged UInt64,
    -- For so long the sum has not come out although nothing waited to be derived, or for over an
    -- hour whatever waited.
    UnexplainedMs Int64
) ENGINE = ReplacingMergeTree(CheckedAt)
ORDER BY Checker
TTL toDateTime(CheckedAt) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
