//! What a review found and must not come back: batches of thousands, glue that outlives its
//! reason, orders that hang on too much.

use std::time::Duration;

use order_model::Lifecycle;
use order_model::keys::{ALIAS_PARTNER_NUMBER, SIGNAL_STAGE};
use order_store::read::StageFilter;
use order_store::rows::{Batch, OrderAliasRow, OrderEventRow, OrderTraceRow, TraceLinkRow};
use order_store::{Reader, Stitched, Stitcher, Touched, Writer};

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
        stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
    }

    async fn ids(&self, sql: &str) -> Vec<String> {
        self.server.store.client().query(sql).fetch_all().await.unwrap()
    }
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

pub(super) fn naming(order: &str, trace: &str, span: &str, provisional: u8) -> OrderTraceRow {
    OrderTraceRow {
        order_id: order.into(),
        trace_id: trace.into(),
        span_id: span.into(),
        provisional,
        received_at: now_ms(),
        ..OrderTraceRow::default()
    }
}

pub(super) fn stage(carrier: &str, stage: &str) -> OrderEventRow {
    let received_at = now_ms();
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
            received_at: now_ms(),
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
        received_at: now_ms(),
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
    for n in 0..20_000 {
        let trace = format!("{n:0>900}");
        batch.order_traces.push(naming("POISON", &trace, "", 0));
    }
    let mut named = stage("", "SHIPPED");
    named.order_id = "POISON".into();
    batch.order_events.push(named);
    store.take(&batch).await;
    let sql = "SELECT Stage FROM orders FINAL WHERE OrderId = 'POISON'";
    assert_eq!(store.ids(sql).await, ["SHIPPED"]);
}

/// Signals of one identity that say different things: a merge keeps what the fold would.
#[tokio::test]
async fn a_merge_of_repeats_changes_no_answer() {
    let mut store = Store::start().await;
    let now = now_ms();
    let first = OrderEventRow {
        order_id: "A".into(),
        attempt: 2,
        received_at: now - 3_000,
        evidence: vec![("error".into(), "no".into()), ("worker".into(), "w1".into())],
        ..stage("", "CALCULATION_RUNNING")
    };
    let second = OrderEventRow {
        attempt: 1,
        received_at: now - 2_000,
        evidence: vec![("worker".into(), "w2".into())],
        ..first.clone()
    };
    for event in [first, second] {
        let batch = Batch {
            order_events: vec![event],
            order_traces: vec![naming("A", "", "", 0)],
            ..Batch::default()
        };
        store.take(&batch).await;
    }
    let state = "SELECT concat(toString(CalculationAttempt), ' ', CalculationWorker) \
        FROM orders FINAL";
    let before = store.ids(state).await;
    assert_eq!(before, ["2 w2"]);
    let merge = "OPTIMIZE TABLE order_events FINAL";
    store.server.store.client().query(merge).execute().await.unwrap();
    let stitcher = Stitcher::new(store.server.store.clone(), Default::default());
    stitcher.restitch("", |_, _| {}).await.unwrap();
    assert_eq!(store.ids(state).await, before);
    let kept = "SELECT concat(toString(Attempt), ' ', Worker, ' ', Error, ' ', \
        toString(toUnixTimestamp64Milli(ReceivedAt))) FROM order_events";
    assert_eq!(store.ids(kept).await, [format!("2 w2 no {}", now - 3_000)]);
}

