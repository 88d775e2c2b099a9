//! Loads from the store as much of the stitching graph as some orders need.
//!
//! Every question is one flat read by a table's own key: planning, not reading, is what costs.

mod chunks;
mod links;
mod named;
pub(crate) mod parting;
mod traits;

use std::collections::{BTreeSet, HashMap};

use clickhouse::query::Query;
use clickhouse::{Row, RowOwned, RowRead};
use order_model::graph::{
    Graph, HOPS_MAX, MESSAGE_ORDERS_MAX, NUMBER_ORDERS_MAX, Naming, Number, message_carrier,
    message_of,
};
use order_model::keys::{ALIAS_MESSAGE_ID, ALIAS_ORDER_ID, ALIAS_PARTNER_NUMBER};
use serde::Deserialize;

pub(crate) use chunks::id_chunks;

use crate::connection::Store;
use crate::error::StoreError;
use crate::rows::Touched;
use links::LinkRow;
use parting::Parting;
pub(crate) use traits::Traits;
use traits::{NAMINGS_OF_ORDERS, TellingRow};

/// Orders that a number or a carrier brings along whether it glues them or not: what it glued until
/// now may part. A number that more orders have has long parted them, but for those of one partner.
const COMPANIONS_MAX: usize = 8 * NUMBER_ORDERS_MAX;
/// Orders that one carrier may name before the rest is left out where only glue is sought: a trace
/// of so many is a batch, which glues nothing.
const NAMES_PER_CARRIER_MAX: usize = 10_000;

