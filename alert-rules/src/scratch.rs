//! A database of our own beside the real one, made and dropped: the published views in it have
//! another clock, and look at other tables. The rules are asked there as they stand.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use order_model::Lifecycle;
use order_store::schema::{MigrateError, migrations};
use order_store::{Store, StoreSettings};

/// The views' clock, as the migrations spell it, in milliseconds and in seconds.
const CLOCKS: [(&str, &str); 2] = [
    ("now64(3, 'UTC')", "toDateTime64('{}', 3, 'UTC')"),
    ("now('UTC')", "toDateTime('{}', 'UTC')"),
];
/// How far back `alert_clock_v1` tells of what has ended, as the migration spells it.
const ENDED_SINCE: &str = "AsOf - toIntervalMinute(15)";
/// Tables that tell how the database was made: they are no facts, and stay when facts are cleared.
const KEPT: [&str; 2] = ["lifecycles", "schema_migrations"];

/// The database cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// The store refused a statement or could not be reached.
    #[error("the store refused: {0}")]
    Store(String),
    /// The schema could not be made there.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

impl From<clickhouse::error::Error> for ScratchError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(daemon::log::chain(&error))
    }
}

/// The database. It MUST be dropped by [`Scratch::remove`]: nobody else does.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) store: Store,
    name: String,
}

impl Scratch {
    /// An empty database with the schema, for facts of its own.
    pub(crate) async fn with_tables(
        server: &StoreSettings,
        lifecycle: &Lifecycle,
    ) -> Result<Self, ScratchError> {
        let scratch = Self::named(server, "test");
        match scratch.store.migrate(lifecycle).await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                let _ = scratch.remove().await;
                Err(error.into())
            }
        }
    }

    /// Views only, over the tables of the real database: at `as_of`, telling of what ended since
    /// `since`, and looking at every order with its whole history in place of the open ones.
    pub(crate) async fn over_real_tables(
        server: &StoreSettings,
        real: &Store,
        as_of: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> Result<Self, ScratchError> {
        let scratch = Self::named(server, "preview");
        let database = &server.store_database;
        real.client().query_raw(&format!("CREATE DATABASE `{}`", scratch.name)).execute().await?;
        let ended_since =
            format!("AsOf - toIntervalSecond({})", (as_of - since).num_seconds().max(0));
        let tables = tables();
        for (name, body) in views() {
            let body = at(&body, as_of).replace(ENDED_SINCE, &ended_since);
            let body = with_tables(&body, |table| {
                let looked_at = if table == "orders_open" { "orders" } else { table };
                tables.iter().any(|t| t == table).then(|| format!("`{database}`.{looked_at}"))
            });
            let made = scratch.run(&format!("CREATE VIEW {name} AS {body}")).await;
            if let Err(error) = made {
                let _ = scratch.remove().await;
                return Err(error);
            }
        }
        Ok(scratch)
    }

    fn named(server: &StoreSettings, purpose: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("waybill_alerts_{purpose}_{}_{}", std::process::id(), since.as_micros());
        let settings = StoreSettings { store_database: name.clone(), ..server.clone() };
        Self { store: Store::connect(&settings), name }
    }

    /// Sets the clock of every view.
    pub(crate) async fn set_clock(&self, as_of: DateTime<Utc>) -> Result<(), ScratchError> {
        for (name, body) in views() {
            let pinned = at(&body, as_of);
            if pinned != body {
                self.run(&format!("CREATE OR REPLACE VIEW {name} AS {pinned}")).await?;
            }
        }
        Ok(())
    }

    /// Forgets every fact.
    pub(crate) async fn clear(&self) -> Result<(), ScratchError> {
        let facts = tables()
            .into_iter()
            .filter(|table| !KEPT.contains(&table.as_str()) && !table.starts_with("otel_"));
        for table in facts {
            self.run(&format!("TRUNCATE TABLE {table}")).await?;
        }
        Ok(())
    }

    pub(crate) async fn run(&self, statement: &str) -> Result<(), ScratchError> {
        Ok(self.store.client().query_raw(statement).execute().await?)
    }

    /// Drops the database.
    pub(crate) async fn remove(&self) -> Result<(), ScratchError> {
        self.run(&format!("DROP DATABASE IF EXISTS `{}` SYNC", self.name)).await
    }
}

/// The statements of the migrations, without comments.
fn statements() -> Vec<String> {
    let plain = |text: &str| -> String {
        let code = |line: &&str| !line.trim_start().starts_with("--");
        text.lines().filter(code).collect::<Vec<_>>().join("\n")
    };
    migrations()
        .flat_map(|(_, _, text)| {
            let text = plain(text);
            text.split(';').map(|statement| statement.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

/// The published views, in the order in which they are made: name and query.
pub(crate) fn views() -> Vec<(String, String)> {
    let named = |statement: &String| -> Option<(String, String)> {
        let rest = statement.strip_prefix("CREATE VIEW IF NOT EXISTS ")?;
        let (name, body) = rest.split_once(" AS")?;
        Some((name.to_owned(), body.trim_start().to_owned()))
    };
    statements().iter().filter_map(named).collect()
}

/// The names of the tables.
pub(crate) fn tables() -> Vec<String> {
    let named = |statement: &String| -> Option<String> {
        let rest = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ")?;
        Some(rest.split([' ', '\n', '(']).next()?.to_owned())
    };
    statements().iter().filter_map(named).collect()
}

/// The query with its clock at `as_of`.
fn at(body: &str, as_of: DateTime<Utc>) -> String {
    let times =
        [as_of.format("%Y-%m-%d %H:%M:%S%.3f").to_string(), as_of.format("%F %T").to_string()];
    let set = |body: String, ((clock, fixed), time): (&(&str, &str), String)| {
        body.replace(clock, &fixed.replace("{}", &time))
    };
    CLOCKS.iter().zip(times).fold(body.to_owned(), set)
}

/// The query with what it reads from replaced where `replaced` says so.
fn with_tables(body: &str, replaced: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some((start, word)) =
        ["FROM ", "JOIN "].iter().filter_map(|word| Some((rest.find(word)?, *word))).min()
    {
        let (before, after) = rest.split_at(start + word.len());
        text.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, after) = after.split_at(end.unwrap_or(after.len()));
        text.push_str(&replaced(name).unwrap_or_else(|| name.to_owned()));
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clock_of_a_view_can_be_set() {
        let as_of = "2026-10-25T01:30:00.250Z".parse().unwrap();
        let views = views();
        assert!(views.len() > 20, "{}", views.len());
        for (name, body) in &views {
            let set = at(body, as_of);
            for clock in ["now(", "now64(", "today(", "yesterday("] {
                assert!(!set.contains(clock), "{name} has a clock that cannot be set: {set}");
            }
        }
        let (_, clock) = views.iter().find(|(name, _)| name == "alert_clock_v1").unwrap();
        assert!(clock.contains(ENDED_SINCE), "{clock}");
        let set = "toDateTime64('2026-10-25 01:30:00.250', 3, 'UTC')";
        assert!(at(clock, as_of).contains(set), "{clock}");
    }

    #[test]
    fn only_tables_are_replaced() {
        let body = "SELECT x FROM orders_open FINAL JOIN (SELECT 1 FROM orders_v1) FROM numbers(2)";
        let replaced =
            with_tables(body, |table| (table == "orders_open").then(|| "w.orders".into()));
        assert_eq!(
            replaced,
            "SELECT x FROM w.orders FINAL JOIN (SELECT 1 FROM orders_v1) FROM numbers(2)"
        );
        assert!(tables().iter().any(|table| table == "orders_open"));
    }
}
