//! `collector schema`: prints the schema of the store, for one server or for a cluster.
//!
//! For people who review the tables before they are made, or make them with rights that the
//! collector is not to have. Needs no store.

use std::io::{self, Write};

use clap::Args;
use order_store::cluster::{ClusterError, script};

/// Print the schema as a script for `clickhouse-client --multiquery` and exit. Running the script
/// again changes nothing.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Database that holds Waybill's tables.
    #[arg(long, default_value = "waybill")]
    pub database: String,
    /// Name of the cluster (in `remote_servers`, or a macro such as `{cluster}`); without it the
    /// schema is for one server.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
}

/// The schema could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database or the cluster has a name that cannot stand in statements, or a migration has
    /// no form for a cluster.
    #[error("cannot make the schema")]
    Cluster(#[from] ClusterError),
    /// The output was closed.
    #[error("cannot print the schema")]
    Print(#[from] io::Error),
}

impl SchemaError {
    /// Whether a flag is to blame: the program ends with 64 then.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Cluster(ClusterError::Name(_)))
    }
}

/// Prints the schema.
///
/// # Errors
/// See [`SchemaError`].
pub fn run(args: &SchemaArgs, out: &mut impl Write) -> Result<(), SchemaError> {
    let script = script(&args.database, args.cluster.as_deref())?;
    out.write_all(script.as_bytes())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(database: &str, cluster: Option<&str>) -> Result<String, SchemaError> {
        let cluster = cluster.map(str::to_owned);
        let mut out = Vec::new();
        run(&SchemaArgs { database: database.to_owned(), cluster }, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_script_begins_with_the_database_and_names_every_migration() {
        let one = printed("shop", None).unwrap();
        assert!(one.starts_with("CREATE DATABASE IF NOT EXISTS `shop`;\n\nUSE `shop`;\n"), "{one}");
        let all = printed("shop", Some("{cluster}")).unwrap();
        assert!(all.starts_with("CREATE DATABASE IF NOT EXISTS `shop` ON CLUSTER '{cluster}';"));
        for name in ["001_spans_and_logs", "002_order_facts"] {
            assert!(one.contains(&format!("\n-- {name}\n")), "{name}");
            assert!(all.contains(&format!("\n-- {name}\n")), "{name}");
        }
    }

    #[test]
    fn a_name_that_carries_sql_is_the_callers_mistake() {
        assert!(printed("shop; DROP", None).unwrap_err().is_usage());
        assert!(printed("shop", Some("a' b")).unwrap_err().is_usage());
    }
}
