//! Migrations go forward only: from every older schema, from every point at which one was
//! interrupted, and with two collectors at once, the store ends with the tables of a fresh one.

use std::collections::BTreeMap;
use std::time::Duration;

use order_model::Lifecycle;
use order_store::cluster::split;
use order_store::rows::{Batch, SpanRow};
use order_store::schema::{MigrateError, migrations};
use order_store::{Reader, RetentionSettings, Store, StoreSettings, Writer};

use crate::server::Server;

/// How long to wait before looking again at what the engine is doing.
const POLL: Duration = Duration::from_millis(5);

fn store_of(server: &Server, database: &str) -> Store {
    let settings = StoreSettings { store_database: database.to_owned(), ..server.settings.clone() };
    Store::connect(&settings)
}

/// Every table and view as the engine would make it again.
async fn schema(store: &Store) -> BTreeMap<String, String> {
    let rows: Vec<(String, String)> = store
        .client()
        .query(
            "SELECT name, replaceAll(create_table_query, concat(currentDatabase(), '.'), '') \
             FROM system.tables WHERE database = currentDatabase()",
        )
        .fetch_all()
        .await
        .unwrap();
    rows.into_iter().collect()
}

async fn fresh(server: &Server) -> BTreeMap<String, String> {
    let store = store_of(server, "fresh");
    store.migrate(&Lifecycle::default()).await.unwrap();
    let schema = schema(&store).await;
    assert!(schema.len() > 40 && schema.contains_key("orders_v1"), "{:?}", schema.keys());
    schema
}

/// Rows of the tables that a collector writes to.
const ROWS: [(&str, &str); 9] = [
    ("otel_traces", "(TraceId, SpanId, ServiceName, ReceivedAt) VALUES ('t', 's', 'shop', now())"),
    ("otel_logs", "(ServiceName, Body, ReceivedAt) VALUES ('shop', 'b', now())"),
    (
        "otel_metrics_gauge",
        "(ServiceName, MetricName, Attributes, ReceivedAt) VALUES ('mes', 'm', {'a': 'b'}, now())",
    ),
    ("order_traces", "(OrderId, TraceId, ReceivedAt) VALUES ('A-1', 't', now())"),
    ("order_events", "(OrderId, Signal, Stage, ReceivedAt) VALUES ('A-1', 'stage', 'NEW', now())"),
    ("order_aliases", "(Alias, AliasKind, OrderId, ReceivedAt) VALUES ('P7', 'n', 'A-1', now())"),
    ("trace_links", "(TraceId, LinkedTraceId, ReceivedAt) VALUES ('t', 'u', now())"),
    (
        "orders",
        "(OrderId, Stage, IsOpen, Announced, LastReceivedAt, DerivedAt) \
         VALUES ('A-1', 'NEW', 1, 1, now(), now64(9))",
    ),
    ("alert_history", "(OrderId, Fingerprint, Status) VALUES ('A-1', 'f', 'firing')"),
];

/// Inserts a row into every table of `ROWS` that is there; gives how many.
async fn fill(store: &Store) -> usize {
    let there = schema(store).await;
    let mut filled = 0;
    for (table, row) in ROWS.iter().filter(|(table, _)| there.contains_key(*table)) {
        let insert = format!("INSERT INTO {table} {row}");
        store.client().query(&insert).execute().await.unwrap();
        filled += 1;
    }
    filled
}

/// The rows of every table that keeps rows, whole.
async fn rows(store: &Store) -> BTreeMap<String, Vec<String>> {
    let tables = "SELECT name FROM system.tables WHERE database = currentDatabase() \
                  AND engine LIKE '%MergeTree' AND name NOT IN ('schema_migrations', 'lifecycles')";
    let tables: Vec<String> = store.client().query(tables).fetch_all().await.unwrap();
    let mut rows = BTreeMap::new();
    for table in tables {
        let read = format!("SELECT formatRow('JSONEachRow', *) AS row FROM {table} ORDER BY row");
        let found: Vec<String> = store.client().query(&read).fetch_all().await.unwrap();
        if !found.is_empty() {
            rows.insert(table, found);
        }
    }
    rows
}

#[tokio::test]
async fn every_older_store_becomes_a_fresh_one_and_keeps_its_rows() {
    let server = Server::start();
    let fresh = fresh(&server).await;
    let mut filled = Vec::new();
    for (last, name) in
        std::iter::once((0, "none")).chain(migrations().map(|(n, name, _)| (n, name)))
    {
        let store = store_of(&server, &format!("from_{last}"));
        store.migrate_up_to(last).await.unwrap();
        filled.push(fill(&store).await);
        let before = rows(&store).await;
        store.migrate(&Lifecycle::default()).await.unwrap();
        assert_eq!(schema(&store).await, fresh, "from {last} {name}");
        let after = rows(&store).await;
        for (table, rows) in before {
            assert_eq!(after.get(&table), Some(&rows), "from {last} {name}: {table}");
        }
    }
    assert_eq!((filled[0], filled.last()), (0, Some(&ROWS.len())), "{filled:?}");
    assert!(filled.is_sorted(), "{filled:?}");
}

