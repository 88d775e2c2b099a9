//! The schema of a cluster, made from the schema of one server.
//!
//! The migrations in `sql/` are the one source. Each statement becomes what a cluster needs:
//! `x` turns into `x_local` (Replicated…, on every server of a shard) and `x` (Distributed, what
//! everybody reads and writes), materialized views run on the shard where the block landed, and
//! ordinary views stay as they are. Pure: no clock, no socket. `docs/adr/0006-cluster-layout.md`
//! says why stitching stays correct.

mod tokens;
mod placement;
mod rewrite;
mod settings;

use std::fmt;

pub use placement::{Placement, placement};
pub use settings::{LAG_SETTING, PRIMARY_SETTINGS, REPLICA_SETTINGS};

use crate::schema::{migrations, without_comments};

/// What a cluster is called, and the database in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterLayout {
    cluster: String,
    database: String,
}

/// A statement cannot be turned into one for a cluster.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClusterError {
    /// The name of the cluster or the database has characters that names do not have.
    #[error("`{0}` is not the name of a cluster or database")]
    Name(String),
    /// A table without an entry among the placements.
    #[error("table `{0}` has no placement")]
    Unplaced(String),
    /// A kind of statement that the generator does not know.
    #[error("cannot turn `{0}…` into a statement for a cluster")]
    Unknown(String),
    /// A table engine that has no replicated form.
    #[error("table `{table}`: engine `{engine}` has no replicated form")]
    Engine {
        /// The table.
        table: String,
        /// Its engine on one server.
        engine: String,
    },
    /// A materialized view whose rows would land on the wrong shard, or be dropped as repeats.
    #[error("materialized view `{view}`: {why}")]
    View {
        /// The view.
        view: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl ClusterLayout {
    /// The layout for `cluster` (a name of `remote_servers`, or a macro such as `{cluster}`) and
    /// `database`.
    ///
    /// # Errors
    /// [`ClusterError::Name`]: the names go into statements, so only letters, digits, `_` and, in
    /// that of a cluster, `-`, `.` and braces are taken.
    pub fn new(cluster: &str, database: &str) -> Result<Self, ClusterError> {
        let fits = |name: &str, more: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
            !name.is_empty() && name.chars().all(plain)
        };
        for (name, more) in [(cluster, "-.{}"), (database, "")] {
            if !fits(name, more) {
                return Err(ClusterError::Name(name.to_owned()));
            }
        }
        Ok(Self { cluster: cluster.to_owned(), database: database.to_owned() })
    }

    /// The statement that makes the database on every server.
    #[must_use]
    pub fn create_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS `{}` {self}", self.database)
    }
}

/// `ON CLUSTER` as it stands in statements.
impl fmt::Display for ClusterLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ON CLUSTER '{}'", self.cluster)
    }
}

/// The statements of a migration for a cluster, in order, without `;`.
///
/// # Errors
/// See [`ClusterError`]; every migration of Waybill is tested to give none.
pub fn statements(migration: &str, layout: &ClusterLayout) -> Result<Vec<String>, ClusterError> {
    let mut rewritten = Vec::new();
    for statement in split(migration) {
        rewritten.extend(rewrite::rewrite(&statement, layout)?);
    }
    Ok(rewritten)
}

/// The statements of a migration as they are, for one server.
#[must_use]
pub fn split(migration: &str) -> Vec<String> {
    without_comments(migration)
        .split(";\n")
        .map(|statement| statement.trim().trim_end_matches(';'))
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The whole schema as a script for `clickhouse-client --multiquery`, each statement ended by `;`:
/// for one server, or for a cluster. Running it again changes nothing.
///
/// # Errors
/// See [`ClusterError`].
pub fn script(database: &str, cluster: Option<&str>) -> Result<String, ClusterError> {
    let layout = ClusterLayout::new(cluster.unwrap_or("none"), database)?;
    let create = match cluster {
        Some(_) => layout.create_database(),
        None => format!("CREATE DATABASE IF NOT EXISTS `{database}`"),
    };
    let mut script = format!("{create};\n\nUSE `{database}`;\n");
    for (number, name, text) in migrations() {
        script.push_str(&format!("\n-- {number:03}_{name}\n"));
        let statements = match cluster {
            Some(_) => statements(text, &layout)?,
            None => split(text),
        };
        for statement in statements {
            script.push_str(&statement);
            script.push_str(";\n\n");
        }
    }
    Ok(script)
}

#[cfg(test)]
mod tests;
