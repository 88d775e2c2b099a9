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
    chunk_orders: u64,
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
            return Ok(Self { client, shape: wanted, chunk_orders: CHUNK_ORDERS });
        };
        if (shape.spans, shape.cycle) != (wanted.spans, wanted.cycle) {
            bail!("this store holds {shape:?}, not {wanted:?}: name another folder or remove it");
        }
        Ok(Self { client, shape, chunk_orders: CHUNK_ORDERS })
    }

    /// What is made.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Writes what is missing; tells after each chunk how far it is. Gives the orders written.
    ///
    /// # Errors
    /// The store refused an insert; the next run goes on from there.
    pub async fn fill(&self, target: Target, mut tell: impl FnMut(Progress)) -> Result<u64> {
        let done = self.chunks_done(target).await?;
        let mut written = 0;
        let orders_total = self.shape.orders();
        for chunk in 0..orders_total.div_ceil(self.chunk_orders) {
            let first = chunk * self.chunk_orders;
            let orders = Chunk { first, count: self.chunk_orders.min(orders_total - first) };
            if !done.contains(&chunk) {
                self.write(target, chunk, orders).await.with_context(|| {
                    format!("writing chunk {chunk} of {} into {}", self.shape.spans, target.name())
                })?;
                written += orders.count;
            }
            tell(Progress { orders: orders.first + orders.count, orders_total });
        }
        Ok(written)
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

#[cfg(test)]
mod tests {
    use order_model::Lifecycle;
    use order_store::{Store, StoreSettings};

    use super::*;
    use crate::folder::Folder;
    use crate::parts::Part;
    use crate::scale::{Values, exporter};
    use crate::stack::{Ports, Stack};

    const SPANS: u64 = 20_000;

    async fn count(client: &Client, sql: &str) -> u64 {
        client.query(sql).fetch_one().await.unwrap()
    }

    fn connect(stack: &Stack) -> Store {
        Store::connect(&StoreSettings {
            store_url: stack.url(Part::Engine).unwrap(),
            store_user: "default".to_owned(),
            store_password: String::new(),
            store_database: "waybill".to_owned(),
        })
    }

    async fn fill(client: &Client) {
        let shape = Shape::new(SPANS, Values::Drawn, 1_790_000_000_000);
        let mut filling = Filling::begin(client, shape).await.unwrap();
        filling.chunk_orders = 700;
        for target in [Target::Waybill, Target::Exporter] {
            filling.fill(target, |_| ()).await.unwrap();
        }
    }

    /// What was written and not yet written down is written again after a kill, and is there once.
    #[tokio::test]
    async fn chunks_written_twice_are_there_once() {
        let mut stack = Stack::new(Folder::private().unwrap(), Ports::Free).unwrap();
        stack.start_part(Part::Engine).await.unwrap();
        let store = connect(&stack);
        store.migrate(&Lifecycle::default()).await.unwrap();
        exporter::create(store.client()).await.unwrap();
        fill(store.client()).await;
        let events = count(store.client(), "SELECT count() FROM order_events").await;
        store.client().query("TRUNCATE TABLE scale_done").execute().await.unwrap();
        stack.kill_part(Part::Engine).await.unwrap();
        stack.start_part(Part::Engine).await.unwrap();
        let store = connect(&stack);
        let client = store.client();
        fill(client).await;
        for (sql, expected) in [
            ("SELECT count() FROM otel_traces", SPANS),
            ("SELECT uniqExact(TraceId, SpanId) FROM otel_traces", SPANS),
            ("SELECT uniqExact(TraceId) FROM otel_traces", SPANS / 5),
            ("SELECT count() FROM exporter.otel_traces", SPANS),
            ("SELECT count() FROM order_traces", SPANS / 5),
            ("SELECT uniqExact(OrderId) FROM order_events", SPANS / 10),
            ("SELECT count() FROM order_events", events),
            // Every naming and every signal names a trace and a span that are there.
            (
                "SELECT count() FROM order_events WHERE (TraceId, SpanId) \
                 IN (SELECT TraceId, SpanId FROM otel_traces)",
                events,
            ),
            (
                "SELECT count() FROM order_traces WHERE (OrderId, TraceId) IN \
                 (SELECT SpanAttributes['order.id'], TraceId FROM otel_traces)",
                SPANS / 5,
            ),
        ] {
            assert_eq!(count(client, sql).await, expected, "{sql}");
        }
        stack.finish().await.unwrap();
    }
}
