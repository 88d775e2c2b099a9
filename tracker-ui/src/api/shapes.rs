//! What the API shows of an order, and how times are written.

use order_store::read::OrderSummary;
use serde::Serialize;
use utoipa::ToSchema;

use crate::links;
pub(super) use crate::locale::iso;

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Order {
    order_id: String,
    /// The current stage as its source wrote it; empty when none was heard of.
    stage: String,
    /// Place in the lifecycle from 1; 0 for a status that the lifecycle does not know.
    rank: u16,
    label_ru: String,
    label_en: String,
    /// Since when the order is in the stage.
    #[schema(format = DateTime)]
    since: String,
    age_seconds: i64,
    /// Waybill's conclusion, never a source's status: the gravest of `stuck`, `late`,
    /// `lost_in_handover`, `not_confirmed`, `abandoned`, `unknown`, `retrying`, `fine`.
    condition: &'static str,
    terminal: bool,
    /// Whose turn it is: a key of the lifecycle's `[waiting_for]`.
    waiting_for: String,
    /// `custom`, `ready_made` or empty.
    kind: String,
    /// `b2c`, `b2b` or empty.
    channel: String,
    #[schema(format = DateTime)]
    first_event_at: String,
    #[schema(format = DateTime)]
    last_event_at: String,
    /// When Waybill last received anything of the order.
    #[schema(format = DateTime)]
    last_received_at: String,
    #[schema(format = DateTime)]
    late_at: Option<String>,
    #[schema(format = DateTime)]
    stuck_at: Option<String>,
    #[schema(format = DateTime)]
    promised_at: Option<String>,
    /// Whether the promise on the whole order is broken.
    overdue: bool,
    /// Whether a message about it was published and nobody took it in time.
    lost_in_handover: bool,
    /// Whether its calculation is being tried again.
    retrying: bool,
    /// Systems that could take it further and have fallen silent.
    silent_sources: Vec<String>,
    /// Whether it has ended for good, or the customer has given up.
    ended: bool,
    /// The order's page.
    #[schema(format = "uri")]
    page: String,
}

impl Order {
    pub(super) fn new(public_url: &str, order: &OrderSummary) -> Self {
        let time = |millis: Option<i64>| millis.map(iso);
        Self {
            order_id: order.order_id.clone(),
            stage: order.stage.clone(),
            rank: order.rank,
            label_ru: order.label_ru.clone(),
            label_en: order.label_en.clone(),
            since: iso(order.since),
            age_seconds: order.age_seconds.max(0),
            condition: order.condition.as_str(),
            terminal: order.terminal,
            waiting_for: order.waiting_for.clone(),
            kind: order.kind.clone(),
            channel: order.channel.clone(),
            first_event_at: iso(order.first_event_at),
            last_event_at: iso(order.last_event_at),
            last_received_at: iso(order.last_received_at),
            late_at: time(order.late_at),
            stuck_at: time(order.stuck_at),
            promised_at: time(order.promised_at),
            overdue: order.overdue,
            lost_in_handover: order.lost_in_handover,
            retrying: order.retrying,
            silent_sources: order.silent_sources.clone(),
            ended: order.ended,
            page: format!("{public_url}{}", links::order(&order.order_id)),
        }
    }
}
