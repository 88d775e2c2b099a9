//! Facts of a fixture as rows, with the time at which the store heard of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use clickhouse::Row;
use order_model::keys;
use order_store::Store;
use order_store::read::AlertRow;
use serde::Serialize;

use crate::fixture::Fact;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A row of `order_events`, as the collector writes it, and when the store got it.
#[derive(Debug, Clone, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventRow {
    order_id: String,
    signal: String,
    stage: String,
    event_time: i64,
    received_at: i64,
    source: String,
    trace_id: String,
    span_id: String,
    attempt: u32,
    evidence: Vec<(String, String)>,
    inserted_at: i64,
}

/// A row of `order_heartbeats`, likewise.
#[derive(Debug, Clone, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HeartbeatRow {
    order_id: String,
    source: String,
    worker: String,
    attempt: u32,
    last_at: i64,
    received_at: i64,
    inserted_at: i64,
}

/// A row of `order_traces`, likewise.
#[derive(Debug, Clone, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NamingRow {
    order_id: String,
    trace_id: String,
    start: i64,
    end: i64,
    received_at: i64,
    has_model: u8,
    kind: String,
    channel: String,
    inserted_at: i64,
}

/// A row of `sources`.
#[derive(Debug, Clone, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SourceRow {
    source: String,
    /// Days since 1970, of the receipt.
    day: u16,
    last_received_at: i64,
    last_timestamp: i64,
}

/// Everything that facts say.
#[derive(Debug, Default)]
pub(super) struct Rows {
    events: Vec<EventRow>,
    heartbeats: Vec<HeartbeatRow>,
    namings: Vec<NamingRow>,
    /// By system: the last that was heard of it, and the time that it said.
    sources: BTreeMap<String, (i64, i64)>,
    pub(super) told: Vec<AlertRow>,
}

impl Rows {
    /// Adds a fact that happened `at` and came in at `heard`.
    pub(super) fn add(&mut self, fact: &Fact, at: DateTime<Utc>, heard: DateTime<Utc>) {
        let (nanos, heard) = (at.timestamp_nanos_opt().unwrap_or(0), heard.timestamp_millis());
        if let Some(labels) = &fact.told {
            self.told.push(told(labels, at, heard));
            return;
        }
        let source = self.sources.entry(fact.by.clone()).or_insert((heard, nanos));
        *source = (source.0.max(heard), source.1.max(nanos));
        for order in fact.orders() {
            self.add_signal(fact, &order, nanos, heard);
            self.namings.push(NamingRow {
                trace_id: format!("trace of {order}"),
                order_id: order,
                start: nanos,
                end: nanos,
                received_at: heard,
                has_model: u8::from(fact.model),
                kind: fact.kind.clone(),
                channel: fact.channel.clone(),
                inserted_at: heard,
            });
        }
    }

    fn add_signal(&mut self, fact: &Fact, order: &str, nanos: i64, heard: i64) {
        if let Some(worker) = &fact.heartbeat {
            self.heartbeats.push(HeartbeatRow {
                order_id: order.to_owned(),
                source: fact.by.clone(),
                worker: worker.clone(),
                attempt: fact.attempt,
                last_at: nanos,
                received_at: heard,
                inserted_at: heard,
            });
            return;
        }
        let requested = fact.price_requested.then(String::new);
        let signals = [
            (keys::SIGNAL_STAGE, fact.stage.clone()),
            (keys::SIGNAL_PRICE_REQUESTED, requested),
            (keys::SIGNAL_HANDED_OVER, fact.published.clone()),
            (keys::SIGNAL_TAKEN_OVER, fact.taken.clone()),
        ];
        let Some((signal, stage)) =
            signals.into_iter().find_map(|(signal, stage)| Some((signal, stage?)))
        else {
            return;
        };
        let evidence = [("worker", &fact.worker), ("error", &fact.error)];
        let evidence = evidence.into_iter().filter(|(_, text)| !text.is_empty());
        self.events.push(EventRow {
            order_id: order.to_owned(),
            signal: signal.to_owned(),
            stage,
            event_time: nanos,
            received_at: heard,
            source: fact.by.clone(),
            trace_id: format!("trace of {order}"),
            span_id: String::new(),
            attempt: fact.attempt,
            evidence: evidence.map(|(name, text)| (name.to_owned(), text.clone())).collect(),
            inserted_at: heard,
        });
    }

    /// The orders that are named.
    pub(super) fn orders(&self) -> BTreeSet<String> {
        self.namings.iter().map(|naming| naming.order_id.clone()).collect()
    }

    /// Writes all but what on-call was told.
    pub(super) async fn insert(&self, store: &Store) -> clickhouse::error::Result<()> {
        insert(store, "order_events", &self.events).await?;
        insert(store, "order_heartbeats", &self.heartbeats).await?;
        insert(store, "order_traces", &self.namings).await?;
        let sources = self.sources.iter().map(|(source, (heard, said))| SourceRow {
            source: source.clone(),
            day: u16::try_from(heard / DAY_MS).unwrap_or(u16::MAX),
            last_received_at: *heard,
            last_timestamp: *said,
        });
        insert(store, "sources", &sources.collect::<Vec<_>>()).await
    }
}

async fn insert<T>(store: &Store, table: &str, rows: &[T]) -> clickhouse::error::Result<()>
where
    T: clickhouse::RowOwned + clickhouse::RowWrite,
{
    if rows.is_empty() {
        return Ok(());
    }
    // Without a look at the table's types: the columns that are left out have values of their own.
    let client = store.client().clone().with_validation(false);
    let mut insert = client.insert::<T>(table).await?;
    for row in rows {
        insert.write(row).await?;
    }
    insert.end().await
}

/// A call of the webhook: on-call was told that the alert fires.
fn told(labels: &BTreeMap<String, String>, starts_at: DateTime<Utc>, heard: i64) -> AlertRow {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    AlertRow {
        order_id: label("order"),
        fingerprint: format!("{labels:?}"),
        starts_at: starts_at.timestamp_millis(),
        status: "firing".to_owned(),
        alert_name: label("alertname"),
        severity: label("severity"),
        ends_at: 0,
        labels: labels.clone().into_iter().collect(),
        annotations: Vec::new(),
        first_received_at: heard,
    }
}
