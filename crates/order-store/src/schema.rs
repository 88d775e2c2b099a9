//! Migrations: numbered files, applied once each in order, checked at start.
//!
//! Every statement is idempotent (`IF NOT EXISTS`), so two collectors that start together, or
//! one that was killed half way, end with the same tables.

#[cfg(test)]
mod released;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use clickhouse::Row;
use order_model::Lifecycle;
use order_model::lifecycle::Stage;
use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterError, ClusterLayout};
use crate::connection::Store;
use crate::error::StoreError;

/// The migrations, in order: number, name, text.
const MIGRATIONS: [(u32, &str, &str); 9] = [
    (1, "spans_and_logs", include_str!("../sql/001_spans_and_logs.sql")),
    (2, "order_facts", include_str!("../sql/002_order_facts.sql")),
    (3, "lifecycle", include_str!("../sql/003_lifecycle.sql")),
    (4, "order_state", include_str!("../sql/004_order_state.sql")),
    (5, "views_v1", include_str!("../sql/005_views_v1.sql")),
    (6, "alerts", include_str!("../sql/006_alerts.sql")),
    (7, "metrics", include_str!("../sql/007_metrics.sql")),
    (8, "merges_are_synced", include_str!("../sql/008_merges_are_synced.sql")),
    (9, "alert_views_v1", include_str!("../sql/009_alert_views_v1.sql")),
];

/// Parts that several views share, by the mark that stands for them.
const PARTS: [(&str, &str); 5] = [
    ("/* calculations.sql */", include_str!("../sql/parts/calculations.sql")),
    ("/* orders_words.sql */", include_str!("../sql/parts/orders_words.sql")),
    ("/* words.sql */", include_str!("../sql/parts/words.sql")),
    ("/* orders_meaning.sql */", include_str!("../sql/parts/orders_meaning.sql")),
    // It is part of the part above, too.
    ("/* orders_conditions.sql */", include_str!("../sql/parts/orders_conditions.sql")),
];

/// The migrations with their parts put in.
static WHOLE: LazyLock<Vec<(u32, &'static str, String)>> = LazyLock::new(|| {
    let whole = |text: &str| {
        let put_in = |text: String, (mark, part): (&str, &str)| text.replace(mark, part);
        PARTS.into_iter().fold(text.to_owned(), put_in)
    };
    MIGRATIONS.into_iter().map(|(number, name, text)| (number, name, whole(text))).collect()
});

/// The schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The store refused a statement or could not be reached.
    #[error("cannot migrate the store")]
    Store(#[from] StoreError),
    /// A migration has no form for the cluster.
    #[error("cannot make the schema of the cluster")]
    Cluster(#[from] ClusterError),
    /// A file that was applied has since been edited, or a newer Waybill was here.
    #[error(
        "migration {number} ({name}) differs from the one this store was made with; \
         run the Waybill that made it, or a newer one"
    )]
    Differs {
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
    },
    /// A command beside running collectors was given another lifecycle than theirs.
    #[error(
        "the lifecycle in force is {in_force}, and this command was given {given}; give it the \
         collectors' file by --lifecycle"
    )]
    OtherLifecycle {
        /// Fingerprint of the collectors'.
        in_force: String,
        /// Fingerprint of the command's.
        given: String,
    },
}

#[derive(Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MigrationRow {
    number: u32,
    name: String,
    fingerprint: String,
}

/// The migrations as they stand in the files: number, name, text.
pub fn migrations() -> impl Iterator<Item = (u32, &'static str, &'static str)> {
    WHOLE.iter().map(|(number, name, text)| (*number, *name, text.as_str()))
}

impl Store {
    /// Makes the database, applies what is missing, and records `lifecycle` if it changed.
    ///
    /// # Errors
    /// See [`MigrateError`].
    pub async fn migrate(&self, lifecycle: &Lifecycle) -> Result<(), MigrateError> {
        self.migrate_up_to(u32::MAX).await?;
        self.record_lifecycle(lifecycle).await?;
        Ok(())
    }

    /// The same for a command beside running collectors: it puts no other lifecycle in force than
    /// theirs.
    ///
    /// # Errors
    /// See [`MigrateError`].
    pub async fn migrate_beside(&self, lifecycle: &Lifecycle) -> Result<(), MigrateError> {
        self.migrate_up_to(u32::MAX).await?;
        let given = lifecycle_fingerprint(lifecycle);
        match self.lifecycle_in_force().await? {
            Some(in_force) if in_force != given => {
                Err(MigrateError::OtherLifecycle { in_force, given })
            }
            Some(_) => Ok(()),
            None => Ok(self.record_lifecycle(lifecycle).await?),
        }
    }

    /// The fingerprint of the lifecycle that was recorded last.
    async fn lifecycle_in_force(&self) -> Result<Option<String>, StoreError> {
        self.client
            .query("SELECT Fingerprint FROM lifecycle_v1")
            .fetch_optional()
            .await
            .map_err(StoreError::doing("read the lifecycle in force"))
    }

