//! Settings of the evaluator: flags and environment, checked before any port is bound.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use daemon::settings::{Common, duration};
use order_store::cluster::ClusterError;
use order_store::connection::ClusterSettings;
use order_store::{Store, StoreSettings};
use reqwest::Url;

use crate::routing::RoutingSettings;

/// Watches orders by rules over the store, and tells Alertmanager whom to call about what.
#[derive(Debug, Parser)]
#[command(name = "alert-rules", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Evaluate the rules and push alerts until stopped.
    Run(Box<RunSettings>),
    /// Check rule files and print what is wrong with them; exits 64 if anything is.
    Check(CheckSettings),
    /// Test rules against fixtures, in a database of its own; exits 1 if any check fails.
    Test(TestSettings),
    /// Print how often a rule would have fired, and for which orders, by what is stored.
    Preview(PreviewSettings),
    /// Print Alertmanager's configuration with these values in place of the production ones.
    AlertmanagerConfig(Box<RoutingSettings>),
}

/// Settings of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    /// Log, ports file, drain deadline.
    #[command(flatten)]
    pub common: Common,
    /// Where the orders are. A user who may only read is enough.
    #[command(flatten)]
    pub store: PrimarySettings,
    /// Folder of rule files (`*.yaml`, `*.yml`).
    #[arg(long, env = "WAYBILL_ALERTS_RULES", default_value = "alert-rules/rules")]
    pub rules: PathBuf,
    /// An Alertmanager to push to; repeat it for each member of a cluster.
    #[arg(
        long = "alertmanager",
        env = "WAYBILL_ALERTS_ALERTMANAGERS",
        default_value = "http://127.0.0.1:9093",
        value_delimiter = ',',
        value_parser = http_url,
        value_name = "URL"
    )]
    pub alertmanagers: Vec<Url>,
    /// Where people reach tracker-ui: the beginning of links to orders.
    #[arg(long, env = "WAYBILL_ALERTS_PUBLIC_URL", default_value = "http://127.0.0.1:8080",
        value_parser = any_url, value_name = "URL")]
    pub public_url: Url,
    /// Where people read the runbook; by default this process's own `/runbook`.
    #[arg(long, env = "WAYBILL_ALERTS_RUNBOOK_URL", value_parser = any_url, value_name = "URL")]
    pub runbook_url: Option<Url>,
    /// Where `/livez`, `/readyz`, `/metrics` and `/runbook` are; port 0 takes a free one.
    #[arg(long, env = "WAYBILL_ALERTS_LISTEN", default_value = "127.0.0.1:9095")]
    pub listen: SocketAddr,
    /// Bounds.
    #[command(flatten)]
    pub limits: Limits,
}

/// Every bound, and what happens at it.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Alerts of one rule; of more, the oldest are kept, the rest counted and logged.
    #[arg(long, env = "WAYBILL_ALERTS_ALERTS_MAX", default_value_t = 10_000,
        value_parser = count::<100_000>)]
    pub alerts_max: usize,
    /// Alerts of one request to Alertmanager; more go in several requests.
    #[arg(long, env = "WAYBILL_ALERTS_BATCH_MAX", default_value_t = 256,
        value_parser = count::<10_000>)]
    pub batch_max: usize,
    /// How long one query of a rule may take; then the evaluation has failed.
    #[arg(long, env = "WAYBILL_ALERTS_EVALUATION_TIME_MAX", default_value = "10s",
        value_parser = between::<1, 300>)]
    pub evaluation_time_max: Duration,
    /// How long one request to Alertmanager may take; then it is tried again.
    #[arg(long, env = "WAYBILL_ALERTS_PUSH_TIME_MAX", default_value = "5s",
        value_parser = between::<1, 60>)]
    pub push_time_max: Duration,
    /// How long Alertmanager keeps an open alert that nobody mentions again: an outage of the
    /// store or of the evaluator that is shorter resolves nothing.
    #[arg(long, env = "WAYBILL_ALERTS_RESOLVE_WINDOW", default_value = "1h",
        value_parser = between::<60, 604_800>)]
    pub resolve_window: Duration,
    /// How old the last evaluation of each group and the last accepted push may be, beyond the
    /// group's interval, for the process to be ready.
    #[arg(long, env = "WAYBILL_ALERTS_READY_AGE_MAX", default_value = "30s",
        value_parser = between::<5, 3600>)]
    pub ready_age_max: Duration,
}

/// Settings of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckSettings {
    /// The files; none means every file of `--rules`.
    pub files: Vec<PathBuf>,
    /// Folder of rule files, when no file is named.
    #[arg(long, env = "WAYBILL_ALERTS_RULES", default_value = "alert-rules/rules")]
    pub rules: PathBuf,
    /// Check the SQL too, against the store that the `--store-*` settings name.
    #[arg(long)]
    pub with_store: bool,
    /// Where the store is.
    #[command(flatten)]
    pub store: PrimarySettings,
}

