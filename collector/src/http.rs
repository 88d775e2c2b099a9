//! OTLP/HTTP, by <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! Answers are in the encoding of the request: `Export*ServiceResponse` on success, also on
//! partial success; `google.rpc.Status` on failure.

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{Request, StatusCode};
use otlp_columns::{Coding, Encoding, Rejected, Signal, coding};
use prost::Message;
use serde_json::json;
use tonic::Code;

use crate::access::Denied;
use crate::body::{self, BodyLimits};
use crate::entrance::Entrance;
use crate::intake::{self, Body, Intake, Refusal};
use crate::metrics::Transport;

/// Content type of binary protobuf.
pub const PROTOBUF: &str = "application/x-protobuf";
/// Content type of JSON.
pub const JSON: &str = "application/json";

/// The whole URL map of the port.
pub fn router(entrance: Entrance) -> Router {
    let method = |signal| {
        post(move |State(entrance): State<Entrance>, request: Request<HttpBody>| async move {
            export(&entrance, signal, request).await
        })
        .fallback(only_post)
    };
    Router::new()
        .route("/v1/traces", method(Signal::Traces))
        .route("/v1/logs", method(Signal::Logs))
        .route("/v1/metrics", method(Signal::Metrics))
        .fallback(not_found)
        .with_state(entrance)
}

async fn export(entrance: &Entrance, signal: Signal, request: Request<HttpBody>) -> Response {
    let intake = &entrance.intake;
    let (head, http_body) = request.into_parts();
    let read_timeout = intake.settings().body_read_timeout;
    let (encoding, coding) = match read_head(&head.headers) {
        Ok(read) => read,
        Err(refused) => {
            body::discard_within(http_body, read_timeout).await;
            return *refused;
        }
    };
    let (grant, http_body) = match entrance.admit(&head, http_body).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            intake.count(signal, Transport::Http, Err(&refusal));
            return refuse(intake, encoding, &refusal);
        }
    };
    let taken = async {
        let (mut held, http_body) = entrance.begin(http_body).await?;
        let bytes_max = intake.settings().body_bytes_max;
        if body::waits_for_permission(&head.headers)
            && content_length(&head.headers).is_some_and(|length| length > bytes_max as u64)
        {
            let text = format!("the body is larger than {bytes_max} bytes; send smaller batches");
            return Err(Refusal::TooLarge(text));
        }
        let limits = BodyLimits { bytes_max, read_timeout };
        let bytes = body::read(http_body, limits, &mut held).await?;
        let body = Body { bytes, coding, encoding };
        intake.take(signal, Transport::Http, body, held, &grant).await
    }
    .await;
    intake.count(signal, Transport::Http, taken.as_ref());
    grant.count(intake::outcome(taken.as_ref()));
    match taken {
        Ok(rejected) => success(signal, encoding, &rejected),
        Err(refusal) => refuse(intake, encoding, &refusal),
    }
}

/// The encoding and coding of a request, or the answer that says which are read.
fn read_head(headers: &HeaderMap) -> Result<(Encoding, Coding), Box<Response>> {
    let text = |name| headers.get(name).map_or(Ok(""), |value: &HeaderValue| value.to_str());
    let content_type = text(CONTENT_TYPE).unwrap_or("?");
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let encoding = match media_type.as_str() {
        PROTOBUF | "application/protobuf" => Encoding::Protobuf,
        JSON => Encoding::Json,
        _ => {
            let why = format!("Content-Type must be {PROTOBUF} or {JSON}");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Box::new(failure(status, Encoding::Json, Code::InvalidArgument, &why)));
        }
    };
    let named = text(CONTENT_ENCODING).unwrap_or("?");
    let Some(coding) = Coding::parse(named) else {
        let why = format!("Content-Encoding must be one of {}", coding::SUPPORTED);
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let mut response = failure(status, encoding, Code::InvalidArgument, &why);
        let supported = HeaderValue::from_static(coding::SUPPORTED);
        response.headers_mut().insert(ACCEPT_ENCODING, supported);
        return Err(Box::new(response));
    };
    Ok((encoding, coding))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn only_post(intake: State<Intake>, request: Request<HttpBody>) -> Response {
    let encoding = answer_encoding(request.headers());
    body::discard_within(request.into_body(), intake.settings().body_read_timeout).await;
    let why = "only POST is read here";
    let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, encoding, Code::Unimplemented, why);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn not_found(intake: State<Intake>, request: Request<HttpBody>) -> Response {
    let encoding = answer_encoding(request.headers());
    body::discard_within(request.into_body(), intake.settings().body_read_timeout).await;
    let why = "nothing is here; POST traces to /v1/traces, logs to /v1/logs and metrics to \
               /v1/metrics";
    failure(StatusCode::NOT_FOUND, encoding, Code::Unimplemented, why)
}

