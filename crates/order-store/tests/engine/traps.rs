//! What a review found and must not come back: batches of thousands, glue that outlives its
//! reason, orders that hang on too much.

use order_model::Lifecycle;
use order_model::keys::{ALIAS_PARTNER_NUMBER, SIGNAL_STAGE};
use order_store::rows::{Batch, OrderAliasRow, OrderEventRow, OrderTraceRow, TraceLinkRow};
use order_store::{Stitcher, Writer};

use crate::server::Server;

struct Store {
    server: Server,
    inserts: u32,
}

impl Store {
    async fn start() -> Self {
        let server = Server::start();
        server.store.migrate(&Lifecycle::default()).await.unwrap();
        Self { server, inserts: 0 }
    }

    async fn take(&mut self, batch: &Batch) {
        self.inserts += 1;
        let token = format!("t{}", self.inserts);
        Writer::new(self.server.store.clone()).insert(batch, &token).await.unwrap();
        let stitcher = Stitcher::new(self.server.store.clone(), Default::default());
        stitcher.stitch(&batch.touched()).await.unwrap();
    }

    async fn ids(&self, sql: &str) -> Vec<String> {
        self.server.store.client().query(sql).fetch_all().await.unwrap()
    }
}

fn naming(order: &str, trace: &str, span: &str, provisional: u8) -> OrderTraceRow {
    OrderTraceRow {
        order_id: order.into(),
        trace_id: trace.into(),
        span_id: span.into(),
        provisional,
        received_at: chrono::Utc::now().timestamp_millis(),
        ..OrderTraceRow::default()
    }
}

fn stage(carrier: &str, stage: &str) -> OrderEventRow {
    let received_at = chrono::Utc::now().timestamp_millis();
    OrderEventRow {
        carrier: carrier.into(),
        signal: SIGNAL_STAGE.into(),
        stage: stage.into(),
        event_time: received_at * 1_000_000,
        received_at,
        source: "mes".into(),
        ..OrderEventRow::default()
    }
}

/// A trace of 12,000 messages, each about its own order; the consumer of one says "shipped".
#[tokio::test]
async fn of_a_large_batch_only_the_order_of_the_linked_span_is_meant() {
    let mut store = Store::start().await;
    let mut batch = Batch::default();
    for n in 0..12_000 {
        let order = format!("B{n:05}");
        batch.order_traces.push(naming(&order, "batch", "", 0));
        batch.order_traces.push(naming(&order, "batch", &format!("s{n:05}"), 0));
    }
    store.take(&batch).await;
    let consumer = Batch {
        order_events: vec![stage("consumer", "SHIPPED")],
        trace_links: vec![TraceLinkRow {
            trace_id: "consumer".into(),
            span_id: "c".into(),
            linked_trace_id: "batch".into(),
            linked_span_id: "s11999".into(),
            received_at: chrono::Utc::now().timestamp_millis(),
        }],
        ..Batch::default()
    };
    store.take(&consumer).await;
    // The last of more orders than one trace brings along is reached when it is touched itself.
    let last = Batch { order_traces: vec![naming("B11999", "batch", "", 0)], ..Batch::default() };
    store.take(&last).await;
    let sql = "SELECT OrderId FROM orders FINAL WHERE Stage = 'SHIPPED' ORDER BY OrderId";
    assert_eq!(store.ids(sql).await, ["B11999"]);
}

/// A number that stood for an order turns out to be another order's id: the two part, also the
/// one that nobody touched.
#[tokio::test]
async fn orders_that_are_one_no_more_are_parted_on_both_sides() {
    let mut store = Store::start().await;
    let number = OrderAliasRow {
        alias: "PX7".into(),
        alias_kind: ALIAS_PARTNER_NUMBER.into(),
        order_id: "PX7".into(),
        provisional: 1,
        received_at: chrono::Utc::now().timestamp_millis(),
        ..OrderAliasRow::default()
    };
    let glued = Batch {
        order_traces: vec![naming("ORD-A", "t", "", 0), naming("PX7", "t", "", 1)],
        order_aliases: vec![number],
        ..Batch::default()
    };
    store.take(&glued).await;
    let one = "SELECT OrderId FROM orders FINAL WHERE has(OtherIds, 'PX7')";
    assert_eq!(store.ids(one).await, ["ORD-A"]);
    let parted = Batch { order_traces: vec![naming("PX7", "t", "", 0)], ..Batch::default() };
    store.take(&parted).await;
    let sql = "SELECT OrderId FROM orders FINAL WHERE notEmpty(OtherIds) OR MergedInto != ''";
    assert!(store.ids(sql).await.is_empty());
}

/// An order of so many long names that no statement could carry them all.
#[tokio::test]
async fn an_order_of_very_many_carriers_is_derived_like_any_other() {
    let mut store = Store::start().await;
    let mut batch = Batch::default();
    for n in 0..90_000 {
        let trace = format!("{n:0>200}");
        batch.order_traces.push(naming("POISON", &trace, "", 0));
    }
    let mut named = stage("", "SHIPPED");
    named.order_id = "POISON".into();
    batch.order_events.push(named);
    store.take(&batch).await;
    let sql = "SELECT Stage FROM orders FINAL WHERE OrderId = 'POISON'";
    assert_eq!(store.ids(sql).await, ["SHIPPED"]);
}
