-- The spans of the numbers `n`.
    toUInt8(n % 10 >= first_spans) AS trace,
    if(trace = 0, 0, first_spans) AS root,
    n % 10 - root AS place,
    if(place = 0, 0, place * 20000000 + cityHash64('jitter', n) % 20000000) AS span_ns,
    concat('service-', toString(cityHash64('service', o, trace, place) % 10)) AS service,
    -- `cycle` is what Jaeger's tracegen does; drawn values are harder to compress.
    if({cycle:Bool}, n * 11, cityHash64('keys', n)) AS key_at,
    arrayMap(
        i -> (
            concat('attr_', leftPad(toString((key_at + i) % 97), 2, '0')),
            if({cycle:Bool}, n * 11 + i, cityHash64('value', n, i)) % 1000
        ),
        range(11)
    ) AS attributes
SELECT
    window_end - toIntervalNanosecond(window_ns - traces_ns[trace + 1] - span_ns) AS Timestamp,
    trace_ids[trace + 1] AS TraceId,
    lower(hex(reinterpretAsFixedString(sipHash64('span', n)))) AS SpanId,
    if(place = 0, '', lower(hex(reinterpretAsFixedString(
        sipHash64('span', o * 10 + root + cityHash64('parent', n) % place))))) AS ParentSpanId,
    if(place = 0, 'lets-go', concat('child-span-', leftPad(toString(place), 2, '0'))) AS SpanName,
    if(place = 0, 'Server', 'Client') AS SpanKind,
    service AS ServiceName,
    map(
        'service.name', service, 'service.version', '4.2.1',
        'deployment.environment.name', 'production',
        'host.name', concat(service, '-', toString(cityHash64('host', o, trace, place) % 4)),
        'telemetry.sdk.language', 'java', 'telemetry.sdk.name', 'opentelemetry',
        'telemetry.sdk.version', '1.49.0'
    ) AS ResourceAttributes,
    'tracegen' AS ScopeName,
    '1.0.0' AS ScopeVersion,
    CAST(
        arrayConcat(
            arrayMap(a -> (a.1, concat(if(a.2 < 10, 'val_0', 'val_'), toString(a.2))), attributes),
            -- The first span of a trace names the order, in addition to the eleven.
            if(place = 0, [('order.id', order_id)], [])
        ),
        'Map(String, String)'
    ) AS SpanAttributes,
    toUInt64(exp10(4 + cityHash64('duration', n) % 1000000 / 250000.)) AS Duration,
    if(cityHash64('status', n) % 50 = 0, 'Error', 'Unset') AS StatusCode,
    toDateTime64(
        Timestamp + toIntervalNanosecond(Duration)
            + toIntervalMillisecond(cityHash64('received', n) % 5000), 3, 'UTC') AS ReceivedAt
