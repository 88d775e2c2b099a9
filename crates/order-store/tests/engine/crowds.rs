//! Traces and messages that come to have more than they may: whom they held together is let go,
//! whether they pass their bound by one or by thousands.

use std::ops::Range;
use std::time::Duration;

use order_model::Lifecycle;
use order_model::graph::{HUB_LINKS_MAX, MESSAGE_ORDERS_MAX, message_carrier};
use order_model::keys::{ALIAS_MESSAGE_ID, ALIAS_PARTNER_NUMBER};
use order_store::rows::{Batch, OrderAliasRow, TraceLinkRow};
use order_store::{Stitcher, Touched, Writer};

use crate::facts::now_ms;
use crate::server::Server;
use crate::traps::{naming, stage};

/// A store, and a writer and stitchers of a name.
struct World {
    server: Server,
    inserts: usize,
}

impl World {
    async fn start() -> Self {
        let server = Server::start();
        server.store.migrate(&Lifecycle::default()).await.unwrap();
        Self { server, inserts: 0 }
    }

    fn stitcher(&self) -> Stitcher {
        Stitcher::new(self.server.store.clone(), Default::default())
    }

    /// Stores a batch; a stitcher that remembers nothing derives what it touches, so many ids.
    async fn take(&mut self, batch: &Batch) -> usize {
        self.inserts += 1;
        let token = format!("t{}", self.inserts);
        Writer::new(self.server.store.clone()).insert(batch, &token).await.unwrap();
        self.stitcher().stitch(&batch.touched(), Duration::ZERO).await.unwrap().orders
    }

    /// What is shown, and what is shown after everything was derived again.
    async fn shown(&self, sql: &str) -> [Vec<String>; 2] {
        let client = self.server.store.client();
        let before = client.query(sql).fetch_all().await.unwrap();
        self.stitcher().restitch("", |_, _| {}).await.unwrap();
        [before, client.query(sql).fetch_all().await.unwrap()]
    }

    /// Everything was inserted an hour earlier than it was.
    async fn an_hour_later(&self) {
        for table in ["trace_links", "trace_links_by_target", "order_aliases"] {
            let sql = format!(
                "ALTER TABLE {table} UPDATE InsertedAt = InsertedAt - toIntervalHour(1) WHERE 1 \
                 SETTINGS mutations_sync = 1"
            );
            self.server.store.client().query(&sql).execute().await.unwrap();
        }
    }
}

fn twice(rows: &[&str]) -> [Vec<String>; 2] {
    let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    [rows.clone(), rows]
}

/// Traces from to that all have one message.
fn meets(traces: Range<usize>) -> Batch {
    let links = traces.map(|n| TraceLinkRow {
        trace_id: format!("u{n:04}"),
        span_id: "s".into(),
        linked_trace_id: message_carrier("1"),
        received_at: now_ms(),
        ..TraceLinkRow::default()
    });
    Batch { trace_links: links.collect(), ..Batch::default() }
}

/// Orders from to that all have one message.
fn have(orders: Range<usize>) -> Batch {
    let mut batch = Batch::default();
    for n in orders {
        let order = format!("A{n:04}");
        batch.order_traces.push(naming(&order, "", "", 0));
        batch.order_aliases.push(OrderAliasRow {
            alias: "1".into(),
            alias_kind: ALIAS_MESSAGE_ID.into(),
            order_id: order,
            received_at: now_ms(),
            ..OrderAliasRow::default()
        });
    }
    batch
}

const LINKED: &str = "SELECT concat(OrderId, ' ', Stage, ' ', toString(length(LinkedTraces))) \
    FROM orders FINAL ORDER BY OrderId";