fn answer_encoding(headers: &HeaderMap) -> Encoding {
    read_head(headers).map_or(Encoding::Json, |(encoding, _)| encoding)
}

fn refuse(intake: &Intake, encoding: Encoding, refusal: &Refusal) -> Response {
    let (status, code) = match refusal {
        Refusal::Bad(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
        Refusal::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
        Refusal::Slow => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
        Refusal::Busy => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
        Refusal::Full | Refusal::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
        }
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
        Refusal::Denied(Denied::Unauthenticated(_)) => {
            (StatusCode::UNAUTHORIZED, Code::Unauthenticated)
        }
        Refusal::Denied(Denied::Forbidden(_)) => (StatusCode::FORBIDDEN, Code::PermissionDenied),
        Refusal::Denied(Denied::OverRate { .. }) => {
            (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted)
        }
    };
    let mut response = failure(status, encoding, code, refusal.message());
    if let Some(delay) = refusal.retry_after(intake.settings()) {
        // The header counts whole seconds; less than the delay would be too early.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let seconds = seconds.max(1);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"waybill\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

fn success(signal: Signal, encoding: Encoding, rejected: &Rejected) -> Response {
    let body = match encoding {
        Encoding::Protobuf => export_response(signal, rejected),
        Encoding::Json => {
            let (items, field) = items(signal);
            let answer = if rejected.total() == 0 {
                json!({})
            } else {
                // 64-bit integers are text in JSON of protobuf.
                let count = rejected.total().to_string();
                let message = rejected.message(items);
                json!({ "partialSuccess": { field: count, "errorMessage": message } })
            };
            answer.to_string().into_bytes()
        }
    };
    respond(StatusCode::OK, encoding, body)
}

/// What a signal's items are called, and the field of JSON that counts the rejected.
fn items(signal: Signal) -> (&'static str, &'static str) {
    match signal {
        Signal::Traces => ("spans", "rejectedSpans"),
        Signal::Logs => ("log records", "rejectedLogRecords"),
        Signal::Metrics => ("data points", "rejectedDataPoints"),
    }
}

/// `ExportTraceServiceResponse` and those of logs and metrics, which are alike on the wire.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The answer to a request that was taken, in binary protobuf.
#[must_use]
pub fn export_response(signal: Signal, rejected: &Rejected) -> Vec<u8> {
    let partial_success = (rejected.total() > 0).then(|| PartialSuccess {
        rejected: i64::try_from(rejected.total()).unwrap_or(i64::MAX),
        error_message: rejected.message(items(signal).0),
    });
    ExportResponse { partial_success }.encode_to_vec()
}

fn failure(status: StatusCode, encoding: Encoding, code: Code, message: &str) -> Response {
    let body = match encoding {
        Encoding::Protobuf => {
            let message = message.to_owned();
            tonic_types::Status { code: code as i32, message, details: Vec::new() }.encode_to_vec()
        }
        Encoding::Json => {
            json!({ "code": code as i32, "message": message }).to_string().into_bytes()
        }
    };
    respond(status, encoding, body)
}

fn respond(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response {
    let content_type = match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    };
    let mut response = Response::new(HttpBody::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