/// The consumers of a batch come one by one: each touches its own order, not all of the batch.
#[tokio::test]
async fn a_consumer_of_a_batch_touches_its_own_order_alone() {
    let mut store = Store::start().await;
    let order_traces = (0..50)
        .flat_map(|n| {
            let (order, span) = (format!("A{n:02}"), format!("s{n:02}"));
            [naming(&order, "batch", "", 0), naming(&order, "batch", &span, 0)]
        })
        .collect();
    store.take(&Batch { order_traces, ..Batch::default() }).await;
    let link = TraceLinkRow {
        trace_id: "consumer".into(),
        span_id: "c".into(),
        linked_trace_id: "batch".into(),
        linked_span_id: "s07".into(),
        received_at: now_ms(),
    };
    let batch = Batch {
        trace_links: vec![link],
        order_events: vec![stage("consumer", "SHIPPED")],
        ..Batch::default()
    };
    Writer::new(store.server.store.clone()).insert(&batch, "consumer").await.unwrap();
    let stitcher = Stitcher::new(store.server.store.clone(), Default::default());
    let stitched = stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
    assert_eq!(stitched, Stitched { orders: 1, refused: 0 });
    let shipped = "SELECT OrderId FROM orders FINAL WHERE Stage = 'SHIPPED'";
    assert_eq!(store.ids(shipped).await, ["A07"]);
}

/// A trace that belongs to an order by a link alone is searched for like any other.
#[tokio::test]
async fn a_linked_trace_finds_the_order() {
    let mut store = Store::start().await;
    let (named, linked) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331b7ad6b7169203331");
    let link = TraceLinkRow {
        trace_id: linked.into(),
        linked_trace_id: named.into(),
        received_at: now_ms(),
        ..TraceLinkRow::default()
    };
    let batch = Batch {
        order_traces: vec![naming("A", named, "", 0)],
        trace_links: vec![link],
        ..Batch::default()
    };
    store.take(&batch).await;
    let reader = Reader::new(store.server.store.clone());
    for trace in [named.to_owned(), linked.to_uppercase()] {
        let hits = reader.search(&trace, 9).await.unwrap();
        let found: Vec<&str> = hits.iter().map(|hit| hit.order.order_id.as_str()).collect();
        assert_eq!(found, ["A"], "{trace}");
    }
    // Once the trace names an order of its own, it is that one's.
    let batch = Batch { order_traces: vec![naming("B", linked, "", 0)], ..Batch::default() };
    store.take(&batch).await;
    let hits = reader.search(linked, 9).await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.order.order_id.as_str()).collect::<Vec<_>>(), ["B"]);
}

/// One order that the store refuses for good holds up nobody but itself.
#[tokio::test]
async fn an_order_that_is_refused_holds_up_nobody() {
    let store = Store::start().await;
    let refuse = "ALTER TABLE orders ADD CONSTRAINT bad CHECK OrderId != 'A13'";
    store.server.store.client().query(refuse).execute().await.unwrap();
    let orders: Vec<String> = (0..40).map(|n| format!("A{n:02}")).collect();
    let order_traces = orders.iter().map(|order| naming(order, "", "", 0)).collect();
    let batch = Batch { order_traces, ..Batch::default() };
    Writer::new(store.server.store.clone()).insert(&batch, "t").await.unwrap();
    let stitcher = Stitcher::new(store.server.store.clone(), Default::default());
    let expected = Stitched { orders: 39, refused: 1 };
    assert_eq!(stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap(), expected);
    assert_eq!(stitcher.restitch("", |_, _| {}).await.unwrap(), expected);
    let one = Touched { orders: ["A13".to_owned()].into(), ..Touched::default() };
    let alone = stitcher.stitch(&one, Duration::ZERO).await.unwrap();
    assert_eq!(alone, Stitched { orders: 0, refused: 1 });
}