/// A message whose id every consumer sends holds together a few, and nobody once they are many.
#[tokio::test]
async fn a_hub_is_nobodys_from_the_links_that_make_it_one() {
    // Links before, and at once after.
    for (few, many) in [
        (HUB_LINKS_MAX, HUB_LINKS_MAX + 1),
        (3, HUB_LINKS_MAX + 1),
        (HUB_LINKS_MAX - 100, HUB_LINKS_MAX + 600),
        (3, 4 * HUB_LINKS_MAX),
    ] {
        let context = format!("{few} to {many}");
        let mut world = World::start().await;
        let mut first = meets(0..few);
        first.order_traces = vec![naming("A", "u0000", "", 0), naming("B", "u0001", "", 0)];
        first.order_events = vec![stage("u0002", "PACKAGING")];
        world.take(&first).await;
        // All but the traces that name an order.
        let held = ["A", "B"].map(|order| format!("{order} PACKAGING {}", few - 2));
        assert_eq!(world.shown(LINKED).await, twice(&[&held[0], &held[1]]), "{context}");
        world.take(&meets(few..many)).await;
        assert_eq!(world.shown(LINKED).await, twice(&["A  0", "B  0"]), "{context}");
        for carrier in [message_carrier("1").as_str(), "u0002"] {
            let order_events = vec![stage(carrier, "SHIPPED")];
            world.take(&Batch { order_events, ..Batch::default() }).await;
            assert_eq!(world.shown(LINKED).await, twice(&["A  0", "B  0"]), "{context} {carrier}");
        }
        // It costs nothing any more once it has been one for a while, or for who remembers.
        let more = meets(many..many + 1);
        let remembers = world.stitcher();
        let touched = more.touched();
        assert_eq!(world.take(&more).await, 2, "{context}");
        assert_eq!(remembers.stitch(&touched, Duration::ZERO).await.unwrap().orders, 2);
        assert_eq!(remembers.stitch(&touched, Duration::ZERO).await.unwrap().orders, 0);
        world.an_hour_later().await;
        assert_eq!(world.take(&meets(many + 1..many + 2)).await, 0, "{context}");
    }
}

const COUNTED: &str = "SELECT concat(Stage, ' ', toString(count())) FROM orders FINAL \
    GROUP BY Stage ORDER BY Stage";

/// What a message says is said of its orders, and of none once more have it than a message has.
#[tokio::test]
async fn a_message_id_that_everybody_sends_lets_go_of_all() {
    for (few, many) in [
        (MESSAGE_ORDERS_MAX, MESSAGE_ORDERS_MAX + 1),
        (1, 2 * MESSAGE_ORDERS_MAX),
        (MESSAGE_ORDERS_MAX - 100, MESSAGE_ORDERS_MAX + 600),
    ] {
        let context = format!("{few} to {many}");
        let mut world = World::start().await;
        let mut first = have(0..few);
        first.order_events.push(stage(&message_carrier("1"), "PACKAGING"));
        world.take(&first).await;
        assert_eq!(world.shown(COUNTED).await, twice(&[&format!("PACKAGING {few}")]), "{context}");
        world.take(&have(few..many)).await;
        let all = format!(" {many}");
        assert_eq!(world.shown(COUNTED).await, twice(&[&all]), "{context}");
        let order_events = vec![stage(&message_carrier("1"), "SHIPPED")];
        world.take(&Batch { order_events, ..Batch::default() }).await;
        assert_eq!(world.shown(COUNTED).await, twice(&[&all]), "{context}");
        world.an_hour_later().await;
        assert_eq!(world.take(&have(many..many + 1)).await, 1, "{context}");
    }
}

/// A takeover long after the insert that made a message id none still lets go of its orders.
#[tokio::test]
async fn who_takes_over_late_lets_go_as_well() {
    let mut world = World::start().await;
    let mut first = have(0..1);
    first.order_events.push(stage(&message_carrier("1"), "PACKAGING"));
    world.take(&first).await;
    let flood = have(1..2 * MESSAGE_ORDERS_MAX);
    Writer::new(world.server.store.clone()).insert(&flood, "flood").await.unwrap();
    world.an_hour_later().await;
    let age = Duration::from_secs(3_700);
    world.stitcher().stitch(&flood.touched(), age).await.unwrap();
    let all = format!(" {}", 2 * MESSAGE_ORDERS_MAX);
    assert_eq!(world.shown(COUNTED).await, twice(&[&all]));
}

/// Through three traces that name nobody; and a new link is touched at its far end.
#[tokio::test]
async fn a_hub_at_the_end_of_all_hops_lets_go_as_well() {
    let mut world = World::start().await;
    let link = |from: &str, to: &str| TraceLinkRow {
        trace_id: from.into(),
        span_id: "s".into(),
        linked_trace_id: to.into(),
        received_at: now_ms(),
        ..TraceLinkRow::default()
    };
    let message = message_carrier("1");
    let chain = Batch {
        order_traces: vec![naming("A", "t", "", 0)],
        trace_links: vec![link("u", "t"), link("v", "u"), link("w", "v"), link("w", &message)],
        order_events: vec![stage(&message, "SHIPPED")],
        ..Batch::default()
    };
    world.take(&chain).await;
    assert_eq!(world.shown(LINKED).await, twice(&["A SHIPPED 3"]));
    world.take(&meets(1_000..1_000 + HUB_LINKS_MAX)).await;
    assert_eq!(world.shown(LINKED).await, twice(&["A  3"]));
}

