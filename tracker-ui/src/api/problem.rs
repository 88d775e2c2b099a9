//! Errors as problem details (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::RETRY_AFTER_S;
use crate::reads::ReadError;

/// Media type of problem details.
const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Kind of the problem, stable: `urn:waybill:problem:<name>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong here and what to do.
    pub detail: String,
}

impl Problem {
    fn new(status: StatusCode, name: &str, title: &str, detail: String) -> Self {
        let kind = format!("urn:waybill:problem:{name}");
        Self { kind, title: title.to_owned(), status: status.as_u16(), detail }
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not understood", detail)
    }

    /// 400 or 413: the body could not be taken.
    pub(crate) fn bad_body(status: StatusCode, detail: String) -> Self {
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(status, "too-large", "The body is too large", detail);
        }
        Self::bad_request(detail)
    }

    /// 401: the caller did not show the secret.
    pub(crate) fn unauthorized() -> Self {
        let detail = "send the webhook's secret as `Authorization: Bearer <secret>`; in \
             Alertmanager: `http_config.authorization.credentials_file`";
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "unauthorized", "The secret is missing or wrong", detail.to_owned())
    }

    /// 404: no such order.
    pub(crate) fn no_order(id: &str) -> Self {
        let detail = format!("no system has named the order {id:?}; try /api/v1/search?q=");
        Self::new(StatusCode::NOT_FOUND, "no-such-order", "There is no such order", detail)
    }

    /// 404: no such address.
    pub(crate) fn no_route(path: &str) -> Self {
        let detail = format!("there is no {path:?}; /api/openapi.json describes what there is");
        Self::new(StatusCode::NOT_FOUND, "no-such-address", "There is no such address", detail)
    }

    /// 503: too many requests in hand.
    pub(crate) fn busy() -> Self {
        let detail = format!("too many requests at once; try again in {RETRY_AFTER_S} s");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many requests", detail)
    }

    /// 503: the request took too long.
    pub(crate) fn slow() -> Self {
        let detail = format!("the answer took too long; try again in {RETRY_AFTER_S} s");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-slow", "The answer took too long", detail)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TimedOut => Self::slow(),
            ReadError::Unavailable => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "The data store does not answer",
                format!("nothing was read or written; try again in {RETRY_AFTER_S} s"),
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
