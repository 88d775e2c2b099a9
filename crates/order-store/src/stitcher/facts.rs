//! Reads what the fold needs to know of some orders: signals, signs of life, and the rows that are
//! told of them already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clickhouse::{Row, RowOwned, RowRead};
use order_model::UnixNanos;
use order_model::fold::{Heartbeat, OrderTraits, SIGNALS_MAX, SignalKind, StageSignal};
use order_model::graph::Through;
use order_model::keys::{SIGNAL_HANDED_OVER, SIGNAL_PRICE_REQUESTED, SIGNAL_STAGE};
use serde::Deserialize;

use crate::UnixMillis;
use crate::connection::Store;
use crate::error::StoreError;
use crate::neighbourhood::{Traits, id_chunks};

/// Facts by whatever tells their order: its id, or a carrier.
#[derive(Debug, Default)]
pub(super) struct Facts {
    signals: HashMap<Owner, Vec<(StageSignal, UnixMillis)>>,
    heartbeats: HashMap<Owner, Vec<(Heartbeat, UnixMillis)>>,
}

/// An order id, or a carrier.
type Owner = (bool, String);

/// The newest row of an id.
#[derive(Debug, Clone, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Told {
    order_id: String,
    pub(super) derived_at: i64,
    pub(super) is_open: u8,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignalRow {
    owner: String,
    signal: String,
    stage: String,
    event_time: i64,
    heard_at: UnixMillis,
    last_received_at: UnixMillis,
    source: String,
    attempt: u32,
    worker: String,
    error: String,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HeartbeatRow {
    owner: String,
    worker: String,
    last_at: Option<i64>,
    next_at: Option<i64>,
    received_at: UnixMillis,
}

/// Everything of one order.
#[derive(Debug, Default)]
pub(super) struct OrderFacts {
    pub(super) signals: Vec<StageSignal>,
    pub(super) heartbeats: Vec<Heartbeat>,
    pub(super) traits: OrderTraits,
    pub(super) last_received_at: UnixMillis,
    /// The earliest time of a naming.
    pub(super) first_named_at: i64,
}

/// Signals of orders or carriers, each identity once; of each owner the latest that count, and then
/// the next of the future.
fn signals_of(column: &str, of: &str) -> String {
    format!(
        "SELECT {column} AS Owner, Signal, Stage, EventTime, Source, \
         toUnixTimestamp64Milli(min(order_events.FirstInsertedAt)) AS HeardAt, \
         max(order_events.LastReceivedAt) AS LastReceivedAt, \
         max(order_events.Attempt) AS Attempt, max(order_events.Worker) AS Worker, \
         max(order_events.Error) AS Error FROM order_events \
         WHERE {of}{column} IN {{ids:Array(String)}} \
         GROUP BY Owner, Signal, Stage, EventTime, Source \
         ORDER BY EventTime > fromUnixTimestamp64Nano({{horizon:Int64}}, 'UTC') AS ahead, \
         if(ahead, 1, -1) * toUnixTimestamp64Nano(EventTime), Signal, Stage, Source \
         LIMIT {SIGNALS_MAX} BY Owner, ahead"
    )
}

/// Signs of life, of each worker the latest and the next of the future.
fn beats_of(column: &str, of: &str) -> String {
    format!(
        "SELECT {column} AS Owner, Worker, \
         maxOrNullIf(order_heartbeats.LastAt, order_heartbeats.LastAt <= \
             (fromUnixTimestamp64Nano({{horizon:Int64}}, 'UTC') AS horizon)) AS LastAt, \
         minOrNullIf(order_heartbeats.LastAt, order_heartbeats.LastAt > horizon) AS NextAt, \
         max(order_heartbeats.ReceivedAt) AS ReceivedAt FROM order_heartbeats \
         WHERE {of}{column} IN {{ids:Array(String)}} GROUP BY Owner, Worker"
    )
}

const TOLD: &str = "SELECT OrderId, max(orders.DerivedAt) AS DerivedAt, \
    argMax(orders.IsOpen, orders.DerivedAt) AS IsOpen \
    FROM orders WHERE OrderId IN {ids:Array(String)} GROUP BY OrderId";

/// The same of rows that are not older than a ticket. Hardly any is: the index of the parts' times
/// answers for nearly all of them.
const TOLD_ABOVE: &str = "SELECT OrderId, max(orders.DerivedAt) AS DerivedAt, \
    argMax(orders.IsOpen, orders.DerivedAt) AS IsOpen \
    FROM orders WHERE OrderId IN {ids:Array(String)} \
    AND orders.DerivedAt >= fromUnixTimestamp64Nano({horizon:Int64}, 'UTC') GROUP BY OrderId";

impl Facts {
    /// The facts of these ids and of these carriers; events past the horizon are of the future.
    pub(super) async fn read(
        store: &Store,
        ids: &[&String],
        carriers: &BTreeSet<&String>,
        horizon: UnixNanos,
    ) -> Result<Self, StoreError> {
        let carriers: Vec<&String> = carriers.iter().copied().collect();
        const OF_CARRIER: &str = "OrderId = '' AND ";
        let (named, carried) = (signals_of("OrderId", ""), signals_of("Carrier", OF_CARRIER));
        let (alive, carried_alive) = (beats_of("OrderId", ""), beats_of("Carrier", OF_CARRIER));
        let ahead = Some(horizon);
        let (signals, carried, beats, carried_beats) = tokio::try_join!(
            read::<SignalRow>(store, &named, ids, ahead, "read signals of orders"),
            read::<SignalRow>(store, &carried, &carriers, ahead, "read signals of traces"),
            read::<HeartbeatRow>(store, &alive, ids, ahead, "read signs of life of orders"),
            read::<HeartbeatRow>(
                store,
                &carried_alive,
                &carriers,
                ahead,
                "read signs of life of traces"
            ),
        )?;
        let mut facts = Self::default();
        for (is_order, rows) in [(true, signals), (false, carried)] {
            for row in rows {
                let owner = (is_order, row.owner.clone());
                let received_at = row.last_received_at;
                let signals = facts.signals.entry(owner).or_default();
                signals.push((row.into_signal(), received_at));
            }
        }
        for (is_order, rows) in [(true, beats), (false, carried_beats)] {
            for HeartbeatRow { owner, worker, last_at, next_at, received_at } in rows {
                let beats = facts.heartbeats.entry((is_order, owner)).or_default();
                for at in last_at.into_iter().chain(next_at) {
                    beats.push((Heartbeat { at, worker: worker.clone() }, received_at));
                }
            }
        }
        Ok(facts)
    }

    /// The newest rows of these ids.
    pub(super) async fn told(
        store: &Store,
        ids: &[&String],
    ) -> Result<HashMap<String, Told>, StoreError> {
        let told = read::<Told>(store, TOLD, ids, None, "read the states of orders").await?;
        Ok(told.into_iter().map(|row| (row.order_id.clone(), row)).collect())
    }

    /// The newest rows of these ids that are not older than a ticket, by when they were derived.
    pub(super) async fn told_above(
        store: &Store,
        ids: &[&String],
        ticket: i64,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let doing = "read newer states of orders";
        let newer = read::<Told>(store, TOLD_ABOVE, ids, Some(ticket), doing).await?;
        Ok(newer.into_iter().map(|told| (told.order_id, told.derived_at)).collect())
    }

    /// The facts of an order that has these ids and these carriers, of all that were read; `said`
    /// is what namings say.
    pub(super) fn of_order(
        read: [&Self; 2],
        members: &BTreeSet<String>,
        carriers: &BTreeMap<String, Through>,
        said: &HashMap<String, Traits>,
    ) -> OrderFacts {
        let ids = members.iter().map(|id| (true, id.clone()));
        let owners: Vec<Owner> = ids.chain(carriers.keys().map(|c| (false, c.clone()))).collect();
        let mut found = OrderFacts { first_named_at: i64::MAX, ..OrderFacts::default() };
        for (owner, facts) in owners.iter().flat_map(|owner| read.map(|facts| (owner, facts))) {
            for (signal, received_at) in facts.signals.get(owner).into_iter().flatten() {
                found.last_received_at = found.last_received_at.max(*received_at);
                found.signals.push(signal.clone());
            }
            for (beat, received_at) in facts.heartbeats.get(owner).into_iter().flatten() {
                found.last_received_at = found.last_received_at.max(*received_at);
                found.heartbeats.push(beat.clone());
            }
        }
        let mut said = members.iter().filter_map(|id| said.get(id)).cloned();
        if let Some(mut all) = said.next() {
            said.for_each(|more| all.merge(&more));
            found.last_received_at = found.last_received_at.max(all.last_received_at);
            found.first_named_at = all.first_named_at;
            found.traits = all.of_order;
        }
        found
    }
}

impl SignalRow {
    fn into_signal(self) -> StageSignal {
        let kind = match self.signal.as_str() {
            SIGNAL_STAGE => SignalKind::Stage(self.stage),
            SIGNAL_PRICE_REQUESTED => SignalKind::PriceRequested,
            SIGNAL_HANDED_OVER => SignalKind::HandedOver(self.stage),
            _ => SignalKind::TakenOver(self.stage),
        };
        StageSignal {
            kind,
            event_time: self.event_time,
            source: self.source,
            attempt: self.attempt,
            heard_at: self.heard_at,
            worker: self.worker,
            error: self.error,
        }
    }
}

async fn read<T: RowOwned + RowRead>(
    store: &Store,
    sql: &str,
    ids: &[&String],
    horizon: Option<UnixNanos>,
    doing: &'static str,
) -> Result<Vec<T>, StoreError> {
    let mut rows = Vec::new();
    for chunk in id_chunks(ids) {
        let mut query = store.client().query(sql).param("ids", chunk);
        if let Some(horizon) = horizon {
            query = query.param("horizon", horizon);
        }
        rows.append(&mut query.fetch_all::<T>().await.map_err(StoreError::doing(doing))?);
    }
    Ok(rows)
}