/// Settings of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestSettings {
    /// Fixtures.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Folder of rule files, for fixtures that name none.
    #[arg(long, env = "WAYBILL_ALERTS_RULES", default_value = "alert-rules/rules")]
    pub rules: PathBuf,
    /// The lifecycle of orders; without it the built-in one.
    #[arg(long, env = "WAYBILL_LIFECYCLE", value_name = "FILE")]
    pub lifecycle: Option<PathBuf>,
    /// A server, no cluster; the user makes and drops a database there. The one that is named is
    /// not looked at.
    #[command(flatten)]
    pub store: StoreSettings,
}

/// Settings of `preview`.
#[derive(Debug, Clone, Args)]
pub struct PreviewSettings {
    /// Name of the rule.
    pub rule: String,
    /// Since how long ago.
    #[arg(long, default_value = "30d", value_parser = duration)]
    pub since: Duration,
    /// Folder of rule files.
    #[arg(long, env = "WAYBILL_ALERTS_RULES", default_value = "alert-rules/rules")]
    pub rules: PathBuf,
    /// Where the orders are; the user makes and drops a database of views beside them.
    #[command(flatten)]
    pub store: PrimarySettings,
}

/// Where the store is that is written to. Replicas are never asked: one that lags and catches up
/// would let alerts end and begin again.
#[derive(Debug, Clone, Args)]
pub struct PrimarySettings {
    /// Its address and our user.
    #[command(flatten)]
    pub server: StoreSettings,
    /// Whether it is a cluster.
    #[command(flatten)]
    pub cluster: ClusterSettings,
}

impl PrimarySettings {
    /// A handle on it; nothing is sent yet.
    ///
    /// # Errors
    /// A cluster's name that cannot stand in statements.
    pub fn connect(&self) -> Result<Store, ClusterError> {
        let layout = self.cluster.layout(&self.server.store_database)?;
        Ok(Store::connect_to(&self.server, layout))
    }
}

/// An HTTP address: this program speaks no TLS.
///
/// # Errors
/// It is none; the message says what to write.
pub fn http_url(text: &str) -> Result<Url, String> {
    let url = any_url(text)?;
    match url.scheme() {
        "http" => Ok(url),
        _ => {
            Err("speaks plain HTTP only; put a proxy on this machine before a TLS endpoint".into())
        }
    }
}

fn any_url(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|e| format!("{e}; write for example http://127.0.0.1:9093"))?;
    match (url.scheme(), url.query(), url.fragment()) {
        ("http" | "https", None, None) => Ok(url),
        _ => Err("write http(s)://host[:port][/path], nothing after the path".to_owned()),
    }
}

/// A count of 1 to `MAX`.
fn count<const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX).contains(&count) => Ok(count),
        _ => Err(format!("write a number of 1 to {MAX}")),
    }
}

/// A duration of `MIN` to `MAX` seconds.
fn between<const MIN: u64, const MAX: u64>(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    match (Duration::from_secs(MIN)..=Duration::from_secs(MAX)).contains(&given) {
        true => Ok(given),
        false => Err(format!("write a duration of {MIN} s to {MAX} s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_refused_with_their_bounds() {
        let cases = [
            (vec!["--alertmanager", "https://am:9093"], "plain HTTP"),
            (vec!["--alertmanager", "am:9093"], "http(s)://host"),
            (vec!["--alerts-max", "0"], "1 to 100000"),
            (vec!["--resolve-window", "5s"], "60 s to 604800 s"),
            (vec!["--push-time-max", "soon"], "10s"),
            (vec!["--public-url", "http://ui/?x=1"], "nothing after the path"),
        ];
        for (flags, expected) in cases {
            let line = ["alert-rules", "run"].into_iter().chain(flags.iter().copied());
            let error = Cli::try_parse_from(line).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }

    #[test]
    fn every_flag_of_ours_stands_in_the_readme() {
        let mut cli = <Cli as clap::CommandFactory>::command();
        let readme = include_str!("../README.md");
        let run = cli.find_subcommand_mut("run").unwrap();
        let ours = run.get_arguments().filter_map(|flag| Some((flag.get_long()?, flag.get_env()?)));
        let ours = ours.filter(|(_, env)| env.to_string_lossy().starts_with("WAYBILL_ALERTS_"));
        let ours: Vec<_> = ours.collect();
        assert_eq!(ours.len(), 11, "{ours:?}");
        for (flag, env) in ours {
            let env = env.to_string_lossy();
            assert!(readme.contains(&format!("`--{flag}")), "--{flag} is not in README.md");
            assert!(readme.contains(&format!("`{env}`")), "{env} is not in README.md");
        }
    }

    #[test]
    fn alertmanagers_repeat() {
        let line =
            ["alert-rules", "run", "--alertmanager", "http://a:1", "--alertmanager", "http://b:2"];
        let Command::Run(settings) = Cli::try_parse_from(line).unwrap().command else { panic!() };
        assert_eq!(settings.alertmanagers.len(), 2);
    }
}
