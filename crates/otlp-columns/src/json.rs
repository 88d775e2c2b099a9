//! OTLP in JSON, as the OTLP specification maps protobuf to JSON.
//!
//! Own types instead of the serde derives of `opentelemetry-proto`, which refuse names of
//! enumerations, unknown keys inside a value, `null`, URL-safe base64 and `NaN`, all of which the
//! mapping allows: <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding> and
//! <https://protobuf.dev/programming-guides/json/>. Unknown keys are ignored everywhere.

mod scalar;
mod surrogates;
mod metrics;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use metrics::read_metrics as metrics;
use scalar::{Base64, Double, Enumerated, Hex, Int, Named};

/// A request and how many strings had to be repaired to read it.
type Read<T> = Result<(T, usize), serde_json::Error>;

/// Reads a traces request.
pub(crate) fn traces(text: &str) -> Read<ExportTraceServiceRequest> {
    let (request, repaired) = read::<TracesRequest>(text)?;
    Ok((ExportTraceServiceRequest { resource_spans: all(request.resource_spans) }, repaired))
}

/// Reads a logs request.
pub(crate) fn logs(text: &str) -> Read<ExportLogsServiceRequest> {
    let (request, repaired) = read::<LogsRequest>(text)?;
    Ok((ExportLogsServiceRequest { resource_logs: all(request.resource_logs) }, repaired))
}

fn read<T: DeserializeOwned>(text: &str) -> Read<T> {
    serde_json::from_str(text).map(|request| (request, 0)).or_else(|error| {
        let (text, repaired) = surrogates::repair(text).ok_or(error)?;
        Ok((serde_json::from_str(&text)?, repaired))
    })
}

/// A list in which `null` and absence mean empty.
type List<T> = Option<Vec<T>>;

fn all<T, U: From<T>>(list: List<T>) -> Vec<U> {
    list.unwrap_or_default().into_iter().map(U::from).collect()
}

fn int32(value: Option<Int<u64>>) -> u32 {
    value.map_or(0, |v| u32::try_from(v.0).unwrap_or(u32::MAX))
}

fn int64(value: Option<Int<u64>>) -> u64 {
    value.map_or(0, |v| v.0)
}

