//! The status board: counts per stage, and whether they can be trusted.

use clickhouse::Row;
use serde::Deserialize;

use super::Reader;
use crate::UnixMillis;
use crate::error::StoreError;

/// The board at one point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    /// The point in time: the store's clock, or what was asked for.
    pub as_of: UnixMillis,
    /// Every stage of the lifecycle in its order, then unknown statuses that orders are in.
    pub stages: Vec<BoardStage>,
    /// Orders counted from the facts.
    pub seen: u64,
    /// Orders counted from the derived state.
    pub derived: u64,
    /// Their difference: 0 once the stitcher has caught up.
    pub difference: i64,
    /// When each system was last heard of.
    pub sources: Vec<SourceHeard>,
    /// When anything was last received.
    pub last_received_at: Option<UnixMillis>,
}

/// One stage of the board.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BoardStage {
    /// As the source writes it; empty: no stage was heard of yet.
    pub stage: String,
    /// Place in the lifecycle from 1; 0 for an unknown status.
    pub rank: u16,
    /// Russian label.
    pub label_ru: String,
    /// English label.
    pub label_en: String,
    /// Whether orders end here.
    pub terminal: bool,
    /// Orders in it.
    pub total: u64,
    /// Of these, late (and not stuck).
    pub late: u64,
    /// Of these, stuck.
    pub stuck: u64,
    /// Of these, given up by the customer.
    pub abandoned: u64,
    /// Of these, not confirmed by anyone.
    pub not_confirmed: u64,
    /// When the oldest entered it.
    pub oldest_since: Option<UnixMillis>,
    /// Median time in the stage so far, seconds.
    pub median_age_seconds: Option<i64>,
    /// The time that nine of ten have not reached, seconds.
    #[serde(rename = "P90AgeSeconds")]
    pub p90_age_seconds: Option<i64>,
}

/// When a system was last heard of.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SourceHeard {
    /// `service.name`.
    pub source: String,
    /// When the collector last received anything from it.
    pub last_received_at: UnixMillis,
    /// The latest time that it wrote itself, milliseconds; may lie in the future.
    pub last_timestamp: UnixMillis,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Conservation {
    seen: u64,
    derived: u64,
    difference: i64,
}

impl Reader {
    /// The board at `as_of`, or now.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn board(&self, as_of: Option<UnixMillis>) -> Result<Board, StoreError> {
        let as_of = self.as_of(as_of).await?;
        let (stages, conservation, sources) =
            tokio::try_join!(self.stages(as_of), self.conservation(), self.sources())?;
        Ok(Board {
            as_of,
            stages,
            seen: conservation.seen,
            derived: conservation.derived,
            difference: conservation.difference,
            last_received_at: sources.iter().map(|source| source.last_received_at).max(),
            sources,
        })
    }

    async fn stages(&self, as_of: UnixMillis) -> Result<Vec<BoardStage>, StoreError> {
        self.store
            .client
            .query(
                "SELECT Stage, Rank, LabelRu, LabelEn, Terminal = 1 AS Terminal, Total, Late, \
                 Stuck, Abandoned, NotConfirmed, OldestSince, MedianAgeSeconds, P90AgeSeconds \
                 FROM board_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC')) \
                 ORDER BY Rank = 0, Rank, Stage",
            )
            .param("as_of", as_of)
            .fetch_all()
            .await
            .map_err(StoreError::doing("read the board"))
    }

    async fn conservation(&self) -> Result<Conservation, StoreError> {
        self.store
            .client
            .query("SELECT Seen, Derived, Difference FROM conservation_v1")
            .fetch_one()
            .await
            .map_err(StoreError::doing("read the conservation sum"))
    }

    /// When each system was last heard of, by name.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn sources(&self) -> Result<Vec<SourceHeard>, StoreError> {
        self.store
            .client
            .query(
                "SELECT Source, toUnixTimestamp64Milli(LastReceivedAt) AS LastReceivedAt, \
                 intDiv(toUnixTimestamp64Nano(LastTimestamp), 1000000) AS LastTimestamp \
                 FROM sources_v1 ORDER BY Source",
            )
            .fetch_all()
            .await
            .map_err(StoreError::doing("read when systems were last heard of"))
    }
}
