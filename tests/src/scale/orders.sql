-- What is common to an order `o`, its spans and its facts; the same number gives the same order.
-- Ten spans make an order, in two traces of three to seven. Orders begin evenly over the days, in
-- the order of their numbers; the second trace follows within two days.
    fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC') AS window_end,
    {days:Int64} * 86400000000000 AS window_ns,
    3 + cityHash64('split', o) % 5 AS first_spans,
    toInt64(toFloat64(window_ns) * o / {orders:UInt64}) + toInt64(cityHash64('begin', o) % 1000000000)
        AS order_ns,
    toInt64(pow(cityHash64('gap', o) % 1000 / 1000., 3) * 172800e9) AS gap_ns,
    arrayMap(
        t -> least(order_ns + t * gap_ns, window_ns - 1000000000), [toInt64(0), toInt64(1)]
    ) AS traces_ns,
    arrayMap(t -> lower(hex(sipHash128('trace', o, t))), [toUInt8(0), toUInt8(1)]) AS trace_ids,
    concat('ORD-2026-', leftPad(toString(o), 8, '0')) AS order_id,
    -- Of ten orders five are ready-made, two come from partners.
    cityHash64('mix', o) % 10 AS mix,
    if(mix < 5, 'ready_made', 'custom') AS order_kind,
    if(mix < 8, 'b2c', 'b2b') AS order_channel,
