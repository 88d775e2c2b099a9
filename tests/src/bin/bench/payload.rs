//! OTLP requests of realistic order spans, all different, decided by a seed.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::prelude::*;
use rand::rngs::StdRng;

/// Spans of one order; ten of them make a trace.
const SPANS_PER_ORDER: usize = 20;
const SPANS_PER_TRACE: usize = 10;
/// Stages that the generated orders pass; the last one reached depends on the order.
const STAGES: [&str; 4] = ["SUBMITTED", "CALCULATION_RUNNING", "PRICE_CALCULATED", "CLOSED"];

/// What a service's spans look like.
struct Shape {
    service: &'static str,
    scope: &'static str,
    name: &'static str,
    kind: i32,
    attributes: &'static [(&'static str, &'static str)],
}

const SHAPES: [Shape; 4] = [
    Shape {
        service: "shop",
        scope: "io.opentelemetry.tomcat-10.0",
        name: "POST /api/orders",
        kind: 2,
        attributes: &[
            ("http.request.method", "POST"),
            ("http.route", "/api/orders"),
            ("http.response.status_code", "201"),
            ("url.scheme", "https"),
            ("server.address", "shop.example.com"),
            ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ],
    },
    Shape {
        service: "shop",
        scope: "io.opentelemetry.jdbc",
        name: "INSERT shop.orders",
        kind: 3,
        attributes: &[
            ("db.system.name", "postgresql"),
            ("db.namespace", "shop"),
            ("db.operation.name", "INSERT"),
            ("db.collection.name", "orders"),
            ("db.query.text", "INSERT INTO orders (id, status, model_key) VALUES (?, ?, ?)"),
            ("server.address", "shop-db"),
        ],
    },
    Shape {
        service: "mes",
        scope: "OpenTelemetry.Instrumentation.AspNetCore",
        name: "GET /orders/{id}",
        kind: 2,
        attributes: &[
            ("http.request.method", "GET"),
            ("http.route", "/orders/{id}"),
            ("http.response.status_code", "200"),
            ("server.address", "mes"),
            ("aspnetcore.routing.match_status", "success"),
        ],
    },
    Shape {
        service: "mes",
        scope: "calc",
        name: "calc.requests process",
        kind: 5,
        attributes: &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "calc.requests"),
            ("calc.triangles", "184302"),
            ("calc.volume_mm3", "1834.22"),
        ],
    },
];

/// Makes requests: the same index gives the same request.
#[derive(Debug, Clone)]
pub(crate) struct Payloads {
    seed: u64,
    pub(crate) spans_per_request: usize,
}

impl Payloads {
    pub(crate) const fn new(seed: u64, spans_per_request: usize) -> Self {
        Self { seed, spans_per_request }
    }

    /// The id of an order.
    pub(crate) fn order_id(&self, order: usize) -> String {
        format!("BENCH-{}-{order:08}", self.seed)
    }

    /// The request of that index, encoded.
    pub(crate) fn request(&self, index: usize) -> Vec<u8> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ (index as u64) << 20);
        let now = u64::try_from(chrono::Utc::now().timestamp_nanos_opt().unwrap_or(0)).unwrap_or(0);
        let mut by_shape: Vec<Vec<Span>> = SHAPES.iter().map(|_| Vec::new()).collect();
        for offset in 0..self.spans_per_request {
            let number = index * self.spans_per_request + offset;
            let shape = rng.random_range(0..SHAPES.len());
            by_shape[shape].push(self.span(&mut rng, number, &SHAPES[shape], now));
        }
        let resource_spans =
            SHAPES.iter().zip(by_shape).map(|(shape, spans)| resource(&mut rng, shape, spans));
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec()
    }

    fn span(&self, rng: &mut StdRng, number: usize, shape: &Shape, now: u64) -> Span {
        let order = number / SPANS_PER_ORDER;
        let mut trace_rng = StdRng::seed_from_u64(self.seed ^ (number / SPANS_PER_TRACE) as u64);
        let start = now + number as u64 % 1_000_000;
        let mut attributes: Vec<_> =
            shape.attributes.iter().map(|(key, value)| text(key, value)).collect();
        attributes.push(integer("thread.id", rng.random_range(1..200)));
        let mut events = Vec::new();
        if number.is_multiple_of(3) {
            attributes.push(text("order.id", &self.order_id(order)));
        }
        if number.is_multiple_of(SPANS_PER_TRACE) {
            let stage = STAGES[(order + number / SPANS_PER_TRACE) % STAGES.len()];
            events.push(Event {
                time_unix_nano: start,
                name: "order.stage".into(),
                attributes: vec![
                    text("order.id", &self.order_id(order)),
                    text("order.stage", stage),
                    text("order.kind", "custom"),
                ],
                dropped_attributes_count: 0,
            });
        }
        Span {
            trace_id: trace_rng.random::<[u8; 16]>().to_vec(),
            span_id: rng.random::<[u8; 8]>().to_vec(),
            parent_span_id: rng.random::<[u8; 8]>().to_vec(),
            name: shape.name.into(),
            kind: shape.kind,
            start_time_unix_nano: start,
            end_time_unix_nano: start + rng.random_range(10_000..900_000_000),
            attributes,
            events,
            ..Span::default()
        }
    }
}

fn resource(rng: &mut StdRng, shape: &Shape, spans: Vec<Span>) -> ResourceSpans {
    let host = format!("{}-{}", shape.service, rng.random_range(0..4));
    let attributes = vec![
        text("service.name", shape.service),
        text("service.version", "4.2.1"),
        text("service.namespace", "orders"),
        text("host.name", &host),
        text("deployment.environment.name", "production"),
        text("telemetry.sdk.language", "java"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.49.0"),
        integer("process.pid", rng.random_range(1..60_000)),
    ];
    let scope = InstrumentationScope {
        name: shape.scope.into(),
        version: "2.15.0".into(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn integer(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
