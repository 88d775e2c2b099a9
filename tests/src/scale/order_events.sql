-- The stage signals of each order `o`, at times of their own. Of twenty orders nineteen are
-- settled: they walked through their stages fast enough to end within the days. One is open and
-- walks at a shop's usual pace, so that it stands where its age puts it; a fifth of the open ones
-- hangs somewhere before that. Of settled orders 3 % were cancelled on the way.
    multiIf(
        mix < 5, [
            ('INITIATED', 'shop', 0), ('SUBMITTED', 'shop', 600),
            ('MANUFACTURING_APPROVED', 'crm', 43200), ('MANUFACTURING_STARTED', 'mes', 43200),
            ('MANUFACTURING_COMPLETED', 'mes', 604800), ('PACKAGING', 'mes', 21600),
            ('SHIPPED', 'mes', 21600), ('CLOSED', 'crm', 259200)
        ],
        mix < 8, [
            ('INITIATED', 'shop', 0), ('FILE_UPLOADED', 'shop', 600), ('SUBMITTED', 'shop', 600),
            ('CALCULATION_RUNNING', 'calc-engine', 60), ('PRICE_CALCULATED', 'calc-engine', 900),
            ('MANUFACTURING_APPROVED', 'crm', 43200), ('MANUFACTURING_STARTED', 'mes', 43200),
            ('MANUFACTURING_COMPLETED', 'mes', 604800), ('PACKAGING', 'mes', 21600),
            ('SHIPPED', 'mes', 21600), ('CLOSED', 'crm', 259200)
        ],
        [
            ('SUBMITTED', 'calc-engine', 0),
            ('CALCULATION_RUNNING', 'calc-engine', 60), ('PRICE_CALCULATED', 'calc-engine', 900),
            ('MANUFACTURING_APPROVED', 'crm', 43200), ('MANUFACTURING_STARTED', 'mes', 43200),
            ('MANUFACTURING_COMPLETED', 'mes', 604800), ('PACKAGING', 'mes', 21600),
            ('SHIPPED', 'mes', 21600), ('CLOSED', 'crm', 259200)
        ]
    ) AS walk,
    cityHash64('open', o) % 20 = 0 AS is_open,
    is_open AND cityHash64('hangs', o) % 5 = 0 AS hangs,
    NOT is_open AND cityHash64('cancelled', o) % 33 = 0 AS is_cancelled,
    window_ns - order_ns AS age_ns,
    arrayCumSum(arrayMap(
        (stage, i) -> toInt64(stage.3 * 1e9 * (0.5 + cityHash64('pace', o, i) % 1000 / 1000.)),
        walk, arrayEnumerate(walk))) AS usual_ns,
    least(1., (0.05 + 0.9 * (cityHash64('haste', o) % 1000 / 1000.)) * age_ns / usual_ns[-1])
        AS haste,
    arrayCount(at -> at <= age_ns, usual_ns) AS reached,
    toUInt64(multiIf(
        is_cancelled, 2 + cityHash64('how far', o) % (length(walk) - 3),
        NOT is_open, length(walk),
        hangs, 1 + cityHash64('how far', o) % least(reached, length(walk) - 1),
        least(reached, length(walk) - 1))) AS stages,
    arrayJoin(arrayMap(
        i -> (
            i - 1,
            if(is_cancelled AND i = stages, 'CANCELLED', walk[i].1),
            if(is_cancelled AND i = stages, 'crm', walk[i].2),
            order_ns + if(is_open, usual_ns[i], toInt64(usual_ns[i] * haste))
        ),
        range(1, stages + 1))) AS event,
    intDiv(event.1 * 10, length(walk)) AS span
SELECT
    order_id AS OrderId,
    'stage' AS Signal,
    event.2 AS Stage,
    window_end - toIntervalNanosecond(window_ns - event.4) AS EventTime,
    toDateTime64(EventTime + toIntervalMillisecond(cityHash64('heard', o, event.1) % 5000), 3, 'UTC')
        AS ReceivedAt,
    event.3 AS Source,
    trace_ids[if(span < first_spans, 1, 2)] AS TraceId,
    lower(hex(reinterpretAsFixedString(sipHash64('span', o * 10 + span)))) AS SpanId,
    map('form', 'span', 'name', 'order.stage') AS Evidence
