//! The rules of `docs/stitching.md` that only the store can show: small facts in every order of
//! arrival, stitched one after the other, and what is shown of them.

use std::time::{Duration, Instant};

use order_model::Lifecycle;
use order_model::fold::SIGNALS_MAX;
use order_model::time::NANOS_PER_MILLI;
use order_store::rows::{Batch, LogRow, OrderEventRow, SpanRow};
use order_store::{Progress, Reader, Stitcher, SweepState, Writer};

use crate::facts::{batch, now_ms, shown};
use crate::server::Server;

/// How long an event of the near future may take to count.
const FUTURE_DEADLINE: Duration = Duration::from_secs(60);

/// A store in which small worlds stand beside each other, told apart by what their ids begin with.
struct Worlds {
    server: Server,
    stitcher: Stitcher,
    inserts: usize,
}

impl Worlds {
    async fn start() -> Self {
        let server = Server::start();
        server.store.migrate(&Lifecycle::default()).await.unwrap();
        let stitcher = Stitcher::new(server.store.clone(), Default::default());
        Self { server, stitcher, inserts: 0 }
    }

    /// Inserts facts of a world and leaves them.
    async fn insert(&mut self, world: &str, facts: &str) -> Batch {
        self.inserts += 1;
        let batch = batch(world, facts);
        let writer = Writer::new(self.server.store.clone());
        writer.insert(&batch, &format!("insert-{}", self.inserts)).await.unwrap();
        batch
    }

    /// Inserts facts and stitches what they touch.
    async fn hear(&mut self, world: &str, facts: &str) {
        let batch = self.insert(world, facts).await;
        let stitched = self.stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
        assert_eq!(stitched.refused, 0, "{facts}");
    }

    async fn shown(&self, world: &str) -> Vec<String> {
        shown(&self.server, world).await
    }

    /// Orders on the board, and what conservation says of them.
    async fn counted(&self) -> (u64, i64) {
        let board = Reader::new(self.server.store.clone()).board(None).await.unwrap();
        let conservation = self.stitcher.conservation().await.unwrap();
        let total = board.stages.iter().map(|stage| stage.total).sum::<u64>();
        assert_eq!(conservation.derived, total);
        (total, conservation.difference)
    }
}

/// All orders of `count` things.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let all = shorter.iter().flat_map(|order| {
        (0..count).map(|at| {
            let mut order = order.clone();
            order.insert(at, count - 1);
            order
        })
    });
    all.collect()
}

/// In whatever order the facts arrive, the same is shown, and nothing is lost from the count.
async fn check(name: &str, facts: &[&str], expected: &[&str]) {
    let mut worlds = Worlds::start().await;
    for (index, order) in permutations(facts.len()).into_iter().enumerate() {
        let world = format!("W{index:02}x");
        for at in &order {
            worlds.hear(&world, facts[*at]).await;
        }
        let arrived: Vec<&str> = order.iter().map(|at| facts[*at]).collect();
        assert_eq!(worlds.shown(&world).await, expected, "{name}: {arrived:?}");
    }
    assert_eq!(worlds.counted().await.1, 0, "{name}");
}

#[tokio::test]
async fn a_span_belongs_to_the_order_of_its_trace_named_before_or_after() {
    let facts = ["said t PACKAGING 9", "name A t", "said t SHIPPED 5"];
    check("by trace", &facts, &["A SHIPPED; was PACKAGING SHIPPED; named t"]).await;
}

#[tokio::test]
async fn a_linked_trace_belongs_to_the_order_in_both_directions() {
    let (linked, linking) = ("link u/1 t/2", "link t/2 u/1");
    for link in [linked, linking] {
        let facts = ["name A t", link, "said u SHIPPED 5"];
        check(link, &facts, &["A SHIPPED; was SHIPPED; named t; linked u"]).await;
    }
}

#[tokio::test]
async fn a_message_ties_both_ends_whichever_is_heard_of_first() {
    let facts = ["message A m-1 t", "meets u M1", "said u SHIPPED 5"];
    check("by message", &facts, &["A SHIPPED; was SHIPPED; named t; linked u"]).await;
}

#[tokio::test]
async fn links_are_followed_over_several_hops() {
    let facts = ["name A t", "link u t", "link v u", "said v SHIPPED 5"];
    check("over two links", &facts, &["A SHIPPED; was SHIPPED; named t; linked u v"]).await;
}

