-- The fold: the state of the orders at `as_of`, by the rules of stitching. Times are nanoseconds
-- while it computes. An event is e = (time, rank, stage, source, attempt).
WITH
    (
        SELECT (
            Stages, SkewMs * 1000000, ShopServices, PromiseFrom, PromiseTo, CalculationRequestedBy,
            CalculationStartedBy, CalculationFailedBy, CalculationAnsweredBy,
            arrayMin(arrayMap(s -> indexOf(Stages, s), CalculationAnsweredBy)),
            arrayFilter((s, m) -> m = 1, Stages, MeansModel)
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
    {as_of_nanos:Int64} + skew AS horizon,
    traits AS (
        SELECT OrderId, max(HasModel) AS HasModel, max(Kind) AS Kind, max(Channel) AS Channel,
            max(ReceivedAt) AS ReceivedAt, min(Start) AS Start
        FROM order_traces
        WHERE OrderId IN {orders:Array(String)}
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
            groupArrayIf(t, is_stage AND heard AND Stage = calculation.2) AS begun,
            groupArrayIf(t, is_stage AND heard AND Stage = calculation.3) AS failed,
            groupArrayIf(t, is_stage AND heard AND (has(answered_by, Stage) OR rank > answered_rank))
                AS answers,
            groupArrayIf((t, toUnixTimestamp64Milli(FirstReceivedAt)),
                is_stage AND heard AND (has(answered_by, Stage) OR rank > answered_rank))
                AS answers_heard,
            minIf(t, is_stage AND heard AND Stage = promise.1) AS promised_from,
            minIf(t, is_stage AND heard AND Stage = promise.2) AS promised_to,
            minIf(t, NOT heard) AS refold,
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
            -- 1 where a stay begins; its running sum numbers the stays
            arrayMap((e, i) -> toUInt8(i = 1 OR e.3 != events[i - 1].3), events,
                arrayEnumerate(events)) AS begins,
            arrayReverseSort(e -> (e.2, e.3),
                arrayFilter(e -> e.1 >= events[-1].1 - skew, events))[1] AS current,
            arrayMax(arrayConcat([-1], asked, published, begun)) AS last_request
        FROM traits LEFT JOIN grouped ON grouped.OrderId = traits.OrderId
    ),
    stayed AS (
        SELECT *,
            arrayFilter((e, b) -> b = 1, events, begins) AS stays,
            arrayCumSum(begins) AS stay,
            arrayMax(arrayConcat([-1], arrayFilter(a -> a < last_request - skew, answers)))
                AS previous_answer,
            arrayFilter(a -> a >= last_request - skew, answers) AS later_answers,
            arrayMap(a -> a.2, arrayFilter(a -> a.1 >= last_request - skew, answers_heard))
                AS later_answers_heard
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
            arrayFilter(a -> a > previous_answer, arrayConcat(published, begun)) AS first_begun
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
            arrayMax(arrayConcat([-1], arrayFilter(a -> a >= clock_from, begun))) AS started,
            arrayMax(arrayConcat([-1], arrayFilter(a -> a >= clock_from, failed))) AS stopped,
            arrayExists(a -> a >= clock_from, published) AS queued,
            last_request >= 0 AND Kind != 'ready_made' AND (has_model OR channel = 'b2b'
                OR notEmpty(published) OR notEmpty(begun) OR notEmpty(failed)) AS calculated
        FROM clocked
    )
SELECT
    OrderId,
    Kind,
    channel AS Channel,
    toUInt8(has_model) AS HasModel,
    current.3 AS Stage,
    toUInt16(current.2) AS StageRank,
    fromUnixTimestamp64Milli(intDiv(if(empty(events), first_named, since), 1000000), 'UTC')
        AS StageSince,
    fromUnixTimestamp64Milli(intDiv(if(empty(events), first_named, events[1].1), 1000000), 'UTC')
        AS FirstEventAt,
    fromUnixTimestamp64Milli(intDiv(if(last_event = 0, first_named, last_event), 1000000), 'UTC')
        AS LastEventAt,
    LastReceivedAt,
    if(promised_from > 0, fromUnixTimestamp64Milli(intDiv(promised_from, 1000000), 'UTC'), NULL)
        AS SubmittedAt,
    if(promised_to > 0, fromUnixTimestamp64Milli(intDiv(promised_to, 1000000), 'UTC'), NULL)
        AS ShippedAt,
    if(calculated, fromUnixTimestamp64Milli(intDiv(requested_at, 1000000), 'UTC'), NULL)
        AS CalculationRequestedAt,
    if(calculated AND started >= 0, fromUnixTimestamp64Milli(intDiv(started, 1000000), 'UTC'), NULL)
        AS CalculationStartedAt,
    if(calculated AND answered >= 0,
        fromUnixTimestamp64Milli(intDiv(answered, 1000000), 'UTC'), NULL) AS CalculationAnsweredAt,
    if(calculated AND answered >= 0,
        fromUnixTimestamp64Milli(arrayMin(later_answers_heard), 'UTC'), NULL)
        AS CalculationAnswerHeardAt,
    multiIf(NOT calculated, '', answered >= 0, 'answered',
        stopped >= 0 AND stopped >= started, 'failed', started >= 0, 'running',
        queued, 'queued', 'never_queued') AS CalculationPart,
    arrayMap(e -> e.3, stays) AS HistoryStage,
    arrayMap(e -> fromUnixTimestamp64Milli(intDiv(e.1, 1000000), 'UTC'), stays) AS HistoryEnteredAt,
    arrayMap(e -> e.4, stays) AS HistorySource,
    attempts AS HistoryAttempt,
    if(refold > 0, fromUnixTimestamp64Milli(intDiv(refold, 1000000), 'UTC'), NULL) AS RefoldAt,
    fromUnixTimestamp64Nano({as_of_nanos:Int64}, 'UTC') AS DerivedAt
FROM placed
