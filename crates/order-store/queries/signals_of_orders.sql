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
        arrayJoin(if(OrderId != '', [OrderId],
            arrayMap(p -> p.1, arrayFilter(p -> p.2 = TraceId, {pairs:Array(Tuple(String, String))})))) AS OrderId,
        Signal, Stage, EventTime, ReceivedAt, Source, TraceId, SpanId, Attempt, Evidence
    FROM order_events
    WHERE OrderId IN {orders:Array(String)}
        OR (OrderId = '' AND TraceId IN {traces:Array(String)})
)
GROUP BY OrderId, Signal, Stage, EventTime, Source
