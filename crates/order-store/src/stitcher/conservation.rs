//! Conservation: what the facts name is what the board counts.

use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::Stitcher;
use crate::UnixMillis;
use crate::error::StoreError;

/// An order that ended long ago is not told to the open ones when it is derived again; a derivation
/// that was held for as long may have written it there.
const ENDED_ANNOUNCED: &str = "INSERT INTO orders_open (* EXCEPT (Traces, LinkedTraces, \
    HistoryStage, HistoryEnteredAt, HistorySource, HistoryAttempt, HistoryStuckSeconds, \
    HistoryWaitingFor)) \
    SELECT * EXCEPT (Traces, LinkedTraces, HistoryStage, HistoryEnteredAt, HistorySource, \
    HistoryAttempt, HistoryStuckSeconds, HistoryWaitingFor) FROM orders FINAL WHERE IsOpen = 0 \
    AND OrderId IN (SELECT OrderId FROM orders_open FINAL WHERE IsOpen = 1)";

/// Age of the oldest touch that any running stitcher had not derived when it last spoke.
pub(crate) const LAG_OF_ALL: &str =
    "SELECT ifNull(max(LagMs), 0) FROM stitchers FINAL WHERE Stopped = 0";

/// Who checks conservation writes it down more often than this.
const CHECKED_LATELY_MINUTES: u32 = 3;

/// One check. Nothing is lost and nothing counted twice when the difference is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Conservation {
    /// Order ids that the facts name.
    pub named: u64,
    /// Orders as the board counts them: open ones, and settled ones by bucket.
    pub derived: u64,
    /// Ids that turned out to be another id of an order.
    pub merged: u64,
    /// `named - merged - derived`: 0 once the stitcher has caught up.
    pub difference: i64,
}

#[derive(Row, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckRow<'a> {
    checker: &'a str,
    checked_at: UnixMillis,
    named: u64,
    derived: u64,
    merged: u64,
    unexplained_ms: i64,
}

impl Stitcher {
    /// Counts the facts and the states. Reads every order id: its price grows with the store, so
    /// the caller paces it.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn conservation(&self) -> Result<Conservation, StoreError> {
        self.store
            .client
            .query("SELECT Named, Derived, Merged, Difference FROM conservation_v1")
            .fetch_one()
            .await
            .map_err(StoreError::doing("check conservation"))
    }

    /// Age of the oldest touch that any running stitcher had not derived when it last spoke.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn lag_of_all(&self) -> Result<Duration, StoreError> {
        let lag_ms: i64 = self
            .store
            .client
            .query(LAG_OF_ALL)
            .fetch_one()
            .await
            .map_err(StoreError::doing("read how far the stitchers have come"))?;
        Ok(Duration::from_millis(u64::try_from(lag_ms).unwrap_or(0)))
    }

    /// Whether this checker is the first, by name, of those that have checked lately.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn checks_first(&self, checker: &str) -> Result<bool, StoreError> {
        let first: String = self
            .store
            .client
            .query(
                "SELECT min(Checker) FROM conservation_checks \
                 WHERE CheckedAt > now64(3, 'UTC') - toIntervalMinute({minutes:UInt32})",
            )
            .param("minutes", CHECKED_LATELY_MINUTES)
            .fetch_one()
            .await
            .map_err(StoreError::doing("find who checks conservation"))?;
        Ok(first.is_empty() || first == checker)
    }

    /// Writes a check down, for the board. `unexplained`: for how long its sum has not come out
    /// although nothing waited to be derived.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn record_conservation(
        &self,
        checker: &str,
        found: Conservation,
        unexplained: Duration,
    ) -> Result<(), StoreError> {
        let doing = || StoreError::doing("write a check of conservation down");
        let checked_at = self.store_clock().await? / order_model::time::NANOS_PER_MILLI;
        let Conservation { named, derived, merged, .. } = found;
        let unexplained_ms = i64::try_from(unexplained.as_millis()).unwrap_or(i64::MAX);
        let row = CheckRow { checker, checked_at, named, derived, merged, unexplained_ms };
        let insert = self.store.client.insert::<CheckRow<'_>>("conservation_checks").await;
        let mut insert = insert.map_err(doing())?;
        insert.write(&row).await.map_err(doing())?;
        insert.end().await.map_err(doing())
    }

    /// Counts the settled orders of every bucket again, and tells the open orders which of them have
    /// ended: mends counts that differ.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn recount_all(&self) -> Result<(), StoreError> {
        self.store
            .client
            .query(ENDED_ANNOUNCED)
            .execute()
            .await
            .map_err(StoreError::doing("tell open orders which of them have ended"))?;
        self.recount(&(0..4096).collect()).await
    }
}