#[tokio::test]
async fn what_is_linked_with_a_span_of_a_batch_belongs_to_the_orders_of_that_span() {
    let facts = ["name A t/1 + name B t/2", "link u t/2", "said u SHIPPED 5"];
    let expected = ["A ; named t", "B SHIPPED; was SHIPPED; named t; linked u"];
    check("batch", &facts, &expected).await;
    // Also when the spans of the batch arrive one by one, the linked one last.
    let facts = ["name A t/1", "name B t/2", "link u t/2 + said u SHIPPED 5"];
    check("batch in pieces", &facts, &expected).await;
}

#[tokio::test]
async fn a_trace_that_is_named_at_last_leaves_the_order_that_had_adopted_it() {
    let facts = ["name A t + link u t", "said u SHIPPED 5", "name B u"];
    check("named later", &facts, &["A ; named t", "B SHIPPED; was SHIPPED; named u"]).await;
    let mut worlds = Worlds::start().await;
    worlds.hear("Wx", &facts[..2].join(" + ")).await;
    assert_eq!(worlds.shown("Wx").await, ["A SHIPPED; was SHIPPED; named t; linked u"]);
    worlds.hear("Wx", facts[2]).await;
    assert_eq!(worlds.shown("Wx").await, ["A ; named t", "B SHIPPED; was SHIPPED; named u"]);
}

#[tokio::test]
async fn a_span_and_what_is_linked_with_it_may_be_named_at_once() {
    // Until then the trace that is linked with the second span belonged to the order of the first.
    let facts = ["name B t/1", "link u t/2", "said u SHIPPED 5", "name C t/2 + name D u"];
    let expected = ["B ; named t", "C ; named t", "D SHIPPED; was SHIPPED; named u"];
    check("named at once", &facts, &expected).await;
}

#[tokio::test]
async fn two_orders_that_turn_out_to_be_one_are_counted_once() {
    let mut worlds = Worlds::start().await;
    worlds.hear("Wx", "stage A SUBMITTED 60 + stage B PACKAGING 5 + stage C SHIPPED 5").await;
    assert_eq!(worlds.counted().await, (3, 0));
    worlds.hear("Wx", "number A 7").await;
    assert_eq!(worlds.counted().await, (3, 0));
    worlds.hear("Wx", "number B 7").await;
    assert_eq!(worlds.counted().await, (2, 0));
    let shown = worlds.shown("Wx").await;
    assert_eq!(shown[0], "A PACKAGING; was SUBMITTED PACKAGING; also B");
    // The other id finds the order.
    let reader = Reader::new(worlds.server.store.clone());
    let found = reader.search("WxB", 9).await.unwrap();
    assert_eq!(found.iter().map(|hit| hit.order.order_id.as_str()).collect::<Vec<_>>(), ["WxA"]);
}

#[tokio::test]
async fn an_order_known_by_its_number_takes_its_id_when_one_is_named() {
    let facts = ["guess P7 t + stage P7 SUBMITTED 60", "name A t", "stage A PACKAGING 5"];
    let expected = ["A PACKAGING; was SUBMITTED PACKAGING; also P7; named t"];
    check("by trace", &facts, &expected).await;
    let facts = ["guess P7 t + stage P7 SUBMITTED 60", "number A P7", "stage A PACKAGING 5"];
    check("by number", &facts, &expected).await;
    let facts = ["guess P7 t + heard P7 m-1", "message A m-1", "stage A PACKAGING 5"];
    check("by message", &facts, &["A PACKAGING; was PACKAGING; also P7; named t"]).await;
}

#[tokio::test]
async fn a_number_that_becomes_a_baskets_parts_what_it_had_glued() {
    let mut worlds = Worlds::start().await;
    for order in 0..8 {
        worlds.hear("Wx", &format!("stage A{order} SUBMITTED 60 + number A{order} 7")).await;
        assert_eq!(worlds.counted().await, (1, 0), "{order}");
    }
    worlds.hear("Wx", "stage A8 SUBMITTED 60 + number A8 7").await;
    assert_eq!(worlds.counted().await, (9, 0));
    assert!(worlds.shown("Wx").await.iter().all(|order| !order.contains("also")));
}

