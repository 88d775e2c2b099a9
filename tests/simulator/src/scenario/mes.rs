//! The traces of MES: prices (until the calc engine takes them over), production, packing,
//! shipping, and the partners' API. It reports stages as log records for half of its orders and
//! as zero-length spans for the other half; the old packing screen reports none at all.

use super::identity::Identity;
use super::shop::{CALC_REQUESTS, CRM_ORDERS};
use super::spans::{delivery, publish, request, s3, sql, stage_log, stage_span, step};
use crate::attributes::{AWS_S3_KEY, CALC_ATTEMPT, ERROR_MESSAGE, HTTP_REQUEST_METHOD};
use crate::attributes::{HTTP_RESPONSE_STATUS_CODE, SERVER_ADDRESS};
use crate::stage::Stage;
use crate::trace_plan::{Attributes, SpanPlan, SpanRole, StepPlan, System};

/// The queue through which MES is told to make a piece.
pub const MES_PRODUCTION: &str = "mes.production";
/// The queue through which the CRM hears prices.
pub const CRM_PRICES: &str = "crm.prices";
/// The queue through which the CRM hears that a piece is with the carrier.
pub const CRM_SHIPMENTS: &str = "crm.shipments";
/// The old packing screen: its span is the only sign of `PACKAGING`.
pub const OLD_PACKING_ROUTE: &str = "/api/orders/{id}/packaging";

/// `SUBMITTED` through the partners' API: the price is asked for, the CRM creates the order.
#[must_use]
pub fn partner_order(order: &Identity) -> StepPlan {
    let root = request("POST", "/partner/v1/orders", 202)
        .at(0, 240)
        .with_all(order.named_by(System::Mes))
        .with_all(order.partner_attributes())
        .child(s3("PutObject").at(20, 120))
        .child(stage_span(order.stage_attributes(System::Mes, Stage::Submitted)))
        .child(publish(CALC_REQUESTS, order.message_id(CALC_REQUESTS, 1)).at(160, 5))
        .child(publish(CRM_ORDERS, order.message_id(CRM_ORDERS, 1)).at(170, 5));
    step(System::Mes, root, Some(Stage::Submitted))
}

/// `CALCULATION_RUNNING`: the request for a price is taken from the queue. Of the calculation
/// itself nothing is heard until it ends.
#[must_use]
pub fn start_calculation(order: &Identity, attempt: i64, redelivered: bool) -> StepPlan {
    let mut step = delivery(order, System::Mes, CALC_REQUESTS, attempt, redelivered);
    step.root = step
        .root
        .at(0, 45)
        .with_all(order.named_by(System::Mes))
        .child(sql("INSERT", "mes", "calculation_jobs").at(10, 8));
    let attributes = calculation_attributes(order, Stage::CalculationRunning, attempt);
    report(&mut step, order, Stage::CalculationRunning, attributes);
    step
}

/// `PRICE_CALCULATED`, after so many milliseconds of work.
#[must_use]
pub fn finish_calculation(order: &Identity, attempt: i64, took_ms: i64) -> StepPlan {
    let stage = Stage::PriceCalculated;
    let root = calculation(order, attempt, took_ms)
        .child(publish(CRM_PRICES, order.message_id(CRM_PRICES, attempt)).at(15, 6))
        .child(sql("UPDATE", "mes", "prices").at(2, 10));
    let mut step = step(System::Mes, root, None);
    report(&mut step, order, stage, calculation_attributes(order, stage, attempt));
    step
}

/// `CALCULATION_FAILED`, after so many milliseconds of work; asks again when told to.
#[must_use]
pub fn fail_calculation(order: &Identity, attempt: i64, took_ms: i64, again: bool) -> StepPlan {
    const REASON: &str = "mesh is not closed: 3 open edges";
    let stage = Stage::CalculationFailed;
    let mut root = calculation(order, attempt, took_ms);
    root.error = Some(REASON.to_owned());
    if again {
        let message_id = order.message_id(CALC_REQUESTS, attempt + 1);
        root = root.child(publish(CALC_REQUESTS, message_id).at(12, 6));
    }
    let mut step = step(System::Mes, root, None);
    let mut attributes = calculation_attributes(order, stage, attempt);
    attributes.push((ERROR_MESSAGE.to_owned(), REASON.into()));
    report(&mut step, order, stage, attributes);
    step
}

