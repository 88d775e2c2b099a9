//! Orders as the collector would write their facts.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use order_store::rows::{Batch, HeartbeatRow, OrderEventRow, OrderTraceRow};

/// Who calculates.
const WORKER: &str = "calc-7";

/// A point in time, on the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(DateTime<Utc>);

/// That long before now; negative: after.
pub(crate) fn minutes_ago(minutes: i64) -> Moment {
    let now = DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap();
    Moment(now - TimeDelta::minutes(minutes))
}

impl Moment {
    pub(crate) fn plus_minutes(self, minutes: i64) -> Self {
        Self(self.0 + TimeDelta::minutes(minutes))
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self(DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc))
    }

    /// As annotations write it.
    pub(crate) fn on_the_minute(self) -> String {
        self.0.format("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// Milliseconds since 1970.
    pub(crate) fn millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    fn nanos(self) -> i64 {
        self.0.timestamp_nanos_opt().unwrap()
    }
}

/// As Go writes it: no trailing zeros in the fraction.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_rfc3339_opts(SecondsFormat::Millis, true);
        let bare = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        write!(f, "{bare}Z")
    }
}

/// The facts of one order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    id: String,
    facts: OrderTraceRow,
    events: Vec<OrderEventRow>,
    signs: Vec<HeartbeatRow>,
}

impl Order {
    pub(crate) fn new(id: &str) -> Self {
        let facts = OrderTraceRow {
            order_id: id.to_owned(),
            trace_id: format!(
                "{:0>32}",
                id.bytes().map(|b| format!("{b:02x}")).collect::<String>()
            ),
            has_model: 1,
            channel: "b2c".to_owned(),
            start: minutes_ago(600).nanos(),
            end: minutes_ago(0).nanos(),
            received_at: minutes_ago(0).nanos() / 1_000_000,
            ..OrderTraceRow::default()
        };
        Self { id: id.to_owned(), facts, events: Vec::new(), signs: Vec::new() }
    }

    pub(crate) fn submitted(self, at: Moment) -> Self {
        self.entered("SUBMITTED", at, "shop", 0)
    }

    pub(crate) fn partner(mut self, at: Moment) -> Self {
        self.facts.channel = "b2b".to_owned();
        self.entered("SUBMITTED", at, "calc-engine", 0)
    }

    pub(crate) fn ready_made(mut self, at: Moment) -> Self {
        self.facts.has_model = 0;
        self.facts.kind = "ready_made".to_owned();
        self.submitted(at)
    }

    /// The request for its price is published.
    pub(crate) fn queued(mut self, at: Moment) -> Self {
        self = self.entered("", at, "crm", 0);
        if let Some(event) = self.events.last_mut() {
            event.signal = order_model::keys::SIGNAL_PRICE_REQUESTED.to_owned();
        }
        self
    }

    pub(crate) fn running(self, at: Moment, attempt: u32) -> Self {
        self.entered("CALCULATION_RUNNING", at, "calc-engine", attempt)
    }

    pub(crate) fn priced(self, at: Moment) -> Self {
        self.entered("PRICE_CALCULATED", at, "calc-engine", 0)
    }

    pub(crate) fn approved(self, at: Moment) -> Self {
        self.entered("MANUFACTURING_APPROVED", at, "crm", 0)
    }

    pub(crate) fn cancelled(self, at: Moment) -> Self {
        self.entered("CANCELLED", at, "crm", 0)
    }

    fn entered(mut self, stage: &str, at: Moment, source: &str, attempt: u32) -> Self {
        self.events.push(OrderEventRow {
            order_id: self.id.clone(),
            signal: order_model::keys::SIGNAL_STAGE.to_owned(),
            stage: stage.to_owned(),
            event_time: at.nanos(),
            received_at: minutes_ago(0).nanos() / 1_000_000,
            source: source.to_owned(),
            trace_id: self.facts.trace_id.clone(),
            span_id: "00000000000000aa".to_owned(),
            attempt,
            evidence: vec![("worker".to_owned(), WORKER.to_owned())],
            ..OrderEventRow::default()
        });
        self
    }

    /// Work on it was alive at that time.
    pub(crate) fn alive(mut self, at: Moment) -> Self {
        self.signs.push(HeartbeatRow {
            order_id: self.id.clone(),
            source: "calc-engine".to_owned(),
            worker: WORKER.to_owned(),
            last_at: at.nanos(),
            received_at: minutes_ago(0).nanos() / 1_000_000,
            ..HeartbeatRow::default()
        });
        self
    }

    pub(crate) fn batch(&self) -> Batch {
        Batch {
            order_events: self.events.clone(),
            order_heartbeats: self.signs.clone(),
            order_traces: vec![self.facts.clone()],
            ..Batch::default()
        }
    }
}
