//! The JSON API: the same numbers as the pages. Times are RFC 3339 in UTC, durations seconds;
//! errors are `application/problem+json` (RFC 9457) that say what is wrong and what to do.

pub mod problem;
mod shapes;
pub(crate) mod board;
pub(crate) mod stage_orders;
pub(crate) mod open_orders;
pub(crate) mod order;
pub(crate) mod spans;
pub(crate) mod search;
pub(crate) mod sources;
pub(crate) mod webhook;
pub mod openapi;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use order_model::OrderId;
use serde::Serialize;

use problem::Problem;

/// An answer that no cache keeps: its numbers age.
fn fresh(body: &impl Serialize) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// The order id of the address.
fn order_id(path: Result<Path<String>, PathRejection>) -> Result<OrderId, Problem> {
    let Path(text) = path.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    OrderId::parse(&text).map_err(|error| Problem::bad_request(format!("{error}: {text:?}")))
}

/// The parameters of the address.
fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(value)| value).map_err(|rejection| Problem::bad_request(rejection.body_text()))
}

/// A limit within its bounds.
fn limit(given: Option<u32>, default: u32, max: u32) -> Result<u32, Problem> {
    let limit = given.unwrap_or(default);
    if (1..=max).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad_request(format!("limit is {limit}; it must be from 1 to {max}")))
}
