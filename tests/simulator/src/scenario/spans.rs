//! The spans that every service writes alike: requests, SQL, object store, broker, stages.
//!
//! SQL is described by operation and table only: a real service must not put parameters into
//! spans, and neither does this one.

use super::identity::Identity;
use crate::attributes as key;
use crate::stage::Stage;
use crate::trace_plan::{Attributes, EventPlan, SpanPlan, SpanRole, StepPlan, System};

/// A request answered: `POST /api/orders/{id}/ship`.
#[must_use]
pub fn request(method: &str, route: &str, status: i64) -> SpanPlan {
    SpanPlan::new(SpanRole::Server, format!("{method} {route}"))
        .with(key::HTTP_REQUEST_METHOD, method)
        .with(key::HTTP_ROUTE, route)
        .with(key::HTTP_RESPONSE_STATUS_CODE, status)
        .with(key::URL_SCHEME, "https")
        .with(key::NETWORK_PROTOCOL_NAME, "http")
}

/// A statement on PostgreSQL: operation and table.
#[must_use]
pub fn sql(operation: &str, namespace: &str, table: &str) -> SpanPlan {
    let summary = format!("{operation} {namespace}.{table}");
    SpanPlan::new(SpanRole::Client, summary.clone())
        .with(key::DB_SYSTEM_NAME, "postgresql")
        .with(key::DB_NAMESPACE, namespace)
        .with(key::DB_OPERATION_NAME, operation)
        .with(key::DB_COLLECTION_NAME, table)
        .with(key::DB_QUERY_SUMMARY, summary)
        .with(key::SERVER_ADDRESS, "postgres.internal")
        .with(key::SERVER_PORT, 5432)
}

/// A call to the object store.
#[must_use]
pub fn s3(method: &str) -> SpanPlan {
    SpanPlan::new(SpanRole::Client, format!("S3 {method}"))
        .with(key::RPC_SYSTEM, "aws-api")
        .with(key::RPC_SERVICE, "S3")
        .with(key::RPC_METHOD, method)
        .with(key::AWS_S3_BUCKET, "models")
        .with(key::SERVER_ADDRESS, "s3.internal")
}

/// A message published to a queue; its context goes into the message's headers.
#[must_use]
pub fn publish(queue: &str, message_id: String) -> SpanPlan {
    let mut span = messaging(SpanRole::Producer, queue, "publish", "send", &message_id);
    span.publishes = Some(message_id);
    span
}

/// A message taken from a queue, linked to the span that published it.
#[must_use]
pub fn consume(queue: &str, message_id: &str, redelivered: bool) -> SpanPlan {
    let mut span = messaging(SpanRole::Consumer, queue, "process", "process", message_id)
        .with(key::MESSAGING_REDELIVERED, redelivered);
    span.links_to_producer = true;
    span
}

fn messaging(role: SpanRole, queue: &str, operation: &str, kind: &str, id: &str) -> SpanPlan {
    SpanPlan::new(role, format!("{queue} {operation}"))
        .with(key::MESSAGING_SYSTEM, "rabbitmq")
        .with(key::MESSAGING_DESTINATION_NAME, queue)
        .with(key::MESSAGING_ROUTING_KEY, queue)
        .with(key::MESSAGING_OPERATION_NAME, operation)
        .with(key::MESSAGING_OPERATION_TYPE, kind)
        .with(key::MESSAGING_MESSAGE_ID, id)
        .with(key::SERVER_ADDRESS, "rabbitmq.internal")
        .with(key::SERVER_PORT, 5672)
}

/// The zero-length span with which a stage begins.
#[must_use]
pub fn stage_span(attributes: Attributes) -> SpanPlan {
    SpanPlan::new(SpanRole::Internal, key::ORDER_STAGE).with_all(attributes)
}

/// The log record with which a stage begins.
#[must_use]
pub fn stage_log(attributes: Attributes) -> EventPlan {
    EventPlan { name: key::ORDER_STAGE.to_owned(), at_ms: 0, attributes }
}

/// A step that a person or a partner sets off.
#[must_use]
pub fn step(system: System, root: SpanPlan, stage: Option<Stage>) -> StepPlan {
    StepPlan { system, at_ms: 0, consumes: None, redelivered: false, root, logs: Vec::new(), stage }
}

/// A step that answers a message of the order.
#[must_use]
pub fn delivery(
    order: &Identity,
    system: System,
    queue: &str,
    attempt: i64,
    redelivered: bool,
) -> StepPlan {
    let message_id = order.message_id(queue, attempt);
    let root = consume(queue, &message_id, redelivered);
    StepPlan { consumes: Some(message_id), redelivered, ..step(system, root, None) }
}
