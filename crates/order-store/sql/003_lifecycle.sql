-- The lifecycle as configured: each change adds a generation, views read the latest.
CREATE TABLE IF NOT EXISTS lifecycles (
    AppliedAt DateTime64(6, 'UTC'),
    Fingerprint String,
    SkewMs Int64,
    PromiseFrom String,
    PromiseTo String,
    PromiseSeconds Int64,
    CalculationRequestedBy String,
    CalculationStartedBy String,
    CalculationFailedBy String,
    CalculationAnsweredBy Array(String),
    CalculationLateSeconds Int64,
    CalculationStuckSeconds Int64,
    ShopServices Array(String),
    Stages Array(String),
    -- Per stage, in the order of Stages. Zero seconds: no such deadline.
    LabelRu Array(String),
    LabelEn Array(String),
    WaitingFor Array(String),
    Terminal Array(UInt8),
    MeansModel Array(UInt8),
    FromPriceRequest Array(UInt8),
    LateSeconds Array(Int64),
    StuckSeconds Array(Int64),
    ReadyMadeWaitingFor Array(String),
    ReadyMadeLateSeconds Array(Int64),
    ReadyMadeStuckSeconds Array(Int64),
    AbandonedSeconds Array(Int64),
    NotConfirmedSeconds Array(Int64),
    SetBy Array(Array(String)),
    SkippedBy Array(Array(String)),
    -- Per hand-over.
    HandoverDestination Array(String),
    HandoverFrom Array(Array(String)),
    HandoverTo Array(Array(String)),
    HandoverLostSeconds Array(Int64),
    -- A system that was heard of and says nothing for this long is silent.
    SilentSeconds Int64
) ENGINE = MergeTree
ORDER BY AppliedAt
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS lifecycle_v1 AS SELECT * FROM lifecycles ORDER BY AppliedAt DESC LIMIT 1;

CREATE VIEW IF NOT EXISTS lifecycle_stages_v1 AS
SELECT
    Stage, toUInt16(Rank) AS Rank, LabelRu, LabelEn, WaitingFor, Terminal, MeansModel,
    FromPriceRequest, LateSeconds, StuckSeconds, ReadyMadeWaitingFor, ReadyMadeLateSeconds,
    ReadyMadeStuckSeconds, AbandonedSeconds, NotConfirmedSeconds
FROM lifecycle_v1
ARRAY JOIN
    Stages AS Stage, arrayEnumerate(Stages) AS Rank, LabelRu, LabelEn, WaitingFor, Terminal,
    MeansModel, FromPriceRequest, LateSeconds, StuckSeconds, ReadyMadeWaitingFor,
    ReadyMadeLateSeconds, ReadyMadeStuckSeconds, AbandonedSeconds, NotConfirmedSeconds;
