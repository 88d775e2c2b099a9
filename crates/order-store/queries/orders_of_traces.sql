-- The orders that the traces belong to: those that they name, and those named by a trace that
-- they are linked with, in either direction.
SELECT DISTINCT OrderId FROM trace_orders
WHERE TraceId IN {traces:Array(String)}
    OR TraceId IN (SELECT LinkedTraceId FROM trace_links WHERE TraceId IN {traces:Array(String)})
    OR TraceId IN (
        SELECT TraceId FROM trace_links_by_target WHERE LinkedTraceId IN {traces:Array(String)}
    )
