//! Filling the store, chunk by chunk, resumable after any kill.
//!
//! A chunk is a whole number of orders: one insert a table, each of one block, under a token that
//! is made of the table and the chunk alone. A chunk that was half written is written again, and
//! the store drops what it has. What is done stands in a table of the store itself.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::facts::{self, Rows};
use super::shape::{Chunk, SPANS_PER_ORDER, Shape};

/// Orders of a chunk. Its spans are one block of the engine: some 2 GB while they are inserted.
const CHUNK_ORDERS: u64 = 50_000;
/// More rows than any chunk has in any table: its rows are one block.
const BLOCK_ROWS_MAX: &str = "2000000";
/// How long the insert of a chunk may take on a busy machine.
const INSERT_TIME_MAX: Duration = Duration::from_secs(600);
/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Spans and order facts in Waybill's tables.
    Waybill,
    /// The same spans in the OpenTelemetry exporter's.
    Exporter,
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Waybill => "waybill",
            Self::Exporter => "exporter",
        }
    }
}

/// How far filling has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Orders whose rows are all there.
    pub orders: u64,
    /// Orders there will be.
    pub orders_total: u64,
}

#[derive(Row, Serialize, Deserialize)]
struct Done {
    target: String,
    chunk: u64,
}

/// Fills one store.
#[derive(Debug)]
pub struct Filling {
    client: Client,
    shape: Shape,
}

impl Filling {
    /// Takes up what an earlier run began in this store, or begins with `wanted`. The store's
    /// schema must be there.
    ///
    /// # Errors
    /// The store could not be reached, or an earlier run was of another size.
    pub async fn begin(client: &Client, wanted: Shape) -> Result<Self> {
        let client = client
            .clone()
            .with_setting("max_execution_time", INSERT_TIME_MAX.as_secs().to_string());
        for statement in [
            "CREATE TABLE IF NOT EXISTS scale_shape (spans UInt64, end_ms Int64, cycle Bool) \
             ENGINE = MergeTree ORDER BY () SETTINGS fsync_after_insert = 1",
            "CREATE TABLE IF NOT EXISTS scale_done (target String, chunk UInt64) \
             ENGINE = ReplacingMergeTree ORDER BY (target, chunk) SETTINGS fsync_after_insert = 1",
        ] {
            client.query(statement).execute().await.context("making the tables of progress")?;
        }
        let earlier: Option<Shape> = client
            .query("SELECT spans, end_ms, cycle FROM scale_shape LIMIT 1")
            .fetch_optional()
            .await
            .context("reading what an earlier run made")?;
        let Some(shape) = earlier else {
            let mut insert = client.insert::<Shape>("scale_shape").await?;
            insert.write(&wanted).await?;
            insert.end().await.context("writing down what is made")?;
            return Ok(Self { client, shape: wanted });
        };
        if (shape.spans, shape.cycle) != (wanted.spans, wanted.cycle) {
            bail!("this store holds {shape:?}, not {wanted:?}: name another folder or remove it");
        }
        Ok(Self { client, shape })
    }

    /// What is made.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Writes what is missing; tells after each chunk how far it is.
    ///
    /// # Errors
    /// The store refused an insert; the next run goes on from there.
    pub async fn fill(&self, target: Target, mut tell: impl FnMut(Progress)) -> Result<()> {
        let begun = self.chunks_done(target).await?;
        let orders_total = self.shape.orders();
        for chunk in 0..orders_total.div_ceil(CHUNK_ORDERS) {
            let first = chunk * CHUNK_ORDERS;
            let orders = Chunk { first, count: CHUNK_ORDERS.min(orders_total - first) };
            if !begun.contains(&chunk) {
                self.write(target, chunk, orders).await.with_context(|| {
                    format!("writing chunk {chunk} of {} into {}", self.shape.spans, target.name())
                })?;
            }
            tell(Progress { orders: orders.first + orders.count, orders_total });
        }
        Ok(())
    }

    async fn chunks_done(&self, target: Target) -> Result<Vec<u64>> {
        self.client
            .query("SELECT chunk FROM scale_done FINAL WHERE target = {target:String}")
            .param("target", target.name())
            .fetch_all()
            .await
            .context("reading how far it is")
    }

    async fn write(&self, target: Target, chunk: u64, orders: Chunk) -> Result<()> {
        let spans =
            Chunk { first: orders.first * SPANS_PER_ORDER, count: orders.count * SPANS_PER_ORDER };
        match target {
            Target::Waybill => {
                self.insert(facts::SPANS, spans, chunk).await?;
                for rows in facts::FACTS {
                    self.insert(rows, orders, chunk).await?;
                }
            }
            Target::Exporter => self.insert(facts::EXPORTER_SPANS, spans, chunk).await?,
        }
        let done = Done { target: target.name().to_owned(), chunk };
        let mut insert = self.client.insert::<Done>("scale_done").await?;
        insert.write(&done).await?;
        insert.end().await.context("writing down how far it is")
    }

    async fn insert(&self, rows: Rows, of: Chunk, chunk: u64) -> Result<()> {
        self.shape
            .insert(&self.client, rows, of)
            .with_setting("insert_deduplication_token", format!("scale-{}-{chunk}", rows.table))
            // The select is not sorted, and need not be: all its rows are one block, so that the
            // token names the same rows each time.
            .with_setting("deduplicate_insert_select", "enable_even_for_bad_queries")
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with_setting("min_insert_block_size_rows", BLOCK_ROWS_MAX)
            .with_setting("max_insert_block_size", BLOCK_ROWS_MAX)
            .with_setting("min_insert_block_size_bytes", "0")
            .with_setting("max_insert_threads", "1")
            // Every reader folds: rows that are there twice are found by merges.
            .with_setting("optimize_on_insert", "0")
            .execute()
            .await
            .with_context(|| format!("inserting into {}", rows.table))
    }
}
