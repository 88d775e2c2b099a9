//! `GET /api/v1/orders/{id}`.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use order_store::read::{AlertItem, Calculation, Handover, SignOfLife, Visit};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::shapes::{Order, iso};
use super::{fresh, order_id};
use crate::app::App;
use crate::reads::{Silence, WholeOrder};

/// An order whole, without its spans.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderWhole {
    /// The point in time at which the condition was judged.
    #[schema(format = DateTime)]
    as_of: String,
    order: Order,
    /// Other ids of the same order.
    other_ids: Vec<String>,
    /// Every stay in a stage, in the order of event time.
    history: Vec<Stay>,
    /// The latest request for a price; null when the order needs none.
    calculation: Option<CalculationShape>,
    /// The message about it that waits longest to be taken; null when none waits. It is lost when
    /// the order is `lost_in_handover`.
    handover: Option<HandoverShape>,
    /// The latest sign of life of long work on it.
    sign_of_life: Option<SignOfLifeShape>,
    /// Systems that could take it further and have fallen silent.
    silent: Vec<SilentSource>,
    /// When the customer has, or will have, given up; null in stages where that does not happen.
    #[schema(format = DateTime)]
    abandoned_at: Option<String>,
    /// When the end counts as not confirmed; null in stages where that does not happen.
    #[schema(format = DateTime)]
    not_confirmed_at: Option<String>,
    /// The earliest event that lies in the future and so does not count yet.
    #[schema(format = DateTime)]
    refold_at: Option<String>,
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
    /// When the last attempt failed, also if another has begun since.
    #[schema(format = DateTime)]
    failed_at: Option<String>,
    /// The highest attempt that was said to begin; 0 when nobody counted.
    attempt: u32,
    /// Who last began, or empty.
    worker: String,
    /// What the last failure said, or empty.
    error: String,
    /// Since when it is being tried again.
    #[schema(format = DateTime)]
    retrying_since: Option<String>,
}

/// A message about the order that nobody has taken yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Handover)]
struct HandoverShape {
    /// The queue.
    destination: String,
    /// Who published it.
    from: String,
    /// Who should take it.
    to: Vec<String>,
    /// When it was published.
    #[schema(format = DateTime)]
    at: String,
    /// When it counts as lost.
    #[schema(format = DateTime)]
    lost_at: String,
}

/// Long work on the order was alive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignOfLife)]
struct SignOfLifeShape {
    #[schema(format = DateTime)]
    at: String,
    /// Which worker, or empty.
    worker: String,
}

/// A system that has fallen silent.
#[derive(Debug, Serialize, ToSchema)]
struct SilentSource {
    source: String,
    /// Its last word; null when the store did not say.
    #[schema(format = DateTime)]
    last_received_at: Option<String>,
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
    params(("id" = String, Path, description = "An id of the order, exactly; or use search")),
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
    let whole = app.reads().whole_order(id.as_str()).await?;
    let whole = whole.ok_or_else(|| Problem::no_order(id.as_str()))?;
    Ok(fresh(&shape(app.public_url(), whole)))
}

fn shape(public_url: &str, whole: WholeOrder) -> OrderWhole {
    let WholeOrder { detail, alerts, silent } = whole;
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
        failed_at: calculation.failed_at.map(iso),
        attempt: calculation.attempt,
        worker: calculation.worker.clone(),
        error: calculation.error.clone(),
        retrying_since: calculation.retrying_since.map(iso),
    };
    let handover = |handover: Handover| HandoverShape {
        destination: handover.destination,
        from: handover.from,
        to: handover.to,
        at: iso(handover.at),
        lost_at: iso(handover.lost_at),
    };
    let alive = |sign: SignOfLife| SignOfLifeShape { at: iso(sign.at), worker: sign.worker };
    let silent_source = |silence: Silence| SilentSource {
        source: silence.source,
        last_received_at: silence.since.map(iso),
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
        other_ids: detail.other_ids,
        handover: detail.handover.map(handover),
        sign_of_life: detail.sign_of_life.map(alive),
        silent: silent.into_iter().map(silent_source).collect(),
        abandoned_at: detail.abandoned_at.map(iso),
        not_confirmed_at: detail.not_confirmed_at.map(iso),
        refold_at: detail.refold_at.map(iso),
        alerts: alerts.map(|alerts| alerts.into_iter().map(alert).collect()),
    }
}
