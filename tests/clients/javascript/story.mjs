// Tells the story of one order with the OpenTelemetry SDK for JavaScript; see ../README.md.
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { OTLPLogExporter as JsonLogs } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtobufLogs } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPTraceExporter as JsonSpans } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufSpans } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const MINUTE_MS = 60_000;
const EXPORTERS = {
  "http-json": [JsonSpans, JsonLogs],
  "http-protobuf": [ProtobufSpans, ProtobufLogs],
};
const told = [];

/** One system: its resource, its spans, its log records. */
class Service {
  constructor(name, protocol, endpoint) {
    const exporters = EXPORTERS[protocol];
    if (!exporters) throw new Error(`unknown protocol ${protocol}`);
    const [Spans, Logs] = exporters;
    const resource = resourceFromAttributes({
      "service.name": name, "deployment.environment.name": "test",
    });
    this.name = name;
    this.tracers = new NodeTracerProvider({
      resource,
      spanProcessors: [new BatchSpanProcessor(new Spans({ url: `${endpoint}/v1/traces` }))],
    });
    this.loggers = new LoggerProvider({
      resource,
      processors: [
        new BatchLogRecordProcessor({ exporter: new Logs({ url: `${endpoint}/v1/logs` }) }),
      ],
    });
  }

  /** Makes a span that is over, and notes it. */
  span(name, kind, start_ms, length_ms, { parent, error, attributes, links } = {}) {
    const around = parent ? trace.setSpan(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
    const options = { kind, startTime: start_ms, attributes, links };
    const span = this.tracers.getTracer("story", "1.0").startSpan(name, options, around);
    if (error) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
    span.end(start_ms + length_ms);
    const kind_name = SpanKind[kind];
    told.push({
      trace_id: span.spanContext().traceId,
      span_id: span.spanContext().spanId,
      parent_span_id: parent?.spanContext().spanId ?? "",
      name,
      kind: kind_name[0] + kind_name.slice(1).toLowerCase(),
      service: this.name,
      start_ms,
      duration_ms: length_ms,
      status_code: error ? "Error" : "Unset",
    });
    return span;
  }

  /** Writes a log record within a span. */
  log(span, at_ms, attributes) {
    this.loggers.getLogger("story").emit({
      timestamp: at_ms,
      context: trace.setSpan(ROOT_CONTEXT, span),
      severityNumber: SeverityNumber.INFO,
      body: "order stage began",
      eventName: "order.stage",
      attributes,
    });
  }

  /** Sends everything; rejects when something could not be sent. */
  async close() {
    await this.tracers.forceFlush();
    await this.loggers.forceFlush();
    await this.tracers.shutdown();
    await this.loggers.shutdown();
  }
}

function tell(shop, mes, order_id) {
  const now_ms = Date.now();
  const at_ms = now_ms - 20 * MINUTE_MS;
  const order = { "order.id": order_id, "order.kind": "custom", "order.channel": "b2c" };
  const parent = shop.span("POST /api/orders", SpanKind.SERVER, at_ms, 400, { attributes: order });
  shop.span("INSERT orders", SpanKind.CLIENT, at_ms + 50, 20, { parent });
  const stage = {
    "order.id": order_id, "order.stage": "SUBMITTED", "order.model.key": "models/ring.stl",
  };
  shop.span("order.stage", SpanKind.INTERNAL, at_ms + 100, 0, { parent, attributes: stage });
  const message = { "messaging.message.id": `m-${order_id}`, order_id };
  const published = shop.span(
    "calc.requests publish", SpanKind.PRODUCER, at_ms + 300, 10, { parent, attributes: message },
  );
  const picked_ms = now_ms - 10 * MINUTE_MS;
  const consumer = mes.span("calc.requests process", SpanKind.CONSUMER, picked_ms, 5_000, {
    links: [{ context: published.spanContext() }],
  });
  mes.span("load model", SpanKind.INTERNAL, picked_ms + 10, 900, {
    parent: consumer, error: "the mesh has a hole",
  });
  mes.log(consumer, picked_ms, {
    orderId: order_id, "order.stage": "CALCULATION_RUNNING", "calc.attempt": 1,
  });
}

const [protocol, endpoint, order_id] = process.argv.slice(2);
const services = ["shop", "mes"].map((name) => new Service(name, protocol, endpoint));
context.with(ROOT_CONTEXT, () => tell(...services, order_id));
for (const service of services) await service.close();
console.log(JSON.stringify(told));
