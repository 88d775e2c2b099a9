//! How long rows are kept, by the time of receipt: the settings, and what they make of the tables.
//!
//! The migrations give every table its retention by default; a collector that starts brings the
//! tables to its settings. Facts and the states derived from them outlive whatever they were
//! derived from, so that an order keeps its history when its spans are gone.

use std::time::Duration;

use clap::Args;
use clickhouse::Row;
use serde::Deserialize;

use crate::connection::Store;
use crate::error::StoreError;
use crate::schema::MigrateError;

const DAY_SECONDS: u64 = 86_400;
/// A year as people write it in a duration.
const YEAR_SECONDS: u64 = 31_557_600;
/// Nothing is kept for less: a repeat after an outage must find what it repeats, and a partition
/// is a day.
const RAW_MIN: Duration = Duration::from_secs(DAY_SECONDS);
/// An order takes three weeks, and two more until its end counts as not confirmed. Its first fact
/// must be there when its last one comes.
const FACTS_MIN: Duration = Duration::from_secs(60 * DAY_SECONDS);
/// The store counts seconds in 32 bits, up to 2106: a longer retention would wrap around, and have
/// new rows deleted at once.
const RETENTION_MAX: Duration = Duration::from_secs(30 * YEAR_SECONDS);

/// A mutation reads the one column of the TTL and writes each part's limits anew; rows go with the
/// merges, or whole parts with their last row. Without it the mutation would rewrite every part,
/// also where parts are only ever dropped whole.
const RECALCULATE_ONLY: &str = "materialize_ttl_recalculate_only = 1";
/// Parts that are there get the new limits, too: each part remembers those it was written with,
/// and no merge looks at them again. The start does not wait for it.
const MODIFY_SETTINGS: &str = "materialize_ttl_after_modify = 1, alter_sync = 0";

/// How long rows are kept after they were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct RetentionSettings {
    /// How long spans are kept after they were received, such as `90d`. At least a day.
    #[arg(long, env = "WAYBILL_RETENTION_SPANS", default_value = "90d", value_parser = duration)]
    pub retention_spans: Duration,
    /// How long log records are kept. At least a day.
    #[arg(long, env = "WAYBILL_RETENTION_LOGS", default_value = "90d", value_parser = duration)]
    pub retention_logs: Duration,
    /// How long data points of metrics are kept. At least a day.
    #[arg(long, env = "WAYBILL_RETENTION_METRICS", default_value = "30d",
          value_parser = duration)]
    pub retention_metrics: Duration,
    /// How long signs of life of long work are kept. At least a day.
    #[arg(long, env = "WAYBILL_RETENTION_HEARTBEATS", default_value = "1y",
          value_parser = duration)]
    pub retention_heartbeats: Duration,
    /// How long the facts about an order, its state and its alerts are kept after the last word
    /// of it. At least 60 days, and as long as spans, logs and heartbeats.
    #[arg(long, env = "WAYBILL_RETENTION_FACTS", default_value = "5y", value_parser = duration)]
    pub retention_facts: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write for example `90d` or `5y`"))
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            retention_spans: Duration::from_secs(90 * DAY_SECONDS),
            retention_logs: Duration::from_secs(90 * DAY_SECONDS),
            retention_metrics: Duration::from_secs(30 * DAY_SECONDS),
            retention_heartbeats: Duration::from_secs(YEAR_SECONDS),
            retention_facts: Duration::from_secs(5 * YEAR_SECONDS),
        }
    }
}

/// Which setting a table follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Spans,
    Logs,
    Metrics,
    Heartbeats,
    Facts,
}

