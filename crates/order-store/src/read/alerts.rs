//! What on-call was told: written by the webhook, read by the pages.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::Reader;
use crate::UnixMillis;
use crate::error::StoreError;
use crate::rows::Attributes;
use crate::writer::Writer;

/// The severity of what calls on-call; the rest are warnings, which call nobody out of bed.
pub const SEVERITY_OF_PAGES: &str = "critical";
/// Most alerts of one order that a page shows.
const ALERTS_MAX: u32 = 50;

/// One alert of one webhook call; repeats of (order, fingerprint, start, status) fold.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AlertRow {
    /// The order it is about, or empty.
    pub order_id: String,
    /// Alertmanager's fingerprint of the label set.
    pub fingerprint: String,
    /// When the condition began.
    pub starts_at: UnixMillis,
    /// `firing` or `resolved`.
    pub status: String,
    /// Name of the rule.
    pub alert_name: String,
    /// `critical`, `warning`, …
    pub severity: String,
    /// When it ended; 0 while it fires.
    pub ends_at: UnixMillis,
    /// The label set.
    pub labels: Attributes,
    /// Evidence and texts.
    pub annotations: Attributes,
    /// When the webhook was called.
    pub first_received_at: UnixMillis,
}

/// One page to on-call.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AlertItem {
    /// The order it is about, or empty.
    pub order_id: String,
    /// Name of the rule.
    pub alert_name: String,
    /// `critical`, `warning`, …
    pub severity: String,
    /// When the condition began.
    pub starts_at: UnixMillis,
    /// When the webhook first heard of it.
    pub paged_at: Option<UnixMillis>,
    /// When it ended; none while it is active.
    pub resolved_at: Option<UnixMillis>,
    /// Evidence and texts (`summary`, `description`, `runbook_url`, …).
    pub annotations: Attributes,
}

impl Writer {
    /// Records what a webhook call said.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn record_alerts(&self, alerts: &[AlertRow]) -> Result<(), StoreError> {
        let doing = || StoreError::doing("record alerts");
        let mut insert =
            self.store.client.insert::<AlertRow>("alert_history").await.map_err(doing())?;
        for alert in alerts {
            insert.write(alert).await.map_err(doing())?;
        }
        insert.end().await.map_err(doing())
    }
}

impl Reader {
    /// The alerts of an order, the newest first.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn order_alerts(&self, order_id: &str) -> Result<Vec<AlertItem>, StoreError> {
        self.store
            .fetch_all("read alerts", |client| {
                client
            .query(
                "SELECT OrderId, AlertName, Severity, StartsAt, PagedAt, ResolvedAt, Annotations \
                 FROM alerts_v1 WHERE OrderId = {order:String} \
                 ORDER BY StartsAt DESC, Fingerprint LIMIT {limit:UInt32}",
            )
            .param("order", order_id)
            .param("limit", ALERTS_MAX)
            })
            .await
    }

    /// How many pages to on-call are not resolved yet.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn active_alerts(&self) -> Result<u64, StoreError> {
        self.store
            .fetch_one("count active alerts", |client| {
                client
                    .query(
                        "SELECT count() FROM alerts_v1 \
                         WHERE ResolvedAt IS NULL AND Severity = {severity:String}",
                    )
                    .param("severity", SEVERITY_OF_PAGES)
            })
            .await
    }
}