fn bytes(value: Option<Hex>) -> Vec<u8> {
    value.map_or_else(Vec::new, |v| v.0)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TracesRequest {
    resource_spans: List<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Option<Resource>,
    scope_spans: List<ScopeSpans>,
    schema_url: Option<String>,
}

impl From<ResourceSpans> for trace::ResourceSpans {
    fn from(json: ResourceSpans) -> Self {
        Self {
            resource: json.resource.map(Into::into),
            scope_spans: all(json.scope_spans),
            schema_url: json.schema_url.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    attributes: List<KeyValue>,
    dropped_attributes_count: Option<Int<u64>>,
}

impl From<Resource> for resource::Resource {
    fn from(json: Resource) -> Self {
        Self {
            attributes: all(json.attributes),
            dropped_attributes_count: int32(json.dropped_attributes_count),
            entity_refs: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeSpans {
    scope: Option<Scope>,
    spans: List<Span>,
    schema_url: Option<String>,
}

impl From<ScopeSpans> for trace::ScopeSpans {
    fn from(json: ScopeSpans) -> Self {
        Self {
            scope: json.scope.map(Into::into),
            spans: all(json.spans),
            schema_url: json.schema_url.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scope {
    name: Option<String>,
    version: Option<String>,
    attributes: List<KeyValue>,
    dropped_attributes_count: Option<Int<u64>>,
}

impl From<Scope> for common::InstrumentationScope {
    fn from(json: Scope) -> Self {
        Self {
            name: json.name.unwrap_or_default(),
            version: json.version.unwrap_or_default(),
            attributes: all(json.attributes),
            dropped_attributes_count: int32(json.dropped_attributes_count),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: Option<Hex>,
    span_id: Option<Hex>,
    trace_state: Option<String>,
    parent_span_id: Option<Hex>,
    flags: Option<Int<u64>>,
    name: Option<String>,
    kind: Option<Enumerated<trace::span::SpanKind>>,
    start_time_unix_nano: Option<Int<u64>>,
    end_time_unix_nano: Option<Int<u64>>,
    attributes: List<KeyValue>,
    dropped_attributes_count: Option<Int<u64>>,
    events: List<Event>,
    dropped_events_count: Option<Int<u64>>,
    links: List<Link>,
    dropped_links_count: Option<Int<u64>>,
    status: Option<Status>,
}

impl From<Span> for trace::Span {
    fn from(json: Span) -> Self {
        Self {
            trace_id: bytes(json.trace_id),
            span_id: bytes(json.span_id),
            trace_state: json.trace_state.unwrap_or_default(),
            parent_span_id: bytes(json.parent_span_id),
            flags: int32(json.flags),
            name: json.name.unwrap_or_default(),
            kind: json.kind.map_or(0, |kind| kind.number),
            start_time_unix_nano: int64(json.start_time_unix_nano),
            end_time_unix_nano: int64(json.end_time_unix_nano),
            attributes: all(json.attributes),
            dropped_attributes_count: int32(json.dropped_attributes_count),
            events: all(json.events),
            dropped_events_count: int32(json.dropped_events_count),
            links: all(json.links),
            dropped_links_count: int32(json.dropped_links_count),
            status: json.status.map(Into::into),
        }
    }
}

impl Named for trace::span::SpanKind {
    fn number_of(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|kind| kind as i32)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    time_unix_nano: Option<Int<u64>>,
    name: Option<String>,
    attributes: List<KeyValue>,
    dropped_attributes_count: Option<Int<u64>>,
}

impl From<Event> for trace::span::Event {
    fn from(json: Event) -> Self {
        Self {
            time_unix_nano: int64(json.time_unix_nano),
            name: json.name.unwrap_or_default(),
            attributes: all(json.attributes),
            dropped_attributes_count: int32(json.dropped_attributes_count),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    trace_id: Option<Hex>,
    span_id: Option<Hex>,
    trace_state: Option<String>,
    attributes: List<KeyValue>,
    dropped_attributes_count: Option<Int<u64>>,
    flags: Option<Int<u64>>,
}

impl From<Link> for trace::span::Link {
    fn from(json: Link) -> Self {
        Self {
            trace_id: bytes(json.trace_id),
            span_id: bytes(json.span_id),
            trace_state: json.trace_state.unwrap_or_default(),
            attributes: all(json.attributes),
            dropped_attributes_count: int32(json.dropped_attributes_count),
            flags: int32(json.flags),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    message: Option<String>,
    code: Option<Enumerated<trace::status::StatusCode>>,
}

impl From<Status> for trace::Status {
    fn from(json: Status) -> Self {
        Self {
            message: json.message.unwrap_or_default(),
            code: json.code.map_or(0, |code| code.number),
        }
    }
}

impl Named for trace::status::StatusCode {
    fn number_of(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|code| code as i32)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogsRequest {
    resource_logs: List<ResourceLogs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs {
    resource: Option<Resource>,
    scope_logs: List<ScopeLogs>,
    schema_url: Option<String>,
}

impl From<ResourceLogs> for logs::ResourceLogs {
    fn from(json: ResourceLogs) -> Self {
        Self {
            resource: json.resource.map(Into::into),
            scope_logs: all(json.scope_logs),
            schema_url: json.schema_url.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs {
    scope: Option<Scope>,
    log_records: List<LogRecord>,
    schema_url: Option<String>,
}

impl From<ScopeLogs> for logs::ScopeLogs {
    fn from(json: ScopeLogs) -> Self {
        Self {
            scope: json.scope.map(Into::into),
            log_records: all(json.log_records),
            schema_url: json.schema_url.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord {
    time_unix_nano: Option<Int<u64>>,
    observed_time_unix_nano: Option<Int<u64>>,
    severity_number: Option<Enumerated<logs::SeverityNumber>>,
    severity_text: Option<String>,
    body: Option<AnyValue>,
    attributes: List<KeyValue>,
    dropped_attributes_count: Option<Int<u64>>,
    flags: Option<Int<u64>>,
    trace_id: Option<Hex>,
    span_id: Option<Hex>,
    event_name: Option<String>,
}

impl From<LogRecord> for logs::LogRecord {
    fn from(json: LogRecord) -> Self {
        Self {
            time_unix_nano: int64(json.time_unix_nano),
            observed_time_unix_nano: int64(json.observed_time_unix_nano),
            severity_number: json.severity_number.map_or(0, |severity| severity.number),
            severity_text: json.severity_text.unwrap_or_default(),
            body: json.body.map(Into::into),
            attributes: all(json.attributes),
            dropped_attributes_count: int32(json.dropped_attributes_count),
            flags: int32(json.flags),
            trace_id: bytes(json.trace_id),
            span_id: bytes(json.span_id),
            event_name: json.event_name.unwrap_or_default(),
        }
    }
}

impl Named for logs::SeverityNumber {
    fn number_of(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|severity| severity as i32)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyValue {
    key: Option<String>,
    value: Option<AnyValue>,
}

impl From<KeyValue> for common::KeyValue {
    fn from(json: KeyValue) -> Self {
        Self {
            key: json.key.unwrap_or_default(),
            value: json.value.map(Into::into),
            key_strindex: 0,
        }
    }
}

/// One of these is set; of several the first in this order counts, as in no valid message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Int<i64>>,
    double_value: Option<Double>,
    array_value: Option<Values<Self>>,
    kvlist_value: Option<Values<KeyValue>>,
    bytes_value: Option<Base64>,
}

#[derive(Deserialize)]
struct Values<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    values: List<T>,
}

impl From<AnyValue> for common::AnyValue {
    fn from(json: AnyValue) -> Self {
        let string = json.string_value.map(Value::StringValue);
        let value = string
            .or(json.bool_value.map(Value::BoolValue))
            .or(json.int_value.map(|v| Value::IntValue(v.0)))
            .or(json.double_value.map(|v| Value::DoubleValue(v.0)))
            .or(json
                .array_value
                .map(|list| Value::ArrayValue(common::ArrayValue { values: all(list.values) })))
            .or(json
                .kvlist_value
                .map(|list| Value::KvlistValue(common::KeyValueList { values: all(list.values) })))
            .or(json.bytes_value.map(|v| Value::BytesValue(v.0)));
        Self { value }
    }
}

#[cfg(test)]
mod tests;
