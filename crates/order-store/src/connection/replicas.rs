//! Settings of the read path over replicas.

use std::time::Duration;

use clap::Args;

use super::store_url;

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
    use super::*;

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
    fn a_bound_of_nothing_is_refused() {
        assert_eq!(lag_max("30s"), Ok(Duration::from_secs(30)));
        assert!(lag_max("0s").is_err());
        assert!(lag_max("soon").is_err());
    }
}
