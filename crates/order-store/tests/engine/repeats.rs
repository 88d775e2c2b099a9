//! Repeats on the real engine: the collector's own are dropped by their tokens, a client's are
//! folded by identity, and equal log records of one request are none.

use std::collections::BTreeSet;

use bytes::Bytes;
use order_model::Lifecycle;
use order_store::record::{self, Table};
use order_store::rows::{Batch, LogRow, TraceLinkRow};
use order_store::{Block, INSERT_BYTES_MAX, Writer};

use crate::server::Server;

/// Blocks that each table remembers; docs/adr/0008-journal.md reckons what it covers.
const WINDOW: &str = "non_replicated_deduplication_window = 100000";

async fn count(server: &Server, sql: &str) -> u64 {
    server.store.client().query(sql).fetch_one().await.unwrap()
}

async fn migrated() -> Server {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    server
}

fn log(body: &str, received_at: i64) -> LogRow {
    LogRow {
        timestamp: 1_793_527_200_000_000_000,
        service_name: "mes".into(),
        body: body.into(),
        received_at,
        ..LogRow::default()
    }
}

#[tokio::test]
async fn a_repeated_log_record_counts_once_and_equal_ones_of_a_request_each() {
    let server = migrated().await;
    let writer = Writer::new(server.store.clone());
    let now = chrono::Utc::now().timestamp_millis();
    let request = |received_at: i64| Batch {
        logs: ["a", "b", "a"].map(|body| log(body, received_at)).into(),
        ..Batch::default()
    };
    writer.insert(&request(now), "one").await.unwrap();
    // Another collector hears it a day earlier by its clock: another partition.
    writer.insert(&request(now - 86_400_000), "two").await.unwrap();
    // A record of another service, and rows of a program that knows no ids.
    let other = LogRow { service_name: "crm".into(), ..log("a", now) };
    writer.insert(&Batch { logs: vec![other], ..Batch::default() }, "three").await.unwrap();
    let foreign = "INSERT INTO otel_logs (ServiceName, Body, ReceivedAt) \
                   SELECT 'foreign', 'x', now64(3) FROM numbers(2)";
    server.store.client().query(foreign).execute().await.unwrap();
    let sql = "SELECT concat(ServiceName, ' ', Body, ' ', toString(count())) FROM otel_logs_v1 \
               GROUP BY ServiceName, Body ORDER BY ServiceName, Body";
    let told: Vec<String> = server.store.client().query(sql).fetch_all().await.unwrap();
    assert_eq!(told, ["crm a 1", "foreign x 2", "mes a 2", "mes b 1"]);
    // Of one day, the merge says the same.
    writer.insert(&request(now), "four").await.unwrap();
    let merge = "OPTIMIZE TABLE otel_logs FINAL SETTINGS mutations_sync = 2";
    server.store.client().query(merge).execute().await.unwrap();
    let today = format!("SELECT count() FROM otel_logs WHERE ReceivedAt > {}", now / 1_000 - 3_600);
    assert_eq!(count(&server, &today).await, 6);
    assert_eq!(count(&server, "SELECT count() FROM otel_logs_v1").await, 6);
}

#[tokio::test]
async fn every_table_that_a_batch_feeds_remembers_its_blocks() {
    let server = migrated().await;
    let fed: BTreeSet<&str> = Table::ALL.iter().map(|table| table.name()).collect();
    // A view's target gets blocks under tokens made from those of the insert.
    let sql = "SELECT name, arrayJoin(dependencies_table) FROM system.tables \
               WHERE database = currentDatabase()";
    let read_by: Vec<(String, String)> =
        server.store.client().query(sql).fetch_all().await.unwrap();
    let views = read_by.iter().filter(|(table, _)| fed.contains(table.as_str()));
    let views: Vec<&str> = views.map(|(_, view)| view.as_str()).collect();
    assert!(views.len() >= 4, "{views:?}");
    let sql = "SELECT name, create_table_query FROM system.tables \
               WHERE database = currentDatabase()";
    let made: Vec<(String, String)> = server.store.client().query(sql).fetch_all().await.unwrap();
    let of = |name: &str| &made.iter().find(|(made, _)| made == name).unwrap().1;
    let target = |view: &str| {
        let to = of(view).split(" TO ").nth(1).unwrap();
        let name = to.split([' ', '(']).next().unwrap();
        name.rsplit('.').next().unwrap().trim_matches('`').to_owned()
    };
    let targets: BTreeSet<String> = views.iter().map(|view| target(view)).collect();
    for table in fed.into_iter().chain(targets.iter().map(String::as_str)) {
        assert!(of(table).contains(WINDOW), "{table}: {}", of(table));
        assert!(of(table).contains("fsync_after_insert = 1"), "{table}");
        assert!(of(table).contains("fsync_part_directory = 1"), "{table}");
    }
}

