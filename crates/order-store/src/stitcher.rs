//! The stitcher: derives the state of touched orders again, from all their facts.
//!
//! Stateless and idempotent: running it twice, late, or in two places at once changes nothing.
//! `DerivedAt` is the store's own clock, read before the facts; of two derivations of an order
//! the one that began later wins, and whatever arrives after it touches the order again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use clickhouse::Row;
use order_model::time::NANOS_PER_MILLI;
use serde::Deserialize;

use crate::connection::Store;
use crate::error::StoreError;
use crate::rows::Touched;
use crate::schema::without_comments;

/// Most orders of one derivation; more are derived one chunk after the other.
pub const STITCH_ORDERS_MAX: usize = 1_000;
/// Most traces of one look-up.
const TRACES_MAX: usize = 2_000;
/// Orders with more traces than this together are derived in halves: the statement carries every
/// (order, trace), about 120 bytes each. A single order may have more, up to the store's bound on
/// a statement (16 MiB in `clickhouse-embedded`: 140,000 traces).
const PAIRS_MAX: usize = 5_000;
/// At start, facts as young as this are looked at again whatever the state says: a fact that an
/// earlier process inserted may carry an older time of receipt than one it had already derived.
const RECENT_AT_START_MS: i64 = 3_600_000;
/// A sweep looks this far behind the one before it: an insert may take that long.
const SWEEP_OVERLAP_MS: i64 = 60_000;

const TRACES_OF_ORDERS: &str = include_str!("../queries/traces_of_orders.sql");
const SIGNALS_OF_ORDERS: &str = include_str!("../queries/signals_of_orders.sql");
const DERIVE_ORDERS: &str = include_str!("../queries/derive_orders.sql");
const ORDERS_OF_TRACES: &str = include_str!("../queries/orders_of_traces.sql");
const ORDERS_TO_SWEEP: &str = include_str!("../queries/orders_to_sweep.sql");
const TRACES_TO_SWEEP: &str = include_str!("../queries/traces_to_sweep.sql");
/// Where `derive_orders.sql` takes the signals in.
const SIGNALS_MARK: &str = "/* signals_of_orders.sql */";

/// Derives orders. Clones share connections.
#[derive(Debug, Clone)]
pub struct Stitcher {
    store: Store,
    texts: Arc<Texts>,
}

#[derive(Debug)]
struct Texts {
    traces_of_orders: String,
    derive: String,
    orders_of_traces: String,
    orders_to_sweep: String,
    traces_to_sweep: String,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stitched {
    /// Orders derived.
    pub orders: usize,
}

/// How far the sweeps of this process have come.
#[derive(Debug, Clone, Copy, Default)]
pub struct SweepState {
    /// The store's clock at the last sweep, milliseconds; none before the first.
    swept_at: Option<i64>,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OrderTrace {
    order_id: String,
    trace_id: String,
}

impl Stitcher {
    /// A stitcher over that store. The lifecycle it derives by is the one the store records.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let signals = without_comments(SIGNALS_OF_ORDERS);
        let derive = without_comments(DERIVE_ORDERS).replace(SIGNALS_MARK, &signals);
        let texts = Texts {
            traces_of_orders: format!(
                "SELECT OrderId, TraceId FROM ({})",
                without_comments(TRACES_OF_ORDERS)
            ),
            derive: format!("INSERT INTO orders {derive}"),
            orders_of_traces: without_comments(ORDERS_OF_TRACES),
            orders_to_sweep: without_comments(ORDERS_TO_SWEEP),
            traces_to_sweep: without_comments(TRACES_TO_SWEEP),
        };
        Self { store, texts: Arc::new(texts) }
    }

