//! What nobody touched in memory: work of stitchers that fell silent, orders whose time has come,
//! orders of an older lifecycle, and, on demand, everything.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use clickhouse::Row;
use futures::{StreamExt, stream};
use order_model::time::{NANOS_PER_MILLI, NANOS_PER_SECOND};
use serde::{Deserialize, Serialize};

use super::{STITCH_ORDERS_MAX, Stitched, Stitcher};
use crate::UnixMillis;
use crate::error::StoreError;
use crate::neighbourhood::parting::INSERT_MAX_MS;
use crate::rows::Touched;
use crate::schema::MigrateError;

/// A stitcher that has said nothing for this long is silent: another takes its work over.
const SILENT_AFTER_MS: i64 = 30_000;
/// Orders of one page when all are gone through.
const PAGE_ORDERS: u32 = 10_000;
/// Derivations at the same time when all orders are gone through: the store reads for one while
/// another is folded.
const RESTITCHED_AT_ONCE: usize = 3;
/// Orders of an older lifecycle that one sweep derives.
const OUTDATED_MAX: u32 = 20_000;
/// Rows of ended orders stay in `orders_open` this long: far longer than a derivation may take,
/// so that no older one can bring an order back; and for as long as rules look at what ended.
const ENDED_KEPT_SECONDS: i64 = 86_400;

/// Carriers of one page of a takeover.
const PAGE_CARRIERS: u32 = 20_000;
/// Carriers that got facts without an order, or links.
const CARRIERS_SINCE: &str = "SELECT DISTINCT Carrier FROM ( \
    SELECT Carrier, InsertedAt FROM order_events WHERE OrderId = '' UNION ALL \
    SELECT Carrier, InsertedAt FROM order_heartbeats WHERE OrderId = '' UNION ALL \
    SELECT TraceId AS Carrier, InsertedAt FROM trace_links) \
    WHERE InsertedAt >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
    AND Carrier > {after:String} ORDER BY Carrier LIMIT {page:UInt32}";
/// Carriers that were named.
const NAMED_SINCE: &str = "SELECT DISTINCT TraceId FROM ( \
    SELECT TraceId, InsertedAt FROM order_traces WHERE TraceId != '' UNION ALL \
    SELECT concat('message:', Alias) AS TraceId, InsertedAt FROM order_aliases \
    WHERE AliasKind = 'message_id') \
    WHERE InsertedAt >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
    AND TraceId > {after:String} ORDER BY TraceId LIMIT {page:UInt32}";

/// Who this stitcher is, and how far its sweeps have come.
#[derive(Debug, Clone)]
pub struct SweepState {
    /// Unique per process.
    name: String,
    /// Whether the first sweep is done.
    began: bool,
    /// From when on the first sweep looks, once that is known.
    since: Option<UnixMillis>,
}

impl SweepState {
    /// Whether the first sweep is done: only then does the stitcher speak for what it stitched.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.began
    }

    /// Lets the next sweep go through what any stitcher may have left, this one among them.
    pub fn begin_again(&mut self) {
        self.began = false;
        self.since = None;
    }

    /// A new stitcher of that unique name.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { name, began: false, since: None }
    }
}

/// How far a stitcher has come, for the others and for the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Age of the oldest touch that waits, milliseconds; 0 when none does.
    pub lag_ms: i64,
    /// Whether it has stopped in order, with nothing left.
    pub stopped: bool,
}

#[derive(Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StitcherRow {
    stitcher: String,
    said_at: UnixMillis,
    stitched_until: UnixMillis,
    lag_ms: i64,
    stopped: u8,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OrderTime {
    order_id: String,
    at: UnixMillis,
}

impl Stitcher {
    /// Derives what was missed. The first sweep of a process goes through what any stitcher may
    /// have left; later ones take over from those that fall silent. Orders whose time has come and
    /// open orders of an older lifecycle are derived each time.
    ///
    /// # Errors
    /// As [`Stitcher::stitch`]; the next sweep looks at the same again.
    pub async fn sweep(&self, state: &mut SweepState) -> Result<Stitched, StoreError> {
        let now = self.store_clock().await? / NANOS_PER_MILLI;
        let running = self.running().await?;
        let silent: Vec<&StitcherRow> = running
            .iter()
            .filter(|peer| peer.stitcher != state.name && peer.said_at < now - SILENT_AFTER_MS)
            .collect();
        let mut stitched = Stitched::default();
        let since = if state.began {
            silent.iter().map(|peer| peer.stitched_until).min()
        } else if state.since.is_some() {
            state.since
        } else {
            self.left_since(&running).await?
        };
        // What is due is not to wait for a takeover that fails.
        stitched += self.derive_all(&self.due().await?, false, &|| ()).await?;
        if let Some(since) = since {
            stitched += self.take_over((since - INSERT_MAX_MS).max(0)).await?;
        }
        for peer in silent {
            tracing::warn!(stitcher = peer.stitcher, "took over from a stitcher that fell silent");
            self.record(StitcherRow { said_at: now, stopped: 1, ..peer.copy() }).await?;
        }
        state.began = true;
        Ok(stitched)
    }

