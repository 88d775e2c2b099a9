//! The generator: refusals, a snapshot, and the rules over every migration.

use super::tokens::Statement;
use super::*;

fn layout() -> ClusterLayout {
    ClusterLayout::new("main", "waybill").unwrap()
}

/// A small migration that has one of everything.
const SAMPLE: &str = "
-- A comment; with a semicolon.
CREATE TABLE IF NOT EXISTS order_traces (
    OrderId String CODEC(ZSTD(1)), -- FROM order_traces
    TraceId String DEFAULT 'ENGINE = x'
) ENGINE = AggregatingMergeTree
ORDER BY (OrderId, TraceId)
SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1;
CREATE TABLE IF NOT EXISTS trace_orders AS order_traces
ENGINE = ReplacingMergeTree(OrderId)
ORDER BY (TraceId, OrderId);
CREATE MATERIALIZED VIEW IF NOT EXISTS trace_orders_mv TO trace_orders AS
SELECT order_traces.OrderId AS OrderId, TraceId FROM order_traces WHERE TraceId != '';
CREATE TABLE IF NOT EXISTS lifecycles (At DateTime) ENGINE = MergeTree() ORDER BY At
SETTINGS fsync_after_insert = 1;
CREATE TABLE IF NOT EXISTS sources (Source String) ENGINE = AggregatingMergeTree ORDER BY Source;
CREATE VIEW IF NOT EXISTS seen_v1 AS SELECT count() AS n FROM order_traces;
ALTER TABLE order_traces ADD COLUMN IF NOT EXISTS Kind LowCardinality(String), \
    ADD INDEX k Kind TYPE set(2), MODIFY SETTING non_replicated_deduplication_window = 200;
ALTER TABLE lifecycles ADD COLUMN Note String;
OPTIMIZE TABLE order_traces FINAL SETTINGS optimize_throw_if_noop = 1;
ALTER TABLE order_traces DELETE WHERE OrderId = '';
DROP VIEW IF EXISTS seen_v1;
DROP TABLE IF EXISTS trace_orders;
INSERT INTO order_traces (OrderId) SELECT OrderId FROM orders;
";

#[test]
fn one_of_everything() {
    let made = statements(SAMPLE, &layout()).unwrap();
    insta::assert_snapshot!(made.join(";\n\n"));
}

#[test]
fn what_would_break_stitching_is_refused() {
    let cases = [
        ("CREATE TABLE unheard_of (a String) ENGINE = MergeTree ORDER BY a", "no placement"),
        ("CREATE TABLE orders (a String) ENGINE = Memory", "no replicated form"),
        ("CREATE TABLE orders (a String)", "no replicated form"),
        ("CREATE DICTIONARY d (a String) PRIMARY KEY a", "cannot turn"),
        ("CREATE MATERIALIZED VIEW v TO trace_links AS SELECT 1 FROM order_traces", "other shards"),
        ("CREATE MATERIALIZED VIEW v TO stitchers AS SELECT 1 FROM order_traces", "several shards"),
        ("CREATE MATERIALIZED VIEW v TO orders AS SELECT 1 FROM lifecycles", "other shards"),
        (
            "CREATE MATERIALIZED VIEW v TO orders AS SELECT 1 FROM orders JOIN order_traces",
            "second",
        ),
        ("CREATE MATERIALIZED VIEW v TO orders AS SELECT 1", "no table of ours"),
        ("CREATE MATERIALIZED VIEW v REFRESH EVERY 1 HOUR TO orders AS SELECT 1", "refresh"),
        ("CREATE MATERIALIZED VIEW v TO nowhere AS SELECT 1 FROM orders", "no placement"),
    ];
    for (text, why) in cases {
        let error = statements(text, &layout()).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn names_cannot_carry_sql() {
    for (cluster, database) in [("", "d"), ("c", ""), ("c'", "d"), ("c", "d-e"), ("c", "d`")] {
        assert!(ClusterLayout::new(cluster, database).is_err(), "{cluster} {database}");
    }
    for cluster in ["main", "a-b.c", "{cluster}"] {
        assert!(ClusterLayout::new(cluster, "waybill").is_ok());
    }
}

/// Every `CREATE TABLE` of the migrations: name and statement.
fn tables() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (_, _, text) in migrations() {
        for text in split(text) {
            let statement = Statement::new(&text);
            if statement.are(0, &["CREATE", "TABLE"]) {
                let guarded = statement.are(2, &["IF", "NOT", "EXISTS"]);
                let name = statement.name(if guarded { 5 } else { 2 }).unwrap();
                found.push((name.to_owned(), text.clone()));
            }
        }
    }
    found
}

#[test]
fn every_migration_has_a_form_for_a_cluster() {
    for (number, name, text) in migrations() {
        let made = statements(text, &layout());
        assert!(made.is_ok(), "{number} {name}: {made:?}");
    }
}

#[test]
fn a_script_is_for_one_server_or_for_all() {
    let one = script("waybill", None).unwrap();
    assert!(!one.contains("ON CLUSTER") && !one.contains("Replicated"), "{one}");
    let all = script("waybill", Some("main")).unwrap();
    let changes = |script: &str| {
        script
            .lines()
            .filter(|line| line.starts_with("CREATE ") || line.starts_with("ALTER "))
            .count()
    };
    assert!(changes(&all) > changes(&one));
    assert_eq!(changes(&all), all.matches(" ON CLUSTER 'main'").count());
    assert!(script("way`bill", None).is_err());
}

/// Rows that fold each other have the same sorting key, so a shard picked by columns of it holds
/// all of them.
#[test]
fn the_sharding_key_is_made_of_the_sorting_key() {
    let mut checked = 0;
    for (table, text) in tables() {
        let statement = Statement::new(&text);
        let Some(Placement::Sharded(key)) = placement(&table) else { continue };
        let engine = statement.find_outside(0, "ENGINE").unwrap();
        if statement.is(engine + 2, "MergeTree") {
            continue; // Folds nothing.
        }
        let order = statement.find_outside(engine, "ORDER").unwrap() + 2;
        let end = statement.closing(order).unwrap_or(order);
        let sorted: Vec<_> = (order..=end).filter_map(|at| statement.name(at)).collect();
        let key = Statement::new(key);
        for at in 0..key.tokens.len() {
            let is_column = key.name(at).is_some() && key.at(at + 1) != "(";
            if is_column {
                let column = key.at(at);
                assert!(sorted.contains(&column), "{table}: {column} not in {sorted:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 5, "{checked}");
}

/// `FINAL` folds within a shard only: a scattered table is aggregated by whoever reads it.
#[test]
fn scattered_tables_are_never_read_with_final() {
    for (_, name, text) in migrations() {
        let text = without_comments(text);
        let statement = Statement::new(&text);
        for at in 0..statement.tokens.len() {
            let scattered = statement.name(at).and_then(placement) == Some(Placement::Scattered);
            assert!(!(scattered && statement.is(at + 1, "FINAL")), "{name}: {}", statement.at(at));
        }
    }
}
