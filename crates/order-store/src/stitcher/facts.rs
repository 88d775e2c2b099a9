//! Reads what the fold needs to know of some orders: signals, signs of life, traits, and the rows
//! that are told of them already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clickhouse::{Row, RowOwned, RowRead};
use order_model::fold::{Heartbeat, OrderTraits, SIGNALS_MAX, SignalKind, StageSignal};
use order_model::graph::Through;
use order_model::keys::{SIGNAL_HANDED_OVER, SIGNAL_PRICE_REQUESTED, SIGNAL_STAGE};
use serde::Deserialize;

use crate::UnixMillis;
use crate::connection::Store;
use crate::error::StoreError;
use crate::neighbourhood::id_chunks;

/// Facts by whatever tells their order: its id, or a carrier.
#[derive(Debug, Default)]
pub(super) struct Facts {
    signals: HashMap<Owner, Vec<StageSignal>>,
    heartbeats: HashMap<Owner, Vec<(Heartbeat, UnixMillis)>>,
    traits: HashMap<String, Traits>,
    told: HashMap<String, Told>,
}

/// An order id, or a carrier.
type Owner = (bool, String);

/// What the namings of one id say.
#[derive(Debug, Clone, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Traits {
    order_id: String,
    has_model: u8,
    kind: String,
    channel: String,
    last_received_at: UnixMillis,
    start: i64,
    /// The bucket in which the id is counted.
    pub(super) bucket: u16,
}

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
    received_at: UnixMillis,
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
    last_at: i64,
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

/// Rows of signals that are read of one order or carrier, the latest: the fold counts half as many,
/// the others may be repeats that are not merged yet.
const SIGNAL_ROWS_MAX: usize = 2 * SIGNALS_MAX;
const SIGNAL_COLUMNS: &str = "Signal, Stage, EventTime, ReceivedAt, Source, Attempt, \
    Worker, Error FROM order_events";
const TRAITS: &str = "SELECT OrderId, max(order_traces.HasModel) AS HasModel, \
    max(order_traces.Kind) AS Kind, max(order_traces.Channel) AS Channel, \
    max(order_traces.ReceivedAt) AS LastReceivedAt, min(order_traces.Start) AS Start, \
    toUInt16(cityHash64(OrderId) % 4096) AS Bucket \
    FROM order_traces WHERE OrderId IN {ids:Array(String)} GROUP BY OrderId";
const TOLD: &str = "SELECT OrderId, max(orders.DerivedAt) AS DerivedAt, \
    argMax(orders.IsOpen, orders.DerivedAt) AS IsOpen \
    FROM orders WHERE OrderId IN {ids:Array(String)} GROUP BY OrderId";

