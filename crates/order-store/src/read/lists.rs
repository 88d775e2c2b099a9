//! Lists of orders: newest first, by keyset, at one point in time.

use std::collections::{BTreeSet, HashSet};

use clickhouse::Row;
use order_model::Condition;
use serde::Deserialize;

use super::words::WITH_WORDS;
use super::{LISTED_ORDERS_AT, OPEN_CONDITIONS_AT, OrderSummary, Reader, SUMMARY_COLUMNS};
use crate::UnixMillis;
use crate::error::StoreError;

/// Which orders of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageFilter {
    /// Only those in this condition.
    pub condition: Option<Condition>,
}

/// Where the next page begins: after this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageCursor {
    /// `since` of the last order shown.
    pub since: UnixMillis,
    /// Its id.
    pub order_id: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPage {
    /// The point in time at which conditions were judged.
    pub as_of: UnixMillis,
    /// Newest first: by `since`, then by id, both descending.
    pub orders: Vec<OrderSummary>,
    /// Where the next page begins, if there is one.
    pub next: Option<StageCursor>,
}

impl Reader {
    /// At most `limit` orders of a stage (of every stage, without one), newest first, after the
    /// cursor. Without a stage only orders are listed that have not ended.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn stage_orders(
        &self,
        stage: Option<&str>,
        filter: StageFilter,
        limit: u32,
        after: Option<StageCursor>,
        as_of: Option<UnixMillis>,
    ) -> Result<OrderPage, StoreError> {
        let as_of = self.as_of(as_of).await?;
        let from = Position::after(after);
        let wanted = limit.saturating_add(1);
        let open = self.open_orders(stage, filter, wanted, from.clone(), as_of);
        let settled = async {
            match stage.filter(|_| filter.may_have_ended()) {
                Some(stage) => {
                    self.settled_orders(stage, filter, wanted, from.clone(), as_of).await
                }
                None => Ok(Found::default()),
            }
        };
        let (open, mut settled) = tokio::try_join!(open, settled)?;
        let mut orders = open.orders;
        orders.append(&mut settled.orders);
        orders.sort_by(|a, b| (b.since, &b.order_id).cmp(&(a.since, &a.order_id)));
        // One that ended between the two readings is in both.
        let mut shown = HashSet::new();
        orders.retain(|order| shown.insert(order.order_id.clone()));
        // What lies behind the end of either reading is another page's.
        let ends = [open.looked_until, settled.looked_until].into_iter().flatten();
        let end = ends.max_by(|a, b| (a.since, &a.order_id).cmp(&(b.since, &b.order_id)));
        if let Some(end) = &end {
            orders.retain(|o| (o.since, &o.order_id) >= (end.since, &end.order_id));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = orders.len() > limit;
        orders.truncate(limit);
        let last = orders.last().filter(|_| more);
        let next =
            last.map(|o| StageCursor { since: o.since, order_id: o.order_id.clone() }).or(end);
        Ok(OrderPage { as_of, orders, next })
    }

    /// Open orders: which, by few columns; then all columns of those, where orders are found one by
    /// one: merging what is open costs by the column.
    async fn open_orders(
        &self,
        stage: Option<&str>,
        filter: StageFilter,
        wanted: u32,
        from: Position,
        as_of: UnixMillis,
    ) -> Result<Found, StoreError> {
        let mut found = Looking::new(wanted, from);
        while let Some(places) = found.places_wanted() {
            let places = self.open_places(stage, filter, places, &found.from, as_of).await?;
            let orders = self.orders_at(&places, as_of).await?;
            // One that has moved on in between is on no page: it will be on its new one.
            found.add(&places, orders, |order| !order.ended);
        }
        Ok(found.end())
    }

    async fn open_places(
        &self,
        stage: Option<&str>,
        filter: StageFilter,
        wanted: u32,
        from: &Position,
        as_of: UnixMillis,
    ) -> Result<Vec<Position>, StoreError> {
        let condition = filter.condition.map_or("1", mark_of);
        let stage_is = if stage.is_some() { "Stage = {stage:String}" } else { "1" };
        self.store
            .fetch_all("list open orders", |client| {
                client
                    .query(&format!(
                        "SELECT toUnixTimestamp64Milli(StageSince) AS Since, OrderId \
                         FROM {OPEN_CONDITIONS_AT} WHERE {stage_is} AND {condition} AND {BEFORE} \
                         ORDER BY StageSince DESC, OrderId DESC LIMIT {{wanted:UInt32}}"
                    ))
                    .param("as_of", as_of)
                    .param("stage", stage.unwrap_or_default())
                    .param("since", from.since)
                    .param("order", &from.order_id)
                    .param("wanted", wanted)
            })
            .await
    }

    /// Ended orders: hints in the order of the list, each looked up in the state.
    async fn settled_orders(
        &self,
        stage: &str,
        filter: StageFilter,
        wanted: u32,
        from: Position,
        as_of: UnixMillis,
    ) -> Result<Found, StoreError> {
        let mut found = Looking::new(wanted, from);
        while let Some(hints) = found.places_wanted() {
            let hints = self.settled_hints(stage, hints, &found.from).await?;
            let orders = self.orders_at(&hints, as_of).await?;
            found.add(&hints, orders, |order| {
                order.stage == stage
                    && order.ended
                    && filter.condition.is_none_or(|condition| order.condition == condition)
            });
        }
        Ok(found.end())
    }

    /// The orders at these places, in no order.
    async fn orders_at(
        &self,
        places: &[Position],
        as_of: UnixMillis,
    ) -> Result<Vec<OrderSummary>, StoreError> {
        let ids: BTreeSet<&String> = places.iter().map(|place| &place.order_id).collect();
        self.orders_of_ids(&ids.into_iter().collect::<Vec<_>>(), as_of).await
    }

    async fn settled_hints(
        &self,
        stage: &str,
        wanted: u32,
        from: &Position,
    ) -> Result<Vec<Position>, StoreError> {
        self.store
            .fetch_all("list settled orders", |client| {
                client
                    .query(&format!(
                        "SELECT toUnixTimestamp64Milli(StageSince) AS Since, OrderId \
                         FROM orders_settled WHERE Stage = {{stage:String}} AND {BEFORE} \
                         ORDER BY Stage DESC, StageSince DESC, OrderId DESC \
                         LIMIT {{wanted:UInt32}}"
                    ))
                    .param("stage", stage)
                    .param("since", from.since)
                    .param("order", &from.order_id)
                    .param("wanted", wanted)
            })
            .await
    }

    /// The orders of these ids, in no order.
    pub(super) async fn orders_of_ids(
        &self,
        ids: &[&String],
        as_of: UnixMillis,
    ) -> Result<Vec<OrderSummary>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let words = self.words().await?;
        let columns = &*SUMMARY_COLUMNS;
        self.store
            .fetch_all("read orders by their ids", |client| {
                let query = client.query(&format!(
                    "{WITH_WORDS} SELECT {columns} FROM {LISTED_ORDERS_AT} \
                     WHERE OrderId IN {{ids:Array(String)}}"
                ));
                words.bind(query).param("as_of", as_of).param("ids", ids)
            })
            .await
    }
}

