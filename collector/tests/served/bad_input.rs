//! The table of bad input, over each transport: a clear error or a partial success each time, the
//! process lives, its memory is bounded, and the next good request works.

use std::cell::Cell;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::grpc::{grpc_status, post_raw};
use crate::http::post;
use crate::otlp::{AT, grpc_frame, gzip, span, text, traces};
use crate::stack::Stack;

/// More than any of these inputs may make the collector hold (unoptimised build).
const PEAK_MEMORY_MIB_MAX: u64 = 200;
/// 2200-01-01, nanoseconds.
const YEAR_2200: u64 = 7_258_118_400_000_000_000;

/// What the sender must hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Taken but for so many items.
    Rejected(i64),
    /// 400, `INVALID_ARGUMENT`.
    Bad,
    /// 413, `RESOURCE_EXHAUSTED`.
    TooLarge,
}

struct Case {
    name: &'static str,
    coding: &'static str,
    body: Vec<u8>,
    heard: Heard,
}

fn case(name: &'static str, coding: &'static str, body: Vec<u8>, heard: Heard) -> Case {
    Case { name, coding, body, heard }
}

/// Requests that are well written and hold bad or extreme items.
fn requests() -> Vec<(&'static str, ExportTraceServiceRequest, Heard)> {
    let id = Cell::new(100);
    let one = |change: fn(&mut Span)| {
        // Equal ids would be one span, repeated.
        id.set(id.get() + 1);
        let mut span = span(9, id.get(), vec![]);
        change(&mut span);
        traces("bad", vec![span])
    };
    let many = (0..10_000).map(|index| text(&format!("key.{index}"), "value")).collect();
    vec![
        ("zero trace id", one(|span| span.trace_id = vec![0; 16]), Heard::Rejected(1)),
        ("short trace id", one(|span| span.trace_id = vec![7; 5]), Heard::Rejected(1)),
        ("no trace id", one(|span| span.trace_id.clear()), Heard::Rejected(1)),
        ("zero span id", one(|span| span.span_id = vec![0; 8]), Heard::Rejected(1)),
        ("long span id", one(|span| span.span_id = vec![7; 9]), Heard::Rejected(1)),
        ("no time", one(|span| span.start_time_unix_nano = 0), Heard::Rejected(0)),
        ("1970", one(|span| span.start_time_unix_nano = 1), Heard::Rejected(0)),
        ("2200", one(|span| span.start_time_unix_nano = YEAR_2200), Heard::Rejected(0)),
        ("past 2262", one(|span| span.start_time_unix_nano = u64::MAX), Heard::Rejected(0)),
        ("end before start", one(|span| span.end_time_unix_nano = AT - 9), Heard::Rejected(0)),
        ("10,000 attributes", traces("bad", vec![span(9, 2, many)]), Heard::Rejected(0)),
    ]
}

fn protobuf_cases() -> Vec<Case> {
    let good = traces("bad", vec![span(9, 3, vec![])]).encode_to_vec();
    let mut utf8 = good.clone();
    let at = utf8.windows(4).position(|bytes| bytes == b"span").unwrap();
    utf8[at] = 0xff;
    // `spans` is field 2 of a scope, which is field 2 of a resource, which is field 1.
    let mut request = [0x12, 0x00].repeat(5_000_000);
    for key in [0x12, 0x0a] {
        let mut outer = vec![key];
        prost::encoding::encode_varint(request.len() as u64, &mut outer);
        outer.append(&mut request);
        request = outer;
    }
    let mut cases = vec![
        case("truncated", "", good[..good.len() - 3].to_vec(), Heard::Bad),
        case("invalid UTF-8", "", utf8, Heard::Rejected(0)),
        case("five million empty spans", "", request, Heard::TooLarge),
    ];
    cases.extend(
        requests()
            .into_iter()
            .map(|(name, request, heard)| case(name, "", request.encode_to_vec(), heard)),
    );
    cases
}

fn json_cases() -> Vec<Case> {
    let good = serde_json::to_vec(&traces("bad", vec![span(9, 4, vec![])])).unwrap();
    let mut utf8 = good.clone();
    let at = utf8.windows(4).position(|bytes| bytes == b"span").unwrap();
    utf8[at] = 0xff;
    let deep = [r#"{"arrayValue":{"values":["#.repeat(10_000), "]}}".repeat(10_000)].concat();
    let deep = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{deep}}}]}}}}]}}"#
    );
    let empty_spans = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#,
        "{},".repeat(3_000_000)
    );
    let mut cases = vec![
        case("truncated", "", good[..good.len() - 3].to_vec(), Heard::Bad),
        case("invalid UTF-8", "", utf8, Heard::Rejected(0)),
        case("ten thousand levels", "", deep.into_bytes(), Heard::Bad),
        case("three million empty spans", "", empty_spans.into_bytes(), Heard::TooLarge),
    ];
    cases.extend(requests().into_iter().map(|(name, request, heard)| {
        case(name, "", serde_json::to_vec(&request).unwrap(), heard)
    }));
    cases
}

