-- The two namings of each order `o`: by the first span of each of its traces.
    arrayJoin([1, 2]) AS t,
    sipHash64('span', o * 10 + if(t = 1, 0, first_spans)) AS naming_span
SELECT
    order_id AS OrderId,
    trace_ids[t] AS TraceId,
    window_end - toIntervalNanosecond(window_ns - traces_ns[t]) AS Start,
    Start + toIntervalSecond(1) AS End,
    toDateTime64(End + toIntervalMillisecond(naming_span % 5000), 3, 'UTC') AS ReceivedAt,
    toUInt8(mix >= 5) AS HasModel,
    order_kind AS Kind,
    order_channel AS Channel
