//! The generated schema of a cluster before the engine's own parser, and at work: on one engine,
//! which has no Keeper, with `Alias` standing in for `Distributed`.

use insta::assert_snapshot;
use order_store::Store;
use order_store::cluster::{
    ClusterLayout, LAG_SETTING, PRIMARY_SETTINGS, Placement, REPLICA_SETTINGS, placement, split,
    statements,
};
use order_store::schema::migrations;

use crate::server::Server;

fn layout() -> ClusterLayout {
    ClusterLayout::new("main", "waybill").unwrap()
}

fn generated() -> Vec<String> {
    migrations().flat_map(|(_, _, text)| statements(text, &layout()).unwrap()).collect()
}

async fn run(server: &Server, statement: &str) {
    let done = server.store.client().query_raw(statement).execute().await;
    assert!(done.is_ok(), "{statement}\n{}", done.unwrap_err());
}

async fn number(server: &Server, query: &str) -> u64 {
    server.store.client().query_raw(query).fetch_one().await.unwrap()
}

/// What the engine made of the statement: parsed, and written out again.
async fn parsed(server: &Server, statement: &str) -> Result<String, clickhouse::error::Error> {
    let client = server.store.client().clone().with_database("default");
    client.query("SELECT formatQuery({q:String})").param("q", statement).fetch_one().await
}

#[tokio::test]
async fn the_engines_parser_takes_every_generated_statement() {
    let server = Server::start();
    let statements = generated();
    assert!(statements.len() > 40, "{}", statements.len());
    for statement in &statements {
        let written = parsed(&server, statement).await;
        let written = written.unwrap_or_else(|error| panic!("{statement}\n{error}"));
        let creates_everywhere = written.contains("ON CLUSTER main");
        assert!(creates_everywhere || written.starts_with("INSERT"), "{written}");
    }
    assert!(parsed(&server, "CREATE TABLE x ON CLUSTER (a String)").await.is_err());
}

/// A setting that the engine does not know would be an error on a server, and nothing here.
#[tokio::test]
async fn the_engine_knows_the_settings_of_a_cluster() {
    let server = Server::start();
    let unbound = server.store.client().clone().with_database("default");
    unbound.query_raw("CREATE DATABASE waybill").execute().await.unwrap();
    let names = PRIMARY_SETTINGS.iter().chain(&REPLICA_SETTINGS).map(|(name, _)| *name);
    for name in names.chain([LAG_SETTING]) {
        let known = format!("SELECT count() FROM system.settings WHERE name = '{name}'");
        assert_eq!(number(&server, &known).await, 1, "{name}");
    }
    let store = Store::connect_to(&server.settings, Some(layout()));
    store.ping().await.unwrap();
    let mode = "SELECT value FROM system.settings WHERE name = 'distributed_product_mode'";
    let mode: String = store.client().query_raw(mode).fetch_one().await.unwrap();
    assert_eq!(mode, "global");
}

/// The statement as an engine without Keeper can run it: the tables of one shard and one replica.
/// `Alias` passes reads and inserts on, as `Distributed` does.
pub(crate) fn on_one_server(statement: &str) -> String {
    let mut text = statement.replace(" ON CLUSTER 'main'", "");
    if let Some((head, tail)) = text.split_once("ENGINE = Distributed('main', 'waybill', '") {
        let local = tail.split('\'').next().unwrap();
        let head = head.replace(&format!(" AS {local}"), "");
        return format!("{head}ENGINE = Alias({local})");
    }
    if let Some((head, tail)) = text.clone().split_once("ENGINE = Replicated") {
        let (engine, rest) = tail.split_once("('/clickhouse/tables/").unwrap();
        let (_, rest) = rest.split_once("{replica}'").unwrap();
        let rest = rest.trim_start_matches(", ");
        text = format!("{head}ENGINE = {engine}({rest}")
            .replace("replicated_deduplication_window_seconds = 2592000,", "")
            .replace(" replicated_ded", " non_replicated_ded");
    }
    text
}

