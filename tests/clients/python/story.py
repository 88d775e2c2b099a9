"""Tells the story of one order with the OpenTelemetry SDK for Python; see ../README.md."""

import json
import logging
import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    SpanKind,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

MS = 1_000_000
MINUTE_MS = 60_000


def exporters(protocol, endpoint):
    """Exporters of spans, of log records and of metrics."""
    if protocol == "grpc":
        there = {"endpoint": endpoint, "insecure": True}
        return GrpcSpans(**there), GrpcLogs(**there), GrpcMetrics(**there)
    if protocol == "http-protobuf":
        gzip = Compression.Gzip
        return (
            HttpSpans(endpoint=f"{endpoint}/v1/traces", compression=gzip),
            HttpLogs(endpoint=f"{endpoint}/v1/logs", compression=gzip),
            HttpMetrics(endpoint=f"{endpoint}/v1/metrics", compression=gzip),
        )
    sys.exit(f"unknown protocol {protocol}")


class Service:
    """One system: its resource, its spans, its log records, its metrics."""

    told = []

    def __init__(self, name, protocol, endpoint):
        self.name = name
        resource = Resource.create({"service.name": name, "deployment.environment.name": "test"})
        spans, logs, metrics = exporters(protocol, endpoint)
        self.tracers = TracerProvider(resource=resource)
        self.tracers.add_span_processor(BatchSpanProcessor(spans))
        self.loggers = LoggerProvider(resource=resource)
        self.loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
        self.meters = MeterProvider(
            resource=resource,
            metric_readers=[PeriodicExportingMetricReader(metrics)],
            views=[
                View(
                    instrument_name="model.triangles",
                    aggregation=ExponentialBucketHistogramAggregation(),
                )
            ],
        )
        self.tracer = self.tracers.get_tracer("story", "1.0")
        self.meter = self.meters.get_meter("story", "1.0")

    def span(self, name, kind, start_ms, length_ms, parent=None, error=None, **more):
        """Makes a span that is over, and notes it."""
        context = set_span_in_context(parent) if parent else None
        span = self.tracer.start_span(
            name, context=context, kind=kind, start_time=start_ms * MS, **more
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=(start_ms + length_ms) * MS)
        Service.told.append(
            {
                "trace_id": format_trace_id(span.context.trace_id),
                "span_id": format_span_id(span.context.span_id),
                "parent_span_id": format_span_id(parent.context.span_id) if parent else "",
                "name": name,
                "kind": kind.name.capitalize(),
                "service": self.name,
                "start_ms": start_ms,
                "duration_ms": length_ms,
                "status_code": "Error" if error else "Unset",
            }
        )
        return span

    def log(self, span, at_ms, attributes):
        """Writes a log record within a span."""
        self.loggers.get_logger("story").emit(
            LogRecord(
                timestamp=at_ms * MS,
                context=set_span_in_context(span),
                severity_number=SeverityNumber.INFO,
                body="order stage began",
                event_name="order.stage",
                attributes=attributes,
            )
        )

    def close(self):
        """Sends everything."""
        if not self.tracers.force_flush() or not self.loggers.force_flush():
            sys.exit("not everything was sent in time")
        self.tracers.shutdown()
        self.loggers.shutdown()
        # Sends the metrics, for the only time.
        self.meters.shutdown()


def tell(shop, mes, order_id):
    """The story."""
    now_ms = time.time_ns() // MS
    at_ms = now_ms - 20 * MINUTE_MS
    order = {"order.id": order_id, "order.kind": "custom", "order.channel": "b2c"}
    root = shop.span("POST /api/orders", SpanKind.SERVER, at_ms, 400, attributes=order)
    shop.span("INSERT orders", SpanKind.CLIENT, at_ms + 50, 20, root)
    stage = {"order.id": order_id, "order.stage": "SUBMITTED", "order.model.key": "models/ring.stl"}
    shop.span("order.stage", SpanKind.INTERNAL, at_ms + 100, 0, root, attributes=stage)
    message = {"messaging.message.id": f"m-{order_id}", "order_id": order_id}
    published = shop.span(
        "calc.requests publish", SpanKind.PRODUCER, at_ms + 300, 10, root, attributes=message
    )
    picked_ms = now_ms - 10 * MINUTE_MS
    consumer = mes.span(
        "calc.requests process",
        SpanKind.CONSUMER,
        picked_ms,
        5_000,
        links=[Link(published.get_span_context())],
    )
    mes.span("load model", SpanKind.INTERNAL, picked_ms + 10, 900, consumer, "the mesh has a hole")
    started = {"orderId": order_id, "order.stage": "CALCULATION_RUNNING", "calc.attempt": 1}
    mes.log(consumer, picked_ms, started)
    measure(shop, mes, {"story": order_id}, set_span_in_context(consumer))


def measure(shop, mes, story, context):
    """The same in numbers: a metric of every kind that the SDK has."""
    shop.meter.create_counter("orders.submitted", "{order}").add(1, story)
    mes.meter.create_gauge("calc.queue.depth", "{message}", "Messages that wait").set(7, story)
    duration = mes.meter.create_histogram("calc.duration", "s")
    # Within the span: the SDK adds an exemplar that names it.
    duration.record(5.5, story, context=context)
    mes.meter.create_histogram("model.triangles").record(12_000, story)


def main():
    """Tells the story and says what was told."""
    logging.basicConfig(level=logging.WARNING)
    protocol, endpoint, order_id = sys.argv[1:]
    services = [Service(name, protocol, endpoint) for name in ("shop", "mes")]
    tell(*services, order_id)
    for service in services:
        service.close()
    print(json.dumps(Service.told))


main()
