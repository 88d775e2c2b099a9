-- Every trace that belongs to the orders: those that name them, and those linked with one that
-- does and name no order of their own. The scalar subqueries are read once, before planning: as
-- tables they would be planned anew wherever they are named, and planning is what costs here.
WITH
    (
        SELECT groupUniqArray((OrderId, TraceId)) FROM order_traces
        WHERE OrderId IN {orders:Array(String)} AND TraceId != ''
    ) AS own,
    arrayDistinct(arrayMap(o -> o.2, own)) AS own_traces,
    (
        SELECT groupUniqArray((Near, Other)) FROM (
            SELECT TraceId AS Near, LinkedTraceId AS Other FROM trace_links
            WHERE TraceId IN own_traces
            UNION ALL
            SELECT LinkedTraceId AS Near, TraceId AS Other FROM trace_links_by_target
            WHERE LinkedTraceId IN own_traces
        )
    ) AS near,
    (
        SELECT groupUniqArray(TraceId) FROM trace_orders
        WHERE TraceId IN arrayMap(n -> n.2, near)
    ) AS naming,
    arrayFilter(n -> NOT has(naming, n.2), near) AS adopted,
    arrayDistinct(arrayFlatten(arrayMap(
        a -> arrayMap(o -> (o.1, a.2), arrayFilter(o -> o.2 = a.1, own)), adopted))) AS linked
SELECT pair.1 AS OrderId, pair.2 AS TraceId, pair.3 AS Through
FROM (
    SELECT arrayJoin(arrayConcat(
        arrayMap(o -> (o.1, o.2, 'named'), own), arrayMap(o -> (o.1, o.2, 'linked'), linked)
    )) AS pair
)
