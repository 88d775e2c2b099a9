//! OTLP/gRPC, by <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>.
//!
//! The methods are unary, so the framing is read here rather than by generated code: the
//! bytes in flight are then bounded before they are buffered, a compression bomb is met on the
//! decoding thread, and each failure gets the code that OTLP gives it (generated code answers
//! `OUT_OF_RANGE` to a large message, which clients repeat, and `INTERNAL` to bad protobuf).
//! Framing: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use otlp_columns::{Coding, Encoding, Rejected, Signal, coding};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::Denied;
use crate::body::{self, BodyLimits};
use crate::entrance::Entrance;
use crate::http::export_response;
use crate::intake::{self, BODY_FIELD, Body, Intake, Refusal};
use crate::metrics::{Transport, Unserved};

/// Compression flag and length before each message.
const PREFIX_BYTES: usize = 5;
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC: &str = "application/grpc";

/// The methods of the port.
pub fn router(entrance: Entrance) -> Router {
    let method = |signal| {
        post(move |State(entrance): State<Entrance>, request: Request<HttpBody>| async move {
            export(&entrance, signal, request).await
        })
    };
    Router::new()
        .route(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            method(Signal::Traces),
        )
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", method(Signal::Logs))
        .route(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            method(Signal::Metrics),
        )
        .fallback(unknown_method)
        .with_state(entrance)
}

async fn unknown_method(intake: State<Intake>) -> Response {
    intake.count_unserved(Transport::Grpc, Unserved::Path);
    let why = "only Export of TraceService, LogsService and MetricsService is served here";
    Status::unimplemented(why).into_http()
}

async fn export(entrance: &Entrance, signal: Signal, request: Request<HttpBody>) -> Response {
    let intake = &entrance.intake;
    let (head, http_body) = request.into_parts();
    if !is_grpc(&head.headers) {
        intake.count_unserved(Transport::Grpc, Unserved::MediaType);
        let mut response = Response::new(HttpBody::from("Content-Type must be application/grpc\n"));
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let coding = match head.headers.get(GRPC_ENCODING).map(HeaderValue::to_str) {
        None => Some(Coding::Identity),
        Some(Ok(name)) => Coding::parse(name),
        Some(Err(_)) => None,
    };
    let Some(coding) = coding else {
        intake.count_unserved(Transport::Grpc, Unserved::Coding);
        let why = format!("grpc-encoding must be one of {}", coding::SUPPORTED);
        let mut response: Response = Status::unimplemented(why).into_http();
        let supported = HeaderValue::from_static("identity,gzip,zstd");
        response.headers_mut().insert(GRPC_ACCEPT_ENCODING, supported);
        return response;
    };
    let (grant, http_body) = match entrance.admit(&head, http_body).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            intake.count(signal, Transport::Grpc, Err(&refusal));
            return refuse(intake, &refusal);
        }
    };
    let taken = async {
        let (mut held, http_body) = entrance.begin(&head, &grant, http_body).await?;
        let limits = BodyLimits {
            bytes_max: intake.settings().body_bytes_max + PREFIX_BYTES,
            read_timeout: intake.settings().body_read_timeout,
        };
        let frame = body::read(http_body, limits, &mut held, &grant).await?;
        let body = read_frame(frame, coding)?;
        intake.take(signal, Transport::Grpc, body, held, &grant).await
    }
    .await;
    intake.count(signal, Transport::Grpc, taken.as_ref());
    grant.count(intake::outcome(taken.as_ref()));
    match taken {
        Ok(rejected) => success(signal, &rejected),
        Err(refusal) => refuse(intake, &refusal),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let rest = content_type.strip_prefix(GRPC.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest == b"+proto" || rest.starts_with(b";"))
}

/// The one message of a unary call.
fn read_frame(mut frame: Bytes, coding: Coding) -> Result<Body, Refusal> {
    let bad = |text: &str| Refusal::Bad(text.to_owned());
    if frame.len() < PREFIX_BYTES {
        return Err(bad("the call carries no whole gRPC message"));
    }
    let prefix = frame.split_to(PREFIX_BYTES);
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if usize::try_from(length).ok() != Some(frame.len()) {
        return Err(bad("the length of the gRPC message is not that of the body; \
                        a unary call carries one message"));
    }
    let coding = match prefix[0] {
        0 => Coding::Identity,
        1 if coding == Coding::Identity => {
            return Err(bad("the gRPC message is compressed, but grpc-encoding names no coding"));
        }
        1 => coding,
        _ => return Err(bad("the compression flag of the gRPC message is neither 0 nor 1")),
    };
    Ok(Body { bytes: frame, coding, encoding: Encoding::Protobuf })
}

fn success(signal: Signal, rejected: &Rejected) -> Response {
    let message = export_response(signal, rejected);
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(0));
    frame.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from(Code::Ok as i32));
    let body = Full::new(frame.freeze()).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(HttpBody::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

fn refuse(intake: &Intake, refusal: &Refusal) -> Response {
    let code = match refusal {
        Refusal::Bad(_) => Code::InvalidArgument,
        Refusal::TooLarge(_)
        | Refusal::Busy
        | Refusal::Share
        | Refusal::Denied(Denied::OverRate { .. }) => Code::ResourceExhausted,
        Refusal::Slow => Code::DeadlineExceeded,
        Refusal::Full | Refusal::Unavailable => Code::Unavailable,
        Refusal::Internal => Code::Internal,
        Refusal::Denied(Denied::Unauthenticated(_)) => Code::Unauthenticated,
        Refusal::Denied(Denied::Forbidden(_)) => Code::PermissionDenied,
    };
    // Without RetryInfo clients must not repeat a call that exhausted resources.
    let message = refusal.message();
    let details = match (refusal.retry_after(intake.settings()), refusal) {
        (Some(delay), _) => Some(ErrorDetails::with_retry_info(Some(delay))),
        (None, Refusal::Bad(_)) => {
            Some(ErrorDetails::with_bad_request_violation(BODY_FIELD, message))
        }
        (None, _) => None,
    };
    let status = match details {
        Some(details) => Status::with_error_details(code, message, details),
        None => Status::new(code, message),
    };
    status.into_http()
}