/// Cases that say nothing of an encoding.
fn any_cases() -> Vec<Case> {
    let noise: Vec<u8> =
        (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let zeros = std::io::Read::take(std::io::repeat(0), 400 << 20);
    let bomb = zstd::encode_all(zeros, 3).unwrap();
    vec![
        case("garbage", "", noise.clone(), Heard::Bad),
        case("garbage as gzip", "gzip", noise.clone(), Heard::Bad),
        case("garbage as zstd", "zstd", noise, Heard::Bad),
        case("torn gzip", "gzip", gzip(&[7; 5_000])[..20].to_vec(), Heard::Bad),
        case("100 MB", "", vec![b' '; 100_000_000], Heard::TooLarge),
        case("gzip bomb", "gzip", gzip(&vec![0; 200 << 20]), Heard::TooLarge),
        case("zstd bomb", "zstd", bomb, Heard::TooLarge),
    ]
}

/// Sends every case and after each a good request; then looks at the process and the store.
async fn run(cases: Vec<Case>, send: impl AsyncFn(&Stack, &str, Vec<u8>) -> Heard) {
    let mut stack = Stack::start(&[]).await;
    let mut good = 0;
    for Case { name, coding, body, heard } in cases {
        assert_eq!(send(&stack, coding, body).await, heard, "{name}");
        assert!(stack.collector.is_running(), "{name}: {}", stack.collector.log());
        good += 1;
        let next = traces("good", vec![span(1, good, vec![])]).encode_to_vec();
        let url = stack.http("/v1/traces");
        let answer = post(url, "application/x-protobuf", "", next).send().await.unwrap();
        assert_eq!(answer.status(), 200, "the next good request after {name}");
    }
    let stored = "SELECT count() FROM otel_traces WHERE ServiceName = 'good'";
    assert_eq!(stack.query(stored).await, [good.to_string()]);
    let peak = stack.collector.peak_memory_mib();
    assert!(peak < PEAK_MEMORY_MIB_MAX, "held {peak} MiB");
    assert!(!stack.collector.log().contains("panicked"), "{}", stack.collector.log());
    // What was cut is visible on the row.
    let cut = "SELECT SpanAttributes['waybill.dropped_attributes_count'] FROM otel_traces \
               WHERE length(SpanAttributes) > 900 LIMIT 1";
    assert_eq!(stack.query(cut).await, ["9000"]);
    // Times in 1970 and 2200 are stored as they came, and lie in few partitions.
    let years = "SELECT DISTINCT toYear(Timestamp) FROM otel_traces \
                 WHERE ServiceName = 'bad' AND SpanName != '' ORDER BY 1";
    assert_eq!(stack.query(years).await, ["1970", "2026", "2200", "2262"]);
}

fn http_heard(status: u16, rejected: i64) -> Heard {
    match status {
        200 => Heard::Rejected(rejected),
        400 => Heard::Bad,
        413 => Heard::TooLarge,
        other => panic!("status {other}"),
    }
}

#[tokio::test]
async fn over_http_in_protobuf() {
    let cases = any_cases().into_iter().chain(protobuf_cases()).collect();
    run(cases, async |stack, coding, body| {
        let url = stack.http("/v1/traces");
        let answer = post(url, "application/x-protobuf", coding, body).send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        if status != 200 {
            let status = tonic_types::Status::decode(body).unwrap();
            assert!(!status.message.is_empty());
            return http_heard(status_of(&status), 0);
        }
        let message = ExportTraceServiceResponse::decode(body).unwrap();
        http_heard(200, message.partial_success.map_or(0, |partial| partial.rejected_spans))
    })
    .await;
}

/// The HTTP status that goes with the status body.
fn status_of(status: &tonic_types::Status) -> u16 {
    match tonic::Code::from(status.code) {
        tonic::Code::InvalidArgument => 400,
        tonic::Code::ResourceExhausted => 413,
        code => panic!("{code:?}: {}", status.message),
    }
}

#[tokio::test]
async fn over_http_in_json() {
    let cases = any_cases().into_iter().chain(json_cases()).collect();
    run(cases, async |stack, coding, body| {
        let url = stack.http("/v1/traces");
        let answer = post(url, "application/json", coding, body).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.unwrap();
        if status != 200 {
            assert!(!body["message"].as_str().unwrap().is_empty());
        }
        let rejected = body["partialSuccess"]["rejectedSpans"].as_str();
        http_heard(status, rejected.map_or(0, |count| count.parse().unwrap()))
    })
    .await;
}

#[tokio::test]
async fn over_grpc() {
    let cases = any_cases().into_iter().chain(protobuf_cases()).collect();
    run(cases, async |stack, coding, body| {
        let answer = post_raw(stack, coding, grpc_frame(!coding.is_empty(), &body)).await;
        let (code, message) = grpc_status(&answer);
        match tonic::Code::from(code) {
            tonic::Code::Ok => {
                let frame = answer.bytes().await.unwrap();
                let message = ExportTraceServiceResponse::decode(frame.slice(5..)).unwrap();
                Heard::Rejected(message.partial_success.map_or(0, |partial| partial.rejected_spans))
            }
            tonic::Code::InvalidArgument => Heard::Bad,
            tonic::Code::ResourceExhausted => Heard::TooLarge,
            code => panic!("{code:?}: {message}"),
        }
    })
    .await;
}
