//! Sample orders: one for every condition that a page shows, with their traces.

use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use order_store::rows::{
    Batch, OrderAliasRow, OrderEventRow, OrderTraceRow, SpanRow, TraceLinkRow,
};

/// Seconds in a minute, an hour and a day.
pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// An order id that must do no harm wherever it is shown.
pub(crate) const HOSTILE: &str = "\"><script>alert('ORD')</script>long";
/// A stuck calculation with two attempts, five traces and an error.
pub(crate) const STUCK: &str = "ORD-2026-000106";
/// An order of a partner, whose own number is `P-77/2026`.
pub(crate) const PARTNER: &str = "B2B-2026-000042";

/// An order under construction. Times are seconds before `now_ms`.
pub(crate) struct Order<'a> {
    id: &'a str,
    now_ms: i64,
    batch: Batch,
    spans: u32,
}

impl<'a> Order<'a> {
    /// An order of the shop that has a model.
    pub(crate) fn new(id: &'a str, now_ms: i64) -> Self {
        Self { id, now_ms, batch: Batch::default(), spans: 0 }
    }

    fn nanos(&self, age_s: i64) -> i64 {
        self.now_ms * NANOS_PER_MILLI - age_s * NANOS_PER_SECOND
    }

    fn trace_id(&self, trace: u32) -> String {
        let mut hash: u128 = 0xcbf2_9ce4_8422_2325;
        for byte in self.id.bytes() {
            hash = (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_01b3_0000_0001_93a7);
        }
        format!("{:032x}", hash.wrapping_add(u128::from(trace)))
    }

    /// A trace that names the order.
    pub(crate) fn trace(mut self, trace: u32, age_s: i64, kind: &str, channel: &str) -> Self {
        let at = self.nanos(age_s);
        self.batch.order_traces.push(OrderTraceRow {
            order_id: self.id.into(),
            trace_id: self.trace_id(trace),
            start: at,
            end: at,
            received_at: self.now_ms,
            has_model: u8::from(kind == "custom"),
            kind: kind.into(),
            channel: channel.into(),
            ..OrderTraceRow::default()
        });
        self
    }

    /// A stage that begins, said in a trace.
    pub(crate) fn stage(self, trace: u32, age_s: i64, source: &str, stage: &str) -> Self {
        self.signal(trace, age_s, source, "stage", stage, 0)
    }

    /// A signal in a trace.
    pub(crate) fn signal(
        mut self,
        trace: u32,
        age_s: i64,
        source: &str,
        signal: &str,
        stage: &str,
        attempt: u32,
    ) -> Self {
        self.batch.order_events.push(OrderEventRow {
            order_id: self.id.into(),
            signal: signal.into(),
            stage: stage.into(),
            event_time: self.nanos(age_s),
            received_at: self.now_ms,
            source: source.into(),
            trace_id: self.trace_id(trace),
            span_id: "00000000000000aa".into(),
            attempt,
            ..OrderEventRow::default()
        });
        self
    }

    /// A span: `parent` is 0 for a root, else the number of the span, from 1.
    pub(crate) fn span(
        mut self,
        trace: u32,
        parent: u32,
        age_s: i64,
        length_ms: u64,
        service: &str,
        name: &str,
    ) -> Self {
        self.spans += 1;
        let id = |n: u32| if n == 0 { String::new() } else { format!("{n:016x}") };
        self.batch.spans.push(SpanRow {
            timestamp: self.nanos(age_s) + i64::from(self.spans) * 3 * NANOS_PER_MILLI,
            trace_id: self.trace_id(trace),
            span_id: id(self.spans),
            parent_span_id: id(parent),
            span_name: name.into(),
            span_kind: "Internal".into(),
            service_name: service.into(),
            duration: length_ms * 1_000_000,
            status_code: "Unset".into(),
            received_at: self.now_ms,
            ..SpanRow::default()
        });
        self
    }

    /// The span before failed.
    pub(crate) fn failed(mut self, message: &str) -> Self {
        if let Some(span) = self.batch.spans.last_mut() {
            span.status_code = "Error".into();
            span.status_message = message.into();
        }
        self
    }

    /// A link from a trace that names no order to one that does.
    pub(crate) fn link(mut self, trace: u32, linked: u32) -> Self {
        self.batch.trace_links.push(TraceLinkRow {
            trace_id: self.trace_id(trace),
            span_id: "00000000000000bb".into(),
            linked_trace_id: self.trace_id(linked),
            linked_span_id: "00000000000000aa".into(),
            received_at: self.now_ms,
        });
        self
    }

    /// Another name of the order.
    pub(crate) fn alias(mut self, kind: &str, name: &str) -> Self {
        self.batch.order_aliases.push(OrderAliasRow {
            alias: order_model::order_id::search_key(name),
            alias_kind: kind.into(),
            order_id: self.id.into(),
            received_at: self.now_ms,
            ..OrderAliasRow::default()
        });
        self
    }

    /// What it adds to the store.
    pub(crate) fn done(self) -> Batch {
        self.batch
    }
}

