"""Reports stages of orders to Waybill. Copy this file into a service.

Endpoint, service name and delays come from the OTEL_* variables.
"""

import socket
import threading
import uuid
from contextlib import contextmanager

from opentelemetry import baggage, context, trace
from opentelemetry._logs import SeverityNumber, get_logger, set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.processor.baggage import BaggageLogProcessor, BaggageSpanProcessor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def start():
    """Sends spans and log records; those within `order` name their order."""
    worker = {"service.instance.id": str(uuid.uuid4()), "host.name": socket.gethostname()}
    resource = Resource.create(worker)
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BaggageSpanProcessor(lambda key: key == "order.id"))
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracers)
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BaggageLogProcessor(lambda key: key == "order.id"))
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(loggers)


@contextmanager
def order(order_id):
    """Everything within names the order, also in the services that are called."""
    token = context.attach(baggage.set_baggage("order.id", order_id))
    try:
        yield
    finally:
        context.detach(token)


def stage(order_id, name, **attributes):
    """A stage of the order begins now."""
    _signal("order.stage", {"order.id": order_id, "order.stage": name} | attributes)


@contextmanager
def heartbeat(order_id, every_s=30, **attributes):
    """Long work: says that it is alive at once, every half minute, and when it ends."""
    attributes = {"order.id": order_id} | attributes
    around = context.get_current()
    ended = threading.Event()

    def beat():
        while not ended.wait(every_s):
            _signal("order.heartbeat", attributes, around)

    _signal("order.heartbeat", attributes, around)
    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        _signal("order.heartbeat", attributes, around)


def _signal(name, attributes, around=None):
    get_logger("order-signals").emit(
        event_name=name,
        body=name,
        severity_number=SeverityNumber.INFO,
        attributes=attributes,
        context=around,
    )
