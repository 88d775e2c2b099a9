//! The messages of OTLP: what each takes in memory, and which of its fields are text, messages or
//! lists of numbers. Field numbers: <https://github.com/open-telemetry/opentelemetry-proto>.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;

use super::Field::{Message, Text, Varints};
use super::Node;

/// `ExportTraceServiceRequest`.
pub(crate) static TRACE_REQUEST: Node =
    Node { name: "request", size: 0, fields: &[(1, Message(&RESOURCE_SPANS))] };
/// `ExportLogsServiceRequest`.
pub(crate) static LOGS_REQUEST: Node =
    Node { name: "request", size: 0, fields: &[(1, Message(&RESOURCE_LOGS))] };

/// `ExportMetricsServiceRequest`.
pub(crate) static METRICS_REQUEST: Node =
    Node { name: "request", size: 0, fields: &[(1, Message(&RESOURCE_METRICS))] };

pub(crate) static RESOURCE_SPANS: Node = Node {
    name: "resource_spans",
    size: size_of::<trace::ResourceSpans>(),
    fields: &[(1, Message(&RESOURCE)), (2, Message(&SCOPE_SPANS)), (3, Text)],
};
static RESOURCE_LOGS: Node = Node {
    name: "resource_logs",
    size: size_of::<logs::ResourceLogs>(),
    fields: &[(1, Message(&RESOURCE)), (2, Message(&SCOPE_LOGS)), (3, Text)],
};
pub(crate) static RESOURCE: Node = Node {
    name: "resource",
    size: size_of::<resource::Resource>(),
    fields: &[(1, Message(&KEY_VALUE)), (3, Message(&ENTITY_REF))],
};
pub(crate) static ENTITY_REF: Node = Node {
    name: "entity_ref",
    size: size_of::<common::EntityRef>(),
    fields: &[(1, Text), (2, Text), (3, Text), (4, Text)],
};
pub(crate) static SCOPE_SPANS: Node = Node {
    name: "scope_spans",
    size: size_of::<trace::ScopeSpans>(),
    fields: &[(1, Message(&SCOPE)), (2, Message(&SPAN)), (3, Text)],
};
static SCOPE_LOGS: Node = Node {
    name: "scope_logs",
    size: size_of::<logs::ScopeLogs>(),
    fields: &[(1, Message(&SCOPE)), (2, Message(&LOG_RECORD)), (3, Text)],
};
pub(crate) static SCOPE: Node = Node {
    name: "scope",
    size: size_of::<common::InstrumentationScope>(),
    fields: &[(1, Text), (2, Text), (3, Message(&KEY_VALUE))],
};
pub(crate) static SPAN: Node = Node {
    name: "span",
    size: size_of::<trace::Span>(),
    fields: &[
        (3, Text),
        (5, Text),
        (9, Message(&KEY_VALUE)),
        (11, Message(&EVENT)),
        (13, Message(&LINK)),
        (15, Message(&STATUS)),
    ],
};
pub(crate) static EVENT: Node = Node {
    name: "event",
    size: size_of::<trace::span::Event>(),
    fields: &[(2, Text), (3, Message(&KEY_VALUE))],
};
pub(crate) static LINK: Node = Node {
    name: "link",
    size: size_of::<trace::span::Link>(),
    fields: &[(3, Text), (4, Message(&KEY_VALUE))],
};
pub(crate) static STATUS: Node =
    Node { name: "status", size: size_of::<trace::Status>(), fields: &[(2, Text)] };
