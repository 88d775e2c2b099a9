// The shop takes an order; MES, reached by HTTP headers alone, calculates its price.
import { context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { heartbeat, inOrder, stage, stop } from "./order_signals.mjs";

const tracer = trace.getTracer("shop");
const orderId = process.argv[2];
const headers = {};

/** Does the work in a span of its own. */
async function inSpan(name, work) {
  return tracer.startActiveSpan(name, async (span) => {
    try {
      return await work(span);
    } finally {
      span.end();
    }
  });
}

// The shop. A web framework's instrumentation makes the outer span and the headers for you.
await inOrder(orderId, () => inSpan("POST /orders", async () => {
  stage(orderId, "SUBMITTED", {
    "order.kind": "custom",
    "order.channel": "b2b",
    "order.model.key": "models/ring.stl",
    "order.partner.number": `P-${orderId}`,
    "order.partner.id": "acme",
  });
  await inSpan("INSERT orders", async () => {});
  propagation.inject(context.active(), headers);
}));

// MES, with nothing but the headers.
const received = propagation.extract(ROOT_CONTEXT, headers);
await context.with(received, () => inSpan("POST /calculations", async () => {
  // No log pipeline? A span of no length says the same.
  const running = {
    "order.id": orderId, "order.stage": "CALCULATION_RUNNING", "calc.attempt": 1,
  };
  tracer.startSpan("order.stage", { attributes: running }).end();
  await heartbeat(orderId, { "order.stage": "CALCULATION_RUNNING" }, () =>
    inSpan("slice model", async () => {
      tracer.startSpan("order.heartbeat", { attributes: running }).end();
    }));
  // A span event will do where the span around it ends soon.
  await inSpan("UPDATE price", async (span) => {
    span.addEvent("order.stage", { "order.id": orderId, "order.stage": "PRICE_CALCULATED" });
    span.addEvent("order.heartbeat", { "order.id": orderId, "order.stage": "PACKAGING" });
  });
}));
await stop();
