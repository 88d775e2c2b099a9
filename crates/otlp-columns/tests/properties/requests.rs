//! Requests of every shape that senders produce, and some that they should not.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;

/// A request with one span of that name.
pub(crate) fn one_span(name: &str) -> ResourceSpans {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ResourceSpans { scope_spans, ..ResourceSpans::default() }
}

/// The same spans, one per request.
pub(crate) fn split(request: &ExportTraceServiceRequest) -> Vec<ExportTraceServiceRequest> {
    let mut parts = Vec::new();
    for group in &request.resource_spans {
        for scope in &group.scope_spans {
            for span in &scope.spans {
                let scope = ScopeSpans { spans: vec![span.clone()], ..scope.clone() };
                let group = ResourceSpans { scope_spans: vec![scope], ..group.clone() };
                parts.push(ExportTraceServiceRequest { resource_spans: vec![group] });
            }
        }
    }
    parts
}

/// Whether any attribute set of a request names an order by its id.
pub(crate) fn names_an_order(request: &ExportTraceServiceRequest) -> bool {
    let mut sets: Vec<&[KeyValue]> = Vec::new();
    for group in &request.resource_spans {
        sets.extend(group.resource.as_ref().map(|resource| &*resource.attributes));
        for scope in &group.scope_spans {
            sets.extend(scope.scope.as_ref().map(|scope| &*scope.attributes));
            for span in &scope.spans {
                sets.push(&span.attributes);
                sets.extend(span.events.iter().map(|event| &*event.attributes));
                sets.extend(span.links.iter().map(|link| &*link.attributes));
            }
        }
    }
    sets.into_iter().any(|set| {
        let of = |key: &str| set.iter().find(|pair| pair.key == key && says_something(pair));
        of("order.id").or_else(|| of("orderId")).is_some_and(is_an_order)
    })
}

fn says_something(pair: &KeyValue) -> bool {
    match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
        None => false,
        Some(Value::StringValue(text)) => !text.trim().is_empty(),
        Some(Value::BytesValue(bytes)) => !bytes.is_empty(),
        Some(Value::ArrayValue(list)) => !list.values.is_empty(),
        Some(Value::KvlistValue(list)) => !list.values.is_empty(),
        Some(_) => true,
    }
}

/// Whether a value, or one of an array's, is fit for an order id. Texts here are short and plain.
fn is_an_order(pair: &KeyValue) -> bool {
    let is_id = |value: &Value| match value {
        Value::StringValue(text) => !matches!(text.trim(), "" | "." | ".."),
        Value::IntValue(_) | Value::DoubleValue(_) | Value::BoolValue(_) => true,
        _ => false,
    };
    match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::ArrayValue(list)) => {
            list.values.iter().filter_map(|any| any.value.as_ref()).any(is_id)
        }
        Some(value) => is_id(value),
        None => false,
    }
}

pub(crate) fn traces_request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = (attributes(), vec(span(), 0..4)).prop_map(|(attributes, spans)| ScopeSpans {
        scope: Some(InstrumentationScope {
            name: "lib".to_owned(),
            version: "1".to_owned(),
            attributes,
            ..InstrumentationScope::default()
        }),
        spans,
        ..ScopeSpans::default()
    });
    let group = (attributes(), vec(scope, 0..3)).prop_map(|(attributes, scope_spans)| {
        let resource = Some(Resource { attributes, ..Resource::default() });
        ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
    });
    vec(group, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

pub(crate) fn logs_request() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let group = (attributes(), vec(log_record(), 0..4)).prop_map(|(attributes, log_records)| {
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let resource = Some(Resource { attributes, ..Resource::default() });
        ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }
    });
    vec(group, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), id(8), id(8));
    let what = (name(), 0..7_i32, time(), time(), 0..4_i32);
    let event = (time(), name(), attributes()).prop_map(|(time_unix_nano, name, attributes)| {
        Event { time_unix_nano, name, attributes, dropped_attributes_count: 0 }
    });
    let link = (trace_id(), id(8), attributes()).prop_map(|(trace_id, span_id, attributes)| Link {
        trace_id,
        span_id,
        attributes,
        ..Link::default()
    });
    (ids, what, attributes(), vec(event, 0..3), vec(link, 0..3)).prop_map(
        |(
            (trace_id, span_id, parent_span_id),
            (name, kind, start, end, code),
            attributes,
            events,
            links,
        )| Span {
            trace_id,
            span_id,
            parent_span_id,
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events,
            links,
            status: Some(Status { message: "m".to_owned(), code }),
            ..Span::default()
        },
    )
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    let ids = (trace_id(), id(8));
    let what = (time(), time(), -1..30_i32, any_value(), any::<u32>());
    (ids, what, name(), attributes()).prop_map(
        |(ids, (at, observed, severity_number, body, flags), event_name, attributes)| {
            let (trace_id, span_id) = ids;
            LogRecord {
                event_name,
                time_unix_nano: at,
                observed_time_unix_nano: observed,
                severity_number,
                body: Some(body),
                attributes,
                flags,
                trace_id,
                span_id,
                ..LogRecord::default()
            }
        },
    )
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("calc.requests publish".to_owned()),
        Just("order.heartbeat".to_owned()),
        Just("PUT /api/orders/{id}/packaging".to_owned()),
        telling_text(),
        "[a-zа-я ]{0,8}",
    ]
}

