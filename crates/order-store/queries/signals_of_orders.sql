-- Every signal of the orders, folded by identity: those that name one of their ids, and those that
-- name none in a carrier that belongs to one: `members` are (id, order), `pairs` (order, carrier,
-- whether named), `ids` and `carriers` the ids and carriers of these.
SELECT
    ShownId AS OrderId, Signal, Stage, EventTime, Source,
    min(ReceivedAt) AS FirstReceivedAt,
    max(ReceivedAt) AS LastReceivedAt,
    max(Attempt) AS Attempt,
    minIf(Evidence['worker'], Evidence['worker'] != '') AS Worker,
    minIf(Evidence['error'], Evidence['error'] != '') AS Error
FROM (
    SELECT m.2 AS ShownId, Signal, Stage, EventTime, ReceivedAt, Source, Attempt, Evidence
    FROM order_events
    INNER JOIN (
        SELECT arrayJoin({members:Array(Tuple(String, String))}) AS m, m.1 AS Member
    ) AS given ON given.Member = order_events.OrderId
    WHERE order_events.OrderId IN {ids:Array(String)}
    UNION ALL
    SELECT m.1 AS ShownId, Signal, Stage, EventTime, ReceivedAt, Source, Attempt, Evidence
    FROM order_events
    INNER JOIN (
        SELECT arrayJoin({pairs:Array(Tuple(String, String, UInt8))}) AS m, m.2 AS Paired
    ) AS given ON given.Paired = order_events.Carrier
    WHERE order_events.OrderId = '' AND order_events.Carrier IN {carriers:Array(String)}
)
GROUP BY ShownId, Signal, Stage, EventTime, Source
