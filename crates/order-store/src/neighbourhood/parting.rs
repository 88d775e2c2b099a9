//! Carriers that have come to have more links, or orders, than a carrier has: who held them must
//! be derived once more, and let go.
//!
//! Whatever brings such a carrier past its bound is touched like any other fact, and whoever
//! handles that touch derives all whom the carrier may have held together. Later touches of it need
//! not: it has been nobody's since. Which of the two a touch is follows from what was in the store
//! before the oldest fact touched; a process also remembers what it has let go.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clickhouse::query::Query;
use order_model::graph::{Graph, HUB_LINKS_MAX, MESSAGE_ORDERS_MAX, message_carrier, message_of};

use super::{LinkRow, Loader};
use crate::error::StoreError;

/// Carriers that a process remembers to have let go. Beyond it all are forgotten; to let go again
/// costs time, and changes nothing.
const REMEMBERED_MAX: usize = 10_000;
/// Links, or orders, of one carrier that are read to let go of them, those first that were there
/// first. Who came after so many others is derived for its own facts.
const LET_GO_MAX: usize = 100_000;
/// An insert is in the store this long after the store read its clock for `InsertedAt`, or never:
/// as long as the longest statement.
pub(crate) const INSERT_MAX_MS: i64 = 60_000;

/// Facts are not kept longer.
const AGE_MAX_MS: i64 = 20 * 365 * 86_400_000;

/// Which of these carriers had too many links before, so that they were nobody's already.
const HUBS_BEFORE: &str = "SELECT Id FROM ( \
    SELECT TraceId AS Id, SpanId, LinkedTraceId AS Other, LinkedSpanId AS OtherSpan \
    FROM trace_links WHERE TraceId IN {ids:Array(String)} \
    AND InsertedAt < now64(3, 'UTC') - toIntervalMillisecond({age_ms:Int64}) \
    UNION DISTINCT \
    SELECT LinkedTraceId AS Id, LinkedSpanId AS SpanId, TraceId AS Other, SpanId AS OtherSpan \
    FROM trace_links_by_target WHERE LinkedTraceId IN {ids:Array(String)} \
    AND InsertedAt < now64(3, 'UTC') - toIntervalMillisecond({age_ms:Int64})) \
    GROUP BY Id HAVING count() > {most:UInt64}";
const REUSED_BEFORE: &str = "SELECT Alias FROM order_aliases \
    WHERE Alias IN {ids:Array(String)} AND AliasKind = 'message_id' \
    AND InsertedAt < now64(3, 'UTC') - toIntervalMillisecond({age_ms:Int64}) \
    GROUP BY Alias HAVING uniqExact(OrderId) > {most:UInt64}";
const EARLIEST_LINKS: &str = "SELECT TraceId, SpanId, LinkedTraceId, LinkedSpanId FROM ( \
    SELECT TraceId, SpanId, LinkedTraceId, LinkedSpanId, InsertedAt, TraceId AS Id \
    FROM trace_links WHERE TraceId IN {ids:Array(String)} UNION ALL \
    SELECT TraceId, SpanId, LinkedTraceId, LinkedSpanId, InsertedAt, LinkedTraceId AS Id \
    FROM trace_links_by_target WHERE LinkedTraceId IN {ids:Array(String)}) \
    ORDER BY Id, InsertedAt, TraceId, LinkedTraceId, SpanId, LinkedSpanId \
    LIMIT {most:UInt64} BY Id";
const EARLIEST_ORDERS: &str = "SELECT OrderId FROM order_aliases \
    WHERE Alias IN {ids:Array(String)} AND AliasKind = 'message_id' \
    ORDER BY Alias, InsertedAt, OrderId LIMIT {most:UInt64} BY Alias";

/// Of what a carrier has come to have too many. A message may be let go for one, be taken again,
/// and be let go for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Crowd {
    Links,
    Orders,
}

/// What a process has let go. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LetGo(Arc<Mutex<BTreeSet<(Crowd, String)>>>);

impl LetGo {
    /// Remembers carriers whose former orders are derived.
    pub(crate) fn remember(&self, carriers: BTreeSet<(Crowd, String)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + carriers.len() > REMEMBERED_MAX {
            known.clear();
        }
        known.extend(carriers);
    }