/// As many rows as the bound on an insert lets through: plain ones, which are those that shrink most,
/// and packed ones, of which there may be more.
#[tokio::test]
async fn the_largest_insert_of_the_smallest_rows_is_one_block() {
    let received_at = chrono::Utc::now().timestamp_millis();
    let plain = usize::try_from((INSERT_BYTES_MAX - 4_096) / record::ROW_BYTES_MIN).unwrap();
    for (rows, trace_of) in [
        (plain, (|_| String::new()) as fn(usize) -> String),
        (2_000_000, |n| format!("{:04x}", (n / 16).wrapping_mul(0x9e37) & 0xffff)),
    ] {
        let server = migrated().await;
        let link =
            |n| TraceLinkRow { trace_id: trace_of(n), received_at, ..TraceLinkRow::default() };
        let batch = Batch { trace_links: (0..rows).map(link).collect(), ..Batch::default() };
        let records = record::write(&batch, usize::MAX);
        let bytes = records.iter().map(Bytes::len).sum::<usize>() as u64;
        assert!(bytes <= INSERT_BYTES_MAX, "{rows} rows are {bytes} bytes");
        let block = Block::read(&records).unwrap();
        Writer::new(server.store.clone()).insert_block(&block, "whole").await.unwrap();
        let newest = "SELECT toUInt64(max(max_block_number)) FROM system.parts \
                      WHERE database = currentDatabase() AND table = 'trace_links'";
        assert_eq!(count(&server, newest).await, 1, "one block has one number");
        assert_eq!(count(&server, "SELECT count() FROM trace_links").await, rows as u64);
    }
}

#[tokio::test]
async fn one_table_that_refuses_holds_up_no_other() {
    let server = migrated().await;
    let bad = "ALTER TABLE otel_logs ADD CONSTRAINT bad CHECK Body != 'poison'";
    server.store.client().query(bad).execute().await.unwrap();
    let received_at = chrono::Utc::now().timestamp_millis();
    let batch = Batch {
        logs: vec![log("poison", received_at)],
        trace_links: vec![TraceLinkRow { received_at, ..TraceLinkRow::default() }],
        ..Batch::default()
    };
    let block = Block::read(&record::write(&batch, usize::MAX)).unwrap();
    let targets: Vec<_> = block.targets().collect();
    let writer = Writer::new(server.store.clone());
    let told = writer.insert_tables(&block, &targets, "t").await;
    for (target, outcome) in told {
        let of_the_data = outcome.is_err_and(|error| error.is_of_the_data());
        assert_eq!(of_the_data, target.table() == Table::Logs, "{target:?}");
    }
    assert_eq!(count(&server, "SELECT count() FROM trace_links").await, 1);
}

#[tokio::test]
async fn a_repeat_after_many_other_blocks_and_a_restart_is_known() {
    let mut server = migrated().await;
    let received_at = chrono::Utc::now().timestamp_millis();
    // Counted without folding: by itself the engine remembers no block at all.
    let link = |n: u32| Batch {
        trace_links: vec![TraceLinkRow {
            trace_id: n.to_string(),
            received_at,
            ..TraceLinkRow::default()
        }],
        ..Batch::default()
    };
    let stop = "SYSTEM STOP MERGES trace_links";
    server.store.client().query(stop).execute().await.unwrap();
    let writer = Writer::new(server.store.clone());
    for n in 0..200 {
        writer.insert(&link(n), &n.to_string()).await.unwrap();
    }
    server.kill_and_restart();
    let writer = Writer::new(server.store.clone());
    server.store.client().query(stop).execute().await.unwrap();
    for n in [0, 1, 199] {
        writer.insert(&link(n), &n.to_string()).await.unwrap();
    }
    for table in ["trace_links", "trace_links_by_target"] {
        assert_eq!(count(&server, &format!("SELECT count() FROM {table}")).await, 200, "{table}");
    }
    writer.insert(&link(0), "of another collector").await.unwrap();
    assert_eq!(count(&server, "SELECT count() FROM trace_links").await, 201);
    assert_eq!(count(&server, "SELECT count() FROM trace_links FINAL").await, 200);
}