impl Facts {
    /// The facts of these ids and of these carriers.
    pub(super) async fn read(
        store: &Store,
        ids: &[&String],
        carriers: &BTreeSet<&String>,
    ) -> Result<Self, StoreError> {
        let signals = |column: &str, of: &str| {
            format!(
                "SELECT {column} AS Owner, {SIGNAL_COLUMNS} \
                 WHERE {of}{column} IN {{ids:Array(String)}} \
                 ORDER BY EventTime DESC LIMIT {SIGNAL_ROWS_MAX} BY Owner"
            )
        };
        let (named, carried) = (signals("OrderId", ""), signals("Carrier", "OrderId = '' AND "));
        let beats = |column: &str, of: &str| {
            format!(
                "SELECT {column} AS Owner, Worker, max(order_heartbeats.LastAt) AS LastAt, \
                 max(order_heartbeats.ReceivedAt) AS ReceivedAt FROM order_heartbeats \
                 WHERE {of}{column} IN {{ids:Array(String)}} GROUP BY Owner, Worker, Ahead"
            )
        };
        let (named_beats, carried_beats) =
            (beats("OrderId", ""), beats("Carrier", "OrderId = '' AND "));
        let carriers: Vec<&String> = carriers.iter().copied().collect();
        let (signals, carried, beats, carried_beats, traits, told) = tokio::try_join!(
            read::<SignalRow>(store, &named, ids, "read signals of orders"),
            read::<SignalRow>(store, &carried, &carriers, "read signals of traces"),
            read::<HeartbeatRow>(store, &named_beats, ids, "read signs of life of orders"),
            read::<HeartbeatRow>(store, &carried_beats, &carriers, "read signs of life of traces"),
            read::<Traits>(store, TRAITS, ids, "read what is said of orders"),
            read::<Told>(store, TOLD, ids, "read the states of orders"),
        )?;
        let mut facts = Self::default();
        for (is_order, rows) in [(true, signals), (false, carried)] {
            for row in rows {
                let owner = (is_order, row.owner.clone());
                facts.signals.entry(owner).or_default().push(row.into_signal());
            }
        }
        for (is_order, rows) in [(true, beats), (false, carried_beats)] {
            for HeartbeatRow { owner, worker, last_at, received_at } in rows {
                let beat = (Heartbeat { at: last_at, worker }, received_at);
                facts.heartbeats.entry((is_order, owner)).or_default().push(beat);
            }
        }
        facts.traits = traits.into_iter().map(|row| (row.order_id.clone(), row)).collect();
        facts.told = told.into_iter().map(|row| (row.order_id.clone(), row)).collect();
        Ok(facts)
    }

    /// The newest rows of these ids that are not older than a ticket, by when they were derived.
    pub(super) async fn told_above(
        store: &Store,
        ids: &[&String],
        ticket: i64,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let told = read::<Told>(store, TOLD, ids, "read the states of orders").await?;
        let newer = told.into_iter().filter(|told| told.derived_at >= ticket);
        Ok(newer.map(|told| (told.order_id, told.derived_at)).collect())
    }

    /// What the namings of an id say.
    pub(super) fn traits(&self, order_id: &str) -> Option<&Traits> {
        self.traits.get(order_id)
    }

    /// The newest row of an id.
    pub(super) fn told(&self, order_id: &str) -> Option<&Told> {
        self.told.get(order_id)
    }

    /// The facts of an order that has these ids and these carriers.
    pub(super) fn of(
        &self,
        members: &BTreeSet<String>,
        carriers: &BTreeMap<String, Through>,
    ) -> OrderFacts {
        let ids = members.iter().map(|id| (true, id.clone()));
        let owners: Vec<Owner> = ids.chain(carriers.keys().map(|c| (false, c.clone()))).collect();
        let mut found = OrderFacts { first_named_at: i64::MAX, ..OrderFacts::default() };
        for owner in &owners {
            for signal in self.signals.get(owner).into_iter().flatten() {
                found.last_received_at = found.last_received_at.max(signal.received_at);
                found.signals.push(signal.clone());
            }
            for (beat, received_at) in self.heartbeats.get(owner).into_iter().flatten() {
                found.last_received_at = found.last_received_at.max(*received_at);
                found.heartbeats.push(beat.clone());
            }
        }
        for traits in members.iter().filter_map(|id| self.traits.get(id)) {
            let all = &mut found.traits;
            all.has_model |= traits.has_model == 1;
            all.kind = std::mem::take(&mut all.kind).max(traits.kind.clone());
            all.channel = std::mem::take(&mut all.channel).max(traits.channel.clone());
            found.last_received_at = found.last_received_at.max(traits.last_received_at);
            found.first_named_at = found.first_named_at.min(traits.start);
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
            received_at: self.received_at,
            worker: self.worker,
            error: self.error,
        }
    }
}

async fn read<T: RowOwned + RowRead>(
    store: &Store,
    sql: &str,
    ids: &[&String],
    doing: &'static str,
) -> Result<Vec<T>, StoreError> {
    let mut rows = Vec::new();
    for chunk in id_chunks(ids) {
        let query = store.client().query(sql).param("ids", chunk);
        rows.append(&mut query.fetch_all::<T>().await.map_err(StoreError::doing(doing))?);
    }
    Ok(rows)
}
