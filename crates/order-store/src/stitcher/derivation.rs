//! One derivation: the state of some orders, again, from all their facts.

use std::collections::{BTreeMap, BTreeSet};

use order_model::graph::{Group, Through};
use order_model::{fold, judge};

use super::Stitcher;
use super::facts::Facts;
use super::state::{Derived, Moment, StateRow};
use crate::error::StoreError;
use crate::neighbourhood::{Loader, Neighbourhood};
use crate::schema::without_comments;

/// Ids and carriers of one portion: its questions carry each of them, about 50 bytes each. A
/// single order may have more, up to the store's bound on a statement (16 MiB in
/// `clickhouse-embedded`: some 300,000 carriers).
const PORTION_IDS_MAX: usize = 20_000;

/// Orders with their carriers.
type Portion = Vec<(Group, BTreeMap<String, Through>)>;

impl Stitcher {
    /// Derives these orders and all that are one with them; gives how many ids. `recount` counts
    /// the settled orders around them again, whether or not one of these was settled.
    pub(super) async fn derive(
        &self,
        orders: &BTreeSet<String>,
        recount: bool,
    ) -> Result<usize, StoreError> {
        // The ticket comes first: what is read after it is at least as new.
        let (ticket, lifecycle_at) =
            tokio::try_join!(self.store_clock(), self.lifecycle_generation())?;
        let near = Loader { store: &self.store }.load(orders).await?;
        let moment = Moment { ticket, lifecycle_at };
        let mut derived = 0;
        for portion in portions(&near) {
            derived += self.derive_portion(&portion, moment, recount).await?;
        }
        Ok(derived)
    }

    async fn derive_portion(
        &self,
        portion: &Portion,
        moment: Moment,
        recount: bool,
    ) -> Result<usize, StoreError> {
        let ids: Vec<&String> = portion.iter().flat_map(|(group, _)| &group.members).collect();
        let carriers: BTreeSet<&String> = portion.iter().flat_map(|(_, c)| c.keys()).collect();
        let facts = Facts::read(&self.store, &ids, &carriers).await?;
        let mut rows: Vec<StateRow> = Vec::with_capacity(ids.len());
        let mut buckets: BTreeSet<u16> = BTreeSet::new();
        for (group, carriers) in portion {
            let of_order = facts.of(&group.members, carriers);
            let (signals, beats) = (&of_order.signals, &of_order.heartbeats);
            let state = fold(&self.lifecycle, signals, beats, &of_order.traits, moment.ticket);
            let judgement = judge(&self.lifecycle, &state);
            let derived = Derived {
                group,
                carriers,
                facts: &of_order,
                judgement: &judgement,
                stage_rank: self.lifecycle.rank(&state.stage),
                state: &state,
            };
            // An id that nothing names has no row: a companion whose facts are still under way.
            for id in group.members.iter().filter(|id| facts.traits(id).is_some()) {
                let told = facts.told(id);
                let row = derived.row(id, told, moment);
                if recount || row.is_settled() || told.is_some_and(|told| told.is_open == 0) {
                    buckets.extend(facts.traits(id).map(|traits| traits.bucket));
                }
                rows.push(row);
            }
        }
        self.write(&rows).await?;
        self.recount(&buckets).await?;
        Ok(rows.len())
    }

    async fn write(&self, rows: &[StateRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let doing = || StoreError::doing("write the states of orders");
        let mut insert = self.store.client.insert::<StateRow>("orders").await.map_err(doing())?;
        for row in rows {
            insert.write(row).await.map_err(doing())?;
        }
        insert.end().await.map_err(doing())
    }

    /// Counts the settled orders of these buckets again. It reads them after the states were
    /// written, so of two that count a bucket the later ticket has seen both their states.
    pub(super) async fn recount(&self, buckets: &BTreeSet<u16>) -> Result<(), StoreError> {
        if buckets.is_empty() {
            return Ok(());
        }
        let ticket = self.store_clock().await?;
        self.store
            .client
            .query(&without_comments(super::SETTLED_COUNTS))
            .param("as_of_nanos", ticket)
            .param("buckets", buckets)
            .execute()
            .await
            .map_err(StoreError::doing("count settled orders"))
    }
}

/// Groups and their carriers, in portions that a question can carry.
fn portions(near: &Neighbourhood) -> Vec<Portion> {
    let mut placed: BTreeSet<String> = BTreeSet::new();
    let mut portions: Vec<Portion> = Vec::new();
    let mut size = 0;
    for order in &near.orders {
        if placed.contains(order) {
            continue;
        }
        let group = near.graph.group_of(order);
        placed.extend(group.members.iter().cloned());
        let carriers = near.graph.carriers_of_group(&group);
        let ids = group.members.len() + carriers.len();
        if portions.is_empty() || size + ids > PORTION_IDS_MAX {
            portions.push(Vec::new());
            size = 0;
        }
        size += ids;
        if let Some(portion) = portions.last_mut() {
            portion.push((group, carriers));
        }
    }
    portions
}
