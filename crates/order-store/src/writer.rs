//! The one write path: a batch becomes at most one block per table, under a token.

mod met;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clickhouse::{Client, Row, RowOwned, RowWrite};
use met::MetOrders;
use order_model::keys::ALIAS_ORDER_ID;
use order_model::order_id::search_key;
use serde::Serialize;

use crate::connection::Store;
use crate::error::StoreError;
use crate::rows::{Batch, OrderAliasRow};

/// Most rows of one insert, so that a batch is one block; the collector's batches are smaller.
const BLOCK_ROWS_MAX: &str = "2000000";
/// Most bytes of one insert, likewise.
const BLOCK_BYTES_MAX: &str = "1000000000";

/// Inserts batches. Clones share connections, and know the same orders.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(crate) store: Store,
    /// Orders whose ids the store has as names already: most batches name no new one, and every
    /// part that is not written saves a sync and a merge.
    met: Arc<Mutex<MetOrders>>,
}

impl Writer {
    /// A writer to that store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, met: Arc::default() }
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
        let ids = self.new_ids(batch);
        let aliases: Vec<&OrderAliasRow> = batch.order_aliases.iter().chain(&ids).collect();
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
            rows(client, "order_aliases", aliases, token, "insert aliases of orders"),
            rows(client, "otel_traces", &batch.spans, token, "insert spans"),
            rows(client, "otel_logs", &batch.logs, token, "insert log records"),
        )?;
        let mut met = self.met();
        ids.iter().for_each(|row| met.add(&row.order_id));
        Ok(())
    }

    /// The ids of orders that this writer has not met, as names.
    fn new_ids(&self, batch: &Batch) -> Vec<OrderAliasRow> {
        let met = self.met();
        let mut ids: BTreeMap<&str, OrderAliasRow> = BTreeMap::new();
        for naming in &batch.order_traces {
            if met.has(&naming.order_id) {
                continue;
            }
            let row = ids.entry(&naming.order_id).or_insert_with(|| OrderAliasRow {
                alias: search_key(&naming.order_id),
                alias_kind: ALIAS_ORDER_ID.to_owned(),
                scope: String::new(),
                order_id: naming.order_id.clone(),
                provisional: naming.provisional,
                received_at: naming.received_at,
            });
            row.provisional = row.provisional.min(naming.provisional);
            row.received_at = row.received_at.max(naming.received_at);
        }
        ids.into_values().collect()
    }

    fn met(&self) -> MutexGuard<'_, MetOrders> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn rows<'a, R>(
    client: &Client,
    table: &'static str,
    rows: impl IntoIterator<Item = &'a R>,
    token: &str,
    doing: &'static str,
) -> Result<(), StoreError>
where
    R: RowOwned + RowWrite + Row + Serialize,
{
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
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
