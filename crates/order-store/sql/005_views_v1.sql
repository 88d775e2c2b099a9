-- What the derived states mean: once, here. `as_of` is a point in time; the views without a
-- parameter take the store's clock. Each state comes with the evidence that led to it: the point
-- in time it began at, and who, where and what beside it.

-- Until when everything that came in is known: what lies in a collector's journal, or waits to be
-- stitched, is not. When every collector has stopped, until the last of them did.
CREATE VIEW IF NOT EXISTS listening_v1 AS
SELECT multiIf(
    count() = 0, now64(3, 'UTC'),
    countIf(Stopped = 0) > 0, minIf(StitchedUntil, Stopped = 0),
    max(SaidAt)
) AS HeardUntil FROM stitchers FINAL;

-- When each system was last heard of. Silent: it was heard of, and not for as long as the
-- lifecycle's [silence] says, while we listened: a delay of our own is nobody's silence.
CREATE VIEW IF NOT EXISTS sources_at_v1 AS
SELECT
    Source, max(sources.LastReceivedAt) AS LastReceivedAt,
    max(sources.LastTimestamp) AS LastTimestamp,
    LastReceivedAt + toIntervalSecond(assumeNotNull((SELECT SilentSeconds FROM lifecycle_v1)))
        AS SilentSince,
    SilentSince < least(
        {as_of:DateTime64(3, 'UTC')}, assumeNotNull((SELECT HeardUntil FROM listening_v1))
    ) AS IsSilent
FROM sources WHERE Source != '' GROUP BY Source;

CREATE VIEW IF NOT EXISTS sources_v1 AS SELECT * FROM sources_at_v1(as_of = now64(3, 'UTC'));

-- How the clocks stand: the least delay from a host's clock to ours, of today and yesterday. Below
-- zero the clock is ahead by at least as much. It is shown and decides nothing.
CREATE VIEW IF NOT EXISTS source_clocks_v1 AS
SELECT
    Source, Host, min(sources.LeastDelayMs) AS LeastDelayMs,
    max(sources.LastReceivedAt) AS LastReceivedAt
FROM sources WHERE Source != '' AND Day >= toDate(now('UTC')) - 1 GROUP BY Source, Host;

-- Every order, and the orders that have not ended for good: these are few and fast. Labels and
-- what hangs on other systems stand in the views without a parameter, for people: to look them up
-- doubles the price of a question.
CREATE VIEW IF NOT EXISTS orders_at_v1 AS
WITH {as_of:DateTime64(3, 'UTC')} AS as_of
SELECT
    HistoryStage, HistoryEnteredAt, HistorySource, HistoryAttempt, Traces, LinkedTraces,
/* orders_meaning.sql */
FROM orders FINAL WHERE MergedInto = '';

CREATE VIEW IF NOT EXISTS open_orders_at_v1 AS
WITH {as_of:DateTime64(3, 'UTC')} AS as_of
SELECT
/* orders_meaning.sql */
FROM orders_open FINAL WHERE IsOpen = 1;

CREATE VIEW IF NOT EXISTS orders_v1 AS
WITH
/* words.sql */
SELECT *,
/* orders_words.sql */
FROM orders_at_v1(as_of = now64(3, 'UTC'));

CREATE VIEW IF NOT EXISTS open_orders_v1 AS
WITH
/* words.sql */
SELECT *,
/* orders_words.sql */
FROM open_orders_at_v1(as_of = now64(3, 'UTC'));

-- Of the open orders only what condition they are in: whoever needs no more asks half the price,
-- since most of a small question is planning, which costs by the column of the view.
CREATE VIEW IF NOT EXISTS open_conditions_at_v1 AS
WITH {as_of:DateTime64(3, 'UTC')} AS as_of
SELECT
    OrderId, Stage, StageSince, StageRank > 0 AS StageKnown,
/* orders_conditions.sql */
FROM orders_open FINAL WHERE IsOpen = 1;

-- What lists show of an order, ended or not.
CREATE VIEW IF NOT EXISTS listed_orders_at_v1 AS
WITH {as_of:DateTime64(3, 'UTC')} AS as_of
SELECT
    OrderId, Kind, Channel, Stage, StageRank, StageRank > 0 AS StageKnown, StageSince,
    FirstEventAt, LastEventAt, LastReceivedAt, Terminal, WaitingFor, NextSetBy, LateAt, StuckAt,
    PromisedAt, IsOpen,
/* orders_conditions.sql */
FROM orders FINAL WHERE MergedInto = '';

