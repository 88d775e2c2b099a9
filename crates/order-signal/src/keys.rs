//! The attribute keys of signals, each spelled once. Those that `order-model` has come from there.

pub use order_model::keys::{HEARTBEAT_NAME, ORDER_ID, ORDER_STAGE, STAGE_SIGNAL_NAME};

/// `custom` or `ready_made`.
pub const ORDER_KIND: &str = "order.kind";
/// `b2c` or `b2b`.
pub const ORDER_CHANNEL: &str = "order.channel";
/// Where the 3D model of the order is kept, without credentials.
pub const ORDER_MODEL_KEY: &str = "order.model.key";
/// The number that a partner gave to the order.
pub const ORDER_PARTNER_NUMBER: &str = "order.partner.number";
/// Which partner that is.
pub const ORDER_PARTNER_ID: &str = "order.partner.id";
/// How often a calculation was begun, from 1.
pub const CALC_ATTEMPT: &str = "calc.attempt";
/// Who is at work, by OpenTelemetry's resource conventions.
pub const SERVICE_INSTANCE_ID: &str = "service.instance.id";
/// Where, by OpenTelemetry's resource conventions.
pub const HOST_NAME: &str = "host.name";
