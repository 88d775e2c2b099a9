-- What rules ask: conditions with the point in time at which each began, and, of those that ended
-- lately, at which it ended. Deadlines come from the lifecycle. No time but that of the clock below
-- stands here, so that `alert-rules test` and `preview` can set it.

-- The clock of rules, and since when what has ended is told: an Alertmanager that was away hears
-- of it.
CREATE VIEW IF NOT EXISTS alert_clock_v1 AS
SELECT now64(3, 'UTC') AS AsOf, AsOf - toIntervalMinute(15) AS EndedSince;

-- What on-call was told within a month, and has not been told the end of, or has lately. What stands
-- here and is given by its rule no more has ended, also where the state of the order no longer says
-- when.
CREATE VIEW IF NOT EXISTS told_alerts_v1 AS
WITH (SELECT (AsOf, EndedSince) FROM alert_clock_v1) AS clock
SELECT
    AlertName, any(alert_history.Labels) AS Labels,
    argMin(alert_history.Annotations, FirstReceivedAt) AS Annotations, StartsAt,
    if(countIf(Status = 'resolved') = 0, NULL, maxIf(EndsAt, Status = 'resolved')) AS ResolvedAt,
    clock.1 AS AsOf
FROM alert_history
WHERE (OrderId, Fingerprint, StartsAt) IN (
    SELECT OrderId, Fingerprint, StartsAt FROM alert_history
    WHERE FirstReceivedAt >= clock.1 - toIntervalDay(30)
    GROUP BY OrderId, Fingerprint, StartsAt
    HAVING countIf(Status = 'firing') > 0
        AND (countIf(Status = 'resolved') = 0 OR maxIf(EndsAt, Status = 'resolved') >= clock.2)
)
GROUP BY AlertName, OrderId, Fingerprint, StartsAt;

-- The orders that are open, and those that ended within a day, at that clock.
CREATE VIEW IF NOT EXISTS alert_orders_v1 AS
WITH
    (SELECT (AsOf, EndedSince) FROM alert_clock_v1) AS clock,
    clock.1 AS as_of,
    (
        SELECT (Stages, LabelRu, LabelEn, CalculationRequestedBy, FromPriceRequest)
        FROM lifecycle_v1
    ) AS words
SELECT
    OrderId, Kind, Channel, Stage, StageRank > 0 AS StageKnown, StageSince, Terminal, WaitingFor,
    LateAt, StuckAt, PromisedAt, OverdueAt, ShippedAt, LastEventAt, LastReceivedAt,
    HandoverDestination, HandoverFrom, HandoverTo, HandedOverAt, HandoverLostAt,
    words.2[indexOf(words.1, Stage)] AS LabelRu, words.3[indexOf(words.1, Stage)] AS LabelEn,
    as_of AS AsOf, clock.2 AS EndedSince,
/* orders_conditions.sql */,
    -- By the stage, whatever was promised for the whole order.
    NOT IsSettled AND ifNull(LateAt <= as_of, 0) AS IsPastDue,
    -- Such an order is told of by the rules of calculations, from its request on.
    CalculationRequestedAt IS NOT NULL AND CalculationAnsweredAt IS NULL
        AND (Stage = words.4 OR words.5[indexOf(words.1, Stage)] = 1) AS IsAwaitingPrice,
    -- The promise was broken, and then kept after all, or wanted by nobody any more.
    if(IsOverdue OR ifNull(PromisedAt > as_of, 1), NULL,
        nullIf(greatest(ifNull(ShippedAt, StageSince), PromisedAt), PromisedAt)) AS OverdueUntil
FROM orders_open FINAL WHERE MergedInto = '';

-- Stays in a stage that were ended after they were stuck; of the last three of an order. Those in
-- which a price was awaited are told of by the rules of calculations.
CREATE VIEW IF NOT EXISTS ended_stuck_stays_v1 AS
WITH (SELECT EndedSince FROM alert_clock_v1) AS ended_since
SELECT
    OrderId, Channel, Stay.1 AS Stage, Stay.2 AS StageSince,
    StageSince + toIntervalSecond(Stay.4) AS StuckAt, Stay.3 AS EndedAt, Stay.5 AS WaitingFor
