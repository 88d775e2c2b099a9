//! How the store is reached.

use std::fmt;
use std::time::Duration;

use clap::Args;
use clickhouse::{Client, Compression};

use crate::error::StoreError;

/// A query of the store is given up after this; pages and pipelines have shorter limits of their
/// own.
const QUERY_TIME_MAX: Duration = Duration::from_secs(60);

/// Where the store is and who we are there.
#[derive(Clone, Args)]
pub struct StoreSettings {
    /// The store's ClickHouse HTTP interface.
    #[arg(long, env = "WAYBILL_STORE_URL", default_value = "http://127.0.0.1:8123")]
    pub store_url: String,
    /// User name there.
    #[arg(long, env = "WAYBILL_STORE_USER", default_value = "default")]
    pub store_user: String,
    /// Password there.
    #[arg(long, env = "WAYBILL_STORE_PASSWORD", default_value = "", hide_env_values = true)]
    pub store_password: String,
    /// Database that holds Waybill's tables.
    #[arg(long, env = "WAYBILL_STORE_DATABASE", default_value = "waybill")]
    pub store_database: String,
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
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Store {
    /// A handle; nothing is sent yet.
    #[must_use]
    pub fn connect(settings: &StoreSettings) -> Self {
        let client = Client::default()
            .with_url(&settings.store_url)
            .with_user(&settings.store_user)
            .with_password(&settings.store_password)
            .with_database(&settings.store_database)
            .with_compression(Compression::Lz4)
            .with_setting("max_execution_time", QUERY_TIME_MAX.as_secs().to_string());
        Self { client, database: settings.store_database.clone() }
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