/// A part of the stitching graph, whole for these orders.
#[derive(Debug, Default)]
pub(crate) struct Neighbourhood {
    /// The graph.
    pub(crate) graph: Graph,
    /// The orders it is whole for: those asked for, and all that are or may have been one with
    /// them.
    pub(crate) orders: BTreeSet<String>,
    /// What is said of those of them that are named anywhere.
    pub(crate) traits: HashMap<String, Traits>,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamingRow {
    order_id: String,
    trace_id: String,
    span_id: String,
    provisional: u8,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AliasRow {
    alias: String,
    alias_kind: String,
    scope: String,
    order_id: String,
    provisional: u8,
}

const ALIASES_OF_ORDERS: &str = "SELECT Alias, AliasKind, Scope, OrderId, \
    min(aliases_of_orders.Provisional) AS Provisional FROM aliases_of_orders \
    WHERE OrderId IN {ids:Array(String)} AND AliasKind IN ('partner_number', 'message_id') \
    GROUP BY Alias, AliasKind, Scope, OrderId";
const ALIASES: &str = "SELECT Alias, AliasKind, Scope, OrderId, \
    min(order_aliases.Provisional) AS Provisional FROM order_aliases \
    WHERE Alias IN {ids:Array(String)} AND AliasKind != 'shared_number' \
    GROUP BY Alias, AliasKind, Scope, OrderId \
    ORDER BY Alias, AliasKind, Scope, OrderId LIMIT {names_max:UInt32} BY Alias, AliasKind, Scope";
const NAMINGS: &str = "SELECT OrderId, TraceId, SpanId, \
    min(trace_orders.Provisional) AS Provisional FROM trace_orders \
    WHERE TraceId IN {ids:Array(String)} AND SpanId = '' GROUP BY OrderId, TraceId, SpanId \
    ORDER BY TraceId, OrderId LIMIT {names_max:UInt32} BY TraceId";
/// Of these traces, those that any order is named in by a partner's number only: of the others
/// nothing follows but that they are the orders' own.
const PROVISIONAL_TRACES: &str = "SELECT DISTINCT TraceId FROM trace_orders \
    WHERE TraceId IN {ids:Array(String)} AND SpanId = '' AND Provisional = 1";
const SPAN_NAMINGS: &str = "SELECT OrderId, TraceId, SpanId, \
    min(trace_orders.Provisional) AS Provisional FROM trace_orders \
    WHERE TraceId IN (SELECT splitByChar('/', arrayJoin({ids:Array(String)}))[1]) \
    AND (TraceId, SpanId) IN (SELECT (parts[1], parts[2]) FROM (SELECT \
        splitByChar('/', arrayJoin({ids:Array(String)})) AS parts)) \
    GROUP BY OrderId, TraceId, SpanId";
const ONE_WITH: &str = "SELECT arrayJoin(arrayPushBack(OtherIds, MergedInto)) AS Id FROM orders \
    WHERE OrderId IN {ids:Array(String)} AND (MergedInto != '' OR notEmpty(OtherIds))";

/// Reads parts of the graph.
#[derive(Debug, Clone)]
pub(crate) struct Loader<'a> {
    pub(crate) store: &'a Store,
}

impl Loader<'_> {
    /// Every order whose state may follow from what is touched, and those that must part.
    pub(crate) async fn orders_touched(
        &self,
        touched: &Touched,
        parting: &mut Parting,
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut orders = touched.orders.clone();
        let mut graph = Graph::default();
        let mut seen = self.speaking(&touched.named).await?;
        seen.extend(touched.carriers.iter().cloned());
        if seen.is_empty() {
            return Ok(orders);
        }
        self.load_names(&mut graph, &seen, usize::MAX).await?;
        for carrier in touched.carriers.iter().filter(|carrier| !graph.is_reused(carrier)) {
            orders.extend(graph.named_by(carrier).cloned());
        }
        // A message whose id has just turned out to be none lets go of all its orders.
        orders.extend(self.orders_let_go(&graph, touched.named.iter(), parting).await?);
        for carrier in touched.named.iter().filter(|carrier| graph.names_provisionally(carrier)) {
            orders.extend(graph.named_by(carrier).cloned());
        }
        let mut frontier = seen.clone();
        frontier.retain(|carrier| !graph.is_reused(carrier));
        // A new link of a hub is touched at its other end: whom the hub held is one hop farther.
        for hop in 0..=HOPS_MAX {
            if hop == HOPS_MAX && !parting.follows_any() {
                break;
            }
            let found = self.beyond(&mut graph, &frontier, &mut seen, Some(parting)).await?;
            frontier.retain(|carrier| !graph.is_hub(carrier) || parting.follows(carrier));
            orders.extend(frontier.iter().flat_map(|carrier| graph.orders_met(carrier)).cloned());
            // A span that is named only now takes what is linked with it from the others of its
            // trace.
            let parting = frontier.intersection(&touched.named).filter(|c| graph.may_part(c));
            orders.extend(parting.flat_map(|carrier| graph.named_by(carrier)).cloned());
            frontier = found.into_iter().filter(|carrier| !graph.names_any(carrier)).collect();
        }
        Ok(orders)
    }

    /// The neighbourhood of these orders.
    pub(crate) async fn load(
        &self,
        orders: &BTreeSet<String>,
    ) -> Result<Neighbourhood, StoreError> {
        let mut near = Neighbourhood::default();
        let mut fresh = orders.clone();
        while !fresh.is_empty() {
            self.load_orders(&mut near, &fresh).await?;
            near.orders.append(&mut fresh.clone());
            let asked = fresh.intersection(orders).cloned().collect();
            let found = self.companions(&near.graph, &fresh, &asked).await?;
            fresh = found.difference(&near.orders).cloned().collect();
        }
        let carriers = near.orders.iter().flat_map(|order| near.graph.carriers_of(order));
        let speaking = carriers.filter(|carrier| !near.graph.is_reused(carrier));
        let mut frontier: BTreeSet<String> = speaking.cloned().collect();
        let mut seen = frontier.clone();
        // Once more than it is walked: whether the last are hubs.
        for _ in 0..=HOPS_MAX {
            let found = self.beyond(&mut near.graph, &frontier, &mut seen, None).await?;
            frontier = found.into_iter().filter(|c| !near.graph.names_any(c)).collect();
        }
        Ok(near)
    }

