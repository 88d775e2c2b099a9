//! OTLP/HTTP as its specification says.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use reqwest::{Client, Method, RequestBuilder, Response};

use crate::otlp::{gzip, logs, span, text, traces, zstd};
use crate::stack::Stack;

const PROTOBUF: &str = "application/x-protobuf";
const REGISTERED_PROTOBUF: &str = "application/protobuf";
const JSON: &str = "application/json";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

pub(crate) fn post(url: String, content_type: &str, coding: &str, body: Vec<u8>) -> RequestBuilder {
    let request = Client::new().post(url).header("content-type", content_type).body(body);
    if coding.is_empty() { request } else { request.header("content-encoding", coding) }
}

pub(crate) fn content_type(answer: &Response) -> String {
    answer.headers()["content-type"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_encoding_and_coding_is_taken_and_answered_in_kind() {
    let stack = Stack::start(&[]).await;
    let mut id = 0;
    for (encoding, media_type) in [
        (PROTOBUF, PROTOBUF),
        (REGISTERED_PROTOBUF, REGISTERED_PROTOBUF),
        (JSON, "application/json; charset=utf-8"),
    ] {
        for coding in ["", "identity", "gzip", "zstd"] {
            id += 1;
            let request = traces("shop", vec![span(1, id, vec![])]);
            let plain = match encoding {
                JSON => serde_json::to_vec(&request).unwrap(),
                _ => request.encode_to_vec(),
            };
            let body = match coding {
                "gzip" => gzip(&plain),
                "zstd" => zstd(&plain),
                _ => plain,
            };
            let answer =
                post(stack.http("/v1/traces"), media_type, coding, body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{encoding} {coding}");
            assert_eq!(content_type(&answer), encoding);
            let body = answer.bytes().await.unwrap();
            // Success without reservations: `partial_success` is not set.
            assert_eq!(&body[..], if encoding == JSON { &b"{}"[..] } else { b"" });
        }
    }
    // The answer comes after the insert: what was answered can be read.
    let stored = stack.query("SELECT SpanName FROM otel_traces ORDER BY SpanId").await;
    assert_eq!(stored, (1..=12).map(|id| format!("span {id}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn logs_are_taken() {
    let stack = Stack::start(&[]).await;
    let record = serde_json::to_vec(&logs("mes", vec![Default::default()])).unwrap();
    let answer = post(stack.http("/v1/logs"), JSON, "", record).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(stack.query("SELECT ServiceName FROM otel_logs").await, ["mes"]);
    let empty = post(stack.http("/v1/logs"), JSON, "", b"{}".to_vec()).send().await.unwrap();
    assert_eq!(empty.status(), 200);
}

#[tokio::test]
async fn a_partial_success_names_what_was_rejected_and_keeps_the_rest() {
    let stack = Stack::start(&[]).await;
    let mut nameless = span(1, 1, vec![]);
    nameless.trace_id = vec![0; 16];
    nameless.name = "nameless".to_owned();
    let request = traces("shop", vec![nameless, span(1, 2, vec![])]);

    let body = request.encode_to_vec();
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let message = ExportTraceServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
    let partial = message.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("nameless"), "{}", partial.error_message);
    assert!(partial.error_message.contains("trace id"), "{}", partial.error_message);

    let body = serde_json::to_vec(&request).unwrap();
    let answer = post(stack.http("/v1/traces"), JSON, "", body).send().await.unwrap();
    let message: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(message["partialSuccess"]["rejectedSpans"], "1");

    assert_eq!(stack.query("SELECT DISTINCT SpanName FROM otel_traces").await, ["span 2"]);
    let metrics = stack.metrics().await;
    let counted = "rejected_items_total{signal=\"traces\",transport=\"http\",\
                   reason=\"invalid_trace_id\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn what_is_not_read_is_refused_by_its_own_status() {
    let stack = Stack::start(&[]).await;
    let put = |method: Method, path: &str, content_type: &str, coding: &str| {
        let request = Client::new().request(method, stack.http(path));
        let request = request.header("content-type", content_type).body("{}");
        if coding.is_empty() { request } else { request.header("content-encoding", coding) }
    };
    for (request, status, says) in [
        (put(Method::GET, "/v1/traces", JSON, ""), 405, "only POST"),
        (put(Method::OPTIONS, "/v1/traces", JSON, ""), 405, "only POST"),
        (put(Method::GET, "/v1/metrics", JSON, ""), 405, "only POST"),
        (put(Method::POST, "/v1development/profiles", JSON, ""), 404, "metrics to /v1/metrics"),
        (put(Method::POST, "/", JSON, ""), 404, "/v1/traces"),
        (put(Method::POST, "/v1/traces", "text/plain", ""), 415, "application/x-protobuf"),
        (put(Method::POST, "/v1/traces", JSON, "br"), 415, "identity, gzip, zstd"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{says}");
        // Cross-origin requests are off: no header invites a browser.
        assert!(!answer.headers().keys().any(|key| key.as_str().starts_with("access-control")));
        assert_eq!(content_type(&answer), JSON);
        let body: serde_json::Value = answer.json().await.unwrap();
        assert!(body["message"].as_str().unwrap().contains(says), "{body}");
    }
}

#[tokio::test]
async fn a_failure_is_a_status_in_the_encoding_of_the_request() {
    let stack = Stack::start(&[]).await;
    let url = stack.http("/v1/traces");
    let answer = post(url.clone(), PROTOBUF, "", b"\xff\xff".to_vec()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), content_type(&answer)), (400, PROTOBUF.to_owned()));
    let status = tonic_types::Status::decode(answer.bytes().await.unwrap()).unwrap();
    assert_eq!(status.code, tonic::Code::InvalidArgument as i32);
    assert!(status.message.contains("protobuf"), "{}", status.message);
    let details: Vec<&str> = status.details.iter().map(|any| &*any.type_url).collect();
    assert_eq!(details, [BAD_REQUEST]);
    let violation = String::from_utf8_lossy(&status.details[0].value).into_owned();
    assert!(violation.contains("body") && violation.contains(&status.message), "{violation}");

    let answer = post(url, JSON, "", b"{\"resourceSpans\":7}".to_vec()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), content_type(&answer)), (400, JSON.to_owned()));
    let status: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(status["code"], tonic::Code::InvalidArgument as i32);
    assert!(status["message"].as_str().unwrap().contains("line 1"), "{status}");
    let detail = &status["details"][0];
    assert_eq!(detail["@type"], BAD_REQUEST);
    let violation = &detail["fieldViolations"][0];
    assert_eq!(violation["field"], "body");
    assert_eq!(violation["description"], status["message"]);
}

/// Begins to send a body of 256 MiB and goes on until nobody reads any more; returns how many
/// bytes were taken.
fn flood(address: &str, head: &str) -> usize {
    const BYTES: usize = 256 << 20;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!("{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b' '; 64 << 10];
    let mut sent = 0;
    while sent < BYTES && stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    sent
}

#[tokio::test]
async fn a_large_body_that_nobody_reads_is_cut_off() {
    let stack = Stack::start(&[]).await;
    for (head, reason) in [
        ("POST /nowhere", "path"),
        ("PUT /v1/traces", "method"),
        ("POST /v1/traces", "media_type"),
        ("POST /v1/logs", "media_type"),
        (
            "POST /v1/metrics HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: br\r\nX:",
            "coding",
        ),
    ] {
        let address = stack.collector.address("otlp-http").to_owned();
        let sent = tokio::task::spawn_blocking(move || flood(&address, head)).await.unwrap();
        // What fits into the buffers of sockets, and not what was announced.
        assert!(sent < 64 << 20, "{head}: {sent}");
        let counted = format!("unserved_requests_total{{transport=\"http\",reason=\"{reason}\"}}");
        assert!(stack.metrics().await.contains(&counted), "{reason}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_much_loses_no_span_in_silence() {
    let stack = Stack::start(&[]).await;
    let many = |spans: u64| {
        let tiny = |id| span(1, id, vec![text("custom.step", "x")]);
        traces("shop", (1..=spans).map(tiny).collect())
    };
    // Far below the bound on bodies, above that on rows: refused whole, over both transports.
    let request = many(90_000);
    let body = request.encode_to_vec();
    assert!(body.len() < 16 << 20);
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(!answer.headers().contains_key("retry-after"));
    let status = tonic_types::Status::decode(answer.bytes().await.unwrap()).unwrap();
    assert!(status.message.contains("send smaller batches"), "{}", status.message);
    let json = serde_json::to_vec(&request).unwrap();
    let answer = post(stack.http("/v1/traces"), JSON, "", json).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    let answer = crate::grpc::post_raw(&stack, "", crate::otlp::grpc_frame(false, &body)).await;
    let (code, message) = crate::grpc::grpc_status(&answer);
    assert_eq!(code, tonic::Code::ResourceExhausted as i32, "{message}");
    // A third of it is taken whole.
    let body = many(30_000).encode_to_vec();
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.unwrap().is_empty());
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["30000"]);
    let metrics = stack.metrics().await;
    assert!(metrics.contains("transport=\"http\",reason=\"too_large\"} 2\n"), "{metrics}");
    assert!(!metrics.contains("rejected_items_total{"), "{metrics}");
}

#[tokio::test]
async fn a_full_house_asks_to_come_again() {
    let stack = Stack::start(&["--in-flight-bytes-max", "1500", "--body-bytes-max", "1500"]).await;
    let body = logs("shop", vec![LogRecord::default(); 200]).encode_to_vec();
    // The rows, each with an identity of its own, weigh more than all that may be in flight.
    let answer = post(stack.http("/v1/logs"), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "2");
    assert!(stack.metrics().await.contains("reason=\"busy\"} 1"));
}
