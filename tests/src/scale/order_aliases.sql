-- The id of each order `o`, as the search box has it.
SELECT
    replaceAll(order_id, '-', '') AS Alias,
    'order_id' AS AliasKind,
    order_id AS OrderId,
    toDateTime64(window_end - toIntervalNanosecond(window_ns - traces_ns[1]), 3, 'UTC') AS ReceivedAt