/// A long row of orders that ended and were taken up again lies before the one that is sought.
#[tokio::test]
async fn a_list_goes_on_behind_orders_that_were_taken_up_again() {
    let mut store = Store::start().await;
    let event = |order: String, name: &str, age_s: i64| {
        let event = stage("", name);
        let event_time = event.event_time - age_s * 1_000_000_000;
        OrderEventRow { order_id: order, event_time, ..event }
    };
    let orders: Vec<String> = (0..300).map(|n| format!("A{n:03}")).collect();
    let order_traces: Vec<OrderTraceRow> =
        orders.iter().map(|order| naming(order, "", "", 0)).collect();
    // The first ended first, and is the last of the list.
    let ended = orders.iter().zip((0..300).rev());
    let ended = ended.map(|(order, age)| event(order.clone(), "CLOSED", 1_000 + 10 * age));
    let batch = Batch { order_events: ended.collect(), order_traces, ..Batch::default() };
    store.take(&batch).await;
    let again = orders[1..].iter().map(|o| event(o.clone(), "PACKAGING", 1)).collect();
    let order_traces = orders[1..].iter().map(|order| naming(order, "", "", 0)).collect();
    store.take(&Batch { order_events: again, order_traces, ..Batch::default() }).await;
    let reader = Reader::new(store.server.store.clone());
    let page =
        reader.stage_orders(Some("CLOSED"), StageFilter::default(), 1, None, None).await.unwrap();
    assert_eq!(page.orders.iter().map(|o| o.order_id.as_str()).collect::<Vec<_>>(), ["A000"]);
    assert_eq!(page.next, None);
}

/// Orders at the top of a list have moved on, and the table that says where they stood has not heard
/// of it yet: the page is as long as ever, and the list goes on.
#[tokio::test]
async fn a_list_goes_on_behind_open_orders_that_have_just_moved_on() {
    let mut store = Store::start().await;
    let orders: Vec<String> = (0..60).map(|n| format!("A{n:02}")).collect();
    let order_traces = orders.iter().map(|order| naming(order, "", "", 0)).collect();
    let event = |(n, order): (i64, &String)| {
        let event = stage("", "PACKAGING");
        let event_time = event.event_time - (60 - n) * 1_000_000_000;
        OrderEventRow { order_id: order.clone(), event_time, ..event }
    };
    let order_events = (0..).zip(&orders).map(event).collect();
    store.take(&Batch { order_events, order_traces, ..Batch::default() }).await;
    let moved = "INSERT INTO orders SELECT * REPLACE ('SHIPPED' AS Stage, 0 AS Announced, \
        StageSince + 1 AS StageSince, DerivedAt + toIntervalSecond(1) AS DerivedAt) \
        FROM orders FINAL WHERE OrderId > 'A29'";
    store.server.store.client().query(moved).execute().await.unwrap();
    let reader = Reader::new(store.server.store.clone());
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = reader
            .stage_orders(Some("PACKAGING"), StageFilter::default(), 7, after, None)
            .await
            .unwrap();
        assert!(page.orders.len() == 7 || page.next.is_none(), "{}", page.orders.len());
        seen.extend(page.orders.into_iter().map(|order| order.order_id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<&String> = orders[..30].iter().rev().collect();
    assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
}

/// The id of an order becomes a name once, in the form of the search box, whatever its letters.
#[tokio::test]
async fn the_id_of_an_order_is_written_as_a_name_once() {
    let store = Store::start().await;
    let writer = Writer::new(store.server.store.clone());
    let stitcher = Stitcher::new(store.server.store.clone(), Default::default());
    for (round, ids) in [["Größe-7", "A-1"], ["A-1", "Größe-7"]].iter().enumerate() {
        let order_traces = ids.map(|id| naming(id, &format!("t{round}"), "", 0)).to_vec();
        let batch = Batch { order_traces, ..Batch::default() };
        writer.insert(&batch, &format!("round-{round}")).await.unwrap();
        stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
    }
    let names = "SELECT Alias FROM order_aliases ORDER BY Alias";
    assert_eq!(store.ids(names).await, ["A1", "GRÖSSE7"]);
    let reader = Reader::new(store.server.store.clone());
    for text in ["größe 7", "GRÖSSE7", "Größe-7"] {
        let hits = reader.search(text, 9).await.unwrap();
        let found: Vec<&str> = hits.iter().map(|hit| hit.order.order_id.as_str()).collect();
        assert_eq!(found, ["Größe-7"], "{text}");
    }
    // What another writer has lost is found by the id itself.
    let forget = "TRUNCATE TABLE order_aliases";
    store.server.store.client().query(forget).execute().await.unwrap();
    assert_eq!(reader.search("A-1", 9).await.unwrap().len(), 1);
}
