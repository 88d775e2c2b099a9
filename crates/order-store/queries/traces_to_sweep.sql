-- Traces that lately got a signal that names no order, or a link.
SELECT DISTINCT TraceId FROM order_events
WHERE OrderId = '' AND ReceivedAt >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
UNION DISTINCT
SELECT arrayJoin([TraceId, LinkedTraceId]) AS TraceId FROM trace_links
WHERE ReceivedAt >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
