//! The one write path: a block becomes at most one block per table, under a token.

use std::time::Duration;

use clickhouse::Compression;
use futures::future::{join_all, try_join_all};

use crate::connection::Store;
use crate::error::StoreError;
use crate::names::Names;
use crate::record::{self, Block, PACKED_RATIO_MAX, ROW_BYTES_MIN, Target};
use crate::rows::Batch;

/// Most rows of one insert: the store keeps so many together, so that it is one block, which is
/// stored whole or not at all.
const BLOCK_ROWS_MAX: u64 = 10_000_000;
/// Most bytes of records of one insert, so that it has no more rows than that, of whatever table and
/// however packed.
pub const INSERT_BYTES_MAX: u64 = BLOCK_ROWS_MAX * ROW_BYTES_MIN / PACKED_RATIO_MAX;
/// How long the store may take nothing of an insert, and how long it may take to answer once it has
/// all of it: longer than the longest statement. An answer that a network has swallowed is not waited
/// for for ever; the repeat is no second insert.
const SEND_TIME_MAX: Duration = Duration::from_secs(60);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(90);
/// Most bytes of one insert in the store's memory, likewise: an empty text is one byte as it
/// travels and nine there.
const BLOCK_BYTES_MAX: &str = "2000000000";

/// Inserts blocks and batches. Clones share connections, and know the same orders.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(crate) store: Store,
    names: Names,
}

impl Writer {
    /// A writer to that store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, names: Names::default() }
    }

    /// Inserts every table of the block; success means that all of it is in the store, flushed
    /// to disk. The same block under the same token is stored once: after an error, insert it
    /// again under that token.
    ///
    /// # Errors
    /// A table refused its rows or the store could not be reached; tables inserted before keep
    /// theirs until the repeat.
    pub async fn insert_block(&self, block: &Block, token: &str) -> Result<(), StoreError> {
        try_join_all(block.targets().map(|target| self.insert_rows(block, target, token))).await?;
        Ok(())
    }

    /// Inserts these tables of the block, and says of each what came of it. One that refuses holds
    /// up none of the others, and those that took their rows need not be asked again.
    pub async fn insert_tables(
        &self,
        block: &Block,
        targets: &[Target],
        token: &str,
    ) -> Vec<(Target, Result<(), StoreError>)> {
        let inserts = targets.iter().map(async |target| {
            let outcome = self.insert_rows(block, *target, token).await;
            (*target, outcome)
        });
        join_all(inserts).await
    }

    /// Inserts a batch, likewise.
    ///
    /// # Errors
    /// As [`Writer::insert_block`].
    pub async fn insert(&self, batch: &Batch, token: &str) -> Result<(), StoreError> {
        let names = self.names.missing(batch);
        let ids: Vec<String> = names.iter().map(|name| name.order_id.clone()).collect();
        let mut batch = batch.clone();
        batch.order_aliases.extend(names);
        let records = record::write(&batch, usize::MAX);
        let block = Block::read(&records).map_err(StoreError::of_record)?;
        self.insert_block(&block, token).await?;
        self.names.kept(ids.iter().map(String::as_str));
        Ok(())
    }

    async fn insert_rows(
        &self,
        block: &Block,
        target: Target,
        token: &str,
    ) -> Result<(), StoreError> {
        let (doing, name) = (target.table().inserting(), target.table().name());
        let columns: Vec<String> =
            target.columns().iter().map(|column| format!("`{column}`")).collect();
        let sql = format!("INSERT INTO {name} ({}) FORMAT RowBinary", columns.join(", "));
        let rows_max = BLOCK_ROWS_MAX.to_string();
        // The rows are packed already.
        let client = self.store.client.clone().with_compression(Compression::None);
        let mut insert = client
            .insert_formatted_with(sql)
            .with_timeouts(Some(SEND_TIME_MAX), Some(ANSWER_TIME_MAX))
            .with_setting("decompress", "1")
            .with_setting("insert_deduplication_token", target.token(token))
            .with_setting("insert_deduplicate", "1")
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with_setting("async_insert", "0")
            // Each view writes a part and waits for the disk: they wait together.
            .with_setting("parallel_view_processing", "1")
            // Rows of one identity fold by merge: folding them on insert, too, costs as much again.
            .with_setting("optimize_on_insert", "0")
            .with_setting("max_insert_block_size", rows_max.as_str())
            .with_setting("min_insert_block_size_rows", rows_max.as_str())
            .with_setting("min_insert_block_size_bytes", BLOCK_BYTES_MAX);
        for bytes in record::blocks(block.parts_for(target)) {
            let bytes = bytes.map_err(StoreError::of_record)?;
            insert.send(bytes).await.map_err(StoreError::doing(doing))?;
        }
        insert.end().await.map_err(StoreError::doing(doing))
    }
}