    /// Applies what is missing up to the migration `last`: the store of an older Waybill, for
    /// tests of the way from there.
    ///
    /// # Errors
    /// See [`MigrateError`].
    #[doc(hidden)]
    pub async fn migrate_up_to(&self, last: u32) -> Result<(), MigrateError> {
        let database = &self.database;
        let one = || format!("CREATE DATABASE IF NOT EXISTS `{database}`");
        self.run(&self.layout().map_or_else(one, ClusterLayout::create_database), true).await?;
        self.change(
            "CREATE TABLE IF NOT EXISTS schema_migrations \
             (Number UInt32, Name String, Fingerprint String, AppliedAt DateTime DEFAULT now()) \
             ENGINE = ReplacingMergeTree ORDER BY Number \
             SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, \
             min_rows_to_fsync_after_merge = 1;",
        )
        .await?;
        let applied: Vec<MigrationRow> = self
            .client
            .query("SELECT Number, Name, Fingerprint FROM schema_migrations FINAL ORDER BY Number")
            .fetch_all()
            .await
            .map_err(StoreError::doing("read the applied migrations"))?;
        check(&applied)?;
        let done: BTreeSet<u32> = applied.iter().map(|row| row.number).collect();
        let missing = |number: &u32| *number <= last && !done.contains(number);
        for (number, name, text) in migrations().filter(|(number, ..)| missing(number)) {
            self.change(text).await?;
            self.record(MigrationRow {
                number,
                name: name.to_owned(),
                fingerprint: fingerprint(text),
            })
            .await?;
            tracing::info!(number, name, "migration applied");
        }
        Ok(())
    }

    /// Runs the statements of a migration, on every server of a cluster.
    async fn change(&self, text: &str) -> Result<(), MigrateError> {
        for statement in self.ddl(text)? {
            self.run(&statement, false).await?;
        }
        Ok(())
    }

    pub(crate) async fn run(&self, statement: &str, unbound: bool) -> Result<(), StoreError> {
        let client = if unbound { self.unbound() } else { self.client.clone() };
        client.query_raw(statement).execute().await.map_err(StoreError::doing("change the schema"))
    }

    async fn record(&self, row: MigrationRow) -> Result<(), StoreError> {
        let doing = || StoreError::doing("record a migration");
        let mut insert =
            self.client.insert::<MigrationRow>("schema_migrations").await.map_err(doing())?;
        insert.write(&row).await.map_err(doing())?;
        insert.end().await.map_err(doing())
    }

    async fn record_lifecycle(&self, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        let row = LifecycleRow::new(lifecycle);
        let doing = || StoreError::doing("record the lifecycle");
        if self.lifecycle_in_force().await?.as_ref() == Some(&row.fingerprint) {
            return Ok(());
        }
        let mut insert = self.client.insert::<LifecycleRow>("lifecycles").await.map_err(doing())?;
        insert.write(&row).await.map_err(doing())?;
        insert.end().await.map_err(doing())?;
        tracing::info!(
            fingerprint = row.fingerprint,
            stages = row.stages.len(),
            "lifecycle recorded"
        );
        Ok(())
    }
}

/// What is applied must be a prefix of what we know, unchanged. A store made by a newer Waybill
/// has more: views are only ever added, so an older one may read and write it.
fn check(applied: &[MigrationRow]) -> Result<(), MigrateError> {
    let known: HashMap<u32, String> =
        migrations().map(|(number, _, text)| (number, fingerprint(text))).collect();
    for row in applied {
        if known.get(&row.number).is_some_and(|ours| *ours != row.fingerprint) {
            return Err(MigrateError::Differs { number: row.number, name: row.name.clone() });
        }
    }
    Ok(())
}

/// The text without its comment lines: the client would read a `?` in them as a placeholder.
pub(crate) fn without_comments(text: &str) -> String {
    let kept: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    kept.join("\n") + "\n"
}

