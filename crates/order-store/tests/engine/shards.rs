//! Two shards hold together what one server holds: rows go where the sharding keys say, each shard
//! folds its own, and every view over both says the same.
//!
//! Shards are two databases of one engine with the generated local tables. `Merge` stands in for
//! `Distributed`: like it, it reads both, and `FINAL` folds each on its own; what is written goes
//! through an entrance that keeps nothing to the shard that the sharding key says.

use order_model::Lifecycle;
use order_store::Store;
use order_store::cluster::{ClusterLayout, Placement, placement, split, statements};
use order_store::schema::migrations;

use crate::cluster::on_one_server;
use crate::routing::{self, ENTRANCE};
use crate::server::Server;

/// Facts with repeats and with rows that replace each other, the same on every call: table,
/// columns, and the `SELECT` that makes the rows.
const FACTS: [(&str, &str, &str); 11] = [
    (
        "otel_traces",
        "Timestamp, TraceId, SpanId, ServiceName, ReceivedAt",
        "SELECT toDateTime64('2026-11-01 10:00:00', 9, 'UTC') + number % 70 AS Timestamp, \
         concat('t', toString(number % 35)) AS TraceId, concat('s', toString(number % 70)) \
         AS SpanId, concat('source-', toString(number % 3)) AS ServiceName, {received} \
         AS ReceivedAt FROM numbers(210)",
    ),
    (
        "otel_logs",
        "Timestamp, TraceId, ServiceName, RecordId, ReceivedAt",
        "SELECT toDateTime64('2026-11-01 10:00:00', 9, 'UTC') + number % 20 AS Timestamp, \
         if(number % 2 = 0, '', concat('t', toString(number % 20))) AS TraceId, \
         'log' AS ServiceName, toUUID(concat('00000000-0000-0000-0000-', \
         leftPad(toString(number % 20), 12, '0'))) AS RecordId, \
         {received} AS ReceivedAt FROM numbers(40)",
    ),
    (
        "otel_metrics_gauge",
        "ServiceName, MetricName, Attributes, TimeUnix, Value, ReceivedAt",
        "SELECT 'mes' AS ServiceName, concat('m-', toString(number % 3)) AS MetricName, \
         map('worker', concat('w-', toString(number % 7))) AS Attributes, \
         toDateTime64('2026-11-01 10:00:00', 9, 'UTC') + number % 50 AS TimeUnix, \
         number % 50 AS Value, {received} AS ReceivedAt FROM numbers(2100)",
    ),
    (
        "otel_metrics_histogram",
        "ServiceName, MetricName, Attributes, TimeUnix, BucketCounts, ReceivedAt",
        "SELECT 'mes' AS ServiceName, 'h' AS MetricName, \
         map('worker', concat('w-', toString(number % 7))) AS Attributes, \
         toDateTime64('2026-11-01 10:00:00', 9, 'UTC') AS TimeUnix, \
         [number % 50] AS BucketCounts, {received} AS ReceivedAt FROM numbers(700)",
    ),
    (
        "order_traces",
        "OrderId, TraceId, ReceivedAt",
        "SELECT concat('A-', toString(number % 50)) AS OrderId, concat('t', toString(number % 35)) \
         AS TraceId, {received} AS ReceivedAt FROM numbers(400)",
    ),
    (
        "order_events",
        "OrderId, Carrier, Signal, ReceivedAt",
        "SELECT if(number % 5 = 0, '', concat('A-', toString(number % 50))) AS OrderId, \
         concat('t', toString(number % 35)) AS Carrier, 'stage' AS Signal, \
         {received} AS ReceivedAt FROM numbers(400)",
    ),
    (
        "order_heartbeats",
        "OrderId, Carrier, LastAt, ReceivedAt",
        "SELECT concat('A-', toString(number % 50)) AS OrderId, '' AS Carrier, \
         toDateTime64('2026-11-01 10:00:00', 9, 'UTC') + number AS LastAt, \
         {received} AS ReceivedAt FROM numbers(100)",
    ),
    (
        "trace_links",
        "TraceId, LinkedTraceId, ReceivedAt",
        "SELECT concat('t', toString(number % 35)) AS TraceId, concat('t', toString(number % 20)) \
         AS LinkedTraceId, {received} AS ReceivedAt FROM numbers(300)",
    ),
    (
        "order_aliases",
        "Alias, AliasKind, OrderId, ReceivedAt",
        "SELECT concat('P', toString(number % 9)) AS Alias, 'partner_number' AS AliasKind, \
         concat('A-', toString(number % 50)) AS OrderId, {received} AS ReceivedAt \
         FROM numbers(200)",
    ),
    (
        "orders",
        "OrderId, Stage, IsOpen, Announced, StageSince, DerivedAt",
        "SELECT concat('A-', toString(number % 50)) AS OrderId, \
         ['NEW', 'SUBMITTED', 'CLOSED'][number % 3 + 1] AS Stage, number % 3 != 2 AS IsOpen, \
         1 AS Announced, toDateTime64('2026-11-01 10:00:00', 3, 'UTC') AS StageSince, \
         toDateTime64('2026-11-01 10:00:00', 9, 'UTC') + number AS DerivedAt FROM numbers(130)",
    ),
    (
        "alert_history",
        "OrderId, Fingerprint, Status, FirstReceivedAt",
        "SELECT concat('A-', toString(number % 50)) AS OrderId, toString(number % 60) \
         AS Fingerprint, 'firing' AS Status, toDateTime64('2026-11-01 10:00:00', 3, 'UTC') \
         + number AS FirstReceivedAt FROM numbers(300)",
    ),
];

