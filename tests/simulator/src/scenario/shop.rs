//! The shop's traces: cart, upload of the 3D model, order. It reports stages as zero-length
//! spans, and in the upload of half of its orders as an event on the span that names the order.

use super::identity::Identity;
use super::spans::{publish, request, s3, sql, stage_span, step};
use crate::attributes::ORDER_STAGE;
use crate::stage::{Kind, Stage};
use crate::trace_plan::{SpanPlan, SpanRole, StepPlan, System};

/// The queue through which the CRM hears of orders.
pub const CRM_ORDERS: &str = "crm.orders";
/// The queue through which prices are asked for: of MES today, of the calc engine tomorrow.
pub const CALC_REQUESTS: &str = "calc.requests";

/// `INITIATED`: a piece goes into the cart.
#[must_use]
pub fn cart(order: &Identity) -> StepPlan {
    let root = request("POST", "/api/cart/items", 201)
        .at(0, 84)
        .with_all(order.named_by(System::Shop))
        .child(sql("SELECT", "shop", "products").at(6, 9))
        .child(stage_span(order.stage_attributes(System::Shop, Stage::Initiated)))
        .child(sql("INSERT", "shop", "carts").at(21, 14));
    step(System::Shop, root, Some(Stage::Initiated))
}

/// `FILE_UPLOADED`. The request and its first spans do not know the order: the model is stored
/// first and attached to the order afterwards.
#[must_use]
pub fn upload(order: &Identity) -> StepPlan {
    let stage = order.stage_attributes(System::Shop, Stage::FileUploaded);
    let root = request("PUT", "/api/models/{model}", 200)
        .at(0, 2_400)
        .child(s3("PutObject").at(30, 1_900))
        .child(sql("INSERT", "shop", "models").at(1_950, 12));
    let root = if order.named_late() {
        let mut attach = SpanPlan::new(SpanRole::Internal, "ModelService.attach")
            .at(0, 2_380)
            .with_all(order.named_by(System::Shop))
            .event(ORDER_STAGE, 0, stage);
        attach.ends_last = true;
        root.child(attach)
    } else {
        root.child(stage_span(stage))
    };
    step(System::Shop, root, Some(Stage::FileUploaded))
}

/// `SUBMITTED` in the shop: the order is placed, the CRM told, and the price asked for.
#[must_use]
pub fn submit(order: &Identity) -> StepPlan {
    let mut root = request("POST", "/api/orders", 201)
        .at(0, 190)
        .with_all(order.named_by(System::Shop))
        .child(sql("UPDATE", "shop", "orders").at(12, 22))
        .child(stage_span(order.stage_attributes(System::Shop, Stage::Submitted)))
        .child(publish(CRM_ORDERS, order.message_id(CRM_ORDERS, 1)).at(60, 7));
    if order.kind == Kind::Custom {
        root = root.child(publish(CALC_REQUESTS, order.message_id(CALC_REQUESTS, 1)).at(80, 6));
    }
    step(System::Shop, root, Some(Stage::Submitted))
}
