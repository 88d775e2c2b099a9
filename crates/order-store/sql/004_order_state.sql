-- The state of each order as the stitcher last derived it from all its facts. DerivedAt is the
-- store's clock before the facts were read: of two derivations the one that began later wins.
CREATE TABLE IF NOT EXISTS orders (
    OrderId String CODEC(ZSTD(1)),
    OrderKey String MATERIALIZED upperUTF8(replaceRegexpAll(OrderId, '[^\\p{L}\\p{N}]', '')),
    Kind LowCardinality(String),
    Channel LowCardinality(String),
    HasModel UInt8,
    Stage LowCardinality(String),
    StageRank UInt16,
    StageSince DateTime64(3, 'UTC'),
    FirstEventAt DateTime64(3, 'UTC'),
    LastEventAt DateTime64(3, 'UTC'),
    LastReceivedAt DateTime64(3, 'UTC'),
    SubmittedAt Nullable(DateTime64(3, 'UTC')),
    ShippedAt Nullable(DateTime64(3, 'UTC')),
    CalculationRequestedAt Nullable(DateTime64(3, 'UTC')),
    CalculationStartedAt Nullable(DateTime64(3, 'UTC')),
    CalculationAnsweredAt Nullable(DateTime64(3, 'UTC')),
    -- When the collector first heard of any answer to the latest request.
    CalculationAnswerHeardAt Nullable(DateTime64(3, 'UTC')),
    CalculationPart LowCardinality(String),
    HistoryStage Array(LowCardinality(String)),
    HistoryEnteredAt Array(DateTime64(3, 'UTC')),
    HistorySource Array(LowCardinality(String)),
    HistoryAttempt Array(UInt32),
    RefoldAt Nullable(DateTime64(3, 'UTC')),
    DerivedAt DateTime64(9, 'UTC')
) ENGINE = ReplacingMergeTree(DerivedAt)
ORDER BY OrderId
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
