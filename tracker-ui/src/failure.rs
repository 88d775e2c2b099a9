//! Pages that could not be shown, in plain words.

use askama::Template;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use crate::frame::Frame;
use crate::reads::ReadError;

/// When to try again after an overload or a store that does not answer.
pub(crate) const RETRY_AFTER_S: &str = "5";

/// A page instead of the one asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    frame: Box<Frame>,
    heading: &'static str,
    text: String,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage<'a> {
    f: &'a Frame,
    heading: &'a str,
    text: &'a str,
    retry: bool,
}

impl Failure {
    fn new(status: StatusCode, frame: &Frame, heading: &'static str, text: String) -> Self {
        Self { status, frame: Box::new(frame.clone()), heading, text }
    }

    /// The store did not answer.
    pub(crate) fn store(frame: &Frame, error: ReadError) -> Self {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let (heading, text) = match error {
            ReadError::Unavailable => ("error.store_heading", frame.t("error.store_text")),
            ReadError::TimedOut => ("error.slow_heading", frame.t("error.slow_text")),
        };
        Self::new(unavailable, frame, heading, text.to_owned())
    }

    /// No such page.
    pub(crate) fn no_page(frame: &Frame) -> Self {
        let text = frame.t("error.page_text").to_owned();
        Self::new(StatusCode::NOT_FOUND, frame, "error.page_heading", text)
    }

    /// The address is wrong; `text` says how.
    pub(crate) fn bad_address(frame: &Frame, text: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, frame, "error.bad_heading", text)
    }

    /// A name that nobody can have given: there is no such page.
    pub(crate) fn bad_name(frame: &Frame, text: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, frame, "error.page_heading", text)
    }

    pub(crate) fn bad_path(frame: &Frame, rejection: &PathRejection) -> Self {
        let why = rejection.body_text();
        Self::bad_address(frame, frame.locale.fill("error.bad_query", &[("why", &why)]))
    }

    pub(crate) fn bad_query(frame: &Frame, rejection: &QueryRejection) -> Self {
        let why = rejection.body_text();
        Self::bad_address(frame, frame.locale.fill("error.bad_query", &[("why", &why)]))
    }

    /// More requests at once than the bound.
    pub(crate) fn busy(frame: &Frame) -> Self {
        let text = frame.t("error.busy_text").to_owned();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, frame, "error.busy_heading", text)
    }

    /// The request took longer than its bound.
    pub(crate) fn slow(frame: &Frame) -> Self {
        Self::store(frame, ReadError::TimedOut)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let retry = self.status == StatusCode::SERVICE_UNAVAILABLE;
        let page = FailurePage {
            f: &self.frame,
            heading: self.frame.t(self.heading),
            text: &self.text,
            retry,
        };
        let mut response = html(self.status, &page);
        if retry {
            let after = axum::http::HeaderValue::from_static(RETRY_AFTER_S);
            response.headers_mut().insert(RETRY_AFTER, after);
        }
        response
    }
}

/// Renders a template. Pages are never kept by caches: their numbers age.
pub(crate) fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => {
            let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store")];
            (status, headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "page not rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "page not rendered\n").into_response()
        }
    }
}