/// One order for every condition: stuck 3, late 2, and the rest as named.
pub(crate) fn samples(now_ms: i64) -> Batch {
    let custom = |id, age_s| Order::new(id, now_ms).trace(1, age_s, "custom", "b2c");
    let mut all = stuck_calculation(now_ms);
    let orders =
        [
            custom("ORD-2026-000101", 2 * HOUR).stage(1, 2 * HOUR, "shop", "INITIATED"),
            custom("ORD-2026-000102", 3 * HOUR).stage(1, 3 * HOUR, "shop", "FILE_UPLOADED"),
            custom("ORD-2026-000103", 5 * MINUTE).stage(1, 5 * MINUTE, "shop", "SUBMITTED"),
            custom("ORD-2026-000104", 21 * MINUTE).stage(1, 21 * MINUTE, "shop", "SUBMITTED"),
            custom("ORD-2026-000105", 75 * MINUTE).stage(1, 75 * MINUTE, "shop", "SUBMITTED"),
            custom("ORD-2026-000107", 12 * MINUTE)
                .stage(1, 12 * MINUTE, "shop", "SUBMITTED")
                .signal(1, 11 * MINUTE, "mes", "stage", "CALCULATION_RUNNING", 1),
            custom("ORD-2026-000108", 6 * HOUR).stage(1, 6 * HOUR, "shop", "SUBMITTED").stage(
                1,
                5 * HOUR,
                "mes",
                "PRICE_CALCULATED",
            ),
            custom("ORD-2026-000109", 3 * DAY).stage(1, 3 * DAY, "shop", "SUBMITTED").stage(
                1,
                2 * DAY,
                "mes",
                "PRICE_CALCULATED",
            ),
            custom("ORD-2026-000110", 5 * DAY)
                .stage(1, 5 * DAY, "shop", "SUBMITTED")
                .stage(1, 4 * DAY, "mes", "PRICE_CALCULATED")
                .stage(1, 3 * DAY, "crm", "MANUFACTURING_APPROVED"),
            rework(now_ms),
            custom("ORD-2026-000112", 9 * DAY).stage(1, 9 * DAY, "shop", "SUBMITTED").stage(
                1,
                2 * DAY,
                "mes",
                "SHIPPED",
            ),
            custom("ORD-2026-000113", 30 * DAY)
                .stage(1, 30 * DAY, "shop", "SUBMITTED")
                .stage(1, 16 * DAY, "mes", "SHIPPED")
                .stage(1, 12 * DAY, "crm", "CLOSED"),
            custom("ORD-2026-000114", 2 * DAY).stage(1, 2 * DAY, "crm", "CANCELLED"),
            custom("ORD-2026-000116", 4 * HOUR).stage(1, 4 * HOUR, "mes", "WAITING_FOR_PAINT"),
            custom(HOSTILE, HOUR).stage(1, HOUR, "<b>mes</b>", "<img src=x onerror=alert(1)>"),
            Order::new(PARTNER, now_ms)
                .trace(1, 10 * MINUTE, "custom", "b2b")
                .stage(1, 10 * MINUTE, "calc-engine", "SUBMITTED")
                .alias("partner_number", "P-77/2026"),
            Order::new("ORD-2026-000117", now_ms).trace(1, 2 * HOUR, "ready_made", "b2c").stage(
                1,
                2 * HOUR,
                "shop",
                "SUBMITTED",
            ),
        ];
    for order in orders {
        all.append(order.done());
    }
    all
}

/// Went back from packing to production.
fn rework(now_ms: i64) -> Order<'static> {
    Order::new("ORD-2026-000111", now_ms)
        .trace(1, 10 * DAY, "custom", "b2c")
        .stage(1, 10 * DAY, "shop", "SUBMITTED")
        .stage(1, 9 * DAY, "mes", "PRICE_CALCULATED")
        .stage(1, 8 * DAY, "crm", "MANUFACTURING_APPROVED")
        .stage(1, 7 * DAY, "mes", "MANUFACTURING_STARTED")
        .stage(1, 3 * DAY, "mes", "MANUFACTURING_COMPLETED")
        .stage(1, 2 * DAY, "mes", "MANUFACTURING_STARTED")
}

fn stuck_calculation(now_ms: i64) -> Batch {
    Order::new(STUCK, now_ms)
        .trace(1, 2 * HOUR, "custom", "b2c")
        .trace(2, 95 * MINUTE, "custom", "b2c")
        .trace(3, 90 * MINUTE, "custom", "b2c")
        .stage(1, 2 * HOUR, "shop", "INITIATED")
        .stage(2, 96 * MINUTE, "shop", "FILE_UPLOADED")
        .stage(3, 90 * MINUTE, "shop", "SUBMITTED")
        .signal(3, 90 * MINUTE - 2, "crm", "price_requested", "", 0)
        .signal(3, 88 * MINUTE, "mes", "stage", "CALCULATION_RUNNING", 1)
        .signal(3, 80 * MINUTE, "mes", "stage", "CALCULATION_FAILED", 1)
        .signal(3, 72 * MINUTE, "mes", "stage", "CALCULATION_RUNNING", 2)
        .span(1, 0, 2 * HOUR, 84, "shop", "POST /api/cart")
        .span(1, 1, 2 * HOUR, 12, "shop", "INSERT shop.orders")
        .span(2, 0, 96 * MINUTE, 2_340, "shop", "POST /api/orders/{id}/file")
        .span(2, 3, 96 * MINUTE, 2_100, "shop", "S3 PutObject")
        .span(3, 0, 90 * MINUTE, 160, "shop", "POST /api/orders/{id}/submit")
        .span(3, 5, 90 * MINUTE, 40, "crm", "calc.requests publish")
        .span(4, 0, 88 * MINUTE, 480_000, "mes", "calc.requests process")
        .span(4, 7, 88 * MINUTE, 479_000, "mes", "mesh slicing")
        .failed("worker lost: out of memory")
        .span(5, 0, 72 * MINUTE, 15, "mes", "calc.requests receive")
        .link(4, 3)
        .link(5, 3)
        .alias("message_id", "msg-000106")
        .done()
}
