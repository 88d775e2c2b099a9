//! The stitcher: derives the state of touched orders again, from all their facts.
//!
//! Stateless and idempotent: running it twice, late, or in two places at once changes nothing.
//! Every derivation takes a ticket, the store's clock, before it reads facts; of two derivations
//! of an order the one with the later ticket stays, and whatever arrives after its reading
//! touches the order again (`docs/adr/0004-finding-touched-orders.md`).

mod facts;
mod state;
mod derivation;
mod sweep;
mod conservation;

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use order_model::Lifecycle;

pub use conservation::Conservation;
pub(crate) use conservation::LAG_OF_ALL;
pub use sweep::{Progress, SweepState};

use crate::connection::Store;
use crate::error::StoreError;
use crate::neighbourhood::Loader;
use crate::neighbourhood::parting::{LetGo, Parting};
use crate::rows::Touched;
use crate::schema::lifecycle_fingerprint;

/// Most orders of one derivation; more are derived chunk by chunk.
pub const STITCH_ORDERS_MAX: usize = 2_000;
/// Chunks derived at the same time: the store reads for one while another waits for the disk.
const DERIVED_AT_ONCE: usize = 2;

const SETTLED_COUNTS: &str = include_str!("../queries/settled_counts.sql");

/// Derives orders. Clones share connections.
#[derive(Debug, Clone)]
pub struct Stitcher {
    store: Store,
    lifecycle: Arc<Lifecycle>,
    let_go: LetGo,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stitched {
    /// Ids derived.
    pub orders: usize,
    /// Orders that the store refused to derive; each is logged. They are derived again when they
    /// are touched.
    pub refused: usize,
}

impl AddAssign for Stitched {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.refused += other.refused;
    }
}

impl Stitcher {
    /// A stitcher over that store, by the lifecycle that the store was migrated with.
    #[must_use]
    pub fn new(mut store: Store, lifecycle: Arc<Lifecycle>) -> Self {
        // Nobody waits for a derivation as one waits for a page: a core is left to those.
        store.client = store.client.with_setting("max_threads", "1");
        Self { store, lifecycle, let_go: LetGo::default() }
    }

    /// Derives what is touched: the orders named, those of the carriers, and those near them. The
    /// insert of what is touched began at most `age` ago.
    ///
    /// # Errors
    /// The store refused or could not be reached; chunks derived before stand. Touch again.
    pub async fn stitch(&self, touched: &Touched, age: Duration) -> Result<Stitched, StoreError> {
        self.stitch_telling(touched, age, || ()).await
    }

    /// The same; `told` hears of each chunk that is derived: a backlog takes its time.
    ///
    /// # Errors
    /// As [`Stitcher::stitch`].
    pub async fn stitch_telling(
        &self,
        touched: &Touched,
        age: Duration,
        told: impl Fn() + Sync,
    ) -> Result<Stitched, StoreError> {
        let begun = Instant::now();
        let mut parting = Parting::new(self.let_go.clone(), age);
        let orders = Loader { store: &self.store }.orders_touched(touched, &mut parting).await?;
        told();
        let stitched = self.derive_all(&orders, false, &told).await?;
        self.let_go.remember(parting.into_let_go());
        if !orders.is_empty() {
            let elapsed_ms = begun.elapsed().as_millis();
            tracing::debug!(orders = stitched.orders, elapsed_ms, "stitched");
        }
        Ok(stitched)
    }

    /// The same, and counts the settled orders around it again in any case.
    async fn stitch_counting(
        &self,
        touched: &Touched,
        age: Duration,
    ) -> Result<Stitched, StoreError> {
        let mut parting = Parting::new(self.let_go.clone(), age);
        let orders = Loader { store: &self.store }.orders_touched(touched, &mut parting).await?;
        let stitched = self.derive_all(&orders, true, &|| ()).await?;
        self.let_go.remember(parting.into_let_go());
        Ok(stitched)
    }

    async fn derive_all(
        &self,
        orders: &BTreeSet<String>,
        recount: bool,
        told: &(impl Fn() + Sync),
    ) -> Result<Stitched, StoreError> {
        let orders: Vec<&String> = orders.iter().filter(|order| !order.is_empty()).collect();
        let mut stitched = Stitched::default();
        let chunks: Vec<&[&String]> = orders.chunks(STITCH_ORDERS_MAX).collect();
        for together in chunks.chunks(DERIVED_AT_ONCE) {
            let deriving = together.iter().map(|chunk| self.derive_or_halve(chunk, recount));
            for derived in try_join_all(deriving).await? {
                stitched += derived;
            }
            told();
        }
        Ok(stitched)
    }

    /// Derives these orders; those that the store refuses for good are found by halving, so that
    /// they hold up nobody else.
    async fn derive_or_halve(
        &self,
        orders: &[&String],
        recount: bool,
    ) -> Result<Stitched, StoreError> {
        let mut stitched = Stitched::default();
        let mut pending = vec![orders];
        while let Some(part) = pending.pop() {
            let chunk = part.iter().map(|order| (*order).clone()).collect();
            match self.derive(&chunk, recount).await {
                Ok(derived) => stitched.orders += derived,
                Err(error) if !error.is_of_the_data() => return Err(error),
                Err(error) => match part {
                    [order] => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(order, error, "not derived, and given up");
                        stitched.refused += 1;
                    }
                    _ => {
                        let (left, right) = part.split_at(part.len() / 2);
                        pending.extend([left, right]);
                    }
                },
            }
        }
        Ok(stitched)
    }

    /// The generation of the lifecycle in force that this stitcher derives by, microseconds; 0 when
    /// another lifecycle was recorded since this one was: its stitchers have the last word.
    async fn lifecycle_generation(&self) -> Result<i64, StoreError> {
        let found: Option<i64> = self
            .store
            .client
            .query(
                "SELECT toUnixTimestamp64Micro(AppliedAt) FROM lifecycle_v1 \
                 WHERE Fingerprint = {fingerprint:String}",
            )
            .param("fingerprint", lifecycle_fingerprint(&self.lifecycle))
            .fetch_optional()
            .await
            .map_err(StoreError::doing("read the lifecycle in force"))?;
        Ok(found.unwrap_or(0))
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
