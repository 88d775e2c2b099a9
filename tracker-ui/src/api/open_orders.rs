//! `GET /api/v1/orders`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::shapes::{Order, iso};
use super::stage_orders::{Parameters, page, shapes};
use super::{fresh, parameters};
use crate::app::App;
use crate::pages::stage::next;

/// A page of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenOrders {
    /// The point in time at which conditions were judged; the same on every page of a list.
    #[schema(format = DateTime)]
    as_of: String,
    /// Newest in its stage first.
    orders: Vec<Order>,
    /// For the next page; null on the last one.
    next_cursor: Option<String>,
}

/// The orders of every stage that have not ended, newest in its stage first.
#[utoipa::path(
    get,
    path = "/api/v1/orders",
    operation_id = "openOrders",
    params(Parameters),
    responses(
        (status = 200, description = "A page of orders", body = OpenOrders),
        (status = 400, description = "A bad limit, cursor, condition or as_of", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let page = page(&app, None, parameters(query)?).await?;
    Ok(fresh(&OpenOrders {
        as_of: iso(page.as_of),
        next_cursor: next(&page).map(|cursor| cursor.encode()),
        orders: shapes(&app, &page),
    }))
}