/// Not one of a batch is left out, however many it names.
#[tokio::test]
async fn what_a_trace_says_is_said_of_all_whom_it_names() {
    let mut world = World::start().await;
    let orders: Vec<String> = (0..10_050).map(|n| format!("A{n:05}")).collect();
    let order_traces = orders.iter().map(|order| naming(order, "batch", "", 0)).collect();
    world.take(&Batch { order_traces, ..Batch::default() }).await;
    let order_events = vec![stage("batch", "PACKAGING")];
    assert_eq!(world.take(&Batch { order_events, ..Batch::default() }).await, orders.len());
    let found: Vec<String> = world.server.store.client().query(COUNTED).fetch_all().await.unwrap();
    assert_eq!(found, ["PACKAGING 10050"]);
}

/// A message that was let go because too many traces meet it, and was named then, is let go once
/// more when too many orders have it, by who remembers as well.
#[tokio::test]
async fn a_message_is_let_go_for_its_links_and_then_for_its_orders() {
    let mut world = World::start().await;
    let stitcher = world.stitcher();
    let writer = Writer::new(world.server.store.clone());
    let mut said = meets(0..HUB_LINKS_MAX + 1);
    said.order_traces = vec![naming("Z", "u0000", "", 0)];
    said.order_events = vec![stage(&message_carrier("1"), "PACKAGING")];
    let all = format!(" {}", MESSAGE_ORDERS_MAX + 2);
    for (heard, shown) in [
        (said, " 1".to_owned()),
        (have(0..MESSAGE_ORDERS_MAX), format!("PACKAGING {MESSAGE_ORDERS_MAX}")),
        (have(MESSAGE_ORDERS_MAX..MESSAGE_ORDERS_MAX + 1), all),
    ] {
        world.inserts += 1;
        writer.insert(&heard, &format!("t{}", world.inserts)).await.unwrap();
        stitcher.stitch(&heard.touched(), Duration::ZERO).await.unwrap();
        let found: Vec<String> =
            world.server.store.client().query(COUNTED).fetch_all().await.unwrap();
        assert_eq!(found.last(), Some(&shown), "{found:?}");
    }
    let [before, after] = world.shown(COUNTED).await;
    assert_eq!(before, after);
}

/// Orders that have these numbers of partners, by their places.
fn numbered(orders: impl Iterator<Item = (usize, String)>) -> Batch {
    let mut batch = Batch::default();
    for (n, number) in orders {
        let order = format!("A{n:04}");
        batch.order_traces.push(naming(&order, "", "", 0));
        batch.order_aliases.push(OrderAliasRow {
            alias: number,
            alias_kind: ALIAS_PARTNER_NUMBER.into(),
            order_id: order,
            received_at: now_ms(),
            ..OrderAliasRow::default()
        });
    }
    batch
}

/// Each of these orders has a number with the next.
fn chain(orders: Range<usize>) -> Batch {
    numbered(orders.flat_map(|n| [(n, format!("N{n}")), (n + 1, format!("N{n}"))]))
}

const ALONE: &str = "SELECT concat(toString(MergedInto = ''), ' ', toString(count())) FROM orders \
    FINAL GROUP BY MergedInto = '' ORDER BY 1";

/// However long a chain of numbers is, whoever touches one order derives a few.
#[tokio::test]
async fn a_chain_of_numbers_has_an_end() {
    let mut world = World::start().await;
    world.take(&chain(0..1_000)).await;
    assert_eq!(world.shown(ALONE).await, twice(&["1 1001"]));
    let one = Touched { orders: ["A0500".to_owned()].into(), ..Touched::default() };
    let derived = world.stitcher().stitch(&one, Duration::ZERO).await.unwrap().orders;
    assert!((1..100).contains(&derived), "{derived} orders derived for one");
    // Each has two numbers that forty have: these glue nobody, and lead nowhere.
    let both = (2_000..4_000)
        .flat_map(|n| [(n, format!("P{}", n / 40)), (n, format!("Q{}", (n + 20) / 40))]);
    world.take(&numbered(both)).await;
    let one = Touched { orders: ["A3000".to_owned()].into(), ..Touched::default() };
    let derived = world.stitcher().stitch(&one, Duration::ZERO).await.unwrap().orders;
    assert!((1..100).contains(&derived), "{derived} orders derived for one");
}

/// Two groups that come to hang together are too many for one, and all of both are let go.
#[tokio::test]
async fn two_groups_that_meet_are_let_go_to_the_last() {
    let mut world = World::start().await;
    world.take(&chain(0..11)).await;
    world.take(&chain(20..31)).await;
    assert_eq!(world.shown(ALONE).await, twice(&["0 22", "1 2"]));
    world.take(&numbered([(11, "M".to_owned()), (20, "M".to_owned())].into_iter())).await;
    assert_eq!(world.shown(ALONE).await, twice(&["1 24"]));
}