static LOG_RECORD: Node = Node {
    name: "log_record",
    size: size_of::<logs::LogRecord>(),
    fields: &[(3, Text), (5, Message(&ANY_VALUE)), (6, Message(&KEY_VALUE)), (12, Text)],
};
static RESOURCE_METRICS: Node = Node {
    name: "resource_metrics",
    size: size_of::<metrics::ResourceMetrics>(),
    fields: &[(1, Message(&RESOURCE)), (2, Message(&SCOPE_METRICS)), (3, Text)],
};
static SCOPE_METRICS: Node = Node {
    name: "scope_metrics",
    size: size_of::<metrics::ScopeMetrics>(),
    fields: &[(1, Message(&SCOPE)), (2, Message(&METRIC)), (3, Text)],
};
static METRIC: Node = Node {
    name: "metric",
    size: size_of::<metrics::Metric>(),
    fields: &[
        (1, Text),
        (2, Text),
        (3, Text),
        (5, Message(&NUMBERS)),
        (7, Message(&NUMBERS)),
        (9, Message(&HISTOGRAM)),
        (10, Message(&EXPONENTIAL_HISTOGRAM)),
        (11, Message(&SUMMARY)),
        (12, Message(&KEY_VALUE)),
    ],
};
// What a metric holds lies within it: it takes nothing of its own.
static NUMBERS: Node =
    Node { name: "gauge or sum", size: 0, fields: &[(1, Message(&NUMBER_DATA_POINT))] };
static HISTOGRAM: Node =
    Node { name: "histogram", size: 0, fields: &[(1, Message(&HISTOGRAM_DATA_POINT))] };
static EXPONENTIAL_HISTOGRAM: Node = Node {
    name: "exponential_histogram",
    size: 0,
    fields: &[(1, Message(&EXPONENTIAL_HISTOGRAM_DATA_POINT))],
};
static SUMMARY: Node =
    Node { name: "summary", size: 0, fields: &[(1, Message(&SUMMARY_DATA_POINT))] };
static NUMBER_DATA_POINT: Node = Node {
    name: "number_data_point",
    size: size_of::<metrics::NumberDataPoint>(),
    fields: &[(5, Message(&EXEMPLAR)), (7, Message(&KEY_VALUE))],
};
// Bucket counts and bounds of a histogram have eight bytes each on the wire, too.
static HISTOGRAM_DATA_POINT: Node = Node {
    name: "histogram_data_point",
    size: size_of::<metrics::HistogramDataPoint>(),
    fields: &[(8, Message(&EXEMPLAR)), (9, Message(&KEY_VALUE))],
};
static EXPONENTIAL_HISTOGRAM_DATA_POINT: Node = Node {
    name: "exponential_histogram_data_point",
    size: size_of::<metrics::ExponentialHistogramDataPoint>(),
    fields: &[
        (1, Message(&KEY_VALUE)),
        (8, Message(&BUCKETS)),
        (9, Message(&BUCKETS)),
        (11, Message(&EXEMPLAR)),
    ],
};
/// `ExponentialHistogramDataPoint.Buckets`, which lies within its point.
pub(super) static BUCKETS: Node = Node { name: "buckets", size: 0, fields: &[(2, Varints)] };
static SUMMARY_DATA_POINT: Node = Node {
    name: "summary_data_point",
    size: size_of::<metrics::SummaryDataPoint>(),
    fields: &[(6, Message(&VALUE_AT_QUANTILE)), (7, Message(&KEY_VALUE))],
};
static VALUE_AT_QUANTILE: Node = Node {
    name: "value_at_quantile",
    size: size_of::<metrics::summary_data_point::ValueAtQuantile>(),
    fields: &[],
};
static EXEMPLAR: Node = Node {
    name: "exemplar",
    size: size_of::<metrics::Exemplar>(),
    fields: &[(7, Message(&KEY_VALUE))],
};
pub(crate) static KEY_VALUE: Node = Node {
    name: "attribute",
    size: size_of::<common::KeyValue>(),
    fields: &[(1, Text), (2, Message(&ANY_VALUE))],
};
pub(crate) static ANY_VALUE: Node = Node {
    name: "value",
    size: size_of::<common::AnyValue>(),
    fields: &[(1, Text), (5, Message(&ARRAY)), (6, Message(&MAP))],
};
static ARRAY: Node = Node {
    name: "array",
    size: size_of::<common::ArrayValue>(),
    fields: &[(1, Message(&ANY_VALUE))],
};
static MAP: Node = Node {
    name: "map",
    size: size_of::<common::KeyValueList>(),
    fields: &[(1, Message(&KEY_VALUE))],
};
