//! The status board: counts per stage, and whether they can be trusted.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::Reader;
use super::words::Words;
use crate::UnixMillis;
use crate::error::StoreError;
use crate::stitcher::LAG_OF_ALL;

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
    /// For how long it has not been 0 although nothing waited to be derived, or for over an hour
    /// whatever waited, milliseconds: 0 while orders on their way explain it.
    pub unexplained_ms: i64,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub p90_age_seconds: Option<i64>,
}

/// A row of `board_open_at_v1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OpenStage {
    stage: String,
    total: u64,
    late: u64,
    stuck: u64,
    lost_in_handover: u64,
    retrying: u64,
    abandoned: u64,
    not_confirmed: u64,
    oldest_since: UnixMillis,
    median_age_seconds: i64,
    #[serde(rename = "P90AgeSeconds")]
    p90_age_seconds: i64,
}

/// A row of `board_settled_v1`.
#[derive(Debug, Clone, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SettledStage {
    stage: String,
    total: u64,
}

/// Every stage of the lifecycle in its order, then unknown statuses by name.
fn put_together(
    words: &Words,
    open: Vec<OpenStage>,
    settled: Vec<SettledStage>,
) -> Vec<BoardStage> {
    let mut open: BTreeMap<String, OpenStage> =
        open.into_iter().map(|row| (row.stage.clone(), row)).collect();
    let mut settled: BTreeMap<String, u64> =
        settled.into_iter().filter(|row| row.total > 0).map(|row| (row.stage, row.total)).collect();
    let mut stages: Vec<BoardStage> = Vec::new();
    for (index, stage) in words.stages.iter().enumerate() {
        let (open, settled) = (open.remove(stage), settled.remove(stage));
        stages.push(board_stage(words, Some(index), stage, open, settled));
    }
    let unknown: BTreeSet<String> = open.keys().chain(settled.keys()).cloned().collect();
    for stage in unknown {
        let (open, settled) = (open.remove(&stage), settled.remove(&stage));
        stages.push(board_stage(words, None, &stage, open, settled));
    }
    stages
}

fn board_stage(
    words: &Words,
    index: Option<usize>,
    stage: &str,
    open: Option<OpenStage>,
    settled: Option<u64>,
) -> BoardStage {
    let settled = settled.unwrap_or(0);
    let label =
        |labels: &[String]| index.and_then(|index| labels.get(index).cloned()).unwrap_or_default();
    let terminal = index.and_then(|index| words.terminal.get(index)).is_some_and(|t| *t == 1);
    let any = open.is_some();
    let open = open.unwrap_or_default();
    BoardStage {
        stage: stage.to_owned(),
        rank: index.and_then(|index| u16::try_from(index + 1).ok()).unwrap_or(0),
        label_ru: label(&words.labels_ru),
        label_en: label(&words.labels_en),
        terminal,
        total: open.total + settled,
        late: open.late,
        stuck: open.stuck,
        lost_in_handover: open.lost_in_handover,
        retrying: open.retrying,
        // Settled in a stage that ends nothing: the customer has given up.
        abandoned: open.abandoned + if terminal { 0 } else { settled },
        not_confirmed: open.not_confirmed,
        oldest_since: any.then_some(open.oldest_since),
        median_age_seconds: any.then_some(open.median_age_seconds),
        p90_age_seconds: any.then_some(open.p90_age_seconds),
    }
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
    unexplained_ms: i64,
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
            unexplained_ms: conservation.unexplained_ms,
            checked_at: conservation.checked_at,
            stitch_lag_ms,
            last_received_at: sources.iter().map(|source| source.last_received_at).max(),
            sources,
        })
    }

    /// The two halves of `board_at_v1`, put together here: as one statement they take twice as
    /// long to plan.
    async fn stages(&self, as_of: UnixMillis) -> Result<Vec<BoardStage>, StoreError> {
        let open = self.store.fetch_all::<OpenStage, _>("read the board", |client| {
            client
                .query(
                    "SELECT ?fields FROM board_open_at_v1( \
                     as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))",
                )
                .param("as_of", as_of)
        });
        let settled = self.store.fetch_all::<SettledStage, _>("read the board", |client| {
            client.query("SELECT ?fields FROM board_settled_v1")
        });
        let (open, settled, words) = tokio::try_join!(open, settled, self.words())?;
        Ok(put_together(&words, open, settled))
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
        let sql = "SELECT Named, Derived, Merged, {as_of:Int64} AS CheckedAt, \
                   toInt64(0) AS UnexplainedMs \
                   FROM conservation_v1";
        self.store.fetch_one(doing, |client| client.query(sql).param("as_of", as_of)).await
    }

    async fn stitch_lag_ms(&self) -> Result<i64, StoreError> {
        self.store
            .fetch_one("read how far the stitchers have come", |client| client.query(LAG_OF_ALL))
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