FROM (
    SELECT
        OrderId, Channel,
        arrayJoin(arrayFilter(
            stay -> stay.4 > 0 AND stay.2 + toIntervalSecond(stay.4) < stay.3
                AND stay.3 >= ended_since - toIntervalDay(1),
            arrayZip(
                arrayMap(stage -> toString(stage), arrayPopBack(HistoryStage)),
                arrayPopBack(HistoryEnteredAt), arrayPopFront(HistoryEnteredAt),
                arrayPopBack(HistoryStuckSeconds),
                arrayMap(who -> toString(who), arrayPopBack(HistoryWaitingFor))
            )
        )) AS Stay
    FROM orders_open FINAL
    WHERE MergedInto = '' AND LastReceivedAt >= ended_since AND length(HistoryStage) > 1
);

-- The way of a price to its hour: not begun (past the first deadline of the stage that asks for
-- it), slow (past the first deadline of the whole calculation), and then over the hour. Each begins
-- where the one before ends, so that an order has one of them at a time. Failed: no attempt has
-- begun since, until the hour.
CREATE VIEW IF NOT EXISTS awaited_prices_v1 AS
WITH
    (SELECT EndedSince FROM alert_clock_v1) AS ended_since,
    (SELECT LateSeconds[indexOf(Stages, CalculationRequestedBy)] FROM lifecycle_v1) AS begin_seconds
SELECT
    *, ended_since AS EndedSince,
    -- Without such a deadline it begins where it ends, and never holds.
    if(begin_seconds > 0, RequestedAt + toIntervalSecond(assumeNotNull(begin_seconds)), LateAt)
        AS UnbegunAt,
    least(
        LateAt, ifNull(StartedAt, LateAt), ifNull(FailedAt, LateAt), ifNull(AnsweredAt, LateAt)
    ) AS UnbegunUntil,
    UnbegunAt < UnbegunUntil AND UnbegunAt <= AsOf AS WasUnbegun,
    WasUnbegun AND IsAwaited AND UnbegunUntil > AsOf AS IsUnbegun,

    least(StuckAt, ifNull(AnsweredAt, StuckAt)) AS SlowUntil,
    LateAt < SlowUntil AND LateAt <= AsOf AS WasSlow,
    WasSlow AND IsAwaited AND SlowUntil > AsOf AS IsSlow,

    least(
        StuckAt, if(ifNull(AnsweredAt >= FailedAt, 0), assumeNotNull(AnsweredAt), StuckAt),
        if(ifNull(StartedAt > FailedAt, 0), assumeNotNull(StartedAt), StuckAt),
        if(ifNull(RetryingSince > FailedAt, 0), assumeNotNull(RetryingSince), StuckAt)
    ) AS FailedUntil,
    ifNull(FailedAt < FailedUntil AND FailedAt <= AsOf, 0) AS WasFailed,
    WasFailed AND IsAwaited AND FailedUntil > AsOf AS IsFailed
FROM calculations_v1;

-- Orders whose price has been awaited for over an hour, by where they hang and why.
CREATE VIEW IF NOT EXISTS overdue_prices_v1 AS
SELECT
    Part, count() AS Orders, groupArray(StuckAt) AS HoursOver,
    multiIf(
        Part = 'never_queued', 'never queued',
        Part = 'queued', 'queued, not picked up',
        Part = 'failed', if(Error = '', 'failed', concat('failed: ', Error)),
        if(Worker = '', 'running', concat('running on worker ', Worker))
    ) AS Cause
FROM calculations_v1 WHERE OverOneHour GROUP BY Part, Cause;

-- Systems that set stages and are silent, since when they count as such.
CREATE VIEW IF NOT EXISTS silent_systems_v1 AS
WITH (SELECT tuple(arrayFlatten(SetBy)) FROM lifecycle_v1) AS systems
SELECT toString(Source) AS Service, LastReceivedAt, SilentSince
FROM sources_v1 WHERE IsSilent AND has(systems.1, Service);
