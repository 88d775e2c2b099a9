//! Rows of orders that ended are let go after a day, and never before the rows that they replace.

use std::time::{Duration, Instant};

use order_model::Lifecycle;
use order_store::{Stitcher, Writer};

use crate::facts::batch;
use crate::server::Server;

/// How long a mutation of four rows may take on a busy machine.
const MUTATED_WITHIN: Duration = Duration::from_secs(60);

const ROWS: &str = "SELECT concat(OrderId, ' ', toString(IsOpen)) FROM orders_open \
    ORDER BY OrderId, IsOpen";

async fn run(server: &Server, statement: &str) {
    let done = server.store.client().query(statement).execute().await;
    assert!(done.is_ok(), "{statement}\n{}", done.unwrap_err());
}

async fn rows(server: &Server) -> Vec<String> {
    server.store.client().query(ROWS).fetch_all().await.unwrap()
}

#[tokio::test]
async fn what_ended_goes_with_what_it_replaces_or_stays() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    run(&server, "SYSTEM STOP MERGES orders_open").await;
    // A ended two days ago, D just now; B is open.
    for (order, is_open, days) in [("A", 1, 3), ("A", 0, 2), ("B", 1, 3), ("D", 1, 1), ("D", 0, 0)]
    {
        let derived_at = format!("now64(9, 'UTC') - toIntervalDay({days})");
        let row =
            format!("SELECT '{order}' AS OrderId, {is_open} AS IsOpen, {derived_at} AS DerivedAt");
        run(&server, &format!("INSERT INTO orders_open (OrderId, IsOpen, DerivedAt) {row}")).await;
    }
    let stitcher = Stitcher::new(server.store.clone(), Default::default());

    // A store that does not merge would show A as open again.
    assert!(stitcher.tidy().await.is_err(), "nothing was merged");
    assert_eq!(rows(&server).await, ["A 0", "A 1", "B 1", "D 0", "D 1"]);

    run(&server, "SYSTEM START MERGES orders_open").await;
    stitcher.tidy().await.unwrap();
    let begun = Instant::now();
    while rows(&server).await != ["B 1", "D 0"] {
        assert!(begun.elapsed() < MUTATED_WITHIN, "{:?}", rows(&server).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An order that ended, and of which a row that says otherwise was left among the open ones, is let
/// go there when the sum is mended.
#[tokio::test]
async fn who_has_ended_is_not_open_after_mending() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let stitcher = Stitcher::new(server.store.clone(), Default::default());
    let heard = batch("", "stage A CLOSED 5 + stage B PACKAGING 5");
    Writer::new(server.store.clone()).insert(&heard, "t").await.unwrap();
    stitcher.stitch(&heard.touched(), Duration::ZERO).await.unwrap();
    assert_eq!(stitcher.conservation().await.unwrap().difference, 0);
    run(&server, "ALTER TABLE orders_open DELETE WHERE OrderId = 'A' SETTINGS mutations_sync = 1")
        .await;
    run(
        &server,
        "INSERT INTO orders_open (OrderId, Stage, IsOpen, DerivedAt) \
         SELECT 'A', 'PACKAGING', 1, now64(9, 'UTC') - toIntervalDay(1)",
    )
    .await;
    assert_eq!(stitcher.conservation().await.unwrap().difference, -1);
    stitcher.recount_all().await.unwrap();
    assert_eq!(stitcher.conservation().await.unwrap().difference, 0);
    assert!(rows(&server).await.contains(&"A 0".to_owned()));
}
