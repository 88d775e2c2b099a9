//! One derivation: the state of some orders, again, from all their facts.

use std::collections::{BTreeMap, BTreeSet};

use order_model::graph::{Group, Through};

use super::Stitcher;
use crate::neighbourhood::{Loader, Neighbourhood};
use crate::error::StoreError;

/// Ids and carriers of one statement: it carries each of them, about 100 bytes each, twice. A
/// single order may have more, up to the store's bound on a statement (16 MiB in
/// `clickhouse-embedded`: some 80,000 carriers).
const PAIRS_MAX: usize = 20_000;

/// What one statement derives.
#[derive(Debug, Default)]
struct Portion {
    /// (id, order it is shown as).
    members: Vec<(String, String)>,
    /// (order, carrier, 1 if the carrier names it).
    pairs: Vec<(String, String, u8)>,
}

impl Stitcher {
    /// Derives these orders and all that are one with them; gives how many. `recount` counts the
    /// settled orders around them again, whether or not one of these was settled.
    pub(super) async fn derive(
        &self,
        orders: &BTreeSet<String>,
        recount: bool,
    ) -> Result<usize, StoreError> {
        // The ticket comes first: whatever is read later may be newer than it, never older.
        let ticket = self.store_clock().await?;
        let near = Loader { store: &self.store }.load(orders).await?;
        let ids: Vec<&String> = near.orders.iter().collect();
        let mut buckets = self.settled_buckets(&ids, recount).await?;
        let mut derived = 0;
        for portion in portions(&near) {
            derived += portion.members.len();
            self.derive_portion(ticket, &portion).await?;
        }
        buckets.append(&mut self.settled_buckets(&ids, recount).await?);
        self.recount(&buckets).await?;
        Ok(derived)
    }

    async fn derive_portion(&self, ticket: i64, portion: &Portion) -> Result<(), StoreError> {
        let ids: Vec<&String> = portion.members.iter().map(|(id, _)| id).collect();
        let carriers: BTreeSet<&String> = portion.pairs.iter().map(|(_, c, _)| c).collect();
        self.store
            .client
            .query(&self.texts.derive)
            .param("members", &portion.members)
            .param("ids", ids)
            .param("pairs", &portion.pairs)
            .param("carriers", carriers)
            .param("as_of_nanos", ticket)
            .execute()
            .await
            .map_err(StoreError::doing("derive orders"))
    }

    /// The buckets in which any of the orders is settled, by any of its rows; all of theirs with
    /// `all`.
    async fn settled_buckets(
        &self,
        ids: &[&String],
        all: bool,
    ) -> Result<BTreeSet<u16>, StoreError> {
        let mut buckets = BTreeSet::new();
        for chunk in ids.chunks(PAIRS_MAX) {
            let found: Vec<u16> = self
                .store
                .client
                .query(
                    "SELECT DISTINCT toUInt16(cityHash64(OrderId) % 4096) FROM orders \
                     WHERE OrderId IN {ids:Array(String)} AND (IsOpen = 0 OR {all:UInt8} = 1)",
                )
                .param("ids", chunk)
                .param("all", u8::from(all))
                .fetch_all()
                .await
                .map_err(StoreError::doing("find buckets to count again"))?;
            buckets.extend(found);
        }
        Ok(buckets)
    }

    /// Counts the settled orders of these buckets again.
    pub(super) async fn recount(&self, buckets: &BTreeSet<u16>) -> Result<(), StoreError> {
        if buckets.is_empty() {
            return Ok(());
        }
        let ticket = self.store_clock().await?;
        self.store
            .client
            .query(&self.texts.settled_counts)
            .param("as_of_nanos", ticket)
            .param("buckets", buckets)
            .execute()
            .await
            .map_err(StoreError::doing("count settled orders"))
    }
}

/// Groups and their carriers, in portions that a statement can carry.
fn portions(near: &Neighbourhood) -> Vec<Portion> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut placed: BTreeSet<String> = BTreeSet::new();
    for order in &near.orders {
        if !placed.contains(order) {
            let group = near.graph.group_of(order);
            placed.extend(group.members.iter().cloned());
            groups.insert(group.order_id.clone(), group);
        }
    }
    let mut portions = vec![Portion::default()];
    for group in groups.into_values() {
        let carriers = near.graph.carriers_of_group(&group);
        let size = group.members.len() + carriers.len();
        let full = |portion: &Portion| portion.members.len() + portion.pairs.len() + size > PAIRS_MAX;
        if portions.last().is_some_and(|last| full(last) && !last.members.is_empty()) {
            portions.push(Portion::default());
        }
        if let Some(portion) = portions.last_mut() {
            let shown = &group.order_id;
            portion.members.extend(group.members.into_iter().map(|id| (id, shown.clone())));
            let named = |through| u8::from(through == Through::Named);
            let pairs = carriers.into_iter().map(|(c, by)| (shown.clone(), c, named(by)));
            portion.pairs.extend(pairs);
        }
    }
    portions.retain(|portion| !portion.members.is_empty());
    portions
}