/// Each table with a retention of its own setting, and the time that it counts from, as the engine
/// writes it.
///
/// Facts and states count alike, so that an order goes as a whole: `orders` from the last fact of
/// the order, the lists made from it from the derivation, which is later. Not here: `sources` (400
/// days), `stitchers` and `conservation_checks` (30 days), whose size no traffic drives;
/// `settled_counts`, `lifecycles` and `schema_migrations`, which are kept.
const TABLES: [(&str, Kept, &str); 20] = [
    ("otel_traces", Kept::Spans, "toDateTime(ReceivedAt)"),
    ("otel_logs", Kept::Logs, "toDateTime(ReceivedAt)"),
    ("otel_metrics_gauge", Kept::Metrics, "toDateTime(ReceivedAt)"),
    ("otel_metrics_sum", Kept::Metrics, "toDateTime(ReceivedAt)"),
    ("otel_metrics_histogram", Kept::Metrics, "toDateTime(ReceivedAt)"),
    ("otel_metrics_exponential_histogram", Kept::Metrics, "toDateTime(ReceivedAt)"),
    ("otel_metrics_summary", Kept::Metrics, "toDateTime(ReceivedAt)"),
    ("order_heartbeats", Kept::Heartbeats, "toDateTime(ReceivedAt)"),
    ("order_events", Kept::Facts, "toDateTime(ReceivedAt)"),
    ("order_traces", Kept::Facts, "toDateTime(ReceivedAt)"),
    ("trace_orders", Kept::Facts, "toDateTime(ReceivedAt)"),
    ("trace_links", Kept::Facts, "toDateTime(ReceivedAt)"),
    ("trace_links_by_target", Kept::Facts, "toDateTime(ReceivedAt)"),
    ("order_aliases", Kept::Facts, "toDateTime(ReceivedAt)"),
    ("aliases_of_orders", Kept::Facts, "toDateTime(ReceivedAt)"),
    ("orders", Kept::Facts, "toDateTime(LastReceivedAt)"),
    ("orders_open", Kept::Facts, "toDateTime(LastReceivedAt)"),
    ("orders_settled", Kept::Facts, "toDateTime(LastReceivedAt)"),
    ("orders_by_bucket", Kept::Facts, "toDateTime(LastReceivedAt)"),
    ("alert_history", Kept::Facts, "toDateTime(FirstReceivedAt)"),
];

impl RetentionSettings {
    /// What is wrong with the settings, as (flag, reason).
    ///
    /// # Errors
    /// The first bad setting.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let raw = [
            ("--retention-spans", self.retention_spans),
            ("--retention-logs", self.retention_logs),
            ("--retention-heartbeats", self.retention_heartbeats),
        ];
        // Nothing is derived from metrics, so that they may be kept longer than the facts.
        let metrics = ("--retention-metrics", self.retention_metrics);
        let facts = ("--retention-facts", self.retention_facts);
        let with_least =
            raw.into_iter().chain([metrics]).map(|raw| (raw, RAW_MIN)).chain([(facts, FACTS_MIN)]);
        for ((flag, kept), least) in with_least {
            if kept < least || kept > RETENTION_MAX {
                let days = least.as_secs() / DAY_SECONDS;
                return Err((flag, format!("must be from {days}d to 30y")));
            }
        }
        for (flag, kept) in raw {
            if facts.1 < kept {
                let (facts, kept) = [facts.1, kept].map(humantime::format_duration).into();
                let why = format!(
                    "the milestones of orders must outlive what they were derived from: {facts} \
                     is shorter than {flag} ({kept})"
                );
                return Err(("--retention-facts", why));
            }
        }
        Ok(())
    }

    fn of(&self, kept: Kept) -> Duration {
        match kept {
            Kept::Spans => self.retention_spans,
            Kept::Logs => self.retention_logs,
            Kept::Metrics => self.retention_metrics,
            Kept::Heartbeats => self.retention_heartbeats,
            Kept::Facts => self.retention_facts,
        }
    }
}

#[derive(Row, Deserialize)]
struct TableRow {
    name: String,
    engine_full: String,
}