/// Changes with the statements, not with the comments. `DefaultHasher` is SipHash with fixed
/// keys; it guards against mistakes, not against attackers.
fn fingerprint(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    without_comments(text).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[derive(Row, Serialize, Hash)]
#[serde(rename_all = "PascalCase")]
struct LifecycleRow {
    applied_at: i64,
    fingerprint: String,
    skew_ms: i64,
    promise_from: String,
    promise_to: String,
    promise_seconds: i64,
    calculation_requested_by: String,
    calculation_started_by: String,
    calculation_failed_by: String,
    calculation_answered_by: Vec<String>,
    calculation_late_seconds: i64,
    calculation_stuck_seconds: i64,
    shop_services: Vec<String>,
    stages: Vec<String>,
    label_ru: Vec<String>,
    label_en: Vec<String>,
    waiting_for: Vec<String>,
    terminal: Vec<u8>,
    means_model: Vec<u8>,
    from_price_request: Vec<u8>,
    late_seconds: Vec<i64>,
    stuck_seconds: Vec<i64>,
    ready_made_waiting_for: Vec<String>,
    ready_made_late_seconds: Vec<i64>,
    ready_made_stuck_seconds: Vec<i64>,
    abandoned_seconds: Vec<i64>,
    not_confirmed_seconds: Vec<i64>,
    set_by: Vec<Vec<String>>,
    skipped_by: Vec<Vec<String>>,
    handover_destination: Vec<String>,
    handover_from: Vec<Vec<String>>,
    handover_to: Vec<Vec<String>>,
    handover_lost_seconds: Vec<i64>,
    silent_seconds: i64,
}

impl LifecycleRow {
    fn new(lifecycle: &Lifecycle) -> Self {
        let per = |text: fn(&Stage) -> &str| -> Vec<String> {
            lifecycle.stages.iter().map(|stage| text(stage).to_owned()).collect()
        };
        let flags = |flag: fn(&Stage) -> bool| -> Vec<u8> {
            lifecycle.stages.iter().map(|stage| u8::from(flag(stage))).collect()
        };
        let times = |time: fn(&Stage) -> Option<std::time::Duration>| -> Vec<i64> {
            lifecycle.stages.iter().map(|stage| time(stage).map_or(0, seconds)).collect()
        };
        let calculation = &lifecycle.calculation;
        let handovers = || lifecycle.handovers.iter();
        let mut row = Self {
            applied_at: 0,
            fingerprint: String::new(),
            skew_ms: i64::try_from(lifecycle.skew.as_millis()).unwrap_or(i64::MAX),
            promise_from: lifecycle.promise.from.clone(),
            promise_to: lifecycle.promise.to.clone(),
            promise_seconds: seconds(lifecycle.promise.within),
            calculation_requested_by: calculation.requested_by.clone(),
            calculation_started_by: calculation.started_by.clone(),
            calculation_failed_by: calculation.failed_by.clone(),
            calculation_answered_by: calculation.answered_by.clone(),
            calculation_late_seconds: seconds(calculation.late),
            calculation_stuck_seconds: seconds(calculation.stuck),
            shop_services: lifecycle.shop_services().to_vec(),
            stages: per(|s| &s.name),
            label_ru: per(|s| &s.label.ru),
            label_en: per(|s| &s.label.en),
            waiting_for: per(|s| &s.waiting_for),
            terminal: flags(|s| s.terminal),
            means_model: flags(|s| s.means_model),
            from_price_request: flags(|s| s.measured_from_price_request),
            late_seconds: times(|s| s.deadlines.map(|d| d.late)),
            stuck_seconds: times(|s| s.deadlines.map(|d| d.stuck)),
            ready_made_waiting_for: per(|s| s.ready_made.as_ref().map_or("", |r| &r.waiting_for)),
            ready_made_late_seconds: times(|s| s.ready_made.as_ref().map(|r| r.deadlines.late)),
            ready_made_stuck_seconds: times(|s| s.ready_made.as_ref().map(|r| r.deadlines.stuck)),
            abandoned_seconds: times(|s| s.abandoned_after),
            not_confirmed_seconds: times(|s| s.not_confirmed_after),
            set_by: lifecycle.stages.iter().map(|s| s.set_by.clone()).collect(),
            skipped_by: lifecycle.stages.iter().map(|s| s.skipped_by.clone()).collect(),
            handover_destination: handovers().map(|h| h.destination.clone()).collect(),
            handover_from: handovers().map(|h| h.from.clone()).collect(),
            handover_to: handovers().map(|h| h.to.clone()).collect(),
            handover_lost_seconds: handovers().map(|h| seconds(h.lost_after)).collect(),
            silent_seconds: seconds(lifecycle.silent_after),
        };
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        row.fingerprint = format!("{:016x}", hasher.finish());
        row.applied_at = chrono::Utc::now().timestamp_micros();
        row
    }
}

/// What tells this lifecycle from others.
pub(crate) fn lifecycle_fingerprint(lifecycle: &Lifecycle) -> String {
    LifecycleRow::new(lifecycle).fingerprint
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_do_not_change_a_fingerprint() {
        assert_eq!(fingerprint("-- a\nSELECT 1;\n"), fingerprint("-- b?\nSELECT 1;\n"));
        assert_ne!(fingerprint("SELECT 1;\n"), fingerprint("SELECT 2;\n"));
    }

    #[test]
    fn an_edited_migration_is_refused() {
        let (number, name, text) = migrations().next().unwrap();
        let row = |fingerprint| MigrationRow { number, name: name.into(), fingerprint };
        assert!(check(&[row(fingerprint(text))]).is_ok());
        assert!(check(&[row("0".into())]).is_err());
    }

    #[test]
    fn migrations_are_numbered_without_a_gap_and_have_statements() {
        for (index, (number, name, text)) in migrations().enumerate() {
            assert_eq!(usize::try_from(number).unwrap(), index + 1);
            assert!(!crate::cluster::split(text).is_empty(), "{name}");
        }
    }

    #[test]
    fn the_lifecycle_fingerprint_follows_its_content() {
        let lifecycle = Lifecycle::default();
        let mut other = lifecycle.clone();
        other.skew = std::time::Duration::from_secs(3);
        let of = |lifecycle| LifecycleRow::new(lifecycle).fingerprint;
        assert_eq!(of(&lifecycle), of(&lifecycle));
        assert_ne!(of(&lifecycle), of(&other));
    }
}