/// When the facts were received: no two calls differ, and no TTL has passed.
const RECEIVED: &str = "toDateTime64(toStartOfMonth(now('UTC')), 3, 'UTC')";

/// Counted from the state, as the stitcher does: the state of both shards, the count on one.
const SETTLED: &str = "SELECT Bucket, [toString(any(Stage))] AS Stages, [toUInt64(count())] \
    AS Orders, toDateTime64('2026-11-01 10:00:00', 9, 'UTC') AS DerivedAt";

fn layout() -> ClusterLayout {
    ClusterLayout::new("main", "waybill").unwrap()
}

async fn run(server: &Server, database: &str, statement: &str) {
    let client = server.store.client().clone().with_database(database);
    let done = client.query_raw(statement).execute().await;
    assert!(done.is_ok(), "{database}: {statement}\n{}", done.unwrap_err());
}

async fn asked(server: &Server, database: &str, query: &str) -> (u64, u64) {
    let client = server.store.client().clone().with_database(database);
    let answer = client.query_raw(query).fetch_one().await;
    assert!(answer.is_ok(), "{database}: {query}\n{}", answer.unwrap_err());
    answer.unwrap()
}

/// The name in `CREATE <what> IF NOT EXISTS name`.
fn created<'a>(statement: &'a str, what: &str) -> Option<&'a str> {
    let rest = statement.strip_prefix(what)?.strip_prefix(" IF NOT EXISTS ")?;
    rest.split([' ', '(', '\n']).next()
}

/// One server, two shards, and the names that read both shards.
async fn databases(server: &Server) {
    for database in ["single", "shard0", "shard1", "both"] {
        run(server, "default", &format!("CREATE DATABASE {database}")).await;
    }
    for (_, _, text) in migrations() {
        for statement in split(text) {
            run(server, "single", &statement).await;
        }
        for statement in statements(text, &layout()).unwrap() {
            let is_local = !statement.contains("Distributed(");
            if is_local && created(&statement, "CREATE VIEW").is_none() {
                run(server, "shard0", &on_one_server(&statement)).await;
                run(server, "shard1", &on_one_server(&statement)).await;
            }
        }
        for statement in split(text) {
            match created(&statement, "CREATE TABLE")
                .map(|table| (table, placement(table).unwrap()))
            {
                Some((table, Placement::Sharded(key))) => {
                    for statement in read_and_written(table, key) {
                        run(server, "both", &statement).await;
                    }
                }
                Some((table, Placement::Scattered)) => {
                    run(server, "both", &read(table)).await;
                }
                Some((_, Placement::Whole)) => run(server, "both", &statement).await,
                None if statement.starts_with("CREATE VIEW") => {
                    run(server, "both", &statement).await;
                }
                None => {}
            }
        }
    }
}

/// The table over both shards.
fn read(table: &str) -> String {
    format!(
        "CREATE TABLE {table} AS shard0.{table}_local \
         ENGINE = Merge(REGEXP('^shard[01]$'), '^{table}_local$')"
    )
}

/// The same, and the way of a row to its shard.
fn read_and_written(table: &str, key: &str) -> Vec<String> {
    let entrance = format!("{table}{ENTRANCE}");
    let mut statements =
        vec![read(table), format!("CREATE TABLE {entrance} AS shard0.{table}_local ENGINE = Null")];
    for shard in [0, 1] {
        statements.push(format!(
            "CREATE MATERIALIZED VIEW {table}_to_{shard} TO shard{shard}.{table}_local \
             AS SELECT * FROM {entrance} WHERE {key} % 2 = {shard}"
        ));
    }
    statements
}

/// A server whose store is two shards.
pub(crate) async fn start() -> Server {
    let mut server = Server::start();
    databases(&server).await;
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    // What was made here is a store, complete.
    for statement in [
        "CREATE TABLE schema_migrations AS waybill.schema_migrations",
        "INSERT INTO schema_migrations SELECT * FROM waybill.schema_migrations",
    ] {
        run(&server, "both", statement).await;
    }
    let statements = migrations().flat_map(|(_, _, text)| split(text));
    let tables =
        statements.filter_map(|made: String| created(&made, "CREATE TABLE").map(str::to_owned));
    let tables = tables.filter(|table| key(table).is_some()).collect();
    server.settings.store_url = routing::start(server.settings.store_url.clone(), tables).await;
    server.settings.store_database = "both".into();
    server.store = Store::connect(&server.settings);
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    server
}

