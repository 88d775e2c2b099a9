//! How the store is reached: the server that is written to, and the replicas that are read.

mod replicas;
mod lag;
mod route;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clickhouse::query::Query;
use clickhouse::{Client, Compression, RowOwned, RowRead};

pub use lag::ReplicaHealth;
pub use replicas::{ClusterSettings, REPLICAS_MAX, ReplicaSettings, ReplicaUrls};
pub use route::{PROBE_INTERVAL, PROBE_TIME_MAX, ReadStatus, ReplicaStatus};

use crate::cluster::{self, ClusterError, ClusterLayout};
use crate::error::StoreError;
use route::{Endpoint, Route};

/// A query of the store is given up after this; pages and pipelines have shorter limits of their
/// own.
const QUERY_TIME_MAX: Duration = Duration::from_secs(60);

/// Where the store is and who we are there.
#[derive(Clone, Args)]
pub struct StoreSettings {
    /// The store's ClickHouse HTTP interface.
    #[arg(long, env = "WAYBILL_STORE_URL", default_value = "http://127.0.0.1:8123",
          value_parser = store_url)]
    pub store_url: String,
    /// User name there.
    #[arg(long, env = "WAYBILL_STORE_USER", default_value = "default")]
    pub store_user: String,
    /// Password there.
    #[arg(long, env = "WAYBILL_STORE_PASSWORD", default_value = "", hide_env_values = true)]
    pub store_password: String,
    /// Database that holds Waybill's tables.
    #[arg(long, env = "WAYBILL_STORE_DATABASE", default_value = "waybill",
          value_parser = database_name)]
    pub store_database: String,
}

/// An address such as `http://127.0.0.1:8123`. TLS is not built in: put a proxy on this host.
fn store_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").ok_or("write `http://HOST:PORT`")?;
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() || rest.contains(char::is_whitespace) {
        return Err("write `http://HOST:PORT`".to_owned());
    }
    if authority.contains('@') {
        return Err("user and password have settings of their own".to_owned());
    }
    Ok(text.to_owned())
}

/// Letters, digits and `_`, not beginning with a digit.
fn database_name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if text.is_empty() || !plain || text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a database name has letters, digits and `_` only".to_owned());
    }
    Ok(text.to_owned())
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("store_url", &self.store_url)
            .field("store_user", &self.store_user)
            .field("store_database", &self.store_database)
            .finish_non_exhaustive()
    }
}