    /// The carriers at the other ends of these carriers' links that were not seen yet, with the
    /// orders they name. The spans at these ends are asked what they name; of what is touched, those
    /// at the other ends, too.
    async fn beyond(
        &self,
        graph: &mut Graph,
        carriers: &BTreeSet<String>,
        seen: &mut BTreeSet<String>,
        mut parting: Option<&mut Parting>,
    ) -> Result<BTreeSet<String>, StoreError> {
        if carriers.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut links = self.read_links(graph, carriers).await?;
        links.iter().for_each(|row| graph.add_link(row.link()));
        if let Some(parting) = parting.as_deref_mut() {
            let more = self.links_let_go(graph, carriers, parting).await?;
            more.iter().for_each(|row| graph.add_link(row.link()));
            links.extend(more);
        }
        let ends = links.iter().flat_map(LinkRow::ends);
        let asked = ends.filter(|(trace, span)| {
            !span.is_empty() && (parting.is_some() || carriers.contains(*trace))
        });
        let spans = asked.map(|(trace, span)| format!("{trace}/{span}")).collect();
        let named = self.read::<NamingRow>(SPAN_NAMINGS, &spans, 0, "find orders of spans").await?;
        named.into_iter().for_each(|row| add_naming(graph, row));
        let follows = |carrier| parting.as_deref().is_some_and(|p| p.follows(carrier));
        let walked = carriers.iter().filter(|carrier| !graph.is_hub(carrier) || follows(carrier));
        let others = walked.flat_map(|carrier| graph.linked_with(carrier));
        let found: BTreeSet<String> = others.filter(|end| !seen.contains(*end)).cloned().collect();
        seen.extend(found.iter().cloned());
        // Of whom is touched all are derived, however many a batch names.
        let names_max = if parting.is_some() { usize::MAX } else { NAMES_PER_CARRIER_MAX };
        self.load_names(graph, &found, names_max).await?;
        Ok(found)
    }

    /// What the orders are called and what names them, and whom else that names.
    async fn load_orders(
        &self,
        near: &mut Neighbourhood,
        orders: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let graph = &mut near.graph;
        for order in orders {
            graph.add_order(order);
        }
        let aliases = self.read::<AliasRow>(ALIASES_OF_ORDERS, orders, 0, "find names of orders");
        let namings =
            self.read::<TellingRow>(NAMINGS_OF_ORDERS, orders, 0, "find traces of orders");
        let (aliases, namings) = tokio::try_join!(aliases, namings)?;
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut traces: BTreeSet<String> = BTreeSet::new();
        for row in aliases {
            keys.insert(row.alias.clone());
            add_alias(graph, row);
        }
        for row in namings {
            let (naming, said) = row.into_parts();
            if !naming.carrier.is_empty() {
                traces.insert(naming.carrier.clone());
            }
            let known = near.traits.entry(naming.order_id.clone());
            known.and_modify(|known| known.merge(&said)).or_insert(said);
            graph.add_naming(naming);
        }
        keys.extend(orders.iter().flat_map(|order| graph.number_keys(order).collect::<Vec<_>>()));
        let others =
            self.read::<AliasRow>(ALIASES, &keys, MESSAGE_ORDERS_MAX + 1, "find orders by name");
        let glueing = self.read::<String>(PROVISIONAL_TRACES, &traces, 0, "find numbers in traces");
        let (others, glueing) = tokio::try_join!(others, glueing)?;
        let names =
            self.read_namings(&glueing.into_iter().collect(), NAMES_PER_CARRIER_MAX).await?;
        others.into_iter().for_each(|row| add_alias(graph, row));
        names.into_iter().for_each(|row| add_naming(graph, row));
        Ok(())
    }