async fn fill(server: &Server) {
    for (table, names, rows) in FACTS {
        let rows = format!("SELECT {names} FROM ({})", rows.replace("{received}", RECEIVED));
        insert(server, table, names, &rows).await;
    }
    let counted = |database: &str| {
        format!(
            "SELECT * FROM ({SETTLED} FROM {database}.orders_by_bucket FINAL \
             WHERE IsOpen = 0 GROUP BY Bucket)"
        )
    };
    let into = "INSERT INTO single.settled_counts (Bucket, Stages, Orders, DerivedAt)";
    run(server, "single", &format!("{into} {}", counted("single"))).await;
    for shard in ["0", "1"] {
        let into = format!(
            "INSERT INTO shard{shard}.settled_counts_local (Bucket, Stages, Orders, DerivedAt)"
        );
        let part = format!("WHERE {} % 2 = {shard}", key("settled_counts").unwrap());
        run(server, "single", &format!("{into} {} {part}", counted("both"))).await;
    }
}

fn key(table: &str) -> Option<&'static str> {
    match placement(table) {
        Some(Placement::Sharded(key)) => Some(key),
        _ => None,
    }
}

/// The rows into the one server, and each into its shard, as `Distributed` would send them.
async fn insert(server: &Server, table: &str, names: &str, rows: &str) {
    run(server, "single", &format!("INSERT INTO {table} ({names}) {rows}")).await;
    for shard in ["0", "1"] {
        let part = format!("{rows} WHERE {} % 2 = {shard}", key(table).unwrap());
        let database = format!("shard{shard}");
        run(server, &database, &format!("INSERT INTO {table}_local ({names}) {part}")).await;
    }
}

#[tokio::test]
async fn two_shards_hold_together_what_one_server_holds() {
    let server = Server::start();
    databases(&server).await;
    fill(&server).await;
    let mut filled = 0;
    for (_, _, text) in migrations() {
        for statement in split(text) {
            let Some(table) = created(&statement, "CREATE TABLE") else { continue };
            let Some(key) = key(table) else { continue };
            let modifier = if statement.contains("ENGINE = MergeTree") { "" } else { "FINAL" };
            let count = format!("SELECT count(), uniqExact({key} % 2) FROM {table} {modifier}");
            let (single, shards) = asked(&server, "single", &count).await;
            assert_eq!(
                asked(&server, "both", &count).await.0,
                single,
                "{table} folds on its shard"
            );
            for shard in ["shard0", "shard1"] {
                let other = if shard == "shard0" { 1 } else { 0 };
                let astray =
                    format!("SELECT count(), countIf({key} % 2 = {other}) FROM {table}_local");
                let (rows, astray) = asked(&server, shard, &astray).await;
                assert_eq!(astray, 0, "{table} lies where its sharding key says");
                assert!(rows > 0 || shards < 2, "{table} uses both shards");
            }
            filled += u64::from(single > 0);
        }
    }
    assert!(filled >= 17, "{filled} tables have rows");
}

/// Sets the clock of every view that has one, so that those which ask it say the same at any time.
async fn set_clocks(server: &Server) {
    for (_, _, text) in migrations() {
        for statement in split(text) {
            if created(&statement, "CREATE VIEW").is_none() {
                continue;
            }
            let fixed = statement
                .replace("now64(3, 'UTC')", "toDateTime64('2026-11-20 10:00:00', 3, 'UTC')")
                .replace("now('UTC')", "toDateTime('2026-11-20 10:00:00', 'UTC')");
            if fixed != statement {
                let again =
                    fixed.replacen("CREATE VIEW IF NOT EXISTS", "CREATE OR REPLACE VIEW", 1);
                for database in ["single", "both"] {
                    run(server, database, &again).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn views_say_of_two_shards_what_they_say_of_one_server() {
    let server = Server::start();
    databases(&server).await;
    fill(&server).await;
    set_clocks(&server).await;
    let mut told = 0;
    for (_, _, text) in migrations() {
        for statement in split(text) {
            let Some(view) = created(&statement, "CREATE VIEW") else { continue };
            let now = statement.contains("now64(") || statement.contains("now(");
            if now {
                continue; // The same view at a point in time is among the others.
            }
            let at = if statement.contains("{as_of:") {
                "(as_of = toDateTime64('2026-11-20 10:00:00', 3, 'UTC'))"
            } else {
                ""
            };
            let rows = format!(
                "SELECT count(), sum(cityHash64(toString(tuple(*))) % 1000003) FROM {view}{at}"
            );
            let single = asked(&server, "single", &rows).await;
            assert_eq!(asked(&server, "both", &rows).await, single, "{view}");
            told += u64::from(single.0 > 0);
        }
    }
    assert!(told >= 8, "{told} views have rows");
}