/// Rows that come after a [`Position`] in a list; the first part is for the table's own order.
const BEFORE: &str = "StageSince <= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
    AND (toUnixTimestamp64Milli(StageSince), OrderId) < ({since:Int64}, {order:String})";
/// Rounds of places for one page: so many in a row whose orders have moved on end a page early, and
/// the next one goes on behind them.
const ROUNDS_MAX: u32 = 20;
/// Places of one round; each round asks for twice as many as the one before.
const PLACES_MAX: u32 = 5_000;
/// No stage begins later: the end of what a `DateTime64(3)` can be compared with.
const SINCE_MAX: UnixMillis = 9_000_000_000_000;

/// Orders for a page.
#[derive(Debug, Default)]
struct Found {
    orders: Vec<OrderSummary>,
    /// Where looking ended early, if it did.
    looked_until: Option<StageCursor>,
}

/// The way through places of a list to orders that still stand there, round by round.
#[derive(Debug)]
struct Looking {
    found: Found,
    orders_wanted: usize,
    places_wanted: u32,
    rounds: u32,
    /// Where the next round begins.
    from: Position,
    is_done: bool,
}

impl Looking {
    fn new(wanted: u32, from: Position) -> Self {
        let orders_wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let found = Found::default();
        Self { found, orders_wanted, places_wanted: wanted, rounds: 0, from, is_done: false }
    }

    /// How many places the next round is to look at, if there is one.
    fn places_wanted(&self) -> Option<u32> {
        (!self.is_done && self.rounds < ROUNDS_MAX).then_some(self.places_wanted)
    }

    /// Takes the orders of a round that stand at their places, and are wanted.
    fn add(
        &mut self,
        places: &[Position],
        mut orders: Vec<OrderSummary>,
        is_wanted: impl Fn(&OrderSummary) -> bool,
    ) {
        let at: HashSet<(&str, UnixMillis)> =
            places.iter().map(|place| (place.order_id.as_str(), place.since)).collect();
        orders.retain(|order| {
            at.contains(&(order.order_id.as_str(), order.since)) && is_wanted(order)
        });
        self.found.orders.append(&mut orders);
        let are_all = places.len() < usize::try_from(self.places_wanted).unwrap_or(usize::MAX);
        self.is_done = are_all || self.found.orders.len() >= self.orders_wanted;
        self.rounds += 1;
        self.places_wanted =
            self.places_wanted.saturating_mul(2).min(PLACES_MAX.max(self.places_wanted));
        if let Some(last) = places.last() {
            self.from = last.clone();
        }
    }

    fn end(mut self) -> Found {
        if !self.is_done {
            let Position { since, order_id } = self.from;
            self.found.looked_until = Some(StageCursor { since, order_id });
        }
        self.found
    }
}

/// A place in a list.
#[derive(Debug, Clone, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Position {
    since: UnixMillis,
    order_id: String,
}

impl Position {
    fn after(cursor: Option<StageCursor>) -> Self {
        let top = StageCursor { since: SINCE_MAX, order_id: String::new() };
        let StageCursor { since, order_id } = cursor.unwrap_or(top);
        Self { since: since.min(SINCE_MAX), order_id }
    }
}

impl StageFilter {
    /// Whether an order that has ended can be in this condition.
    fn may_have_ended(self) -> bool {
        matches!(self.condition, None | Some(Condition::Fine | Condition::Abandoned))
    }
}

/// What makes an order one of a list: the mark, so that the list is as long as the board's count.
fn mark_of(condition: Condition) -> &'static str {
    match condition {
        Condition::Stuck => "IsStuck",
        Condition::Late => "IsLate",
        Condition::LostInHandover => "IsLostInHandover",
        Condition::NotConfirmed => "IsNotConfirmed",
        Condition::Abandoned => "IsAbandoned",
        Condition::Retrying => "IsRetrying",
        Condition::Unknown => "NOT StageKnown",
        Condition::Fine => "Condition = 'fine'",
    }
}