    /// Makes this stitcher known before anything is inserted: from then on another takes its work
    /// over. Its first sweep looks for what was left until then.
    ///
    /// # Errors
    /// The store could not be reached or refused; call it again.
    pub async fn begin(&self, state: &mut SweepState) -> Result<(), StoreError> {
        let now = self.store_clock().await? / NANOS_PER_MILLI;
        let running = self.running().await?;
        state.since = self.left_since(&running).await?;
        // What was left is not stitched yet.
        self.record(StitcherRow {
            stitcher: state.name.clone(),
            said_at: now,
            stitched_until: state.since.unwrap_or(now).min(now),
            lag_ms: 0,
            stopped: 0,
        })
        .await
    }

    /// From when on nobody may have stitched; never, when all have stopped in order.
    async fn left_since(&self, running: &[StitcherRow]) -> Result<Option<UnixMillis>, StoreError> {
        if self.first_ever().await? {
            return Ok(Some(0));
        }
        Ok(running.iter().map(|peer| peer.stitched_until).min())
    }

    /// Derives every order whose facts are newer than its state, or that has none: what was missed
    /// in spite of all.
    ///
    /// # Errors
    /// As [`Stitcher::stitch`].
    pub async fn derive_missed(&self) -> Result<Stitched, StoreError> {
        self.take_over(0).await
    }

