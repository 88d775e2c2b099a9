//! `GET /api/v1/stages/{stage}/orders`.
#![expect(unused_qualifications, reason = "utoipa's macro qualifies the parameters")]

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use order_store::read::{Condition, OrderPage, StageFilter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::shapes::{Order, iso};
use super::{fresh, limit, parameters};
use crate::app::App;
use crate::cursor::Cursor;
use crate::pages::stage::{after, known_conditions, next, plausible, point_in_time};

/// Orders of an answer when the caller names no limit.
const LIMIT_DEFAULT: u32 = 50;
/// Most orders of an answer; a higher limit is refused.
const LIMIT_MAX: u32 = 500;

/// How the list is narrowed and paged.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Orders of the answer.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only orders in this condition: `stuck`, `late`, `lost_in_handover`, `not_confirmed`,
    /// `abandoned`, `unknown`, `retrying`, `fine`. An order may be in several.
    condition: Option<String>,
    /// The point in time at which conditions are judged, RFC 3339: `as_of` of the board whose
    /// number is looked into. A cursor carries its own.
    as_of: Option<String>,
}

/// A page of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StageOrders {
    /// The point in time at which conditions were judged; the same on every page of a list.
    #[schema(format = DateTime)]
    as_of: String,
    stage: String,
    /// Newest first.
    orders: Vec<Order>,
    /// For the next page; null on the last one.
    next_cursor: Option<String>,
}

/// The orders of a stage, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/stages/{stage}/orders",
    operation_id = "stageOrders",
    params(("stage" = String, Path, description = "The stage as systems write it"), Parameters),
    responses(
        (status = 200, description = "A page of orders", body = StageOrders),
        (status = 400, description = "A bad limit, cursor, condition or as_of", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    stage: Result<Path<String>, PathRejection>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(stage) = stage.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    if !plausible(&stage) {
        return Err(Problem::bad_request("no stage has such a name; see /api/v1/board".to_owned()));
    }
    let page = page(&app, Some(&stage), parameters(query)?).await?;
    Ok(fresh(&StageOrders {
        as_of: iso(page.as_of),
        next_cursor: next(&page).map(|cursor| cursor.encode()),
        orders: shapes(&app, &page),
        stage,
    }))
}

/// The orders of a page, in their shape.
pub(super) fn shapes(app: &App, page: &OrderPage) -> Vec<Order> {
    page.orders.iter().map(|order| Order::new(app.public_url(), order)).collect()
}

/// Reads the page that the parameters ask for.
pub(super) async fn page(
    app: &App,
    stage: Option<&str>,
    asked: Parameters,
) -> Result<OrderPage, Problem> {
    let limit = limit(asked.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let condition = asked.condition.as_deref().map(condition).transpose()?;
    let cursor = asked.cursor.as_deref().map(Cursor::decode).transpose();
    let cursor = cursor.map_err(|error| Problem::bad_request(error.to_string()))?;
    let as_of = asked.as_of.as_deref().map(as_of).transpose()?;
    let as_of = cursor.as_ref().map(|cursor| cursor.as_of).or(as_of);
    let after = cursor.as_ref().map(after);
    let filter = StageFilter { condition };
    Ok(app.reads().stage_orders(stage, filter, limit, after, as_of).await?)
}

fn as_of(text: &str) -> Result<i64, Problem> {
    let bad = || Problem::bad_request(format!("as_of is {text:?}; write 2026-03-10T12:00:00Z"));
    point_in_time(text).ok_or_else(bad)
}

fn condition(text: &str) -> Result<Condition, Problem> {
    Condition::parse(text).ok_or_else(|| {
        let known = known_conditions();
        Problem::bad_request(format!("there is no condition {text:?}; there are: {known}"))
    })
}