/// Tables, materialized views and views of a cluster do on one shard what those of one server do.
#[tokio::test]
async fn rows_take_the_same_ways_as_on_one_server() {
    let server = Server::start();
    for (database, statements) in [
        ("waybill", generated().iter().map(|text| on_one_server(text)).collect::<Vec<_>>()),
        ("single", migrations().flat_map(|(_, _, text)| split(text)).collect()),
    ] {
        let client = server.store.client().clone().with_database("default");
        client.query_raw(&format!("CREATE DATABASE {database}")).execute().await.unwrap();
        let client = client.with_database(database);
        for statement in statements {
            let done = client.query_raw(&statement).execute().await;
            assert!(done.is_ok(), "{statement}\n{}", done.unwrap_err());
        }
        for insert in [
            "INSERT INTO order_traces (OrderId, TraceId, ReceivedAt) \
             VALUES ('A-1', 't1', now()), ('A-2', 't1', now())",
            "INSERT INTO order_aliases (Alias, AliasKind, OrderId, ReceivedAt) \
             VALUES ('A1', 'order_id', 'A-1', now()), ('P7', 'partner_number', 'A-1', now())",
            "INSERT INTO trace_links (TraceId, LinkedTraceId, ReceivedAt) \
             VALUES ('t1', 't2', now())",
            "INSERT INTO otel_traces (TraceId, SpanId, ServiceName, Timestamp, ReceivedAt) VALUES \
             ('t1', 's1', 'shop', now(), now()), ('t1', 's2', 'crm', now(), now())",
            "INSERT INTO otel_metrics_sum (ServiceName, MetricName, Attributes, ReceivedAt) VALUES \
             ('mes', 'm', {'a': 'b'}, now()), ('mes', 'm', {'a': 'c'}, now())",
            "INSERT INTO orders (OrderId, Stage, IsOpen, Announced, DerivedAt) VALUES \
             ('A-1', 'NEW', 1, 1, now64(9)), ('A-2', 'CLOSED', 0, 1, now64(9))",
        ] {
            client.query_raw(insert).execute().await.unwrap();
        }
    }
    let tables = "SELECT name FROM system.tables WHERE database = 'single' \
                  AND engine NOT LIKE 'System%' ORDER BY name";
    let tables: Vec<String> = server.store.client().query_raw(tables).fetch_all().await.unwrap();
    let mut filled = 0;
    for table in tables {
        let Some(place) = placement(&table) else { continue };
        let single = number(&server, &format!("SELECT count() FROM single.{table}")).await;
        let through = number(&server, &format!("SELECT count() FROM waybill.{table}")).await;
        assert_eq!(through, single, "{table}");
        if place != Placement::Whole {
            let local =
                number(&server, &format!("SELECT count() FROM waybill.{table}_local")).await;
            assert_eq!(local, single, "{table}_local");
        }
        filled += u64::from(single > 0);
    }
    assert!(filled >= 13, "views have filled {filled} tables");
    run(&server, "OPTIMIZE TABLE waybill.sources_local FINAL").await;
    assert_eq!(number(&server, "SELECT count() FROM waybill.sources_v1").await, 2);
}

#[test]
fn the_stand_ins_are_made_from_the_generated_text() {
    let made: Vec<_> = statements(
        "CREATE TABLE IF NOT EXISTS orders (a String) ENGINE = ReplacingMergeTree(a) ORDER BY a;",
        &layout(),
    )
    .unwrap()
    .iter()
    .map(|statement| on_one_server(statement))
    .collect();
    assert_snapshot!(made.join(";
"), @r"
    CREATE TABLE IF NOT EXISTS orders_local (a String) ENGINE = ReplacingMergeTree(a) ORDER BY a
    SETTINGS non_replicated_deduplication_window = 0;
    CREATE TABLE IF NOT EXISTS orders
    ENGINE = Alias(orders_local)
    ");
}
