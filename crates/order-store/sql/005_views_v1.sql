-- What late, stuck and the rest mean: once, here. `as_of` is a point in time; the views without a
-- parameter take the store's clock.
CREATE VIEW IF NOT EXISTS orders_at_v1 AS
WITH
    {as_of:DateTime64(3, 'UTC')} AS as_of,
    (SELECT PromiseSeconds FROM lifecycle_v1) AS promise_seconds
SELECT
    o.OrderId AS OrderId, OrderKey, Kind, Channel, HasModel, o.Stage AS Stage, StageRank,
    s.Rank > 0 AS StageKnown, s.LabelRu AS LabelRu, s.LabelEn AS LabelEn,
    StageSince, FirstEventAt, LastEventAt, LastReceivedAt, SubmittedAt, ShippedAt,
    CalculationRequestedAt, CalculationStartedAt, CalculationAnsweredAt, CalculationAnswerHeardAt,
    CalculationPart,
    HistoryStage, HistoryEnteredAt, HistorySource, HistoryAttempt, RefoldAt, DerivedAt,
    as_of AS AsOf,
    greatest(dateDiff('second', StageSince, as_of), 0) AS AgeSeconds,
    s.Terminal AS Terminal,
    -- A ready-made piece says so, or has never shown a model nor a calculation.
    Kind = 'ready_made' OR (Kind = '' AND HasModel = 0 AND CalculationRequestedAt IS NULL)
        AS IsReadyMade,
    IsReadyMade AND s.ReadyMadeStuckSeconds > 0 AS ready_made,
    if(ready_made, s.ReadyMadeWaitingFor, s.WaitingFor) AS WaitingFor,
    if(ready_made, s.ReadyMadeLateSeconds, s.LateSeconds) AS late_seconds,
    if(ready_made, s.ReadyMadeStuckSeconds, s.StuckSeconds) AS stuck_seconds,
    if(s.FromPriceRequest = 1,
        if(CalculationAnsweredAt IS NULL, CalculationRequestedAt, NULL), StageSince) AS ClockFrom,
    if(late_seconds = 0, NULL, ClockFrom + toIntervalSecond(late_seconds)) AS LateAt,
    if(stuck_seconds = 0, NULL, ClockFrom + toIntervalSecond(stuck_seconds)) AS StuckAt,
    SubmittedAt + toIntervalSecond(promise_seconds) AS PromisedAt,
    if(ShippedAt IS NULL AND s.Terminal = 0, PromisedAt, NULL) AS OverdueAt,
    if(s.AbandonedSeconds = 0, NULL, StageSince + toIntervalSecond(s.AbandonedSeconds)) AS AbandonedAt,
    if(s.NotConfirmedSeconds = 0, NULL, StageSince + toIntervalSecond(s.NotConfirmedSeconds))
        AS NotConfirmedAt,
    ifNull(StuckAt <= as_of, 0) AS IsStuck,
    IsStuck = 0 AND (ifNull(LateAt <= as_of, 0) OR ifNull(OverdueAt <= as_of, 0)) AS IsLate,
    multiIf(IsStuck, 'stuck', IsLate, 'late', ifNull(NotConfirmedAt <= as_of, 0), 'not_confirmed',
        ifNull(AbandonedAt <= as_of, 0), 'abandoned', NOT StageKnown, 'unknown', 'fine') AS Condition
FROM (SELECT *, OrderKey FROM orders FINAL) AS o
LEFT JOIN lifecycle_stages_v1 AS s ON s.Stage = o.Stage;

CREATE VIEW IF NOT EXISTS orders_v1 AS SELECT * FROM orders_at_v1(as_of = now64(3, 'UTC'));

-- One row per stage of the lifecycle, also when empty, and one per unknown status (Rank 0).
CREATE VIEW IF NOT EXISTS board_at_v1 AS
WITH counted AS (
    SELECT
        Stage, count() AS Total, countIf(IsLate) AS Late, countIf(IsStuck) AS Stuck,
        countIf(Condition = 'abandoned') AS Abandoned,
        countIf(Condition = 'not_confirmed') AS NotConfirmed,
        min(StageSince) AS OldestSince,
        quantileExact(0.5)(AgeSeconds) AS MedianAgeSeconds,
        quantileExact(0.9)(AgeSeconds) AS P90AgeSeconds
    FROM orders_at_v1(as_of = {as_of:DateTime64(3, 'UTC')})
    GROUP BY Stage
)
SELECT
    if(s.Stage != '', s.Stage, c.Stage) AS Stage, s.Rank AS Rank, s.LabelRu AS LabelRu,
    s.LabelEn AS LabelEn, s.Terminal AS Terminal, c.Total AS Total, c.Late AS Late,
    c.Stuck AS Stuck, c.Abandoned AS Abandoned, c.NotConfirmed AS NotConfirmed,
    if(c.Total = 0, NULL, c.OldestSince) AS OldestSince,
    if(c.Total = 0, NULL, c.MedianAgeSeconds) AS MedianAgeSeconds,
    if(c.Total = 0, NULL, c.P90AgeSeconds) AS P90AgeSeconds
FROM lifecycle_stages_v1 AS s
FULL OUTER JOIN counted AS c ON c.Stage = s.Stage;

CREATE VIEW IF NOT EXISTS board_v1 AS SELECT * FROM board_at_v1(as_of = now64(3, 'UTC'));

-- The one-hour rule: the latest request for a price of every order that needs one.
CREATE VIEW IF NOT EXISTS calculations_at_v1 AS
WITH (SELECT (CalculationLateSeconds, CalculationStuckSeconds) FROM lifecycle_v1) AS limits
SELECT
    OrderId, Channel, Stage, Condition, HistoryAttempt, HistorySource, HistoryStage,
    assumeNotNull(CalculationRequestedAt) AS RequestedAt,
    CalculationStartedAt AS StartedAt,
    CalculationAnsweredAt AS AnsweredAt,
    CalculationPart AS Part,
    assumeNotNull(RequestedAt + toIntervalSecond(limits.1)) AS LateAt,
    assumeNotNull(RequestedAt + toIntervalSecond(limits.2)) AS StuckAt,
    AnsweredAt IS NULL AND StuckAt <= AsOf AS OverOneHour,
    AnsweredAt > StuckAt AS AnsweredTooLate,
    -- Answered in time, but heard of only after the hour: on-call may have been paged meanwhile.
    CalculationAnswerHeardAt AS AnswerHeardAt,
    ifNull(AnsweredAt <= StuckAt AND AnswerHeardAt > StuckAt, 0) AS AnswerHeardTooLate,
    LastEventAt, AsOf
FROM orders_at_v1(as_of = {as_of:DateTime64(3, 'UTC')})
WHERE CalculationRequestedAt IS NOT NULL;

CREATE VIEW IF NOT EXISTS calculations_v1 AS
SELECT * FROM calculations_at_v1(as_of = now64(3, 'UTC'));

-- Conservation: orders counted from the facts against orders counted from the state.
CREATE VIEW IF NOT EXISTS conservation_v1 AS
SELECT
    assumeNotNull((SELECT uniqExact(OrderId) FROM order_traces)) AS Seen,
    assumeNotNull((SELECT uniqExact(OrderId) FROM orders)) AS Derived,
    toInt64(Seen) - toInt64(Derived) AS Difference;

-- When each system was last heard of.
CREATE VIEW IF NOT EXISTS sources_v1 AS
SELECT Source, max(LastReceivedAt) AS LastReceivedAt, max(LastTimestamp) AS LastTimestamp
FROM sources WHERE Source != '' GROUP BY Source;
