-- The fold: the state of orders at `as_of`, by the rules of stitching. `members` are (id, order):
-- every id of the orders. Times are nanoseconds while it computes; an event is
-- e = (time, rank, stage, source, attempt), one that begins or fails a calculation is
-- (time, worker, error, attempt).
WITH
    (
        SELECT (
            Stages, SkewMs * 1000000, ShopServices, PromiseFrom, PromiseTo, CalculationRequestedBy,
            CalculationStartedBy, CalculationFailedBy, CalculationAnsweredBy,
            arrayMin(arrayMap(s -> indexOf(Stages, s), CalculationAnsweredBy)),
            arrayFilter((s, m) -> m = 1, Stages, MeansModel),
            (WaitingFor, Terminal, FromPriceRequest, LateSeconds, StuckSeconds,
                ReadyMadeWaitingFor, ReadyMadeLateSeconds, ReadyMadeStuckSeconds,
                AbandonedSeconds, NotConfirmedSeconds, SetBy, SkippedBy),
            (HandoverDestination, HandoverFrom, HandoverTo, HandoverLostSeconds),
            PromiseSeconds, AppliedAt
        ) FROM lifecycle_v1
    ) AS lifecycle,
    lifecycle.1 AS stages,
    lifecycle.2 AS skew,
    lifecycle.3 AS shop_services,
    (lifecycle.4, lifecycle.5) AS promise,
    (lifecycle.6, lifecycle.7, lifecycle.8) AS calculation,
    lifecycle.9 AS answered_by,
    lifecycle.10 AS answered_rank,
    lifecycle.11 AS model_stages,
    lifecycle.12 AS of_stage,
    lifecycle.13 AS handovers,
    {as_of_nanos:Int64} AS as_of,
    as_of + skew AS horizon,
    (holds, nanos) -> if(holds, fromUnixTimestamp64Milli(intDiv(nanos, 1000000), 'UTC'), NULL)
        AS at_time,
    traits AS (
        SELECT m.2 AS OrderId, max(HasModel) AS HasModel, max(Kind) AS Kind,
            max(Channel) AS Channel, max(ReceivedAt) AS ReceivedAt, min(Start) AS Start
        FROM order_traces
        INNER JOIN (
            SELECT arrayJoin({members:Array(Tuple(String, String))}) AS m, m.1 AS Member
        ) AS given ON given.Member = order_traces.OrderId
        WHERE order_traces.OrderId IN {ids:Array(String)}
        GROUP BY OrderId
    ),
    alive AS (
        SELECT OrderId, max((toUnixTimestamp64Nano(LastAt), Worker)) AS sign_of_life
        FROM (/* heartbeats_of_orders.sql */)
        WHERE toUnixTimestamp64Nano(LastAt) <= horizon
        GROUP BY OrderId
    ),
    signals AS (
        SELECT *, toUnixTimestamp64Nano(EventTime) AS t, indexOf(stages, Stage) AS rank,
            t <= horizon AS heard, Signal = 'stage' AS is_stage
        FROM (/* signals_of_orders.sql */)
    ),
    grouped AS (
        SELECT
            OrderId,
            arraySort(e -> (e.1, e.2, e.3, e.4), groupArrayIf(
                (t, toUInt16(rank), toString(Stage), toString(Source), Attempt), is_stage AND heard
            )) AS events,
            groupArrayIf(t, is_stage AND heard AND Stage = calculation.1) AS asked,
            groupArrayIf(t, Signal = 'price_requested' AND heard) AS published,
            groupArrayIf((t, Worker, Error, Attempt), is_stage AND heard AND Stage = calculation.2)
                AS begun,
            groupArrayIf((t, Worker, Error, Attempt), is_stage AND heard AND Stage = calculation.3)
                AS failed,
            groupArrayIf(t, is_stage AND heard AND (has(answered_by, Stage) OR rank > answered_rank))
                AS answers,
            groupArrayIf((t, toUnixTimestamp64Milli(FirstReceivedAt)),
                is_stage AND heard AND (has(answered_by, Stage) OR rank > answered_rank))
                AS answers_heard,
            groupArrayIf((t, toString(Source), toString(Stage)), Signal = 'handed_over' AND heard)
                AS handed,
            if(empty(handed), [], groupArrayIf((t, toString(Source),
                if(Signal = 'taken_over', toString(Stage), '')), heard)) AS said,
            minIf(t, is_stage AND heard AND Stage = promise.1) AS promised_from,
            minIf(t, is_stage AND heard AND Stage = promise.2) AS promised_to,
            minIf(t, NOT heard) AS future,
            maxIf(t, heard) AS last_event,
            max(LastReceivedAt) AS LastReceivedAt
        FROM signals
        GROUP BY OrderId
    ),
    -- One step per subquery: an alias used in its own SELECT is copied into every use.
    named AS (
        SELECT
            traits.OrderId AS OrderId, traits.Kind AS Kind, traits.Channel AS SaidChannel,
            traits.HasModel AS NamedModel, grouped.* EXCEPT (OrderId, LastReceivedAt),
            greatest(grouped.LastReceivedAt, traits.ReceivedAt) AS LastReceivedAt,
            toUnixTimestamp64Nano(traits.Start) AS first_named,
            alive.sign_of_life AS sign_of_life,
            -- 1 where a stay begins; its running sum numbers the stays
            arrayMap((e, i) -> toUInt8(i = 1 OR e.3 != events[i - 1].3), events,
                arrayEnumerate(events)) AS begins,
            arrayReverseSort(e -> (e.2, e.3),
                arrayFilter(e -> e.1 >= events[-1].1 - skew, events))[1] AS current,
            arrayMax(arrayConcat([-1], asked, published, begun.1)) AS last_request,
            -- Of every destination the latest message; an empty one where there is none.
            if(empty(handed), [], arrayMap(
                d -> arrayReverseSort(arrayFilter(h -> h.3 = d, handed))[1], handovers.1)) AS sent
        FROM traits
        LEFT JOIN grouped ON grouped.OrderId = traits.OrderId
        LEFT JOIN alive ON alive.OrderId = traits.OrderId
    ),
    stayed AS (
        SELECT *,
            arrayFilter((e, b) -> b = 1, events, begins) AS stays,
            arrayCumSum(begins) AS stay,
            arrayMax(arrayConcat([-1], arrayFilter(a -> a < last_request - skew, answers)))
                AS previous_answer,
            arrayFilter(a -> a >= last_request - skew, answers) AS later_answers,
            arrayMap(a -> a.2, arrayFilter(a -> a.1 >= last_request - skew, answers_heard))
                AS later_answers_heard,
            -- (lost at, destination, from, to, sent at) of messages that nobody took
            if(of_stage.2[current.2] = 1, [], arrayMap(
                h -> (h.1.1 + h.4 * 1000000000, h.1.3, h.1.2, h.3, h.1.1),
                arrayFilter(
                    h -> h.1.3 != '' AND NOT arrayExists(
                        s -> (s.3 = h.1.3 AND s.1 >= h.1.1 - skew)
                            OR (has(h.3, s.2)
                                AND if(has(h.2, s.2), s.1 > h.1.1 + skew, s.1 >= h.1.1 - skew)),
                        said),
                    arrayZip(sent, arrayResize(handovers.2, length(sent)),
                        arrayResize(handovers.3, length(sent)),
                        arrayResize(handovers.4, length(sent)))))) AS waiting
        FROM named
    ),
    requested AS (
        SELECT *,
            arrayMap(n -> arrayMax((e, s) -> if(s = n, e.5, 0), events, stay),
                arrayEnumerate(stays)) AS attempts,
            arrayLast(e -> e.3 = current.3, stays).1 AS since,
            NamedModel = 1 OR arrayExists(e -> has(model_stages, e.3), stays) AS has_model,
            multiIf(SaidChannel != '', toString(SaidChannel), empty(stays), '',
                has(shop_services, stays[1].4), 'b2c', 'b2b') AS channel,
            if(empty(later_answers), -1, arrayMin(later_answers)) AS answered,
            arrayMax(arrayConcat([-1], arrayFilter(a -> a > previous_answer, asked))) AS last_asked,
            arrayFilter(a -> a > previous_answer, arrayConcat(published, begun.1)) AS first_begun,
            arraySort(waiting)[1] AS handover
        FROM stayed
    ),
    clocked AS (
        SELECT *,
            multiIf(last_asked >= 0, last_asked, notEmpty(first_begun), arrayMin(first_begun), -1)
                AS requested_at,
            greatest(previous_answer + 1, requested_at - skew) AS clock_from
        FROM requested
    ),
    placed AS (
        SELECT *,
            arrayFilter(a -> a.1 >= clock_from, begun) AS open_begun,
            arrayReverseSort(open_begun)[1] AS last_begun,
            arrayReverseSort(arrayFilter(a -> a.1 >= clock_from, failed))[1] AS last_failed,
            if(empty(open_begun), -1, last_begun.1) AS started,
            arrayMax(arrayConcat([-1], arrayFilter(a -> a.1 >= clock_from, failed).1)) AS stopped,
            arrayMax(arrayConcat([-1], arrayFilter(a -> a >= clock_from, published))) AS queued,
            if(empty(open_begun), 0, arrayMax(open_begun.4)) AS attempt,
            greatest(started, queued) AS again,
            last_request >= 0 AND Kind != 'ready_made' AND (has_model OR channel = 'b2b'
                OR notEmpty(published) OR notEmpty(begun) OR notEmpty(failed)) AS calculated
        FROM clocked
    ),
    parted AS (
        SELECT *,
            multiIf(NOT calculated, '', answered >= 0, 'answered',
                stopped >= 0 AND stopped >= started, 'failed', started >= 0, 'running',
                queued >= 0, 'queued', 'never_queued') AS part,
            Kind = 'ready_made' OR (Kind = '' AND NOT has_model AND NOT calculated) AS ready_made,
            ready_made AND of_stage.8[current.2] > 0 AS differs,
            if(differs, of_stage.7[current.2], of_stage.4[current.2]) AS late_after,
            if(differs, of_stage.8[current.2], of_stage.5[current.2]) AS stuck_after,
            if(of_stage.3[current.2] = 1, if(calculated AND answered < 0, requested_at, -1), since)
                AS clock,
            of_stage.9[current.2] AS abandoned_after,
            since + abandoned_after * 1000000000 AS abandoned,
            of_stage.10[current.2] AS not_confirmed_after,
            of_stage.2[current.2] = 1 AS terminal,
            late_after > 0 AND clock >= 0 AS has_late,
            stuck_after > 0 AND clock >= 0 AS has_stuck,
            arrayFirstIndex(
                (skipped, i) -> i > current.2 AND NOT has(skipped, channel)
                    AND NOT has(skipped, if(ready_made, 'ready_made', toString(Kind))),
                of_stage.12, arrayEnumerate(of_stage.12)) AS next_stage,
            (terminal AND NOT has_stuck) OR (abandoned_after > 0 AND abandoned <= as_of) AS settled
        FROM placed
    ),
    held AS (
        SELECT m.1 AS HeldId, groupArrayIf(m.2, m.3 = 1) AS Traces,
            groupArrayIf(m.2, m.3 = 0) AS LinkedTraces
        FROM (SELECT arrayJoin({pairs:Array(Tuple(String, String, UInt8))}) AS m)
        WHERE NOT startsWith(m.2, 'message:')
        GROUP BY HeldId
    ),
    told AS (
        SELECT OrderId AS ToldId, max(DerivedAt) AS ToldAt, argMax(IsOpen, DerivedAt) AS ToldOpen
        FROM orders
        WHERE OrderId IN {ids:Array(String)} GROUP BY OrderId
    )