/// A handle on the store; clones share connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) database: String,
    route: Arc<Route>,
    layout: Option<Arc<ClusterLayout>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Store {
    /// A handle that writes and reads one server; nothing is sent yet.
    #[must_use]
    pub fn connect(settings: &StoreSettings) -> Self {
        Self::connect_to(settings, None)
    }

    /// The same, of a cluster if there is a `layout`: its schema is made on every server, and
    /// what was written is read from where it was written.
    #[must_use]
    pub fn connect_to(settings: &StoreSettings, layout: Option<ClusterLayout>) -> Self {
        Self::with_replicas(settings, &[], Duration::ZERO, layout)
    }

    /// A handle that reads replicas when there are any; nothing is sent yet. Until
    /// [`Store::watch_replicas`] runs, the server of `settings` is read.
    #[must_use]
    pub fn connect_reading(
        settings: &StoreSettings,
        replicas: &ReplicaSettings,
        layout: Option<ClusterLayout>,
    ) -> Self {
        let urls = &replicas.store_replicas.0;
        Self::with_replicas(settings, urls, replicas.replica_lag_max, layout)
    }

    fn with_replicas(
        settings: &StoreSettings,
        urls: &[String],
        lag_max: Duration,
        layout: Option<ClusterLayout>,
    ) -> Self {
        let client = Client::default()
            .with_url(&settings.store_url)
            .with_user(&settings.store_user)
            .with_password(&settings.store_password)
            .with_database(&settings.store_database)
            .with_compression(Compression::Lz4)
            .with_setting("max_execution_time", QUERY_TIME_MAX.as_secs().to_string());
        let (mut primary, mut replica) = (client.clone(), client);
        if layout.is_some() {
            primary = with_settings(primary, &cluster::PRIMARY_SETTINGS);
            replica = with_settings(replica, &cluster::REPLICA_SETTINGS)
                .with_setting(cluster::LAG_SETTING, lag_max.as_secs().max(1).to_string());
        }
        let endpoint = |client: &Client, url: &String| Endpoint {
            url: url.clone(),
            client: client.clone().with_url(url),
        };
        let replicas = urls.iter().map(|url| endpoint(&replica, url)).collect();
        let route = Route::new(endpoint(&primary, &settings.store_url), replicas, lag_max);
        Self {
            client: primary,
            database: settings.store_database.clone(),
            route: Arc::new(route),
            layout: layout.map(Arc::new),
        }
    }

    /// The statements that do to this store what `text` says for one server.
    ///
    /// # Errors
    /// The store is a cluster and a statement has no form for one.
    pub fn ddl(&self, text: &str) -> Result<Vec<String>, ClusterError> {
        match &self.layout {
            Some(layout) => cluster::statements(text, layout),
            None => Ok(cluster::split(text)),
        }
    }

    /// Every row of a question, asked where reads go now. On a failure that another server may
    /// not have it goes to another replica and at last to the primary, so `question` may be
    /// called up to three times.
    ///
    /// # Errors
    /// The last of the servers asked failed, or the first one refused the question itself.
    pub async fn fetch_all<T, F>(
        &self,
        doing: &'static str,
        question: F,
    ) -> Result<Vec<T>, StoreError>
    where
        T: RowOwned + RowRead,
        F: Fn(&Client) -> Query,
    {
        self.route.read(doing, |client| question(client).fetch_all::<T>()).await
    }

    /// The one row of a question; see [`Store::fetch_all`].
    ///
    /// # Errors
    /// As [`Store::fetch_all`], and when there is no row.
    pub async fn fetch_one<T, F>(&self, doing: &'static str, question: F) -> Result<T, StoreError>
    where
        T: RowOwned + RowRead,
        F: Fn(&Client) -> Query,
    {
        self.route.read(doing, |client| question(client).fetch_one::<T>()).await
    }

    /// The row of a question, if there is one; see [`Store::fetch_all`].
    ///
    /// # Errors
    /// As [`Store::fetch_all`].
    pub async fn fetch_optional<T, F>(
        &self,
        doing: &'static str,
        question: F,
    ) -> Result<Option<T>, StoreError>
    where
        T: RowOwned + RowRead,
        F: Fn(&Client) -> Query,
    {
        self.route.read(doing, |client| question(client).fetch_optional::<T>()).await
    }

    /// The client of the server that is read now, for what
    /// [`Store::fetch_all`] and its kin do not fit: a failure there moves nothing.
    #[must_use]
    pub fn reading(&self) -> Client {
        self.route.client().clone()
    }

    /// Where reads go, how far behind that is, and how the replicas are.
    #[must_use]
    pub fn read_status(&self) -> ReadStatus {
        self.route.status()
    }

    /// Watches the replicas until dropped; ends at once when there are none.
    pub async fn watch_replicas(&self) {
        while self.route.has_replicas() {
            self.route.probe().await;
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    /// Asks the primary and every replica once how they are.
    pub async fn probe_replicas(&self) {
        self.route.probe().await;
    }

    /// The layout of the cluster, if the store is one.
    pub(crate) fn layout(&self) -> Option<&ClusterLayout> {
        self.layout.as_deref()
    }

    /// The client, for statements that are nobody else's (the evaluator's rules, tests).
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the store answers a query.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.unbound()
            .query("SELECT 1")
            .execute()
            .await
            .map_err(StoreError::doing("reach the store"))
    }

    /// A client that names no database: before the first migration there is none.
    pub(crate) fn unbound(&self) -> Client {
        self.client.clone().with_database("default")
    }
}

fn with_settings(client: Client, settings: &[(&str, &str)]) -> Client {
    settings.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_addresses_and_names_are_refused_before_anything_starts() {
        for bad in ["foo", "https://h:1", "http://", "http://u:p@h:1", "http://a b", "http:///x"] {
            assert!(store_url(bad).is_err(), "{bad}");
        }
        for good in ["http://127.0.0.1:8123", "http://store:8123/", "http://[::1]:8123"] {
            assert_eq!(store_url(good).as_deref(), Ok(good));
        }
        for bad in ["", "a-b", "a`b", "1a", "a b"] {
            assert!(database_name(bad).is_err(), "{bad}");
        }
        assert_eq!(database_name("waybill_2").as_deref(), Ok("waybill_2"));
    }
}
