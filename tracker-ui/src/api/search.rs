//! `GET /api/v1/search?q=`.
#![expect(unused_qualifications, reason = "utoipa's macro qualifies the parameters")]

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use order_store::read::{MatchedBy, SearchHit};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::shapes::Order;
use super::{fresh, limit, parameters};
use crate::app::App;
use crate::pages::search::QUERY_CHARS_MAX;

/// Orders of an answer when the caller names no limit.
const LIMIT_DEFAULT: u32 = 20;
/// Most orders of an answer; a higher limit is refused.
const LIMIT_MAX: u32 = 500;

/// What is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// An order id or a part of one, a partner's number, a message id or a trace id. Spaces, case,
    /// `№` and `#` do not matter.
    q: String,
    /// Orders of the answer.
    #[param(minimum = 1, maximum = 500, default = 20)]
    limit: Option<u32>,
}

/// What was found, the surest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found {
    hits: Vec<Hit>,
}

/// An order that the text may mean.
#[derive(Debug, Serialize, ToSchema)]
struct Hit {
    /// `order_id`, `partner_number`, `message_id`, `trace_id` or `part_of_order_id`.
    matched_by: &'static str,
    order: Order,
}

/// Orders that a text may mean.
#[utoipa::path(
    get,
    path = "/api/v1/search",
    operation_id = "search",
    params(Parameters),
    responses(
        (status = 200, description = "What was found", body = Found),
        (status = 400, description = "A bad text or limit", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = parameters(query)?;
    let limit = limit(asked.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    let length = asked.q.chars().count();
    if length > QUERY_CHARS_MAX {
        let detail = format!("q has {length} characters; it may have {QUERY_CHARS_MAX}");
        return Err(Problem::bad_request(detail));
    }
    let hits = app.reads().search(&asked.q, limit).await?;
    let shape = |hit: &SearchHit| Hit {
        matched_by: matched_by(hit.matched_by),
        order: Order::new(app.public_url(), &hit.order),
    };
    Ok(fresh(&Found { hits: hits.iter().map(shape).collect() }))
}

fn matched_by(matched_by: MatchedBy) -> &'static str {
    match matched_by {
        MatchedBy::OrderId => "order_id",
        MatchedBy::PartOfOrderId => "part_of_order_id",
        MatchedBy::PartnerNumber => "partner_number",
        MatchedBy::MessageId => "message_id",
        MatchedBy::TraceId => "trace_id",
    }
}