impl Store {
    /// Brings the retention of every table to `settings`; gives the tables that it changed. Rows
    /// that are past a shortened retention go with the merges of the next hours.
    ///
    /// Doing it again changes nothing, and two that do it at once end alike. Of two collectors
    /// with different settings the one that started last is obeyed.
    ///
    /// # Errors
    /// The store refused a change, or could not be reached.
    pub async fn retain(
        &self,
        settings: &RetentionSettings,
    ) -> Result<Vec<&'static str>, MigrateError> {
        let mut changed = Vec::new();
        for change in self.retention_changes(settings).await? {
            if let Err(error) = self.change_retention(&change).await {
                // Another collector may have been at it.
                let rest = self.retention_changes(settings).await?;
                if rest.iter().any(|other| other.table == change.table) {
                    return Err(error);
                }
                continue;
            }
            tracing::info!(table = change.table, ttl = change.ttl, "retention changed");
            changed.push(change.table);
        }
        Ok(changed)
    }

    async fn change_retention(&self, change: &Change) -> Result<(), MigrateError> {
        for statement in self.ddl(&change.statements())? {
            self.run(&statement, false).await?;
        }
        Ok(())
    }

    async fn retention_changes(
        &self,
        settings: &RetentionSettings,
    ) -> Result<Vec<Change>, MigrateError> {
        // In a cluster the rows lie in the `_local` tables, and the others have no such engine.
        let tables: Vec<TableRow> = self
            .client
            .query(
                "SELECT replaceRegexpOne(name, '_local$', '') AS name, engine_full \
                 FROM system.tables WHERE database = currentDatabase() \
                 AND engine LIKE '%MergeTree'",
            )
            .fetch_all()
            .await
            .map_err(StoreError::doing("read how long rows are kept"))?;
        Ok(TABLES
            .iter()
            .filter_map(|(table, kept, since)| {
                let engine = &tables.iter().find(|row| row.name == *table)?.engine_full;
                change(table, since, settings.of(*kept), engine)
            })
            .collect())
    }
}

/// What is to be done to one table.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    table: &'static str,
    ttl: String,
    /// Whether the table must be told first how to bring its parts to a new TTL.
    recalculate: bool,
}

impl Change {
    /// Two statements: a cluster carries settings to every replica, a TTL to one of each shard.
    fn statements(&self) -> String {
        let Self { table, ttl, recalculate } = self;
        let modify = format!("ALTER TABLE {table} MODIFY TTL {ttl} SETTINGS {MODIFY_SETTINGS};\n");
        if *recalculate {
            format!("ALTER TABLE {table} MODIFY SETTING {RECALCULATE_ONLY};\n{modify}")
        } else {
            modify
        }
    }
}

/// What to do to a table of this engine, if its rows are kept for another time.
fn change(table: &'static str, since: &str, kept: Duration, engine: &str) -> Option<Change> {
    let present = ttl_of(engine);
    let ours = format!("{since} + {}", interval(kept));
    let moves = elements(present).into_iter().filter(|element| moves_rows(element));
    let ttl = std::iter::once(ours.as_str()).chain(moves).collect::<Vec<_>>().join(", ");
    let recalculate = !engine.contains(RECALCULATE_ONLY);
    (ttl != present).then_some(Change { table, ttl, recalculate })
}

/// As the engine writes it, so that it can be compared: whole years and days as such.
fn interval(kept: Duration) -> String {
    let seconds = kept.as_secs();
    match () {
        () if seconds.is_multiple_of(YEAR_SECONDS) => {
            format!("toIntervalYear({})", seconds / YEAR_SECONDS)
        }
        () if seconds.is_multiple_of(DAY_SECONDS) => {
            format!("toIntervalDay({})", seconds / DAY_SECONDS)
        }
        () => format!("toIntervalSecond({seconds})"),
    }
}

/// The TTL in a table's full engine; empty when there is none.
fn ttl_of(engine: &str) -> &str {
    let ttl = engine.split_once(" TTL ").map_or("", |(_, rest)| rest);
    ttl.split_once(" SETTINGS ").map_or(ttl, |(ttl, _)| ttl)
}

/// The parts of a TTL between commas outside of brackets.
fn elements(ttl: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    ttl.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0 && c == ','
    })
    .map(str::trim)
    .filter(|element| !element.is_empty())
    .collect()
}

/// Whether it moves or packs rows and deletes none: an operator's own, which stays.
fn moves_rows(element: &str) -> bool {
    [" TO VOLUME ", " TO DISK ", " RECOMPRESS "].iter().any(|words| element.contains(words))
}

#[cfg(test)]
mod tests;
