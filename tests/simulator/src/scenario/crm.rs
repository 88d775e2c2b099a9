//! The CRM's traces: it hears of orders and prices by queue, sellers confirm, carriers report.
//! It reports stages as span events on the span that handles the request.

use super::identity::Identity;
use super::mes::{CRM_PRICES, CRM_SHIPMENTS, MES_PRODUCTION};
use super::shop::CRM_ORDERS;
use super::spans::{delivery, publish, request, sql, step};
use crate::attributes::ORDER_STAGE;
use crate::stage::Stage;
use crate::trace_plan::{SpanPlan, SpanRole, StepPlan, System};

/// The CRM takes a new order over. For some orders nothing in the trace names the order: only
/// the link to the publisher tells.
#[must_use]
pub fn take_order(order: &Identity) -> StepPlan {
    let step = delivery(order, System::Crm, CRM_ORDERS, 1, false);
    consumed(step, order, [("SELECT", "clients"), ("INSERT", "deals")].as_slice())
}

/// The CRM hears the price.
#[must_use]
pub fn take_price(order: &Identity, attempt: i64) -> StepPlan {
    let step = delivery(order, System::Crm, CRM_PRICES, attempt, false);
    consumed(step, order, [("UPDATE", "deals")].as_slice())
}

/// The CRM hears that the piece is with the carrier.
#[must_use]
pub fn take_shipment(order: &Identity) -> StepPlan {
    let step = delivery(order, System::Crm, CRM_SHIPMENTS, 1, false);
    consumed(step, order, [("UPDATE", "deals"), ("INSERT", "shipments")].as_slice())
}

fn consumed(mut step: StepPlan, order: &Identity, statements: &[(&str, &str)]) -> StepPlan {
    let mut root = step.root.at(0, 60);
    if !order.named_by_link_alone() {
        root = root.with_all(order.named_by(System::Crm));
    }
    for ((operation, table), start_ms) in statements.iter().zip([5, 25]) {
        root = root.child(sql(operation, "crm", table).at(start_ms, 11));
    }
    step.root = root;
    step
}

/// A seller calls the customer. The page is found by the client, so request and search do not
/// know the order; the note of the call, saved last, does.
#[must_use]
pub fn call(order: &Identity) -> StepPlan {
    let mut note = SpanPlan::new(SpanRole::Internal, "CallNote.save")
        .at(70, 400)
        .with_all(order.named_by(System::Crm));
    note.ends_last = order.named_late();
    let root = request("POST", "/crm/calls", 201)
        .at(0, 480)
        .child(sql("SELECT", "crm", "clients").at(8, 31))
        .child(sql("SELECT", "crm", "deals").at(44, 17))
        .child(note);
    step(System::Crm, root, None)
}

/// `MANUFACTURING_APPROVED`: the customer agreed, and MES is told to make the piece.
#[must_use]
pub fn approve(order: &Identity) -> StepPlan {
    let root = decided(order, "POST", "/crm/orders/{id}/approve", Stage::ManufacturingApproved)
        .child(publish(MES_PRODUCTION, order.message_id(MES_PRODUCTION, 1)).at(40, 6));
    step(System::Crm, root, Some(Stage::ManufacturingApproved))
}

/// `CANCELLED`: the customer changed his mind.
#[must_use]
pub fn cancel(order: &Identity) -> StepPlan {
    let root = decided(order, "POST", "/crm/orders/{id}/cancel", Stage::Cancelled);
    step(System::Crm, root, Some(Stage::Cancelled))
}

/// `CLOSED`, by the carrier's message, or by hand.
#[must_use]
pub fn close(order: &Identity) -> StepPlan {
    let route = if order.number.is_multiple_of(5) {
        "/crm/orders/{id}/close"
    } else {
        "/webhooks/carrier/delivered"
    };
    step(System::Crm, decided(order, "POST", route, Stage::Closed), Some(Stage::Closed))
}

fn decided(order: &Identity, method: &str, route: &str, stage: Stage) -> SpanPlan {
    request(method, route, 200)
        .at(0, 75)
        .with_all(order.named_by(System::Crm))
        .event(ORDER_STAGE, 0, order.stage_attributes(System::Crm, stage))
        .child(sql("UPDATE", "crm", "deals").at(9, 18))
}
