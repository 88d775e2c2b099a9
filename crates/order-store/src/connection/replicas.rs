//! Settings of a store of several servers: the replicas that are read, the cluster.

use std::time::Duration;

use clap::Args;

use super::store_url;
use crate::cluster::{ClusterError, ClusterLayout};

/// Most replicas of one program; all of them are probed at once.
pub const REPLICAS_MAX: usize = 16;

/// Which replicas are read, and how far behind one may be. Programs that write, and the evaluator
/// of alerts, have none: they ask the store that is written to.
#[derive(Debug, Clone, Args)]
pub struct ReplicaSettings {
    /// Replicas to read from: HTTP addresses, separated by commas; at most 16. None: the store
    /// itself is read.
    #[arg(long, env = "WAYBILL_STORE_REPLICAS", value_name = "URL,URL…", default_value = "",
          hide_default_value = true, value_parser = replica_urls)]
    pub store_replicas: ReplicaUrls,
    /// How far a replica may be behind and still be read; with none within it the store itself
    /// is read.
    #[arg(long, env = "WAYBILL_REPLICA_LAG_MAX", default_value = "30s", value_parser = lag_max)]
    pub replica_lag_max: Duration,
}

/// Whether the store is a cluster. Only the collector makes the schema, so only it has to know.
#[derive(Debug, Clone, Args)]
pub struct ClusterSettings {
    /// The cluster (a name in `remote_servers`, or a macro such as `{cluster}`) on which the
    /// schema is made; empty: one server.
    #[arg(long, env = "WAYBILL_STORE_CLUSTER", value_name = "NAME", default_value = "",
          hide_default_value = true, value_parser = cluster_name)]
    pub store_cluster: String,
}

impl ClusterSettings {
    /// The layout of that cluster, if it is one.
    ///
    /// # Errors
    /// A name that cannot stand in statements.
    pub fn layout(&self, database: &str) -> Result<Option<ClusterLayout>, ClusterError> {
        if self.store_cluster.is_empty() {
            return Ok(None);
        }
        ClusterLayout::new(&self.store_cluster, database).map(Some)
    }
}

fn cluster_name(text: &str) -> Result<String, String> {
    if !text.is_empty() {
        ClusterLayout::new(text, "waybill").map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

/// Addresses of replicas, in the order they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaUrls(pub Vec<String>);

fn replica_urls(text: &str) -> Result<ReplicaUrls, String> {
    let mut urls = Vec::new();
    for url in text.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        let url = store_url(url).map_err(|why| format!("`{url}`: {why}"))?;
        if urls.contains(&url) {
            return Err(format!("`{url}` stands there twice"));
        }
        urls.push(url);
    }
    if urls.len() > REPLICAS_MAX {
        return Err(format!("more than {REPLICAS_MAX} replicas"));
    }
    Ok(ReplicaUrls(urls))
}

fn lag_max(text: &str) -> Result<Duration, String> {
    let lag = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if lag.is_zero() {
        return Err("must be more than nothing: a replica is always a little behind".to_owned());
    }
    Ok(lag)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn a_cluster_has_a_layout_and_one_server_has_none() {
        let layout = |name: &str| {
            let settings = ClusterSettings { store_cluster: cluster_name(name).unwrap() };
            settings.layout("waybill").unwrap()
        };
        assert_eq!(layout(""), None);
        assert_eq!(layout("main"), ClusterLayout::new("main", "waybill").ok());
        assert!(cluster_name("a'b").is_err());
    }

    #[test]
    fn addresses_are_checked_one_by_one() {
        let many: Vec<_> = (0..=REPLICAS_MAX).map(|n| format!("http://h:{}", n + 1)).collect();
        let many = many.join(",");
        for (bad, why) in [
            ("http://a:1,https://b:1", "`https://b:1`: write"),
            ("http://u:p@a:1", "settings of their own"),
            ("http://a:1, http://a:1", "twice"),
            (many.as_str(), "more than 16"),
        ] {
            let error = replica_urls(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert_eq!(replica_urls(""), Ok(ReplicaUrls::default()));
        let two = replica_urls(" http://a:1 ,http://b:2,").unwrap();
        assert_eq!(two.0, ["http://a:1", "http://b:2"]);
    }

    #[test]
    fn a_bad_setting_is_named() {
        let command = || ReplicaSettings::augment_args(clap::Command::new("program"));
        for (flag, bad) in [("--store-replicas", "ftp://a:1"), ("--replica-lag-max", "0s")] {
            let error = command().try_get_matches_from(["program", flag, bad]).unwrap_err();
            assert!(error.to_string().contains(flag), "{error}");
        }
        let matches = command().try_get_matches_from(["program"]).unwrap();
        let settings = ReplicaSettings::from_arg_matches(&matches).unwrap();
        assert_eq!(settings.store_replicas, ReplicaUrls::default());
        assert_eq!(settings.replica_lag_max, Duration::from_secs(30));
    }

    #[test]
    fn a_bound_of_nothing_is_refused() {
        assert_eq!(lag_max("30s"), Ok(Duration::from_secs(30)));
        assert!(lag_max("0s").is_err());
        assert!(lag_max("soon").is_err());
    }
}