    fn unknown<'a>(
        &self,
        crowd: Crowd,
        carriers: impl Iterator<Item = &'a String>,
    ) -> BTreeSet<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        carriers.filter(|carrier| !known.contains(&(crowd, (*carrier).clone()))).cloned().collect()
    }
}

/// The carriers that one run of the stitcher lets go.
#[derive(Debug)]
pub(crate) struct Parting {
    let_go: LetGo,
    /// So long before `begun` the oldest fact touched was not in the store yet.
    age: Duration,
    begun: Instant,
    /// Those that are followed once more, to all whom they may have held together.
    followed: BTreeSet<(Crowd, String)>,
}

impl Parting {
    /// Of touches that are at most so old.
    pub(crate) fn new(let_go: LetGo, age: Duration) -> Self {
        Self { let_go, age, begun: Instant::now(), followed: BTreeSet::new() }
    }

    /// Whether a carrier that has too many links is followed once more.
    pub(super) fn follows(&self, carrier: &str) -> bool {
        [Crowd::Links, Crowd::Orders]
            .into_iter()
            .any(|crowd| self.followed.contains(&(crowd, carrier.to_owned())))
    }

    /// Whether any is.
    pub(super) fn follows_any(&self) -> bool {
        !self.followed.is_empty()
    }

    /// What is let go once the orders found are derived.
    pub(crate) fn into_let_go(self) -> BTreeSet<(Crowd, String)> {
        self.followed
    }

    /// What is older than this, milliseconds, was in the store before the oldest fact touched.
    fn age_ms(&self) -> i64 {
        let age = self.age.saturating_add(self.begun.elapsed());
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        age_ms.saturating_add(INSERT_MAX_MS).min(AGE_MAX_MS)
    }
}

impl Loader<'_> {
    /// The links of those of these carriers that have just become hubs.
    pub(super) async fn links_let_go(
        &self,
        graph: &Graph,
        carriers: &BTreeSet<String>,
        parting: &mut Parting,
    ) -> Result<Vec<LinkRow>, StoreError> {
        let hubs = carriers.iter().filter(|carrier| graph.is_hub(carrier));
        let hubs = parting.let_go.unknown(Crowd::Links, hubs);
        let fresh = self.just_crowded(HUBS_BEFORE, hubs, HUB_LINKS_MAX, parting).await?;
        let doing = "find links of a trace or message that has too many";
        let rows = self.read_with(EARLIEST_LINKS, &fresh, |q| q.param("most", LET_GO_MAX), doing);
        let rows = rows.await?;
        parting.followed.extend(fresh.into_iter().map(|hub| (Crowd::Links, hub)));
        Ok(rows)
    }

    /// The orders of those of these messages whose ids have just turned out to be none.
    pub(super) async fn orders_let_go(
        &self,
        graph: &Graph,
        carriers: impl Iterator<Item = &String>,
        parting: &mut Parting,
    ) -> Result<Vec<String>, StoreError> {
        let reused = carriers.filter(|carrier| graph.is_reused(carrier));
        let reused = parting.let_go.unknown(Crowd::Orders, reused);
        let keys = reused.iter().filter_map(|carrier| message_of(carrier)).map(str::to_owned);
        let keys =
            self.just_crowded(REUSED_BEFORE, keys.collect(), MESSAGE_ORDERS_MAX, parting).await?;
        let doing = "find orders of a message id that too many have";
        let rows = self.read_with(EARLIEST_ORDERS, &keys, |q| q.param("most", LET_GO_MAX), doing);
        let orders = rows.await?;
        let reused = keys.iter().map(|key| (Crowd::Orders, message_carrier(key)));
        parting.followed.extend(reused);
        Ok(orders)
    }

    /// Of ids that have more than they may, those that had not before.
    async fn just_crowded(
        &self,
        sql: &str,
        mut ids: BTreeSet<String>,
        most: usize,
        parting: &Parting,
    ) -> Result<BTreeSet<String>, StoreError> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let age_ms = parting.age_ms();
        let params = |query: Query| query.param("most", most).param("age_ms", age_ms);
        let doing = "find traces and messages that had too many before";
        for before in self.read_with::<String>(sql, &ids, params, doing).await? {
            ids.remove(&before);
        }
        Ok(ids)
    }
}
