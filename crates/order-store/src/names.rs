//! Which orders' ids the store has as names: the search box finds an order by its id, and most
//! batches name no order that is new. Every part that is not written saves a sync and a merge.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use order_model::keys::ALIAS_ORDER_ID;
use order_model::order_id::search_key;

use crate::rows::{Batch, OrderAliasRow};

/// Orders of one generation; two are kept, so that at most twice as many are known.
const GENERATION_MAX: usize = 200_000;
/// Bytes of their ids, likewise.
const GENERATION_BYTES_MAX: usize = 16 << 20;
/// A generation ends after this time at the latest, so that a store that has lost names, or lets
/// them go with their age, gets them again.
const GENERATION_TIME_MAX: Duration = Duration::from_secs(12 * 3_600);

/// The orders that were met before. Clones know the same ones.
#[derive(Debug, Clone, Default)]
pub struct Names {
    met: Arc<Mutex<MetOrders>>,
}

impl Names {
    /// The names of orders that were not met, for the batch that names them.
    #[must_use]
    pub fn missing(&self, batch: &Batch) -> Vec<OrderAliasRow> {
        let met = self.lock();
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

    /// These names are kept: they are in the store, or in a journal on the way to it.
    pub fn kept<'a>(&self, orders: impl IntoIterator<Item = &'a str>) {
        let mut met = self.lock();
        orders.into_iter().for_each(|order| met.add(order));
    }

    fn lock(&self) -> MutexGuard<'_, MetOrders> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set that forgets what it has not seen for long. What is forgotten is written once more.
#[derive(Debug, Default)]
struct MetOrders {
    young: HashSet<Box<str>>,
    young_bytes: usize,
    young_since: Option<Instant>,
    old: HashSet<Box<str>>,
}

impl MetOrders {
    /// Whether the order was added lately.
    fn has(&self, order_id: &str) -> bool {
        self.young.contains(order_id) || self.old.contains(order_id)
    }

    /// Adds an order that is in the store.
    fn add(&mut self, order_id: &str) {
        let aged = self.young_since.is_some_and(|since| since.elapsed() > GENERATION_TIME_MAX);
        if aged || self.young.len() >= GENERATION_MAX || self.young_bytes > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            (self.young_bytes, self.young_since) = (0, None);
        }
        self.young_since.get_or_insert_with(Instant::now);
        if self.young.insert(order_id.into()) {
            self.young_bytes += order_id.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generations_are_known_and_older_ones_forgotten() {
        let mut met = MetOrders::default();
        for n in 0..=2 * GENERATION_MAX {
            met.add(&format!("A{n}"));
            assert!(met.young.len() + met.old.len() <= 2 * GENERATION_MAX);
        }
        assert!(!met.has("A0") && met.has(&format!("A{GENERATION_MAX}")));
        let (long, mut met) = ("x".repeat(1 << 20), MetOrders::default());
        for n in 0..100 {
            met.add(&format!("{n}{long}"));
        }
        assert!(met.young.len() + met.old.len() <= 40);
    }
}
