//! Attribute keys and values that Waybill itself writes or reads by name.
//!
//! Keys by which other systems spell an order id or a stage are configuration: see `[keys]` in
//! `lifecycle.toml`. What stands here is what our own services and documentation use.

/// The order's id, as we ask systems to write it.
pub const ORDER_ID: &str = "order.id";
/// The stage that begins now.
pub const ORDER_STAGE: &str = "order.stage";
/// Name of the span event, zero-length span or log event that carries a stage signal.
pub const STAGE_SIGNAL_NAME: &str = "order.stage";
/// `service.name`, by OpenTelemetry's resource conventions.
pub const SERVICE_NAME: &str = "service.name";

/// Value of the kind attribute: a piece made to order.
pub const KIND_CUSTOM: &str = "custom";
/// Value of the kind attribute: a ready-made piece, which needs no price.
pub const KIND_READY_MADE: &str = "ready_made";
/// Value of the channel attribute: a customer of the shop.
pub const CHANNEL_B2C: &str = "b2c";
/// Value of the channel attribute: a partner through the API.
pub const CHANNEL_B2B: &str = "b2b";

/// `order_events.Signal` of a stage that begins.
pub const SIGNAL_STAGE: &str = "stage";
/// `order_events.Signal` of a published request for a price.
pub const SIGNAL_PRICE_REQUESTED: &str = "price_requested";
/// `order_events.Signal` of a message about the order that was sent to another system; its
/// `Stage` is the destination.
pub const SIGNAL_HANDED_OVER: &str = "handed_over";
/// `order_events.Signal` of such a message that was taken; its `Stage` is the destination.
pub const SIGNAL_TAKEN_OVER: &str = "taken_over";
/// Name of the span event, zero-length span or log event that says that long work is alive.
pub const HEARTBEAT_NAME: &str = "order.heartbeat";

/// `order_aliases.AliasKind` of an order's own id.
pub const ALIAS_ORDER_ID: &str = "order_id";
/// `order_aliases.AliasKind` of the number that a partner gave to one order.
pub const ALIAS_PARTNER_NUMBER: &str = "partner_number";
/// `order_aliases.AliasKind` of a number named together with several orders: it glues nothing.
pub const ALIAS_SHARED_NUMBER: &str = "shared_number";
/// `order_aliases.AliasKind` of a message about the order.
pub const ALIAS_MESSAGE_ID: &str = "message_id";
