-- Signs of life of the orders, as `signals_of_orders.sql` finds signals.
SELECT m.2 AS OrderId, LastAt, Worker
FROM order_heartbeats
INNER JOIN (
    SELECT arrayJoin({members:Array(Tuple(String, String))}) AS m, m.1 AS Member
) AS given ON given.Member = order_heartbeats.OrderId
WHERE order_heartbeats.OrderId IN {ids:Array(String)}
UNION ALL
SELECT m.1 AS OrderId, LastAt, Worker
FROM order_heartbeats
INNER JOIN (
    SELECT arrayJoin({pairs:Array(Tuple(String, String, UInt8))}) AS m, m.2 AS Paired
) AS given ON given.Paired = order_heartbeats.Carrier
WHERE order_heartbeats.OrderId = '' AND order_heartbeats.Carrier IN {carriers:Array(String)}
