//! Every attribute key and signal name the simulated systems write, spelled once.
//!
//! The keys of HTTP, databases and hosts are the semantic conventions' own; the messaging keys
//! are theirs too, but still marked experimental in the published crate, so they stand here:
//! <https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/>.

pub use opentelemetry_semantic_conventions::attribute::{
    DB_COLLECTION_NAME, DB_NAMESPACE, DB_OPERATION_NAME, DB_QUERY_SUMMARY, DB_SYSTEM_NAME,
    HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, NETWORK_PROTOCOL_NAME,
    SERVER_ADDRESS, SERVER_PORT, URL_PATH, URL_SCHEME,
};

/// Name of the span, span event or log event with which a stage of an order begins, and the key
/// of the attribute that names the stage on it.
pub const ORDER_STAGE: &str = "order.stage";
/// `custom` or `ready_made`.
pub const ORDER_KIND: &str = "order.kind";
/// `b2c` or `b2b`.
pub const ORDER_CHANNEL: &str = "order.channel";
/// Object key of the uploaded 3D model; present when there is a model.
pub const ORDER_MODEL_KEY: &str = "order.model.key";
/// The partner's own number of the order; B2B only.
pub const ORDER_PARTNER_NUMBER: &str = "order.partner.number";
/// Which partner handed the order in; B2B only.
pub const PARTNER_ID: &str = "partner.id";
/// Which attempt at the price this is, counted from 1.
pub const CALC_ATTEMPT: &str = "calc.attempt";
/// Why an attempt failed.
pub const ERROR_MESSAGE: &str = "error.message";

/// The order id as the shop spells it.
pub const ORDER_ID: &str = "order.id";
/// The order id as older parts of the shop spell it.
pub const APP_ORDER_ID: &str = "app.order.id";
/// The order id as the CRM spells it.
pub const ORDER_ID_SNAKE: &str = "order_id";
/// The order id as MES spells it.
pub const ORDER_ID_CAMEL: &str = "orderId";

/// Always `rabbitmq` here.
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// The queue.
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
/// `send`, `receive` or `process`.
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
/// The broker client's word for it: `publish`, `consume`.
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
/// Unique per message; a redelivery keeps it.
pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
/// Routing key of the exchange.
pub const MESSAGING_ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
/// Whether the broker says it delivered the message before.
pub const MESSAGING_REDELIVERED: &str = "messaging.rabbitmq.message.redelivered";
/// Bucket of the 3D models.
pub const AWS_S3_BUCKET: &str = "aws.s3.bucket";
/// Object key within the bucket.
pub const AWS_S3_KEY: &str = "aws.s3.key";
/// Always `aws-api` on calls to S3.
pub const RPC_SYSTEM: &str = "rpc.system";
/// `S3`.
pub const RPC_SERVICE: &str = "rpc.service";
/// `PutObject`, `GetObject`.
pub const RPC_METHOD: &str = "rpc.method";
