// Reports stages of orders to Waybill. Copy this file into a service.
// Endpoint and service name come from the OTEL_* variables.
import { context, propagation } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { BaggageSpanProcessor } from "@opentelemetry/baggage-span-processor";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  detectResources, envDetector, hostDetector, serviceInstanceIdDetector,
} from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const DELAY = { scheduledDelayMillis: 200 };
const detectors = [envDetector, hostDetector, serviceInstanceIdDetector];
const resource = detectResources({ detectors });
const tracers = new NodeTracerProvider({
  resource,
  spanProcessors: [
    new BaggageSpanProcessor((key) => key === "order.id"),
    new BatchSpanProcessor(new OTLPTraceExporter(), DELAY),
  ],
});
tracers.register(); // contexts over await, and the headers traceparent and baggage
const loggers = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(), ...DELAY })],
});
const logger = loggers.getLogger("order-signals");

/** Everything within names the order, also in the services that are called. */
export function inOrder(orderId, work) {
  const around = propagation.getBaggage(context.active()) ?? propagation.createBaggage();
  const named = around.setEntry("order.id", { value: orderId });
  return context.with(propagation.setBaggage(context.active(), named), work);
}

/** A stage of the order begins now. */
export function stage(orderId, name, attributes = {}) {
  signal("order.stage", { "order.id": orderId, "order.stage": name, ...attributes });
}

/** Long work: says that it is alive at once, every half minute, and when it ends. */
export async function heartbeat(orderId, attributes, work, everyMs = 30_000) {
  const around = context.active();
  const beat = () => signal("order.heartbeat", { "order.id": orderId, ...attributes }, around);
  beat();
  const timer = setInterval(beat, everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    beat();
  }
}

/** Sends what waits, when the service stops. */
export async function stop() {
  for (const ended of await Promise.allSettled([loggers.shutdown(), tracers.shutdown()])) {
    if (ended.reason) console.warn("telemetry was not sent:", ended.reason.message);
  }
}

function signal(eventName, attributes, around = context.active()) {
  const severityNumber = SeverityNumber.INFO;
  logger.emit({ eventName, body: eventName, severityNumber, attributes, context: around });
}
