//! Every spelling that the JSON mapping allows, and what is none.

use super::*;

fn span(fields: &str) -> trace::Span {
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let (mut request, _) = traces(&text).unwrap();
    request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
}

fn value(json: &str) -> Option<Value> {
    let mut span = span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#));
    span.attributes.remove(0).value.unwrap().value
}

#[test]
fn numbers_enumerations_and_ids_are_read_in_every_spelling() {
    for fields in [
        r#""kind":2,"startTimeUnixNano":"1544712660000000000","status":{"code":2}"#,
        r#""kind":"SPAN_KIND_SERVER","startTimeUnixNano":1544712660000000000,
           "status":{"code":"STATUS_CODE_ERROR","deprecatedCode":1},"new_field":[{}]"#,
    ] {
        let span = span(fields);
        assert_eq!((span.kind, span.start_time_unix_nano), (2, 1_544_712_660_000_000_000));
        assert_eq!(span.status.unwrap().code, 2);
    }
    let ids =
        span(r#""traceId":"5B8EFFF798038103D269B633813FC60C","parentSpanId":"","spanId":null"#);
    assert_eq!(hex::encode(&ids.trace_id), "5b8efff798038103d269b633813fc60c");
    assert!(ids.parent_span_id.is_empty() && ids.span_id.is_empty());
    // Neither an id, nor none: it is told from one that was left out.
    let wrong = span(r#""traceId":"not hexadecimal!""#).trace_id;
    assert!(wrong.len() != 16 && wrong != [0], "{wrong:?}");
}

#[test]
fn values_are_read_in_every_spelling() {
    for (json, expected) in [
        (r#"{"stringValue":""}"#, Some(Value::StringValue(String::new()))),
        (r#"{"intValue":"-7"}"#, Some(Value::IntValue(-7))),
        (r#"{"intValue":7}"#, Some(Value::IntValue(7))),
        (r#"{"intValue":7.0}"#, Some(Value::IntValue(7))),
        (r#"{"doubleValue":1}"#, Some(Value::DoubleValue(1.0))),
        (r#"{"doubleValue":"-Infinity"}"#, Some(Value::DoubleValue(f64::NEG_INFINITY))),
        (r#"{"boolValue":false}"#, Some(Value::BoolValue(false))),
        (r#"{"bytesValue":"+/8="}"#, Some(Value::BytesValue(vec![0xfb, 0xff]))),
        (r#"{"bytesValue":"-_8"}"#, Some(Value::BytesValue(vec![0xfb, 0xff]))),
        (r#"{"unknownValue":{"a":[1]}}"#, None),
        (r#"{"intValue":null,"boolValue":true}"#, Some(Value::BoolValue(true))),
        ("{}", None),
    ] {
        assert_eq!(value(json), expected, "{json}");
    }
}

#[test]
fn the_examples_of_the_specification_are_read() {
    let list = r#"{"arrayValue":{"values":[{"stringValue":"a"},{"kvlistValue":{"values":
        [{"key":"b","value":{"intValue":"1"}}]}}]}}"#;
    let Some(Value::ArrayValue(array)) = value(list) else { panic!("no array") };
    assert_eq!(array.values.len(), 2);
    let text = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":
        "SEVERITY_NUMBER_INFO2","body":{"stringValue":"b"},"traceId":""}]}]}]}"#;
    let (request, _) = logs(text).unwrap();
    assert_eq!(request.resource_logs[0].scope_logs[0].log_records[0].severity_number, 10);
}

#[test]
fn what_is_no_request_is_an_error_with_its_place() {
    for text in ["", "[]", "{", r#"{"resourceSpans":7}"#, r#"{"resourceSpans":[{"resource":"x"}]}"#]
    {
        assert!(traces(text).unwrap_err().to_string().contains("line"), "{text}");
    }
    let deep = format!("{}{}", r#"{"resourceSpans":"#.repeat(1_000), "}".repeat(1_000));
    assert!(traces(&deep).is_err());
}

#[test]
fn half_a_character_costs_neither_its_request_nor_its_span() {
    assert_eq!(span(r#""name":"cut \ud83d""#).name, "cut \u{fffd}");
    assert_eq!(span(r#""name":"\ud83d\ude00""#).name, "\u{1f600}");
}
