//! What the operator sets: flags, and `WAYBILL_UI_*` and `WAYBILL_STORE_*` in the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use chrono_tz::Tz;
use clap::{Args, Parser};
use daemon::connections::Bounds;
use daemon::settings::{Common, duration};
use order_model::Lifecycle;
use order_store::cluster::ClusterLayout;
use order_store::connection::ClusterSettings;
use order_store::{ReplicaSettings, StoreSettings};

/// The status board, the stage lists and the order look-up, with a JSON API beside them.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Settings {
    /// Log, ports file, drain deadline.
    #[command(flatten)]
    pub common: Common,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "WAYBILL_UI_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The address under which people reach the board, for links in the JSON API.
    #[arg(long, env = "WAYBILL_UI_PUBLIC_URL", default_value = "http://127.0.0.1:8080",
          value_parser = public_url)]
    pub public_url: String,
    /// The zone in which times are shown, as the IANA database names it.
    #[arg(
        long,
        env = "WAYBILL_UI_TIME_ZONE",
        default_value = "Europe/Moscow",
        value_name = "ZONE"
    )]
    pub time_zone: Tz,
    /// The lifecycle that the collector uses; by default the built-in one.
    #[arg(long, env = "WAYBILL_LIFECYCLE", value_name = "FILE")]
    pub lifecycle: Option<PathBuf>,
    /// The store, as a user who may read.
    #[command(flatten)]
    pub store: StoreSettings,
    /// Replicas of the store that are read instead of it.
    #[command(flatten)]
    pub replicas: ReplicaSettings,
    /// Whether the store is a cluster.
    #[command(flatten)]
    pub cluster: ClusterSettings,
    /// What Alertmanager tells us.
    #[command(flatten)]
    pub webhook: WebhookSettings,
    /// What is bounded.
    #[command(flatten)]
    pub limits: Limits,
}

/// An address that links can begin with: absolute, without query or fragment.
fn public_url(text: &str) -> Result<String, String> {
    let bad = || "write an absolute address such as `https://waybill.example`".to_owned();
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().is_some_and(|host| !host.is_empty());
    if web && host && !text.contains(['?', '#', '@']) { Ok(text.to_owned()) } else { Err(bad()) }
}

/// The webhook that Alertmanager calls, and the user who writes down what it says.
#[derive(Clone, Args)]
pub struct WebhookSettings {
    /// User of the store who may write `alert_history`; by default the one who reads.
    #[arg(long, env = "WAYBILL_UI_WRITER_USER", value_name = "NAME")]
    pub writer_user: Option<String>,
    /// Password of that user.
    #[arg(long, env = "WAYBILL_UI_WRITER_PASSWORD", default_value = "", hide_env_values = true)]
    pub writer_password: String,
    /// What the caller must send as `Authorization: Bearer …`; empty: nothing.
    #[arg(long, env = "WAYBILL_UI_WEBHOOK_SECRET", default_value = "", hide_env_values = true)]
    pub webhook_secret: String,
    /// A file that holds the secret (its trailing line break does not count).
    #[arg(long, env = "WAYBILL_UI_WEBHOOK_SECRET_FILE", value_name = "PATH")]
    pub webhook_secret_file: Option<PathBuf>,
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings")
            .field("writer_user", &self.writer_user)
            .finish_non_exhaustive()
    }
}

/// Every bound, and what happens at it.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Open connections; at the bound new ones wait in the kernel's backlog.
    #[arg(long, env = "WAYBILL_UI_CONNECTIONS_MAX", default_value_t = 1024)]
    pub connections_max: usize,
    /// Requests in hand at once; beyond them 503 with `Retry-After`.
    #[arg(long, env = "WAYBILL_UI_REQUESTS_MAX", default_value_t = 64)]
    pub requests_max: usize,
    /// How long a request may take; then 503 with `Retry-After`.
    #[arg(long, env = "WAYBILL_UI_REQUEST_TIME_MAX", default_value = "15s", value_parser = duration)]
    pub request_time_max: Duration,
    /// How long one question to the store may take; then the page says that it does not answer.
    #[arg(long, env = "WAYBILL_UI_QUERY_TIME_MAX", default_value = "10s", value_parser = duration)]
    pub query_time_max: Duration,
    /// How long a client may take to send the head of a request; then its connection is closed.
    #[arg(long, env = "WAYBILL_UI_HEAD_TIME_MAX", default_value = "10s", value_parser = duration)]
    pub head_time_max: Duration,
}

/// How often a browser on HTTP/2 is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a browser's connection may be without a request; then it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Requests at the same time on one HTTP/2 connection; further ones wait.
const STREAMS_MAX: u32 = 64;

impl Limits {
    /// What the port grants each connection.
    #[must_use]
    pub const fn connections(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            // A proxy in front of it is one peer.
            peer_connections_max: None,
            header_read_timeout: self.head_time_max,
            keep_alive: KEEP_ALIVE,
            idle_timeout: IDLE_TIMEOUT,
            streams_max: STREAMS_MAX,
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct BadSetting {
    /// The flag.
    pub setting: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Settings {
    /// Reads the lifecycle.
    ///
    /// # Errors
    /// The file cannot be read, or every mistake in it.
    pub fn lifecycle(&self) -> Result<Lifecycle, BadSetting> {
        let Some(path) = &self.lifecycle else { return Ok(Lifecycle::default()) };
        let bad = |why| BadSetting { setting: "lifecycle", why };
        let text = std::fs::read_to_string(path)
            .map_err(|error| bad(format!("cannot read {}: {error}", path.display())))?;
        Lifecycle::parse(&text).map_err(|mistakes| bad(mistakes.to_string()))
    }

    /// The layout of the cluster, if the store is one.
    ///
    /// # Errors
    /// A name that cannot stand in statements.
    pub fn layout(&self) -> Result<Option<ClusterLayout>, BadSetting> {
        let bad = |why: String| BadSetting { setting: "store-cluster", why };
        let layout = self.cluster.layout(&self.store.store_database);
        layout.map_err(|error| bad(error.to_string()))
    }

    /// The store as the user who writes.
    #[must_use]
    pub fn writer(&self) -> StoreSettings {
        let mut settings = self.store.clone();
        if let Some(user) = &self.webhook.writer_user {
            settings.store_user.clone_from(user);
            settings.store_password.clone_from(&self.webhook.writer_password);
        }
        settings
    }
}

impl WebhookSettings {
    /// The secret, if one is asked for.
    ///
    /// # Errors
    /// The file cannot be read or is empty.
    pub fn secret(&self) -> Result<Option<String>, BadSetting> {
        let bad = |why| BadSetting { setting: "webhook-secret-file", why };
        let Some(path) = &self.webhook_secret_file else {
            return Ok(Some(self.webhook_secret.clone()).filter(|secret| !secret.is_empty()));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| bad(format!("cannot read {}: {error}", path.display())))?;
        let secret = text.trim_end_matches(['\r', '\n']).to_owned();
        if secret.is_empty() {
            return Err(bad(format!("{} is empty", path.display())));
        }
        Ok(Some(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_begin_with_an_absolute_address() {
        for bad in ["", "waybill", "/board", "//h", "ftp://h", "http://", "http://h?a", "h:80"] {
            assert!(public_url(bad).is_err(), "{bad}");
        }
        for good in ["http://127.0.0.1:8080", "https://h.example/waybill/", "http://[::1]:80"] {
            assert_eq!(public_url(good).as_deref(), Ok(good));
        }
    }
}
