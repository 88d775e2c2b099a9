"""The shop takes an order; MES, reached by HTTP headers alone, calculates its price."""

import sys

import order_signals
from opentelemetry import context, propagate, trace

order_signals.start()
tracer = trace.get_tracer("shop")
order_id = sys.argv[1]

# The shop. A web framework's instrumentation makes the outer span and the headers for you.
with order_signals.order(order_id), tracer.start_as_current_span("POST /orders"):
    order_signals.stage(
        order_id,
        "SUBMITTED",
        **{
            "order.kind": "custom",
            "order.channel": "b2b",
            "order.model.key": "models/ring.stl",
            "order.partner.number": f"P-{order_id}",
            "order.partner.id": "acme",
        },
    )
    with tracer.start_as_current_span("INSERT orders"):
        pass
    headers = {}
    propagate.inject(headers)

# MES, with nothing but the headers.
context.attach(propagate.extract(headers))
with tracer.start_as_current_span("POST /calculations"):
    # No log pipeline? A span of no length says the same.
    running = {"order.id": order_id, "order.stage": "CALCULATION_RUNNING", "calc.attempt": 1}
    tracer.start_span("order.stage", attributes=running).end()
    with order_signals.heartbeat(order_id, **{"order.stage": "CALCULATION_RUNNING"}):
        with tracer.start_as_current_span("slice model"):
            tracer.start_span("order.heartbeat", attributes=running).end()
    # A span event will do where the span around it ends soon.
    with tracer.start_as_current_span("UPDATE price") as span:
        span.add_event("order.stage", {"order.id": order_id, "order.stage": "PRICE_CALCULATED"})
        span.add_event("order.heartbeat", {"order.id": order_id, "order.stage": "PACKAGING"})
