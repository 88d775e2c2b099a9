//! `GET /api/v1/orders/{id}`.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use order_store::read::{AlertItem, Calculation, OrderDetail, Visit};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::shapes::{Order, iso};
use super::{fresh, order_id};
use crate::app::App;

/// An order whole, without its spans.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderWhole {
    /// The point in time at which the condition was judged.
    #[schema(format = DateTime)]
    as_of: String,
    order: Order,
    /// Every stay in a stage, in the order of event time.
    history: Vec<Stay>,
    /// The latest request for a price; null when the order needs none.
    calculation: Option<CalculationShape>,
    /// Pages to on-call about the order, the newest first; null when the store did not say.
    alerts: Option<Vec<Alert>>,
}

/// One stay in a stage.
#[derive(Debug, Serialize, ToSchema)]
struct Stay {
    stage: String,
    #[schema(format = DateTime)]
    entered_at: String,
    /// The system that said so first.
    source: String,
    /// Attempt of a calculation; 0 when not said.
    attempt: u32,
}

/// Where a calculation stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Calculation)]
struct CalculationShape {
    /// `never_queued`, `queued`, `running`, `failed` or `answered`.
    part: String,
    #[schema(format = DateTime)]
    requested_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    /// When on-call is paged.
    #[schema(format = DateTime)]
    stuck_at: String,
}

/// One page to on-call.
#[derive(Debug, Serialize, ToSchema)]
struct Alert {
    name: String,
    severity: String,
    #[schema(format = DateTime)]
    starts_at: String,
    #[schema(format = DateTime)]
    paged_at: Option<String>,
    /// Null while it is active.
    #[schema(format = DateTime)]
    resolved_at: Option<String>,
    annotations: BTreeMap<String, String>,
}

/// Where an order is, since when, how it came there, and who was called.
#[utoipa::path(
    get,
    path = "/api/v1/orders/{id}",
    operation_id = "order",
    params(("id" = String, Path, description = "The order's id, exactly; see search for others")),
    responses(
        (status = 200, description = "The order", body = OrderWhole),
        (status = 400, description = "Not an order id", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "No system has named it", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = order_id(id)?;
    let reads = app.reads();
    let (detail, alerts) = tokio::join!(reads.order(id.as_str()), reads.alerts(id.as_str()));
    let detail = detail?.ok_or_else(|| Problem::no_order(id.as_str()))?;
    Ok(fresh(&shape(app.public_url(), &detail, alerts.ok())))
}

fn shape(public_url: &str, detail: &OrderDetail, alerts: Option<Vec<AlertItem>>) -> OrderWhole {
    let stay = |visit: &Visit| Stay {
        stage: visit.stage.clone(),
        entered_at: iso(visit.entered_at),
        source: visit.source.clone(),
        attempt: visit.attempt,
    };
    let calculation = |calculation: &Calculation| CalculationShape {
        part: calculation.part.clone(),
        requested_at: iso(calculation.requested_at),
        started_at: calculation.started_at.map(iso),
        answered_at: calculation.answered_at.map(iso),
        stuck_at: iso(calculation.stuck_at),
    };
    let alert = |alert: AlertItem| Alert {
        name: alert.alert_name,
        severity: alert.severity,
        starts_at: iso(alert.starts_at),
        paged_at: alert.paged_at.map(iso),
        resolved_at: alert.resolved_at.map(iso),
        annotations: alert.annotations.into_iter().collect(),
    };
    OrderWhole {
        as_of: iso(detail.as_of),
        order: Order::new(public_url, &detail.summary),
        history: detail.history.iter().map(stay).collect(),
        calculation: detail.calculation.as_ref().map(calculation),
        alerts: alerts.map(|alerts| alerts.into_iter().map(alert).collect()),
    }
}