/// Texts that redaction looks at, and some that only look so.
fn telling_text() -> impl Strategy<Value = String> {
    let texts = [
        "GET https://u:p@s3/m.stl?Sig=1#f by a.b@mail.ru",
        "GET /orders?phone=7900",
        "select * from t where n = 'Anna' and id = $1 -- x",
        "select top 50 \"a 1\" /* y */ from t2 where s = @p0",
        "call +7 (900) 000-00-00, card 4111 1111 1111 1111",
        "sent Bearer abc.def-1 and Basic dXNlcjpw",
        "jwt eyJhbGciOi.eyJzdWIi.sig",
        "of a%40b.ru, 8 (900) 000-00-00 or 8-900-000-0000",
        "m?X-Amz-Date=1&X-Amz-Signature=2 4111111111111111",
        "550e8400-e29b-41d4-4716-446655440002",
        "is it ready? yes",
        "://?",
        "/a/{id?}/b",
        " \u{202e}\n\u{0}",
        "Ǆ Straße İ № 7",
    ];
    prop_oneof![
        prop::sample::select(texts.map(str::to_owned).to_vec()),
        "[a-z:/?#@'\"$0-9. -]{0,24}",
    ]
}

pub(crate) fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 1_795_000_000_000_000_000_u64..1_795_400_000_000_000_000]
}

/// Few traces, so that spans meet in them; some of no valid length.
pub(crate) fn trace_id() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => (1_u8..4).prop_map(|id| vec![id; 16]), 1 => id(16)]
}

pub(crate) fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), length),
        1 => Just(Vec::new()),
        1 => Just(vec![0; length]),
        1 => vec(any::<u8>(), 1..length),
    ]
}

pub(crate) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop::sample::select(vec![
        "order.id",
        "orderId",
        "order.stage",
        "order.kind",
        "order.channel",
        "order.model.key",
        "order.partner.number",
        "partner.id",
        "messaging.message.id",
        "messaging.destination.name",
        "messaging.operation.type",
        "event.name",
        "calc.attempt",
        "service.instance.id",
        "service.name",
        "customer.phone",
        "customer",
        "url.full",
        "url.path",
        "db.query.text",
        "db.operation.name",
        "error.message",
        "http.route",
        "host.name",
        "plain.one",
        "partner.inn",
        "Some_keyOf99Words",
        "ключ",
        "",
        "plain",
    ]);
    let pair = (key, any_value()).prop_map(|(key, value)| KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    });
    vec(pair, 0..5)
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let text = prop_oneof![
        Just("ORD-1".to_owned()),
        Just("SUBMITTED".to_owned()),
        Just("calc.requests".to_owned()),
        Just("send".to_owned()),
        Just("order.heartbeat".to_owned()),
        telling_text(),
        "[ -~а-я]{0,12}",
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::StringValue),
        1 => any::<i64>().prop_map(Value::IntValue),
        1 => (-1.0e6_f64..1.0e6).prop_map(Value::DoubleValue),
        1 => any::<bool>().prop_map(Value::BoolValue),
        1 => vec(any::<u8>(), 0..5).prop_map(Value::BytesValue),
    ];
    let any = leaf.prop_map(|value| AnyValue { value: Some(value) });
    any.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| AnyValue {
                value: Some(Value::ArrayValue(ArrayValue { values }))
            }),
            vec(("[a-c]{1,3}", inner), 0..4).prop_map(|pairs| {
                let pair =
                    |(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() };
                let values = pairs.into_iter().map(pair).collect();
                AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) }
            }),
        ]
    })
}