    /// The orders that are, or have been until now, one with any of these; and of those that were
    /// asked for, whoever their numbers bring along, glued or not: these may have to part. Whom the
    /// numbers of those have beside is not asked in turn: a chain of numbers has no end.
    async fn companions(
        &self,
        graph: &Graph,
        orders: &BTreeSet<String>,
        asked: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let until_now = self.read::<String>(ONE_WITH, orders, 0, "find orders glued until now");
        let mut found: BTreeSet<String> = until_now.await?.into_iter().collect();
        found.remove("");
        let keys: BTreeSet<String> =
            asked.iter().flat_map(|order| graph.number_keys(order).collect::<Vec<_>>()).collect();
        for key in keys {
            let of_number = graph.orders_of_number(&key);
            if of_number.len() <= COMPANIONS_MAX {
                found.extend(of_number.into_iter().cloned());
            }
        }
        // A number may have very many orders, and glue a few of them: those of one partner. Of too
        // many that hang together each stays alone, and nothing follows from the others.
        found.extend(orders.iter().flat_map(|order| graph.group_of(order).members));
        let carriers: BTreeSet<&String> =
            asked.iter().flat_map(|order| graph.carriers_of(order)).collect();
        for carrier in carriers.into_iter().filter(|c| graph.names_provisionally(c)) {
            found.extend(graph.named_by(carrier).take(COMPANIONS_MAX).cloned());
        }
        Ok(found)
    }

    /// The orders that carriers name, at most so many of each trace.
    async fn load_names(
        &self,
        graph: &mut Graph,
        carriers: &BTreeSet<String>,
        names_max: usize,
    ) -> Result<(), StoreError> {
        let (messages, traces): (Vec<_>, Vec<_>) =
            carriers.iter().partition(|carrier| message_of(carrier).is_some());
        let keys = messages.into_iter().filter_map(|c| message_of(c)).map(str::to_owned).collect();
        let traces = traces.into_iter().cloned().collect();
        let aliases =
            self.read::<AliasRow>(ALIASES, &keys, NAMES_PER_CARRIER_MAX, "find orders of messages");
        let (aliases, namings) = tokio::try_join!(aliases, self.read_namings(&traces, names_max))?;
        let of_messages = aliases.into_iter().filter(|row| row.alias_kind == ALIAS_MESSAGE_ID);
        of_messages.for_each(|row| add_alias(graph, row));
        namings.into_iter().for_each(|row| add_naming(graph, row));
        Ok(())
    }

    async fn read_namings(
        &self,
        traces: &BTreeSet<String>,
        names_max: usize,
    ) -> Result<Vec<NamingRow>, StoreError> {
        let names_max = names_max.min(u32::MAX as usize); // The store counts to 32 bits.
        self.read::<NamingRow>(NAMINGS, traces, names_max, "find orders of traces").await
    }

    async fn read<T>(
        &self,
        sql: &str,
        ids: &BTreeSet<String>,
        names_max: usize,
        doing: &'static str,
    ) -> Result<Vec<T>, StoreError>
    where
        T: RowOwned + RowRead,
    {
        self.read_with(sql, ids, |query| query.param("names_max", names_max), doing).await
    }

    async fn read_with<T>(
        &self,
        sql: &str,
        ids: &BTreeSet<String>,
        params: impl Fn(Query) -> Query,
        doing: &'static str,
    ) -> Result<Vec<T>, StoreError>
    where
        T: RowOwned + RowRead,
    {
        let ids: Vec<&String> = ids.iter().filter(|id| !id.is_empty()).collect();
        let mut rows = Vec::new();
        for chunk in id_chunks(&ids) {
            let query = params(self.store.client.query(sql)).param("ids", chunk);
            rows.append(&mut query.fetch_all::<T>().await.map_err(StoreError::doing(doing))?);
        }
        Ok(rows)
    }
}

fn add_naming(graph: &mut Graph, row: NamingRow) {
    graph.add_naming(Naming {
        carrier: row.trace_id,
        span_id: row.span_id,
        order_id: row.order_id,
        provisional: row.provisional == 1,
    });
}

fn add_alias(graph: &mut Graph, row: AliasRow) {
    match row.alias_kind.as_str() {
        ALIAS_ORDER_ID => graph.add_order(&row.order_id),
        ALIAS_PARTNER_NUMBER => {
            graph.add_order(&row.order_id);
            graph.add_number(Number { key: row.alias, scope: row.scope, order_id: row.order_id });
        }
        ALIAS_MESSAGE_ID => graph.add_naming(Naming {
            carrier: message_carrier(&row.alias),
            span_id: String::new(),
            order_id: row.order_id,
            provisional: row.provisional == 1,
        }),
        _ => {}
    }
}
