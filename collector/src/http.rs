//! OTLP/HTTP, by <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! Answers are in the encoding of the request, under the content type of the request:
//! `Export*ServiceResponse` on success, also on partial success; `google.rpc.Status` on failure.

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
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::Denied;
use crate::body::{self, BodyLimits};
use crate::entrance::Entrance;
use crate::intake::{self, BODY_FIELD, Body, Intake, Refusal};
use crate::metrics::{Transport, Unserved};

/// Content type of binary protobuf.
pub const PROTOBUF: &str = "application/x-protobuf";
/// The same as some clients and proxies write it; its registered name.
const REGISTERED_PROTOBUF: &str = "application/protobuf";
/// Content type of JSON.
pub const JSON: &str = "application/json";
/// What a detail of bad data is called in `google.rpc.Status`.
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// The content type of a request, and so of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Protobuf,
    RegisteredProtobuf,
    Json,
}

impl Media {
    const fn name(self) -> &'static str {
        match self {
            Self::Protobuf => PROTOBUF,
            Self::RegisteredProtobuf => REGISTERED_PROTOBUF,
            Self::Json => JSON,
        }
    }

    const fn encoding(self) -> Encoding {
        match self {
            Self::Protobuf | Self::RegisteredProtobuf => Encoding::Protobuf,
            Self::Json => Encoding::Json,
        }
    }
}

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
    let (media, coding) = match read_head(&head.headers) {
        Ok(read) => read,
        Err(unread) => {
            body::discard_unwanted(http_body, read_timeout).await;
            intake.count_unserved(Transport::Http, unread.why());
            return unread.answer();
        }
    };
    let (grant, http_body) = match entrance.admit(&head, http_body).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            intake.count(signal, Transport::Http, Err(&refusal));
            return refuse(intake, media, &refusal);
        }
    };
    let taken = async {
        let (mut held, http_body) = entrance.begin(&head, &grant, http_body).await?;
        let bytes_max = intake.settings().body_bytes_max;
        if body::waits_for_permission(&head.headers)
            && content_length(&head.headers).is_some_and(|length| length > bytes_max as u64)
        {
            let text = format!("the body is larger than {bytes_max} bytes; send smaller batches");
            return Err(Refusal::TooLarge(text));
        }
        let limits = BodyLimits { bytes_max, read_timeout };
        let bytes = body::read(http_body, limits, &mut held, &grant).await?;
        let body = Body { bytes, coding, encoding: media.encoding() };
        intake.take(signal, Transport::Http, body, held, &grant).await
    }
    .await;
    intake.count(signal, Transport::Http, taken.as_ref());
    grant.count(intake::outcome(taken.as_ref()));
    match taken {
        Ok(rejected) => success(signal, media, &rejected),
        Err(refusal) => refuse(intake, media, &refusal),
    }
}

/// Why a request to a path of ours is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    MediaType,
    Coding(Media),
}

impl Unread {
    const fn why(self) -> Unserved {
        match self {
            Self::MediaType => Unserved::MediaType,
            Self::Coding(_) => Unserved::Coding,
        }
    }

    /// The answer, which says what is read.
    fn answer(self) -> Response {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        match self {
            Self::MediaType => {
                let why = format!("Content-Type must be {PROTOBUF} or {JSON}");
                failure(status, Media::Json, Code::InvalidArgument, &why)
            }
            Self::Coding(media) => {
                let why = format!("Content-Encoding must be one of {}", coding::SUPPORTED);
                let mut response = failure(status, media, Code::InvalidArgument, &why);
                let supported = HeaderValue::from_static(coding::SUPPORTED);
                response.headers_mut().insert(ACCEPT_ENCODING, supported);
                response
            }
        }
    }
}

/// The content type and the coding of a request.
fn read_head(headers: &HeaderMap) -> Result<(Media, Coding), Unread> {
    let text = |name| headers.get(name).map_or(Ok(""), |value: &HeaderValue| value.to_str());
    let content_type = text(CONTENT_TYPE).unwrap_or("?");
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let media = match media_type.as_str() {
        PROTOBUF => Media::Protobuf,
        REGISTERED_PROTOBUF => Media::RegisteredProtobuf,
        JSON => Media::Json,
        _ => return Err(Unread::MediaType),
    };
    let named = text(CONTENT_ENCODING).unwrap_or("?");
    Coding::parse(named).map(|coding| (media, coding)).ok_or(Unread::Coding(media))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn only_post(intake: State<Intake>, request: Request<HttpBody>) -> Response {
    let media = unserved(&intake, request, Unserved::Method).await;
    let why = "only POST is read here";
    let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, media, Code::Unimplemented, why);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn not_found(intake: State<Intake>, request: Request<HttpBody>) -> Response {
    let media = unserved(&intake, request, Unserved::Path).await;
    let why = "nothing is here; POST traces to /v1/traces, logs to /v1/logs and metrics to \
               /v1/metrics";
    failure(StatusCode::NOT_FOUND, media, Code::Unimplemented, why)
}

/// Throws away a little of a body that nobody reads; tells in what its request is answered.
async fn unserved(intake: &Intake, request: Request<HttpBody>, why: Unserved) -> Media {
    let media = match read_head(request.headers()) {
        Ok((media, _)) | Err(Unread::Coding(media)) => media,
        Err(Unread::MediaType) => Media::Json,
    };
    body::discard_unwanted(request.into_body(), intake.settings().body_read_timeout).await;
    intake.count_unserved(Transport::Http, why);
    media
}

fn refuse(intake: &Intake, media: Media, refusal: &Refusal) -> Response {
    let (status, code) = match refusal {
        Refusal::Bad(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
        Refusal::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
        Refusal::Busy | Refusal::Share => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
        // 408 is not among what OTLP clients repeat, and a slow network may be faster next time.
        Refusal::Full | Refusal::Unavailable | Refusal::Slow => {
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
    let mut response = failure(status, media, code, refusal.message());
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

fn success(signal: Signal, media: Media, rejected: &Rejected) -> Response {
    let body = match media.encoding() {
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
    respond(StatusCode::OK, media, body)
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

fn failure(status: StatusCode, media: Media, code: Code, message: &str) -> Response {
    let is_bad = status == StatusCode::BAD_REQUEST;
    let body = match media.encoding() {
        Encoding::Protobuf if is_bad => {
            // What gRPC carries beside its own status is the same message.
            let details = ErrorDetails::with_bad_request_violation(BODY_FIELD, message);
            Status::with_error_details(code, message, details).details().to_vec()
        }
        Encoding::Protobuf => {
            let message = message.to_owned();
            tonic_types::Status { code: code as i32, message, details: Vec::new() }.encode_to_vec()
        }
        Encoding::Json => {
            let mut answer = json!({ "code": code as i32, "message": message });
            if is_bad {
                let violations = json!([{ "field": BODY_FIELD, "description": message }]);
                answer["details"] =
                    json!([{ "@type": BAD_REQUEST, "fieldViolations": violations }]);
            }
            answer.to_string().into_bytes()
        }
    };
    respond(status, media, body)
}

fn respond(status: StatusCode, media: Media, body: Vec<u8>) -> Response {
    let mut response = Response::new(HttpBody::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(media.name());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
