//! The one write path: a batch becomes at most one block per table, under a token.

use clickhouse::{Client, Row, RowOwned, RowWrite};
use serde::Serialize;

use crate::connection::Store;
use crate::error::StoreError;
use crate::rows::Batch;

/// Most rows of one insert, so that a batch is one block; the collector's batches are smaller.
const BLOCK_ROWS_MAX: &str = "2000000";
/// Most bytes of one insert, likewise.
const BLOCK_BYTES_MAX: &str = "1000000000";

/// Inserts batches. Clones share connections.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(crate) store: Store,
}

impl Writer {
    /// A writer to that store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Inserts every table of the batch; success means that all of it is in the store, flushed
    /// to disk. The same batch under the same token is stored once: after an error, send the same
    /// rows with the same token again.
    ///
    /// # Errors
    /// A table refused its rows or the store could not be reached; tables inserted before keep
    /// theirs until the repeat.
    pub async fn insert(&self, batch: &Batch, token: &str) -> Result<(), StoreError> {
        let client = &self.store.client;
        // Facts first: a span whose facts are missing would be seen by no order.
        tokio::try_join!(
            rows(client, "order_traces", &batch.order_traces, token, "insert traces of orders"),
            rows(client, "order_events", &batch.order_events, token, "insert signals of orders"),
            rows(
                client,
                "order_heartbeats",
                &batch.order_heartbeats,
                token,
                "insert signs of life"
            ),
            rows(client, "trace_links", &batch.trace_links, token, "insert links of traces"),
            rows(client, "order_aliases", &batch.order_aliases, token, "insert aliases of orders"),
            rows(client, "otel_traces", &batch.spans, token, "insert spans"),
            rows(client, "otel_logs", &batch.logs, token, "insert log records"),
        )?;
        Ok(())
    }
}

async fn rows<R>(
    client: &Client,
    table: &'static str,
    rows: &[R],
    token: &str,
    doing: &'static str,
) -> Result<(), StoreError>
where
    R: RowOwned + RowWrite + Row + Serialize,
{
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = client
        .insert::<R>(table)
        .await
        .map_err(StoreError::doing(doing))?
        .with_setting("insert_deduplication_token", format!("{token}-{table}"))
        .with_setting("insert_deduplicate", "1")
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        .with_setting("async_insert", "0")
        // Each view writes a part and waits for the disk: they wait together.
        .with_setting("parallel_view_processing", "1")
        // Rows of one identity fold by merge: folding them on insert, too, costs as much again.
        .with_setting("optimize_on_insert", "0")
        .with_setting("max_insert_block_size", BLOCK_ROWS_MAX)
        .with_setting("min_insert_block_size_rows", BLOCK_ROWS_MAX)
        .with_setting("min_insert_block_size_bytes", BLOCK_BYTES_MAX);
    for row in rows {
        insert.write(row).await.map_err(StoreError::doing(doing))?;
    }
    insert.end().await.map_err(StoreError::doing(doing))
}