SELECT
    given.Member AS OrderId,
    if(given.Member = given.Shown, '', given.Shown) AS MergedInto,
    arrayFilter(id -> id != given.Member, given.Ids) AS OtherIds,
    Kind,
    channel AS Channel,
    toUInt8(has_model) AS HasModel,
    toUInt8(ready_made) AS IsReadyMade,
    current.3 AS Stage,
    toUInt16(current.2) AS StageRank,
    fromUnixTimestamp64Milli(intDiv(if(empty(events), first_named, since), 1000000), 'UTC')
        AS StageSince,
    fromUnixTimestamp64Milli(intDiv(if(empty(events), first_named, events[1].1), 1000000), 'UTC')
        AS FirstEventAt,
    fromUnixTimestamp64Milli(intDiv(if(last_event = 0, first_named, last_event), 1000000), 'UTC')
        AS LastEventAt,
    LastReceivedAt,
    at_time(promised_from > 0, promised_from) AS SubmittedAt,
    at_time(promised_to > 0, promised_to) AS ShippedAt,
    toUInt8(terminal) AS Terminal,
    if(differs, of_stage.6[current.2], of_stage.1[current.2]) AS WaitingFor,
    if(terminal, [], of_stage.11[next_stage]) AS NextSetBy,
    at_time(has_late, clock + late_after * 1000000000) AS LateAt,
    at_time(has_stuck, clock + stuck_after * 1000000000) AS StuckAt,
    at_time(promised_from > 0, promised_from + lifecycle.14 * 1000000000) AS PromisedAt,
    if(promised_to > 0 OR terminal, NULL, PromisedAt) AS OverdueAt,
    at_time(abandoned_after > 0, abandoned) AS AbandonedAt,
    at_time(not_confirmed_after > 0, since + not_confirmed_after * 1000000000) AS NotConfirmedAt,
    at_time(calculated, requested_at) AS CalculationRequestedAt,
    at_time(calculated AND started >= 0, started) AS CalculationStartedAt,
    at_time(calculated AND answered >= 0, answered) AS CalculationAnsweredAt,
    if(calculated AND answered >= 0,
        fromUnixTimestamp64Milli(arrayMin(later_answers_heard), 'UTC'), NULL)
        AS CalculationAnswerHeardAt,
    at_time(calculated AND stopped >= 0, stopped) AS CalculationFailedAt,
    part AS CalculationPart,
    if(calculated, attempt, 0) AS CalculationAttempt,
    if(calculated AND started >= 0, last_begun.2, '') AS CalculationWorker,
    if(calculated AND stopped >= 0, last_failed.3, '') AS CalculationError,
    at_time(calculated AND answered < 0 AND again >= 0
        AND ((part = 'running' AND attempt > 1) OR (stopped >= 0 AND again > stopped)), again)
        AS RetryingSince,
    at_time(sign_of_life.1 > 0, sign_of_life.1) AS LastSignOfLifeAt,
    sign_of_life.2 AS SignOfLifeWorker,
    handover.2 AS HandoverDestination,
    handover.3 AS HandoverFrom,
    handover.4 AS HandoverTo,
    at_time(handover.2 != '', handover.5) AS HandedOverAt,
    at_time(handover.2 != '', handover.1) AS HandoverLostAt,
    held.Traces AS Traces,
    held.LinkedTraces AS LinkedTraces,
    arrayMap(e -> e.3, stays) AS HistoryStage,
    arrayMap(e -> fromUnixTimestamp64Milli(intDiv(e.1, 1000000), 'UTC'), stays) AS HistoryEnteredAt,
    arrayMap(e -> e.4, stays) AS HistorySource,
    attempts AS HistoryAttempt,
    -- The least of those that lie ahead; one moment late, so that the clock has passed it.
    if(given.Member != given.Shown, NULL, nullIf(least(
        if(future > 0, intDiv(future, 1000000), 9223372036854775807),
        if(abandoned_after > 0 AND abandoned > as_of, intDiv(abandoned, 1000000) + 1,
            9223372036854775807)), 9223372036854775807)) AS refold_ms,
    if(isNull(refold_ms), NULL, fromUnixTimestamp64Milli(assumeNotNull(refold_ms), 'UTC'))
        AS RefoldAt,
    toUInt8((NOT settled OR future > 0) AND given.Member = given.Shown) AS IsOpen,
    toUInt8(IsOpen = 1 OR told.ToldOpen = 1 OR toUnixTimestamp64Milli(LastReceivedAt)
        >= intDiv(as_of, 1000000) - 86400000) AS Announced,
    lifecycle.15 AS LifecycleAt,
    fromUnixTimestamp64Nano(
        greatest(as_of, toUnixTimestamp64Nano(told.ToldAt) + 1), 'UTC') AS DerivedAt
FROM (
    SELECT arrayJoin({members:Array(Tuple(String, String))}) AS m, m.1 AS Member, m.2 AS Shown,
        groupArray(Member) OVER (PARTITION BY Shown) AS Ids
) AS given
INNER JOIN parted ON parted.OrderId = given.Shown
LEFT JOIN held ON held.HeldId = given.Shown
LEFT JOIN told ON told.ToldId = given.Member