    /// Derives what is touched: the orders named and those of the traces.
    ///
    /// # Errors
    /// The store refused or could not be reached; chunks derived before stand. Touch again.
    pub async fn stitch(&self, touched: &Touched) -> Result<Stitched, StoreError> {
        let begun = Instant::now();
        let mut orders = touched.orders.clone();
        let traces: Vec<_> = touched.traces.iter().collect();
        for chunk in traces.chunks(TRACES_MAX) {
            let found: Vec<String> = self
                .store
                .client
                .query(&self.texts.orders_of_traces)
                .param("traces", chunk)
                .fetch_all()
                .await
                .map_err(StoreError::doing("find the orders of traces"))?;
            orders.extend(found);
        }
        self.derive_all(&orders).await?;
        if !orders.is_empty() {
            let elapsed_ms = begun.elapsed().as_millis();
            tracing::debug!(orders = orders.len(), elapsed_ms, "stitched");
        }
        Ok(Stitched { orders: orders.len() })
    }

    /// Derives what was missed: facts newer than the state they should be in, and events from
    /// the future whose time has come. The first sweep of a process looks at everything.
    ///
    /// # Errors
    /// As [`Stitcher::stitch`]; the next sweep looks at the same again.
    pub async fn sweep(&self, state: &mut SweepState) -> Result<Stitched, StoreError> {
        let now = self.store_clock().await? / NANOS_PER_MILLI;
        let since = state.swept_at.map_or(0, |at| at - SWEEP_OVERLAP_MS);
        let recent = state.swept_at.map_or(now - RECENT_AT_START_MS, |at| at - SWEEP_OVERLAP_MS);
        let doing = || StoreError::doing("find orders to sweep");
        let orders: Vec<String> = self
            .store
            .client
            .query(&self.texts.orders_to_sweep)
            .param("since_ms", since)
            .param("always_since_ms", if state.swept_at.is_none() { recent } else { i64::MAX })
            .fetch_all()
            .await
            .map_err(doing())?;
        let traces: Vec<String> = self
            .store
            .client
            .query(&self.texts.traces_to_sweep)
            .param("since_ms", recent)
            .fetch_all()
            .await
            .map_err(doing())?;
        let touched =
            Touched { orders: orders.into_iter().collect(), traces: traces.into_iter().collect() };
        let stitched = self.stitch(&touched).await?;
        state.swept_at = Some(now);
        Ok(stitched)
    }

    async fn derive_all(&self, orders: &BTreeSet<String>) -> Result<(), StoreError> {
        let orders: Vec<_> = orders.iter().filter(|order| !order.is_empty()).collect();
        let mut chunks: Vec<&[&String]> = orders.chunks(STITCH_ORDERS_MAX).collect();
        while let Some(chunk) = chunks.pop() {
            if !self.derive(chunk).await? {
                let (left, right) = chunk.split_at(chunk.len() / 2);
                chunks.extend([left, right]);
            }
        }
        Ok(())
    }

    /// Derives the orders, or gives `false` because they have too many traces together.
    async fn derive(&self, orders: &[&String]) -> Result<bool, StoreError> {
        let as_of = self.store_clock().await?;
        let pairs: Vec<OrderTrace> = self
            .store
            .client
            .query(&self.texts.traces_of_orders)
            .param("orders", orders)
            .fetch_all()
            .await
            .map_err(StoreError::doing("find the traces of orders"))?;
        if pairs.len() > PAIRS_MAX && orders.len() > 1 {
            return Ok(false);
        }
        let traces: BTreeSet<&str> = pairs.iter().map(|pair| pair.trace_id.as_str()).collect();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|pair| (pair.order_id.as_str(), pair.trace_id.as_str())).collect();
        self.store
            .client
            .query(&self.texts.derive)
            .param("orders", orders)
            .param("pairs", pairs)
            .param("traces", traces)
            .param("as_of_nanos", as_of)
            .execute()
            .await
            .map_err(StoreError::doing("derive orders"))?;
        Ok(true)
    }

    /// The store's clock, nanoseconds: the one clock that derivations are compared by.
    async fn store_clock(&self) -> Result<i64, StoreError> {
        self.store
            .client
            .query("SELECT toUnixTimestamp64Nano(now64(9))")
            .fetch_one()
            .await
            .map_err(StoreError::doing("read the store's clock"))
    }
}