fn calculation(order: &Identity, attempt: i64, took_ms: i64) -> SpanPlan {
    let mut load = s3("GetObject").at(10 - took_ms, 300);
    if let Some(key) = &order.model_key {
        load = load.with(AWS_S3_KEY, key.as_str());
    }
    SpanPlan::new(SpanRole::Internal, "price.calculate")
        .at(-took_ms, took_ms + 30)
        .with_all(order.named_by(System::Mes))
        .with(CALC_ATTEMPT, attempt)
        .child(load)
}

fn calculation_attributes(order: &Identity, stage: Stage, attempt: i64) -> Attributes {
    let mut attributes = order.stage_attributes(System::Mes, stage);
    attributes.push((CALC_ATTEMPT.to_owned(), attempt.into()));
    attributes
}

/// The piece appears on the operators' list. No stage: nobody works on it yet.
#[must_use]
pub fn take_for_production(order: &Identity, redelivered: bool) -> StepPlan {
    let mut step = delivery(order, System::Mes, MES_PRODUCTION, 1, redelivered);
    step.root = step
        .root
        .at(0, 50)
        .with_all(order.named_by(System::Mes))
        .child(sql("INSERT", "mes", "work_orders").at(8, 14));
    step
}

/// `MANUFACTURING_STARTED`, for the first time or again after rework.
#[must_use]
pub fn start_production(order: &Identity, rework: bool) -> StepPlan {
    let route = if rework { "/api/orders/{id}/rework" } else { "/api/orders/{id}/start" };
    operated(order, "POST", route, Stage::ManufacturingStarted)
}

/// `MANUFACTURING_COMPLETED`.
#[must_use]
pub fn complete_production(order: &Identity) -> StepPlan {
    operated(order, "POST", "/api/orders/{id}/complete", Stage::ManufacturingCompleted)
}

/// `PACKAGING`: by scanner, with a signal; or on the old screen, which knows no signals.
#[must_use]
pub fn pack(order: &Identity) -> StepPlan {
    if !order.packed_by_old_screen() {
        return operated(order, "POST", "/api/packing/scan", Stage::Packaging);
    }
    let root = request("PUT", OLD_PACKING_ROUTE, 200)
        .at(0, 66)
        .with_all(order.named_by(System::Mes))
        .child(sql("UPDATE", "mes", "packages").at(7, 19));
    step(System::Mes, root, Some(Stage::Packaging))
}

/// `SHIPPED`: handed to the carrier, and the CRM told.
#[must_use]
pub fn ship(order: &Identity) -> StepPlan {
    let carrier = SpanPlan::new(SpanRole::Client, "POST")
        .at(14, 170)
        .with(HTTP_REQUEST_METHOD, "POST")
        .with(SERVER_ADDRESS, "api.carrier.example")
        .with(HTTP_RESPONSE_STATUS_CODE, 201);
    let mut step = operated(order, "POST", "/api/orders/{id}/ship", Stage::Shipped);
    step.root = step
        .root
        .at(0, 230)
        .child(carrier)
        .child(publish(CRM_SHIPMENTS, order.message_id(CRM_SHIPMENTS, 1)).at(195, 6));
    step
}

fn operated(order: &Identity, method: &str, route: &str, stage: Stage) -> StepPlan {
    let root = request(method, route, 200)
        .at(0, 58)
        .with_all(order.named_by(System::Mes))
        .child(sql("UPDATE", "mes", "work_orders").at(9, 15));
    let mut step = step(System::Mes, root, None);
    report(&mut step, order, stage, order.stage_attributes(System::Mes, stage));
    step
}

/// Reports the stage in the form this order's part of MES uses.
fn report(step: &mut StepPlan, order: &Identity, stage: Stage, attributes: Attributes) {
    step.stage = Some(stage);
    if order.mes_writes_logs() {
        step.logs.push(stage_log(attributes));
    } else {
        step.root.children.push(stage_span(attributes));
    }
}
