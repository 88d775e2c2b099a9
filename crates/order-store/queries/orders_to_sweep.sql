-- Orders with a fact that their state does not know yet (or received lately, at start), and
-- orders with an event from the future whose time has come.
SELECT f.OrderId AS OrderId
FROM (
    SELECT OrderId, max(ReceivedAt) AS Received
    FROM (
        SELECT OrderId, ReceivedAt FROM order_traces
        WHERE ReceivedAt >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
        UNION ALL
        SELECT OrderId, ReceivedAt FROM order_events
        WHERE ReceivedAt >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') AND OrderId != ''
    )
    GROUP BY OrderId
) AS f
LEFT JOIN (SELECT OrderId, LastReceivedAt FROM orders FINAL) AS o ON o.OrderId = f.OrderId
WHERE o.OrderId = '' OR f.Received > o.LastReceivedAt
    OR toUnixTimestamp64Milli(f.Received) >= {always_since_ms:Int64}
UNION DISTINCT
SELECT OrderId FROM orders FINAL WHERE RefoldAt <= now64(3, 'UTC')