#[tokio::test]
async fn two_collectors_may_migrate_at_once() {
    let server = Server::start();
    let fresh = fresh(&server).await;
    for (round, last) in [0, 0, 1, 3].into_iter().enumerate() {
        let database = format!("both_{round}");
        let (one, other) = (store_of(&server, &database), store_of(&server, &database));
        one.migrate_up_to(last).await.unwrap();
        let (lifecycle, kept) = (Lifecycle::default(), RetentionSettings::default());
        let start = async |store: &Store| {
            store.migrate(&lifecycle).await?;
            assert_eq!(schema(store).await.len(), fresh.len());
            store.retain(&kept).await
        };
        let (first, second) = tokio::join!(start(&one), start(&other));
        first.unwrap();
        second.unwrap();
        assert_eq!(one.retain(&kept).await.unwrap(), Vec::<&str>::new());
        let applied = "SELECT count() FROM schema_migrations FINAL";
        let applied: u64 = one.client().query(applied).fetch_one().await.unwrap();
        assert_eq!(usize::try_from(applied).unwrap(), migrations().count());
    }
}

#[tokio::test]
async fn a_migration_killed_after_any_statement_is_resumed() {
    let mut server = Server::start();
    let fresh = fresh(&server).await;
    let mut killed = Vec::new();
    for (number, name, text) in migrations() {
        let statements = split(text);
        // After the first, one in the middle and the last, which is not recorded yet.
        for done in [1, statements.len().div_ceil(2), statements.len()] {
            let database = format!("killed_{number}_{done}");
            let store = store_of(&server, &database);
            store.migrate_up_to(number - 1).await.unwrap();
            for statement in &statements[..done] {
                store.client().query_raw(statement).execute().await.unwrap();
            }
            killed.push((database, name));
        }
        server.kill_and_restart();
        for (database, name) in killed.drain(..) {
            let store = store_of(&server, &database);
            store.migrate(&Lifecycle::default()).await.unwrap();
            assert_eq!(schema(&store).await, fresh, "{database} {name}");
            // Tables without end make the next restart slow.
            let drop = format!("DROP DATABASE {database}");
            store.client().clone().with_database("default").query(&drop).execute().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_migration_at_work_survives_the_death_of_the_engine() {
    let mut server = Server::start();
    let fresh = fresh(&server).await;
    for tables in [0, 1, 7, 20, 33] {
        let database = format!("died_{tables}");
        let store = store_of(&server, &database);
        let migrating = {
            let store = store.clone();
            tokio::spawn(async move { store.migrate(&Lifecycle::default()).await })
        };
        let there = format!("SELECT count() FROM system.tables WHERE database = '{database}'");
        let unbound = store.client().clone().with_database("default");
        while unbound.query(&there).fetch_one::<u64>().await.unwrap() < tables {
            tokio::time::sleep(POLL).await;
        }
        server.kill_and_restart();
        // The engine may have died after the last statement; else the collector is told to wait.
        if let Err(error) = migrating.await.unwrap() {
            assert!(matches!(&error, MigrateError::Store(e) if e.is_retryable()), "{error:?}");
        }
        let store = store_of(&server, &database);
        store.migrate(&Lifecycle::default()).await.unwrap();
        assert_eq!(schema(&store).await, fresh, "{tables} tables");
    }
}

#[tokio::test]
async fn an_edited_migration_is_refused_by_number_and_name() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let before = schema(&server.store).await;
    let edit = "INSERT INTO schema_migrations (Number, Name, Fingerprint) \
                VALUES (2, 'order_facts', 'of another text')";
    server.store.client().query(edit).execute().await.unwrap();
    let error = server.store.migrate(&Lifecycle::default()).await.unwrap_err();
    assert!(error.to_string().contains("migration 2 (order_facts) differs"), "{error}");
    assert_eq!(schema(&server.store).await, before);
}

/// Columns that a newer Waybill adds have a default: the client refuses rows without one.
#[tokio::test]
async fn a_store_of_a_newer_waybill_is_written_and_read() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let newer = [
        "ALTER TABLE otel_traces ADD COLUMN IF NOT EXISTS Later String DEFAULT ''",
        "CREATE VIEW later_v1 AS SELECT 1 AS n",
        "INSERT INTO schema_migrations (Number, Name, Fingerprint) VALUES (999, 'later', 'x')",
    ];
    for statement in newer {
        server.store.client().query(statement).execute().await.unwrap();
    }
    let before = schema(&server.store).await;
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    assert_eq!(schema(&server.store).await, before);
    let received_at = chrono::Utc::now().timestamp_millis();
    let span = SpanRow {
        trace_id: "t".into(),
        span_id: "s".into(),
        service_name: "shop".into(),
        received_at,
        ..SpanRow::default()
    };
    let batch = Batch { spans: vec![span], ..Batch::default() };
    Writer::new(server.store.clone()).insert(&batch, "token").await.unwrap();
    let stored = "SELECT count() FROM otel_traces WHERE Later = ''";
    let stored: u64 = server.store.client().query(stored).fetch_one().await.unwrap();
    assert_eq!(stored, 1);
    let board = Reader::new(server.store.clone()).board(None).await.unwrap();
    assert_eq!(board.sources[0].source, "shop");
}

/// A loss of power must take nothing: neither what was inserted nor what has merged since, whose
/// sources are gone. By the same sync the embedded engine hears of writes that failed.
#[tokio::test]
async fn every_table_syncs_what_is_inserted_and_what_merges() {
    let server = Server::start();
    let tables = fresh(&server).await;
    let mut looked = 0;
    for (name, made) in tables.iter().filter(|(_, made)| made.contains("MergeTree")) {
        let inserted = ["fsync_after_insert = 1", "fsync_part_directory = 1"];
        let merged = "min_rows_to_fsync_after_merge = 1";
        let synced = inserted.iter().all(|setting| made.contains(setting));
        assert!(synced, "{name}: {made}");
        assert!(made.contains(merged), "{name}: {made}");
        looked += 1;
    }
    assert!(looked > 20, "{looked} tables");
}