-- The board's two halves: open orders by stage, and settled ones as counted by bucket.
CREATE VIEW IF NOT EXISTS board_open_at_v1 AS
SELECT
    toString(Stage) AS Stage, count() AS Total, countIf(IsLate) AS Late, countIf(IsStuck) AS Stuck,
    countIf(IsLostInHandover) AS LostInHandover, countIf(IsRetrying) AS Retrying,
    countIf(IsAbandoned) AS Abandoned, countIf(IsNotConfirmed) AS NotConfirmed,
    min(StageSince) AS OldestSince, quantilesExact(0.5, 0.9)(AgeSeconds) AS ages,
    toInt64(ages[1]) AS MedianAgeSeconds, toInt64(ages[2]) AS P90AgeSeconds
FROM open_conditions_at_v1(as_of = {as_of:DateTime64(3, 'UTC')}) GROUP BY Stage;

CREATE VIEW IF NOT EXISTS board_settled_v1 AS
SELECT toString(InStage) AS Stage, sum(Counted) AS Total
FROM settled_counts FINAL ARRAY JOIN Stages AS InStage, Orders AS Counted GROUP BY Stage;

-- One row per stage of the lifecycle, also when empty, and one per unknown status (Rank 0). Ages
-- are of open orders; an order that is settled in a stage that ends nothing was given up.
CREATE VIEW IF NOT EXISTS board_at_v1 AS
WITH (SELECT (Stages, LabelRu, LabelEn, Terminal) FROM lifecycle_v1) AS words
SELECT
    if(open.Stage != '', open.Stage, settled.Stage) AS Stage,
    toUInt16(indexOf(words.1, Stage)) AS Rank, words.2[Rank] AS LabelRu, words.3[Rank] AS LabelEn,
    toUInt8(words.4[Rank]) AS Terminal,
    open.Total + settled.Total AS Total, open.Late AS Late, open.Stuck AS Stuck,
    open.LostInHandover AS LostInHandover, open.Retrying AS Retrying,
    open.Abandoned + if(Terminal = 0, settled.Total, 0) AS Abandoned,
    open.NotConfirmed AS NotConfirmed,
    if(open.Total = 0, NULL, open.OldestSince) AS OldestSince,
    if(open.Total = 0, NULL, open.MedianAgeSeconds) AS MedianAgeSeconds,
    if(open.Total = 0, NULL, open.P90AgeSeconds) AS P90AgeSeconds
FROM board_open_at_v1(as_of = {as_of:DateTime64(3, 'UTC')}) AS open
FULL OUTER JOIN (
    SELECT Stage, sum(Counts) AS Total FROM (
        SELECT Stage, Total AS Counts FROM board_settled_v1
        UNION ALL SELECT arrayJoin(words.1) AS Stage, 0 AS Counts
    ) GROUP BY Stage
) AS settled ON settled.Stage = open.Stage;

CREATE VIEW IF NOT EXISTS board_v1 AS SELECT * FROM board_at_v1(as_of = now64(3, 'UTC'));

-- The one-hour rule: the latest request for a price of every order that needs one, while the
-- order is open and for a day after; and of all orders.
CREATE VIEW IF NOT EXISTS calculations_at_v1 AS
WITH
    {as_of:DateTime64(3, 'UTC')} AS as_of,
    (SELECT (CalculationLateSeconds, CalculationStuckSeconds) FROM lifecycle_v1) AS limits
SELECT
/* calculations.sql */
FROM orders_open FINAL
WHERE MergedInto = '' AND CalculationRequestedAt IS NOT NULL;

CREATE VIEW IF NOT EXISTS all_calculations_at_v1 AS
WITH
    {as_of:DateTime64(3, 'UTC')} AS as_of,
    (SELECT (CalculationLateSeconds, CalculationStuckSeconds) FROM lifecycle_v1) AS limits
SELECT
/* calculations.sql */
FROM orders FINAL
WHERE MergedInto = '' AND CalculationRequestedAt IS NOT NULL;

CREATE VIEW IF NOT EXISTS calculations_v1 AS
SELECT * FROM calculations_at_v1(as_of = now64(3, 'UTC'));

-- Conservation: the ids that the facts name, against the orders that the board counts and the ids
-- that turned out to be another order's.
CREATE VIEW IF NOT EXISTS conservation_v1 AS
SELECT
    assumeNotNull((SELECT uniqExact(OrderId) FROM order_traces)) AS Named,
    assumeNotNull((SELECT sum(Merged) FROM settled_counts FINAL)) AS Merged,
    assumeNotNull((SELECT count() FROM orders_open FINAL WHERE IsOpen = 1))
        + assumeNotNull((SELECT sum(arraySum(Orders)) FROM settled_counts FINAL)) AS Derived,
    toInt64(Named) - toInt64(Merged) - toInt64(Derived) AS Difference;