    /// Says how far this stitcher has come.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn report(&self, state: &SweepState, progress: Progress) -> Result<(), StoreError> {
        let now = self.store_clock().await? / NANOS_PER_MILLI;
        // Before the first sweep is done, what it goes through is not stitched.
        let left = state.since.filter(|_| !state.began).unwrap_or(i64::MAX);
        self.record(StitcherRow {
            stitcher: state.name.clone(),
            said_at: now,
            stitched_until: (now - progress.lag_ms).min(left),
            lag_ms: progress.lag_ms,
            stopped: u8::from(progress.stopped),
        })
        .await
    }

    /// Derives every order that the facts name, page by page; `told` hears how many are done and
    /// the last id. Begin after an id to go on where another run ended.
    ///
    /// # Errors
    /// As [`Stitcher::stitch`].
    pub async fn restitch(
        &self,
        after: &str,
        mut told: impl FnMut(usize, &str) + Send,
    ) -> Result<Stitched, StoreError> {
        let mut stitched = Stitched::default();
        let mut after = after.to_owned();
        loop {
            let page = self.page_of_orders(&after, 0).await?;
            let Some(last) = page.last() else { break };
            after = last.order_id.clone();
            let ids: Vec<&String> = page.iter().map(|order| &order.order_id).collect();
            let mut derived = stream::iter(ids.chunks(STITCH_ORDERS_MAX))
                .map(async |orders| self.derive_or_halve(orders, false).await)
                .buffer_unordered(RESTITCHED_AT_ONCE);
            while let Some(orders) = derived.next().await {
                stitched += orders?;
            }
            drop(derived);
            told(stitched.orders, &after);
        }
        self.recount(&(0..4096).collect()).await?;
        Ok(stitched)
    }

    /// Merges the open orders and lets go of those that ended over a day ago. Merged first: a
    /// row that says "ended" must not go before the rows it replaces; where the store does not
    /// merge, nothing goes.
    ///
    /// # Errors
    /// The store could not be reached, refused, or did not merge.
    pub async fn tidy(&self) -> Result<(), MigrateError> {
        // Replicas take no mutation that reads a clock.
        let before = self.store_clock().await? - ENDED_KEPT_SECONDS * NANOS_PER_SECOND;
        let statements = format!(
            "OPTIMIZE TABLE orders_open FINAL SETTINGS optimize_throw_if_noop = 1;\n\
             ALTER TABLE orders_open DELETE WHERE IsOpen = 0 \
             AND DerivedAt < fromUnixTimestamp64Nano(toInt64({before}));"
        );
        for statement in self.store.ddl(&statements)? {
            self.store.run(&statement, false).await?;
        }
        Ok(())
    }

    async fn record(&self, row: StitcherRow) -> Result<(), StoreError> {
        let doing = || StoreError::doing("say how far the stitcher has come");
        let insert = self.store.client.insert::<StitcherRow>("stitchers").await;
        let mut insert = insert.map_err(doing())?;
        insert.write(&row).await.map_err(doing())?;
        insert.end().await.map_err(doing())
    }

    async fn running(&self) -> Result<Vec<StitcherRow>, StoreError> {
        self.store
            .client
            .query("SELECT ?fields FROM stitchers FINAL WHERE Stopped = 0")
            .fetch_all()
            .await
            .map_err(StoreError::doing("find stitchers that fell silent"))
    }

    async fn first_ever(&self) -> Result<bool, StoreError> {
        let known: u64 = self
            .store
            .client
            .query("SELECT count() FROM stitchers")
            .fetch_one()
            .await
            .map_err(StoreError::doing("find stitchers"))?;
        Ok(known == 0)
    }

    /// Derives what was inserted since, unless a derivation certainly saw it.
    async fn take_over(&self, since: UnixMillis) -> Result<Stitched, StoreError> {
        let mut stitched = Stitched::default();
        let mut after = String::new();
        loop {
            let page = self.page_of_orders(&after, since).await?;
            let Some(last) = page.last() else { break };
            after = last.order_id.clone();
            let derived = self.derived_at(&page).await?;
            let missed = page.into_iter().filter(|order| {
                derived.get(&order.order_id).is_none_or(|at| *at < order.at + INSERT_MAX_MS)
            });
            let orders = missed.map(|order| order.order_id).collect();
            stitched += self.derive_all(&orders, true, &|| ()).await?;
        }
        if since > 0 {
            let age = self.age_of(since).await?;
            for (sql, are_named) in [(CARRIERS_SINCE, false), (NAMED_SINCE, true)] {
                let mut after = String::new();
                loop {
                    let page = self.carriers_since(sql, &after, since).await?;
                    let Some(last) = page.last() else { break };
                    after.clone_from(last);
                    let mut touched = Touched::default();
                    let ids = if are_named { &mut touched.named } else { &mut touched.carriers };
                    ids.extend(page);
                    stitched += self.stitch_counting(&touched, age).await?;
                }
            }
        }
        Ok(stitched)
    }

    async fn age_of(&self, since: UnixMillis) -> Result<Duration, StoreError> {
        let now = self.store_clock().await? / NANOS_PER_MILLI;
        Ok(Duration::from_millis(u64::try_from(now - since).unwrap_or(0)))
    }

    /// Orders named by facts inserted since, in the order of their ids. Every fact with an order
    /// comes with a naming of it.
    async fn page_of_orders(
        &self,
        after: &str,
        since: UnixMillis,
    ) -> Result<Vec<OrderTime>, StoreError> {
        self.store
            .client
            .query(
                "SELECT OrderId, toUnixTimestamp64Milli(max(order_traces.InsertedAt)) AS At \
                 FROM order_traces WHERE OrderId > {after:String} \
                 AND InsertedAt >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
                 GROUP BY OrderId ORDER BY OrderId LIMIT {page:UInt32} \
                 SETTINGS optimize_aggregation_in_order = 1",
            )
            .param("after", after)
            .param("since", since)
            .param("page", PAGE_ORDERS)
            .fetch_all()
            .await
            .map_err(StoreError::doing("go through the orders"))
    }

    async fn derived_at(
        &self,
        orders: &[OrderTime],
    ) -> Result<HashMap<String, UnixMillis>, StoreError> {
        let ids: Vec<&String> = orders.iter().map(|order| &order.order_id).collect();
        let rows: Vec<OrderTime> = self
            .store
            .client
            .query(
                "SELECT OrderId, intDiv(toUnixTimestamp64Nano(max(DerivedAt)), 1000000) AS At \
                 FROM orders WHERE OrderId IN {ids:Array(String)} GROUP BY OrderId",
            )
            .param("ids", ids)
            .fetch_all()
            .await
            .map_err(StoreError::doing("find when orders were derived"))?;
        Ok(rows.into_iter().map(|row| (row.order_id, row.at)).collect())
    }

    /// The next carriers that were touched since, in the order of their names.
    async fn carriers_since(
        &self,
        sql: &str,
        after: &str,
        since: UnixMillis,
    ) -> Result<Vec<String>, StoreError> {
        self.store
            .client
            .query(sql)
            .param("since", since)
            .param("after", after)
            .param("page", PAGE_CARRIERS)
            .fetch_all()
            .await
            .map_err(StoreError::doing("find traces that were touched"))
    }

    /// Orders whose time has come, and open ones of an older lifecycle.
    async fn due(&self) -> Result<BTreeSet<String>, StoreError> {
        let found: Vec<String> = self
            .store
            .client
            .query(
                "SELECT OrderId FROM orders_open FINAL WHERE IsOpen = 1 AND (RefoldAt <= now64(3) \
                 OR (LifecycleAt < fromUnixTimestamp64Micro({ours:Int64}))) \
                 ORDER BY OrderId LIMIT {most:UInt32}",
            )
            .param("most", OUTDATED_MAX)
            .param("ours", self.lifecycle_generation().await?)
            .fetch_all()
            .await
            .map_err(StoreError::doing("find orders whose time has come"))?;
        Ok(found.into_iter().collect())
    }
}

impl StitcherRow {
    fn copy(&self) -> Self {
        Self { stitcher: self.stitcher.clone(), ..*self }
    }
}
