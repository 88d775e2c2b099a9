//! One derivation: the state of some orders, again, from all their facts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;

use order_model::fold::horizon;
use order_model::graph::{Group, Through};
use order_model::{UnixNanos, fold, judge};

use super::Stitcher;
use super::facts::Facts;
use super::state::{Derived, Moment, StateRow};
use crate::error::StoreError;
use crate::neighbourhood::{Loader, Neighbourhood, Traits};
use crate::schema::without_comments;

/// Ids and carriers after which a portion is full; a single order may have more.
const PORTION_IDS_MAX: usize = 20_000;

/// Counts of the same buckets in a row. Who reads a state after it was written counts by itself, so
/// that each more takes another derivation that began before.
const COUNTS_MAX: usize = 8;

/// Orders with their carriers.
type Portion = Vec<(Group, BTreeMap<String, Through>)>;

/// A ticket, and what was read after it was taken.
struct Taken {
    moment: Moment,
    /// What lies beyond is of the future.
    horizon: UnixNanos,
    /// What new rows are versioned by, where that is not the ticket.
    versions: HashMap<String, i64>,
    near: Neighbourhood,
    /// The ids whose facts are read already.
    read: BTreeSet<String>,
    facts: Facts,
}

impl Stitcher {
    /// Derives these orders and all that are one with them; gives how many ids. `recount` counts
    /// the settled orders around them again, whether or not one of these was settled.
    pub(super) async fn derive(
        &self,
        orders: &BTreeSet<String>,
        recount: bool,
    ) -> Result<usize, StoreError> {
        loop {
            let taken = self.take_ticket(orders.clone()).await?;
            let mut derived = Some(0);
            let mut groups = groups(&taken.near).into_iter().peekable();
            while let Some(so_far) = derived
                && groups.peek().is_some()
            {
                // One portion at a time: the carriers of all at once may be many.
                let portion = next_portion(&taken.near, &mut groups);
                let more = self.derive_portion(&portion, &taken, recount).await?;
                derived = more.map(|more| so_far + more);
            }
            if let Some(derived) = derived {
                return Ok(derived);
            }
        }
    }

    /// Takes a ticket, and reads which orders and carriers are one with these, and meanwhile what is
    /// said of these: hardly any turns out to have another id.
    async fn take_ticket(&self, mut orders: BTreeSet<String>) -> Result<Taken, StoreError> {
        loop {
            // The ticket comes first: what is read after it is at least as new.
            let (ticket, lifecycle_at) =
                tokio::try_join!(self.store_clock(), self.lifecycle_generation())?;
            let moment = Moment { ticket, lifecycle_at };
            let horizon = horizon(&self.lifecycle, ticket);
            // So does what was written by then: a clock that was set back must not let an older
            // row win. What is written later has a later ticket, or knows less.
            let versions = self.versions(&orders, ticket).await?;
            let ids: Vec<&String> = orders.iter().collect();
            let (loader, no_carriers) = (Loader { store: &self.store }, BTreeSet::new());
            let facts = Facts::read(&self.store, &ids, &no_carriers, horizon);
            let (near, facts) = tokio::try_join!(loader.load(&orders), facts)?;
            // Of those that turn out to be one with them it must be known before, too.
            let companions: BTreeSet<String> = near.orders.difference(&orders).cloned().collect();
            if companions.is_empty() || self.versions(&companions, ticket).await?.is_empty() {
                return Ok(Taken { moment, horizon, versions, near, read: orders, facts });
            }
            orders.extend(companions);
        }
    }

    /// What the new rows of these orders are versioned by: the ticket, or just above the newest
    /// row that is there before any fact is read.
    async fn versions(
        &self,
        orders: &BTreeSet<String>,
        ticket: i64,
    ) -> Result<HashMap<String, i64>, StoreError> {
        let ids: Vec<&String> = orders.iter().collect();
        let above = Facts::told_above(&self.store, &ids, ticket).await?;
        Ok(above.into_iter().map(|(id, derived_at)| (id, derived_at + 1)).collect())
    }

    /// Derives and writes; nothing, if another wrote above a clock that was ahead meanwhile: which
    /// of the two knows more, versions cannot say then.
    async fn derive_portion(
        &self,
        portion: &Portion,
        taken: &Taken,
        recount: bool,
    ) -> Result<Option<usize>, StoreError> {
        let Taken { moment, versions, near, read, .. } = taken;
        let ids: Vec<&String> = portion.iter().flat_map(|(group, _)| &group.members).collect();
        let unread: Vec<&String> = ids.iter().copied().filter(|id| !read.contains(*id)).collect();
        let carriers: BTreeSet<&String> = portion.iter().flat_map(|(_, c)| c.keys()).collect();
        let more = Facts::read(&self.store, &unread, &carriers, taken.horizon);
        let (more, told) = tokio::try_join!(more, Facts::told(&self.store, &ids))?;
        let facts = [&taken.facts, &more];
        let mut rows: Vec<StateRow> = Vec::with_capacity(ids.len());
        let mut buckets: BTreeSet<u16> = BTreeSet::new();
        for (group, carriers) in portion {
            let of_order = Facts::of_order(facts, &group.members, carriers, &near.traits);
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
            for (id, said) in
                group.members.iter().filter_map(|id| near.traits.get(id).map(|said| (id, said)))
            {
                let told = told.get(id);
                let version = versions.get(id).copied().unwrap_or(moment.ticket);
                let row = derived.row(id, version, told, *moment);
                if recount || row.is_settled() || told.is_some_and(|told| told.is_open == 0) {
                    buckets.insert(said.bucket);
                }
                rows.push(row);
            }
        }
        if !versions.is_empty() {
            let ahead: BTreeSet<String> = versions.keys().cloned().collect();
            if self.versions(&ahead, moment.ticket).await? != *versions {
                return Ok(None);
            }
        }
        self.write(&rows).await?;
        self.count(&rows, &near.traits, buckets, moment.ticket).await?;
        Ok(Some(rows.len()))
    }

