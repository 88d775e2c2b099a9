//! OTLP/gRPC as its specification says, with the generated client and with raw frames.

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use reqwest::{Client, Response};
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;

use crate::otlp::{grpc_frame, logs, span, traces};
use crate::stack::Stack;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Sends a raw body to the export method of traces.
pub(crate) async fn post_raw(stack: &Stack, coding: &str, body: Vec<u8>) -> Response {
    post_to(stack, EXPORT, coding, body).await
}

pub(crate) async fn post_to(stack: &Stack, path: &str, coding: &str, body: Vec<u8>) -> Response {
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let mut request = client
        .post(stack.grpc(path))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body);
    if !coding.is_empty() {
        request = request.header("grpc-encoding", coding);
    }
    request.send().await.unwrap()
}

/// The status of a call that failed: it stands in the head.
pub(crate) fn grpc_status(answer: &Response) -> (i32, String) {
    let text = |name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
    (text("grpc-status").parse().unwrap_or(0), text("grpc-message").replace("%20", " "))
}

#[tokio::test]
async fn the_generated_client_is_served_with_every_coding() {
    let stack = Stack::start(&[]).await;
    let connected = TraceServiceClient::connect(stack.grpc("")).await.unwrap();
    let codings = [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)];
    for (id, coding) in (1..).zip(codings) {
        let mut client = match coding {
            Some(coding) => connected.clone().send_compressed(coding),
            None => connected.clone(),
        };
        let request = traces("crm", vec![span(1, id, vec![])]);
        let answer = client.export(request).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
    }
    let mut client = LogsServiceClient::connect(stack.grpc("")).await.unwrap();
    client.export(logs("crm", vec![Default::default()])).await.unwrap();
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["3"]);
    assert_eq!(stack.query("SELECT count() FROM otel_logs").await, ["1"]);
}

#[tokio::test]
async fn a_partial_success_is_an_answer_not_an_error() {
    let stack = Stack::start(&[]).await;
    let mut client = TraceServiceClient::connect(stack.grpc("")).await.unwrap();
    let mut short = span(1, 1, vec![]);
    short.span_id = vec![1, 2, 3];
    let request = traces("crm", vec![short, span(1, 2, vec![])]);
    let partial = client.export(request).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("span id"), "{}", partial.error_message);
}

#[tokio::test]
async fn broken_calls_get_codes_that_clients_do_not_repeat() {
    let stack = Stack::start(&["--body-bytes-max", "100000"]).await;
    let good = traces("crm", vec![span(1, 1, vec![])]).encode_to_vec();
    let code = |code: tonic::Code| code as i32;
    for (name, coding, body, expected) in [
        ("no frame", "", vec![], code(tonic::Code::InvalidArgument)),
        ("short frame", "", vec![0, 0, 0, 0, 9, 1], code(tonic::Code::InvalidArgument)),
        ("garbage", "", grpc_frame(false, b"\xff\xff"), code(tonic::Code::InvalidArgument)),
        ("unnamed coding", "", grpc_frame(true, &good), code(tonic::Code::InvalidArgument)),
        ("unknown coding", "br", grpc_frame(true, &good), code(tonic::Code::Unimplemented)),
        ("too large", "", grpc_frame(false, &[0; 200_000]), code(tonic::Code::ResourceExhausted)),
        ("good", "", grpc_frame(false, &good), 0),
    ] {
        let answer = post_raw(&stack, coding, body).await;
        assert_eq!(answer.status(), 200, "{name}");
        let (status, message) = grpc_status(&answer);
        assert_eq!(status, expected, "{name}: {message}");
        // Without RetryInfo the call must not be repeated.
        let details = tonic::Status::from_header_map(answer.headers());
        let details = details.map(|status| status.get_error_details()).unwrap_or_default();
        assert!(details.retry_info().is_none(), "{name}");
        let violations = details.bad_request().map(|bad| &*bad.field_violations);
        let is_bad = expected == code(tonic::Code::InvalidArgument);
        assert_eq!(violations.is_some_and(|bad| bad[0].description == message), is_bad, "{name}");
    }
    let metrics = stack.metrics().await;
    assert!(metrics.contains("unserved_requests_total{transport=\"grpc\",reason=\"coding\"} 1\n"));
    let profiles = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    let answer = post_to(&stack, profiles, "", grpc_frame(false, b"")).await;
    assert_eq!(grpc_status(&answer).0, tonic::Code::Unimplemented as i32);
}
