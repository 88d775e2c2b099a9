//! Any address that the URL map does not have.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use crate::api::problem::Problem;
use crate::failure::Failure;
use crate::frame::Frame;

/// The fallback: a page for people, a problem for programs.
pub(crate) async fn page(frame: Frame, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return Problem::no_route(uri.path()).into_response();
    }
    Failure::no_page(&frame).into_response()
}
