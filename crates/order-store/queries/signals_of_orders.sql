-- Every signal of the orders, folded by identity: those that name the order, and those that name
-- none in a trace that belongs to it: `pairs` are (order, trace) as `traces_of_orders.sql` gives
-- them, `traces` their traces.
SELECT
    OrderId, Signal, Stage, EventTime, Source,
    min(ReceivedAt) AS FirstReceivedAt,
    max(ReceivedAt) AS LastReceivedAt,
    max(Attempt) AS Attempt,
    min((TraceId, SpanId)) AS Span,
    min((length(Evidence) = 0, mapSort(Evidence))).2 AS Evidence
FROM (
    SELECT
        OrderId, Signal, Stage, EventTime, ReceivedAt, Source, TraceId, SpanId, Attempt, Evidence
    FROM order_events
    WHERE OrderId IN {orders:Array(String)}
    UNION ALL
    SELECT
        pair.1 AS OrderId, Signal, Stage, EventTime, ReceivedAt, Source, TraceId, SpanId, Attempt,
        Evidence
    FROM order_events
    INNER JOIN (
        SELECT arrayJoin({pairs:Array(Tuple(String, String))}) AS pair, pair.2 AS PairedTraceId
    ) AS paired ON paired.PairedTraceId = order_events.TraceId
    WHERE order_events.OrderId = '' AND order_events.TraceId IN {traces:Array(String)}
)
GROUP BY OrderId, Signal, Stage, EventTime, Source
