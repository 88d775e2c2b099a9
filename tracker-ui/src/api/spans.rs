//! `GET /api/v1/orders/{id}/spans`.
#![expect(unused_qualifications, reason = "utoipa's macro qualifies the parameters")]

use std::collections::BTreeMap;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat};
use order_store::read::{SpanItem, Through};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{fresh, limit, order_id, parameters};
use crate::app::App;

/// Spans of an answer when the caller names no limit.
const LIMIT_DEFAULT: u32 = 2_000;
/// Most spans of an answer; a higher limit is refused.
const LIMIT_MAX: u32 = 10_000;

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Spans of the answer.
    #[param(minimum = 1, maximum = 10000, default = 2000)]
    limit: Option<u32>,
}

/// The spans of an order over all its traces.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Spans {
    /// How many there are in all.
    total: u64,
    /// In the order of start time.
    spans: Vec<Span>,
}

/// One span.
#[derive(Debug, Serialize, ToSchema)]
struct Span {
    trace_id: String,
    span_id: String,
    /// Empty for a root.
    parent_span_id: String,
    name: String,
    /// `Server`, `Client`, `Producer`, `Consumer`, `Internal` or `Unspecified`.
    kind: String,
    service: String,
    /// To the nanosecond.
    #[schema(format = DateTime)]
    start: String,
    duration_seconds: f64,
    /// `Unset`, `Ok` or `Error`.
    status_code: String,
    status_message: String,
    /// How the trace belongs to the order: it names it, or it is linked with one that does.
    through: &'static str,
    attributes: BTreeMap<String, String>,
}

/// What every system did for the order.
#[utoipa::path(
    get,
    path = "/api/v1/orders/{id}/spans",
    operation_id = "orderSpans",
    params(("id" = String, Path, description = "The order's id, exactly"), Parameters),
    responses(
        (status = 200, description = "Its spans; none for an order nobody named", body = Spans),
        (status = 400, description = "A bad id or limit", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let id = order_id(id)?;
    let limit = limit(parameters(query)?.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let spans = app.reads().spans_of_any_id(id.as_str(), limit).await?;
    let shapes = spans.spans.into_iter().map(shape).collect();
    Ok(fresh(&Spans { total: spans.total, spans: shapes }))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 104 days, then to a microsecond")]
fn shape(span: SpanItem) -> Span {
    Span {
        trace_id: span.trace_id,
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        name: span.name,
        kind: span.kind,
        service: span.service,
        start: DateTime::from_timestamp_nanos(span.start)
            .to_rfc3339_opts(SecondsFormat::Nanos, true),
        duration_seconds: span.duration as f64 / 1e9,
        status_code: span.status_code,
        status_message: span.status_message,
        through: match span.through {
            Through::Named => "named",
            Through::Linked => "linked",
        },
        attributes: span.attributes.into_iter().collect(),
    }
}
