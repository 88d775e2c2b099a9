//! Facts as small sentences, set apart by `+`:
//!
//! - `name A t`, `name A t/1`: a trace (or one span of it, as well) names an order.
//! - `guess P7 t`: a trace names a partner's number only, which stands for the order.
//! - `number A 7`, `number A 7 ACME`: a partner's number of an order. `message A m t`: a message about an order, and
//!   the trace (or none) that says so. `heard P7 m`: the same of an order known by its number.
//! - `link u t`, `link u/1 t/2`: a span links to another. `meets u m`: it has a message.
//! - `stage A SHIPPED 5`: the order was in a stage 5 s ago. `said t SHIPPED 5`: who sent that
//!   trace said so, of nobody.

use order_model::graph::message_carrier;
use order_model::keys::{ALIAS_MESSAGE_ID, ALIAS_PARTNER_NUMBER, SIGNAL_STAGE};
use order_model::order_id::search_key;
use order_model::time::NANOS_PER_MILLI;
use order_store::rows::{Batch, OrderAliasRow, OrderEventRow, OrderTraceRow, TraceLinkRow};

use crate::server::Server;

pub(super) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// The facts of one world, whose ids all begin with its name.
pub(super) fn batch(world: &str, facts: &str) -> Batch {
    let world = World { name: world, now: now_ms() };
    let mut batch = Batch::default();
    for fact in facts.split(" + ") {
        let words: Vec<&str> = fact.split(' ').collect();
        batch.append(match words[..] {
            ["name", order, place] => world.naming(order, place, 0),
            ["guess", number, trace] => {
                let mut batch = world.naming(number, trace, 1);
                batch.append(world.alias(number, ALIAS_PARTNER_NUMBER, number, 1));
                batch
            }
            ["number", order, number, partner] => {
                let mut batch = world.named_alias(order, ALIAS_PARTNER_NUMBER, number, "");
                batch.order_aliases.iter_mut().for_each(|row| row.scope = partner.to_owned());
                batch
            }
            ["number", order, number] => world.named_alias(order, ALIAS_PARTNER_NUMBER, number, ""),
            ["message", order, id] => world.named_alias(order, ALIAS_MESSAGE_ID, id, ""),
            ["message", order, id, trace] => world.named_alias(order, ALIAS_MESSAGE_ID, id, trace),
            ["heard", number, id] => world.alias(number, ALIAS_MESSAGE_ID, id, 1),
            ["link", from, to] => world.link(from, to),
            ["meets", trace, id] => world.meeting(trace, id),
            ["stage", order, stage, age_s] => world.stage((order, ""), stage, age_s),
            ["said", carrier, stage, age_s] => world.stage(("", carrier), stage, age_s),
            _ => panic!("what does `{fact}` mean?"),
        });
    }
    batch
}

/// Every order of a world: `A SHIPPED; was PACKAGING SHIPPED; also P7; named t; linked u`.
pub(super) async fn shown(server: &Server, world: &str) -> Vec<String> {
    let sql = "SELECT concat(OrderId, ' ', Stage, \
        if(empty(HistoryStage), '', concat('; was ', arrayStringConcat(HistoryStage, ' '))), \
        if(empty(OtherIds), '', concat('; also ', arrayStringConcat(arraySort(OtherIds), ' '))), \
        if(empty(Traces), '', concat('; named ', arrayStringConcat(arraySort(Traces), ' '))), \
        if(empty(LinkedTraces), '', \
            concat('; linked ', arrayStringConcat(arraySort(LinkedTraces), ' ')))) \
        FROM orders FINAL WHERE startsWith(OrderId, {world:String}) AND MergedInto = '' \
        ORDER BY OrderId";
    let query = server.store.client().query(sql).param("world", world);
    let rows: Vec<String> = query.fetch_all().await.unwrap();
    rows.iter().map(|row| row.replace(world, "")).collect()
}

struct World<'a> {
    name: &'a str,
    now: i64,
}

impl World<'_> {
    fn id(&self, text: &str) -> String {
        if text.is_empty() { String::new() } else { format!("{}{text}", self.name) }
    }

    fn place(&self, text: &str) -> (String, String) {
        let (trace, span) = text.split_once('/').unwrap_or((text, ""));
        (self.id(trace), span.to_owned())
    }

    fn naming(&self, order: &str, place: &str, provisional: u8) -> Batch {
        let (trace_id, span_id) = self.place(place);
        let whole = OrderTraceRow {
            order_id: self.id(order),
            trace_id,
            provisional,
            start: self.now * NANOS_PER_MILLI,
            end: self.now * NANOS_PER_MILLI,
            received_at: self.now,
            ..OrderTraceRow::default()
        };
        let of_span = OrderTraceRow { span_id, ..whole.clone() };
        let mut order_traces = vec![whole];
        if !of_span.span_id.is_empty() {
            order_traces.push(of_span);
        }
        Batch { order_traces, ..Batch::default() }
    }

    fn alias(&self, order: &str, alias_kind: &str, alias: &str, provisional: u8) -> Batch {
        let alias = OrderAliasRow {
            alias: search_key(&self.id(alias)),
            alias_kind: alias_kind.to_owned(),
            scope: String::new(),
            order_id: self.id(order),
            provisional,
            received_at: self.now,
        };
        Batch { order_aliases: vec![alias], ..Batch::default() }
    }

    fn named_alias(&self, order: &str, alias_kind: &str, alias: &str, trace: &str) -> Batch {
        let mut batch = self.alias(order, alias_kind, alias, 0);
        batch.append(self.naming(order, trace, 0));
        batch
    }

    fn link(&self, from: &str, to: &str) -> Batch {
        let (trace_id, span_id) = self.place(from);
        let (linked_trace_id, linked_span_id) = self.place(to);
        let received_at = self.now;
        let link = TraceLinkRow { trace_id, span_id, linked_trace_id, linked_span_id, received_at };
        Batch { trace_links: vec![link], ..Batch::default() }
    }

    fn meeting(&self, trace: &str, message: &str) -> Batch {
        let meeting = TraceLinkRow {
            trace_id: self.id(trace),
            span_id: "9".to_owned(),
            linked_trace_id: message_carrier(&search_key(&self.id(message))),
            linked_span_id: String::new(),
            received_at: self.now,
        };
        Batch { trace_links: vec![meeting], ..Batch::default() }
    }

    /// With an order comes a naming of it, as the collector writes it.
    fn stage(&self, (order, carrier): (&str, &str), stage: &str, age_s: &str) -> Batch {
        let age_ms = age_s.parse::<i64>().unwrap() * 1_000;
        let event = OrderEventRow {
            order_id: self.id(order),
            carrier: self.id(carrier),
            signal: SIGNAL_STAGE.to_owned(),
            stage: stage.to_owned(),
            event_time: (self.now - age_ms) * NANOS_PER_MILLI,
            received_at: self.now,
            source: "mes".to_owned(),
            ..OrderEventRow::default()
        };
        let mut batch = Batch { order_events: vec![event], ..Batch::default() };
        if !order.is_empty() {
            batch.append(self.naming(order, "", 0));
        }
        batch
    }
}