    /// Counts the settled orders of these buckets again, and of those that another may have counted
    /// between the two states of one order: while it was read, and was written.
    async fn count(
        &self,
        rows: &[StateRow],
        said: &HashMap<String, Traits>,
        mut buckets: BTreeSet<u16>,
        ticket: i64,
    ) -> Result<(), StoreError> {
        let all: BTreeSet<u16> = rows
            .iter()
            .filter_map(|row| said.get(row.order_id()))
            .map(|said| said.bucket)
            .collect();
        // Another counted this order as settled, and did not know that it is open again.
        let others: BTreeSet<u16> = all.difference(&buckets).copied().collect();
        buckets.extend(self.counted_since(&others, ticket).await?);
        let is_counted = |id: &str| said.get(id).is_some_and(|said| buckets.contains(&said.bucket));
        let counted: HashMap<&str, i64> = rows
            .iter()
            .map(|row| (row.order_id(), row.version()))
            .filter(|(id, _)| is_counted(id))
            .collect();
        let ids: Vec<String> = counted.keys().map(|id| (*id).to_owned()).collect();
        let ids: Vec<&String> = ids.iter().collect();
        let mut newer_seen: BTreeSet<(String, i64)> = BTreeSet::new();
        for _ in 0..COUNTS_MAX {
            self.recount(&buckets).await?;
            // Another wrote above these states meanwhile, and may have looked before this count
            // was there.
            let above = match ids.len() {
                0 => Vec::new(),
                _ => Facts::told_above(&self.store, &ids, ticket).await?,
            };
            let newer = above.into_iter().filter(|(id, at)| counted.get(id.as_str()) < Some(at));
            let newer: BTreeSet<(String, i64)> = newer.collect();
            if newer.is_subset(&newer_seen) {
                return Ok(());
            }
            newer_seen = newer;
        }
        Ok(())
    }

    /// Of these buckets those that were counted since a ticket was taken.
    async fn counted_since(
        &self,
        buckets: &BTreeSet<u16>,
        ticket: i64,
    ) -> Result<Vec<u16>, StoreError> {
        if buckets.is_empty() {
            return Ok(Vec::new());
        }
        self.store
            .client
            .query(
                "SELECT DISTINCT Bucket FROM settled_counts \
                 WHERE Bucket IN {buckets:Array(UInt16)} \
                 AND DerivedAt >= fromUnixTimestamp64Nano({ticket:Int64}, 'UTC')",
            )
            .param("buckets", buckets)
            .param("ticket", ticket)
            .fetch_all()
            .await
            .map_err(StoreError::doing("find what was counted meanwhile"))
    }

    async fn write(&self, rows: &[StateRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let doing = || StoreError::doing("write the states of orders");
        let insert = self.store.client.insert::<StateRow>("orders").await.map_err(doing())?;
        // The tables of open and of settled orders wait for the disk together.
        let mut insert = insert.with_setting("parallel_view_processing", "1");
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
        // As with states, a clock that was set back must not let an older count win, and what is
        // there is asked before anything is counted.
        let told = self
            .store
            .client
            .query(
                "SELECT toUnixTimestamp64Nano(max(DerivedAt)) FROM settled_counts \
                 WHERE Bucket IN {buckets:Array(UInt16)}",
            )
            .param("buckets", buckets)
            .fetch_one::<i64>();
        let told = async { told.await.map_err(StoreError::doing("read what was counted")) };
        let (ticket, told) = tokio::try_join!(self.store_clock(), told)?;
        self.store
            .client
            .query(&without_comments(super::SETTLED_COUNTS))
            .param("version", ticket.max(told.saturating_add(1)))
            .param("buckets", buckets)
            .execute()
            .await
            .map_err(StoreError::doing("count settled orders"))
    }
}

/// The orders of a neighbourhood, each with all of its ids.
fn groups(near: &Neighbourhood) -> Vec<Group> {
    let mut placed: BTreeSet<String> = BTreeSet::new();
    let mut groups = Vec::new();
    for order in &near.orders {
        if !placed.contains(order) {
            let group = near.graph.group_of(order);
            placed.extend(group.members.iter().cloned());
            groups.push(group);
        }
    }
    groups
}

/// The next orders with their carriers, as many as a question can carry.
fn next_portion(
    near: &Neighbourhood,
    groups: &mut Peekable<impl Iterator<Item = Group>>,
) -> Portion {
    let mut portion = Portion::new();
    let mut size = 0;
    while let Some(group) = groups.next_if(|_| size < PORTION_IDS_MAX) {
        let carriers = near.graph.carriers_of_group(&group);
        size += group.members.len() + carriers.len();
        portion.push((group, carriers));
    }
    portion
}