#[tokio::test]
async fn a_number_that_many_partners_use_glues_the_orders_of_each() {
    let mut worlds = Worlds::start().await;
    let others: Vec<String> =
        (0..70).map(|n| format!("stage B{n:02} SUBMITTED 60 + number B{n:02} 7 P{n}")).collect();
    worlds.hear("Wx", &others.join(" + ")).await;
    let first = "name A t + number A 7 ACME + said t SUBMITTED 60 + name A u + said u SHIPPED 5";
    worlds.hear("Wx", first).await;
    worlds.hear("Wx", "stage C SUBMITTED 50 + number C 7 ACME").await;
    let shown = worlds.shown("Wx").await;
    assert_eq!(shown[0], "A SHIPPED; was SUBMITTED SHIPPED; also C; named t u");
    assert_eq!(worlds.counted().await, (71, 0));
}

#[tokio::test]
async fn an_event_of_the_future_counts_once_its_time_has_come() {
    let mut worlds = Worlds::start().await;
    let mut state = SweepState::new("sweeper".to_owned());
    worlds.stitcher.sweep(&mut state).await.unwrap();
    worlds.hear("Wx", "stage A SUBMITTED 60 + stage A SHIPPED -3600").await;
    worlds.hear("Wy", "stage A SUBMITTED 60 + stage A SHIPPED -8").await;
    assert_eq!(worlds.shown("Wx").await, ["A SUBMITTED; was SUBMITTED"]);
    assert_eq!(worlds.shown("Wy").await, ["A SUBMITTED; was SUBMITTED"]);
    // It is said that there is one, and when.
    let reader = Reader::new(worlds.server.store.clone());
    let held = reader.order("WxA").await.unwrap().unwrap().refold_at.unwrap();
    assert!((held - now_ms() - 3_600_000).abs() < 60_000);
    let begun = Instant::now();
    while worlds.shown("Wy").await != ["A SHIPPED; was SUBMITTED SHIPPED"] {
        assert!(begun.elapsed() < FUTURE_DEADLINE, "its time does not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
        worlds.stitcher.sweep(&mut state).await.unwrap();
    }
    assert_eq!(worlds.shown("Wx").await, ["A SUBMITTED; was SUBMITTED"]);
    assert_eq!(worlds.counted().await, (2, 0));
}

/// A collector that dies before its first sweep is done has left work behind as any other.
#[tokio::test]
async fn what_a_stitcher_left_before_its_first_sweep_is_taken_over() {
    let mut worlds = Worlds::start().await;
    let mut peer = SweepState::new("peer".to_owned());
    worlds.stitcher.sweep(&mut peer).await.unwrap();
    worlds.stitcher.report(&peer, Progress { lag_ms: 0, stopped: true }).await.unwrap();
    worlds.hear("Wx", "name A t + stage A SUBMITTED 60").await;
    let mut short_lived = SweepState::new("short-lived".to_owned());
    worlds.stitcher.begin(&mut short_lived).await.unwrap();
    worlds.insert("Wx", "stage A SHIPPED 5").await;
    // It is not heard of again; that was over a minute ago.
    for (table, columns) in [
        ("stitchers", &["SaidAt", "StitchedUntil"][..]),
        ("order_traces", &["InsertedAt"]),
        ("orders", &["DerivedAt"]),
    ] {
        let earlier: Vec<String> =
            columns.iter().map(|c| format!("{c} - toIntervalSecond(100) AS {c}")).collect();
        let earlier = earlier.join(", ");
        for sql in [
            format!("CREATE TABLE moved AS {table} ENGINE = Memory"),
            format!("INSERT INTO moved SELECT * REPLACE ({earlier}) FROM {table}"),
            format!("TRUNCATE TABLE {table}"),
            format!("INSERT INTO {table} SELECT * FROM moved"),
            "DROP TABLE moved".to_owned(),
        ] {
            worlds.server.store.client().query(&sql).execute().await.unwrap();
        }
    }
    let mut heir = SweepState::new("heir".to_owned());
    worlds.stitcher.begin(&mut heir).await.unwrap();
    worlds.stitcher.sweep(&mut heir).await.unwrap();
    let expected = ["A SHIPPED; was SUBMITTED SHIPPED; named t"];
    assert_eq!(worlds.shown("Wx").await, expected);
}

/// Also of an order that has more signals than count.
#[tokio::test]
async fn the_future_is_not_forgotten_over_a_long_past() {
    let mut worlds = Worlds::start().await;
    let mut facts = batch("Wx", "stage A SUBMITTED 60 + stage A SHIPPED -3600");
    let one = facts.order_events[0].clone();
    for n in 0..SIGNALS_MAX as i64 + 1 {
        let event_time = one.event_time - n * 1_000_000;
        facts.order_events.push(OrderEventRow { event_time, ..one.clone() });
    }
    Writer::new(worlds.server.store.clone()).insert(&facts, "many").await.unwrap();
    worlds.stitcher.stitch(&facts.touched(), Duration::ZERO).await.unwrap();
    let reader = Reader::new(worlds.server.store.clone());
    let held = reader.order("WxA").await.unwrap().unwrap().refold_at.unwrap();
    assert!((held - now_ms() - 3_600_000).abs() < 60_000);
    // One that is touched for another reason finds it, too.
    worlds.hear("Wx", "stage A PACKAGING 5").await;
    assert!(reader.order("WxA").await.unwrap().unwrap().refold_at.is_some());
}

/// The clock was an hour ahead when one of the order's ids was derived.
#[tokio::test]
async fn a_clock_that_was_set_back_holds_up_none_of_an_orders_ids() {
    let mut worlds = Worlds::start().await;
    worlds.hear("Wx", "number A 7 + number B 7 + stage A SUBMITTED 60").await;
    let ahead = "INSERT INTO orders SELECT * REPLACE (DerivedAt + toIntervalHour(1) AS DerivedAt) \
        FROM orders FINAL WHERE OrderId = 'WxB'";
    worlds.server.store.client().query(ahead).execute().await.unwrap();
    for stage in ["PACKAGING", "SHIPPED"] {
        worlds.hear("Wx", &format!("stage A {stage} 5")).await;
        let stages = "SELECT Stage FROM orders FINAL WHERE startsWith(OrderId, 'Wx')";
        let found: Vec<String> =
            worlds.server.store.client().query(stages).fetch_all().await.unwrap();
        assert_eq!(found, [stage, stage]);
    }
}

#[tokio::test]
async fn what_a_stitcher_left_when_it_fell_silent_is_taken_over() {
    let mut worlds = Worlds::start().await;
    let mut heir = SweepState::new("heir".to_owned());
    worlds.stitcher.sweep(&mut heir).await.unwrap();
    // The order was named long ago: nothing but the link leads to it.
    let named = "INSERT INTO order_traces (OrderId, TraceId, Start, End, ReceivedAt, InsertedAt) \
        SELECT 'WxA', 'Wxt', now64(9), now64(9), now64(3), now64(3) - toIntervalHour(1)";
    worlds.server.store.client().query(named).execute().await.unwrap();
    worlds.stitcher.stitch(&batch("Wx", "name A t").touched(), Duration::ZERO).await.unwrap();
    // A peer inserts what names no order, and is not heard of again.
    worlds.insert("Wx", "link u t").await;
    worlds.insert("Wx", "said u SHIPPED 5").await;
    let long_ago = (now_ms() - 31_000) as f64 / 1e3;
    let peer = format!(
        "INSERT INTO stitchers (Stitcher, SaidAt, StitchedUntil, LagMs, Stopped) \
         VALUES ('peer', {long_ago}, {long_ago}, 0, 0)"
    );
    assert_eq!(worlds.shown("Wx").await, ["A ; named t"]);
    worlds.server.store.client().query(&peer).execute().await.unwrap();
    worlds.stitcher.sweep(&mut heir).await.unwrap();
    assert_eq!(worlds.shown("Wx").await, ["A SHIPPED; was SHIPPED; named t; linked u"]);
    // So does a derivation of everything, from facts alone.
    for table in ["orders", "orders_open", "settled_counts"] {
        let sql = format!("TRUNCATE TABLE {table}");
        worlds.server.store.client().query(&sql).execute().await.unwrap();
    }
    worlds.stitcher.restitch("", |_, _| {}).await.unwrap();
    assert_eq!(worlds.shown("Wx").await, ["A SHIPPED; was SHIPPED; named t; linked u"]);
    assert_eq!(worlds.counted().await, (1, 0));
}

/// A span of a host whose clock is ahead by so much.
fn span_of(host: &str, ahead_ms: i64, received_at: i64) -> SpanRow {
    SpanRow {
        timestamp: (received_at + ahead_ms) * NANOS_PER_MILLI,
        trace_id: format!("t-{host}"),
        span_id: "1".into(),
        service_name: "mes".into(),
        resource_attributes: vec![("host.name".into(), host.into())],
        received_at,
        ..SpanRow::default()
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_shown_and_decides_nothing() {
    let mut worlds = Worlds::start().await;
    let now = now_ms();
    let spans = [("right", 0), ("right", -5_000), ("ahead", 90_000), ("behind", -90_000)];
    let spans = spans.map(|(host, ahead_ms)| span_of(host, ahead_ms, now)).to_vec();
    let heard = Batch { spans, ..Batch::default() };
    let writer = Writer::new(worlds.server.store.clone());
    writer.insert(&heard, "spans").await.unwrap();
    let clocks = Reader::new(worlds.server.store.clone()).source_clocks().await.unwrap();
    let told: Vec<_> = clocks.iter().map(|c| (c.host.as_str(), c.least_delay_ms)).collect();
    assert_eq!(told, [("ahead", -90_000), ("right", 0), ("behind", 90_000)]);
    // MES is known to be ahead by 90 s: its word of 60 s ago is still the latest.
    worlds.hear("Wx", "stage A PACKAGING 60 + stage A MANUFACTURING_STARTED 65").await;
    assert_eq!(worlds.shown("Wx").await, ["A PACKAGING; was MANUFACTURING_STARTED PACKAGING"]);
}

#[tokio::test]
async fn retention_and_partitions_go_by_the_time_of_receipt() {
    let worlds = Worlds::start().await;
    let now = now_ms();
    // Clocks of 1970 and of 2200.
    let spans = [("old", -now), ("right", 0), ("new", 5_500_000_000_000)];
    let spans = spans.map(|(host, ahead_ms)| span_of(host, ahead_ms, now)).to_vec();
    let logs = spans.iter().map(|span| LogRow {
        timestamp: span.timestamp,
        service_name: "mes".into(),
        received_at: now,
        ..LogRow::default()
    });
    let mut heard = batch("Wx", "stage A SUBMITTED 1700000000 + stage A SHIPPED -5500000000");
    heard.append(Batch { logs: logs.collect(), spans, ..Batch::default() });
    Writer::new(worlds.server.store.clone()).insert(&heard, "old").await.unwrap();
    for (table, rows) in [("otel_traces", 3), ("otel_logs", 3), ("order_events", 2)] {
        let sql = format!(
            "SELECT uniqExact(partition), sum(rows) FROM system.parts \
             WHERE active AND table = '{table}' AND database = currentDatabase()"
        );
        let found: (u64, u64) = worlds.server.store.client().query(&sql).fetch_one().await.unwrap();
        assert_eq!(found, (1, rows), "{table}");
    }
}

#[tokio::test]
async fn a_system_that_was_heard_of_and_says_nothing_is_silent() {
    let mut worlds = Worlds::start().await;
    let now = now_ms();
    let spans = vec![span_of("h", 0, now - 3_600_000)];
    let heard = Batch { spans, ..Batch::default() };
    Writer::new(worlds.server.store.clone()).insert(&heard, "spans").await.unwrap();
    // Packing is set by MES, so is shipping; CRM, which closes orders, was never heard of.
    worlds.hear("Wx", "stage A PACKAGING 5 + stage B SHIPPED 5").await;
    let reader = Reader::new(worlds.server.store.clone());
    let heard_at = now - 3_600_000;
    for (as_of, silent) in [(heard_at + 900_000, false), (heard_at + 900_001, true)] {
        let board = reader.board(Some(as_of)).await.unwrap();
        let told: Vec<_> = board.sources.iter().map(|s| (s.source.as_str(), s.silent)).collect();
        assert_eq!(told, [("mes", silent)]);
    }
    // While a collector keeps for itself what came in since, nobody is silent but we are deaf.
    let state = SweepState::new("collector".to_owned());
    for (lag_ms, silent) in [(0, true), (3_000_000, false), (0, true)] {
        worlds.stitcher.report(&state, Progress { lag_ms, stopped: false }).await.unwrap();
        let reader = Reader::new(worlds.server.store.clone());
        let board = reader.board(None).await.unwrap();
        assert_eq!(board.sources[0].silent, silent, "{lag_ms}");
        let mes = if silent { vec!["mes".to_owned()] } else { Vec::new() };
        for (order, expected) in [("WxA", mes), ("WxB", Vec::new())] {
            let order = reader.order(order).await.unwrap().unwrap();
            assert_eq!(order.summary.silent_sources, expected, "{lag_ms} {order:?}");
        }
    }
}
