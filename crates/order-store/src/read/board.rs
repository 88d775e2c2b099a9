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
    /// Orders counted from the facts: ids named, without those that are another order's.
    pub seen: u64,
    /// Orders counted from the derived state, as this board counts them.
    pub derived: u64,
    /// Ids that turned out to be another id of an order.
    pub merged: u64,
    /// Of seen and derived: 0 once the stitcher has caught up.
    pub difference: i64,
    /// When these were counted. The facts are many, so this is not done for every reading.
    pub checked_at: UnixMillis,
    /// Age of the oldest touch that a stitcher had not derived when it last spoke, milliseconds.
    pub stitch_lag_ms: i64,
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
    /// Of these, lost between two systems.
    pub lost_in_handover: u64,
    /// Of these, being calculated once more.
    pub retrying: u64,
    /// Of these, given up by the customer.
    pub abandoned: u64,
    /// Of these, not confirmed by anyone.
    pub not_confirmed: u64,
    /// When the oldest of those that have not ended entered it.
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
    /// Whether it has said nothing for as long as the lifecycle calls silence.
    pub silent: bool,
}

/// How the clock of a host stands against ours.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SourceClock {
    /// `service.name`.
    pub source: String,
    /// `host.name`, or empty.
    pub host: String,
    /// The least delay from its clock to ours, of today and yesterday, milliseconds. Below zero
    /// its clock is ahead by at least as much.
    pub least_delay_ms: i64,
    /// When it was last heard of.
    pub last_received_at: UnixMillis,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Conservation {
    named: u64,
    derived: u64,
    merged: u64,
    checked_at: UnixMillis,
}

impl Reader {
    /// The board at `as_of`, or now.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn board(&self, as_of: Option<UnixMillis>) -> Result<Board, StoreError> {
        let as_of = self.as_of(as_of).await?;
        let (stages, conservation, sources, stitch_lag_ms) = tokio::try_join!(
            self.stages(as_of),
            self.conservation(as_of),
            self.sources_at(as_of),
            self.stitch_lag_ms()
        )?;
        let seen = conservation.named.saturating_sub(conservation.merged);
        Ok(Board {
            as_of,
            stages,
            seen,
            derived: conservation.derived,
            merged: conservation.merged,
            difference: seen.cast_signed() - conservation.derived.cast_signed(),
            checked_at: conservation.checked_at,
            stitch_lag_ms,
            last_received_at: sources.iter().map(|source| source.last_received_at).max(),
            sources,
        })
    }

    async fn stages(&self, as_of: UnixMillis) -> Result<Vec<BoardStage>, StoreError> {
        self.store.fetch_all("read the board", |client| client
            .query(
                "SELECT Stage, Rank, LabelRu, LabelEn, Terminal = 1 AS Terminal, Total, Late, \
                 Stuck, LostInHandover, Retrying, Abandoned, NotConfirmed, OldestSince, MedianAgeSeconds, P90AgeSeconds \
                 FROM board_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC')) \
                 ORDER BY Rank = 0, Rank, Stage",
            )
            .param("as_of", as_of))
            .await
    }

    /// The latest check that was written down; without one the facts are counted now.
    async fn conservation(&self, as_of: UnixMillis) -> Result<Conservation, StoreError> {
        let doing = "read the conservation sum";
        let latest: Option<Conservation> = self
            .store
            .fetch_optional(doing, |client| {
                client.query(
                    "SELECT ?fields FROM conservation_checks ORDER BY CheckedAt DESC LIMIT 1",
                )
            })
            .await?;
        if let Some(latest) = latest {
            return Ok(latest);
        }
        let sql = "SELECT Named, Derived, Merged, {as_of:Int64} AS CheckedAt FROM conservation_v1";
        self.store.fetch_one(doing, |client| client.query(sql).param("as_of", as_of)).await
    }

    async fn stitch_lag_ms(&self) -> Result<i64, StoreError> {
        self.store
            .fetch_one("read how far the stitchers have come", |client| {
                client.query("SELECT ifNull(max(LagMs), 0) FROM stitchers FINAL WHERE Stopped = 0")
            })
            .await
    }

    /// When each system was last heard of, by name.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn sources(&self) -> Result<Vec<SourceHeard>, StoreError> {
        self.sources_at(self.clock().await?).await
    }

    async fn sources_at(&self, as_of: UnixMillis) -> Result<Vec<SourceHeard>, StoreError> {
        self.store
            .fetch_all("read when systems were last heard of", |client| {
                client
                    .query(
                        "SELECT Source, toUnixTimestamp64Milli(LastReceivedAt) AS LastReceivedAt, \
                 intDiv(toUnixTimestamp64Nano(LastTimestamp), 1000000) AS LastTimestamp, \
                 IsSilent = 1 AS Silent \
                 FROM sources_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC')) \
                 ORDER BY Source",
                    )
                    .param("as_of", as_of)
            })
            .await
    }

    /// How the clocks of all hosts stand, the one furthest ahead first.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn source_clocks(&self) -> Result<Vec<SourceClock>, StoreError> {
        self.store
            .fetch_all("read how clocks stand", |client| {
                client.query(
                    "SELECT ?fields FROM source_clocks_v1 ORDER BY LeastDelayMs, Source, Host",
                )
            })
            .await
    }
}
