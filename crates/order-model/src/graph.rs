//! The stitching graph: which order ids are one order, and which carriers belong to it.
//!
//! Pure, over facts that are given whole. A *carrier* is what facts travel in: a trace, or a
//! message. The store loads the neighbourhood of the orders it derives and asks this module; a
//! test asks it about all facts at once, and both must agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::order_id::search_key;

/// A carrier that names no order is followed over this many links; what lies farther away belongs
/// to nobody. A consumer that publishes again without naming its order is one hop more.
pub const HOPS_MAX: usize = 4;
/// A partner's number that more orders than this have is the number of a basket, not the name of
/// an order: it finds all of them and glues none.
pub const NUMBER_ORDERS_MAX: usize = 8;
/// More order ids than this are never one order, whatever their numbers say: each stays alone.
pub const GROUP_ORDERS_MAX: usize = 16;

/// A message that more orders than this name is many messages: a sender that counts from one, or
/// says the same each time. Its id finds the orders and brings them nothing.
pub const MESSAGE_ORDERS_MAX: usize = 1_000;

/// A carrier that names nobody and has more links than this is a hub: a message id that every
/// consumer sends. It is nobody's, and nothing is followed through it.
pub const HUB_LINKS_MAX: usize = 1_000;

/// An order adopts at most this many carriers that name nobody, the nearest first and of these the
/// least: more hang on it only by a mistake or in an attack, and would be written for each order
/// of a batch.
pub const ADOPTED_MAX: usize = 1_000;

/// What precedes the id of a message in a carrier; no trace id begins so.
const MESSAGE_PREFIX: &str = "message:";

/// The carrier of a message, by its id in the form of the search box.
#[must_use]
pub fn message_carrier(key: &str) -> String {
    format!("{MESSAGE_PREFIX}{key}")
}

/// The id of the message, if the carrier is one.
#[must_use]
pub fn message_of(carrier: &str) -> Option<&str> {
    carrier.strip_prefix(MESSAGE_PREFIX)
}

/// A carrier, or one span of a trace, names an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Naming {
    /// The carrier.
    pub carrier: String,
    /// Empty for the carrier as a whole.
    pub span_id: String,
    /// The order.
    pub order_id: String,
    /// Whether only the partner's number was named, which stands for the order.
    pub provisional: bool,
}

/// A partner's number of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    /// In the form of the search box.
    pub key: String,
    /// The partner, or empty when nobody said.
    pub scope: String,
    /// The order.
    pub order_id: String,
}

/// A span of one carrier is linked with another carrier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// One end.
    pub carrier: String,
    /// Its span, or empty.
    pub span_id: String,
    /// The other end.
    pub other: String,
    /// Its span, or empty.
    pub other_span_id: String,
}

/// How a carrier belongs to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// It names the order.
    Named,
    /// It names no order and is linked with one that does.
    Linked,
}

/// Order ids that are one order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The id under which the order is shown.
    pub order_id: String,
    /// All of its ids, the one above among them.
    pub members: BTreeSet<String>,
}

type Orders = BTreeMap<String, bool>;

/// Facts, indexed for the questions below. Adding a fact twice changes nothing.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Carrier → span (empty: the whole) → order → whether provisional everywhere.
    names: BTreeMap<String, BTreeMap<String, Orders>>,
    carriers_of: BTreeMap<String, BTreeSet<String>>,
    /// Number → scope → orders.
    numbers: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    numbers_of: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Key of an order id → the ids that are written so.
    ids: BTreeMap<String, BTreeSet<String>>,
    links: BTreeMap<String, BTreeSet<Link>>,
}

impl Graph {
    /// Adds an order id, so that a partner's number can be recognised as it.
    pub fn add_order(&mut self, order_id: &str) {
        self.ids.entry(search_key(order_id)).or_default().insert(order_id.to_owned());
    }

    /// Adds a naming, and the order with it.
    pub fn add_naming(&mut self, naming: Naming) {
        self.add_order(&naming.order_id);
        let Naming { carrier, span_id, order_id, provisional } = naming;
        if carrier.is_empty() {
            return;
        }
        self.carriers_of.entry(order_id.clone()).or_default().insert(carrier.clone());
        let orders = self.names.entry(carrier).or_default().entry(span_id).or_default();
        let known = orders.entry(order_id).or_insert(provisional);
        *known = *known && provisional;
    }

    /// Adds a partner's number.
    pub fn add_number(&mut self, number: Number) {
        let Number { key, scope, order_id } = number;
        self.numbers_of.entry(order_id.clone()).or_default().insert((key.clone(), scope.clone()));
        self.numbers.entry(key).or_default().entry(scope).or_default().insert(order_id);
    }

    /// Adds a link, to be found from both ends.
    pub fn add_link(&mut self, link: Link) {
        let turned = Link {
            carrier: link.other.clone(),
            span_id: link.other_span_id.clone(),
            other: link.carrier.clone(),
            other_span_id: link.span_id.clone(),
        };
        self.links.entry(link.carrier.clone()).or_default().insert(link);
        self.links.entry(turned.carrier.clone()).or_default().insert(turned);
    }

    /// The orders that a carrier as a whole names.
    pub fn named_by(&self, carrier: &str) -> impl Iterator<Item = &String> {
        self.whole(carrier).into_iter().flat_map(BTreeMap::keys)
    }

    /// Whether a carrier names any order.
    #[must_use]
    pub fn names_any(&self, carrier: &str) -> bool {
        self.whole(carrier).is_some_and(|orders| !orders.is_empty())
    }

    /// Whether a carrier names any order by a partner's number only.
    #[must_use]
    pub fn names_provisionally(&self, carrier: &str) -> bool {
        self.whole(carrier).is_some_and(|orders| orders.values().any(|provisional| *provisional))
    }

    /// The carriers that name an order.
    pub fn carriers_of(&self, order_id: &str) -> impl Iterator<Item = &String> {
        self.carriers_of.get(order_id).into_iter().flatten()
    }

    /// The carriers at the other ends of a carrier's links.
    pub fn linked_with(&self, carrier: &str) -> impl Iterator<Item = &String> {
        self.links.get(carrier).into_iter().flatten().map(|link| &link.other)
    }

    /// The orders that a carrier's links meet: those that the span at the other end names, or,
    /// when it names none, all that the other carrier names.
    pub fn orders_met(&self, carrier: &str) -> impl Iterator<Item = &String> {
        let links = self.links.get(carrier).into_iter().flatten();
        links.flat_map(|link| {
            let spans = self.names.get(&link.other);
            let met = spans.and_then(|spans| spans.get(&link.other_span_id));
            let orders = met.or_else(|| self.whole(&link.other));
            let speaks = orders.filter(|_| !self.is_reused(&link.other));
            speaks.into_iter().flat_map(BTreeMap::keys)
        })
    }

    /// Whether links meet spans of a carrier that name orders themselves: before they did, what is
    /// linked with them belonged to all orders of the carrier.
    #[must_use]
    pub fn may_part(&self, carrier: &str) -> bool {
        let Some(spans) = self.names.get(carrier) else { return false };
        let mut links = self.links.get(carrier).into_iter().flatten();
        links.any(|link| !link.span_id.is_empty() && spans.contains_key(&link.span_id))
    }

    /// Every number that an order has, or is.
    pub fn number_keys(&self, order_id: &str) -> impl Iterator<Item = String> {
        let own = self.numbers_of.get(order_id).into_iter().flatten();
        own.map(|(key, _)| key.clone()).chain([search_key(order_id)])
    }

    /// The orders that have or are a number, whatever the partner.
    #[must_use]
    pub fn orders_of_number(&self, key: &str) -> BTreeSet<&String> {
        let Some(scopes) = self.numbers.get(key) else { return BTreeSet::new() };
        scopes.values().flatten().chain(self.ids.get(key).into_iter().flatten()).collect()
    }

    fn whole(&self, carrier: &str) -> Option<&Orders> {
        self.names.get(carrier)?.get("")
    }

    /// The orders that a number glues: those that one partner gave it to, and the order whose id
    /// it is, unless several partners use it.
    fn glued_by_number(&self, key: &str, scope: &str) -> BTreeSet<&String> {
        let Some(scopes) = self.numbers.get(key) else { return BTreeSet::new() };
        let mut orders: BTreeSet<&String> = scopes.get(scope).into_iter().flatten().collect();
        if scopes.len() == 1 {
            orders.extend(self.ids.get(key).into_iter().flatten());
        }
        if orders.len() > NUMBER_ORDERS_MAX { BTreeSet::new() } else { orders }
    }

    /// The two orders that a carrier glues: the only one named by id, and the only one named by
    /// its partner's number.
    fn glued_by_carrier(&self, carrier: &str) -> Option<[&String; 2]> {
        let orders = self.whole(carrier)?;
        let only = |wanted: bool| {
            let mut found = orders.iter().filter(|(_, provisional)| **provisional == wanted);
            found.next().filter(|_| found.next().is_none()).map(|(order, _)| order)
        };
        if orders.len() == 2 { Some([only(false)?, only(true)?]) } else { None }
    }

    /// The orders that are glued with one directly, itself among them.
    #[must_use]
    pub fn glued_with(&self, order_id: &str) -> BTreeSet<String> {
        let mut orders: BTreeSet<&String> = BTreeSet::new();
        for (key, scope) in self.numbers_of.get(order_id).into_iter().flatten() {
            orders.extend(self.glued_by_number(key, scope));
        }
        let key = search_key(order_id);
        for scope in self.numbers.get(&key).into_iter().flat_map(BTreeMap::keys) {
            let glued = self.glued_by_number(&key, scope);
            if glued.iter().any(|glued| *glued == order_id) {
                orders.extend(glued);
            }
        }
        for carrier in self.carriers_of(order_id) {
            if let Some(pair) = self.glued_by_carrier(carrier)
                && pair.iter().any(|glued| *glued == order_id)
            {
                orders.extend(pair);
            }
        }
        orders.into_iter().cloned().collect()
    }

    /// The ids that are one order with this one.
    #[must_use]
    pub fn group_of(&self, order_id: &str) -> Group {
        let alone = || BTreeSet::from([order_id.to_owned()]);
        let mut members = alone();
        let mut pending = vec![order_id.to_owned()];
        while let Some(next) = pending.pop() {
            for other in self.glued_with(&next) {
                if members.insert(other.clone()) {
                    pending.push(other);
                }
            }
            if members.len() > GROUP_ORDERS_MAX {
                members = alone();
                break;
            }
        }
        Group { order_id: self.shown_id(&members), members }
    }

    /// The least id that is not merely a partner's number, or the least of all.
    fn shown_id(&self, members: &BTreeSet<String>) -> String {
        let numbers = |id: &String| self.numbers_of.get(id).into_iter().flatten();
        let keys: BTreeSet<_> = members.iter().flat_map(numbers).map(|(key, _)| key).collect();
        let least = members.iter().min_by_key(|id| (keys.contains(&search_key(id)), *id));
        least.cloned().unwrap_or_default()
    }

    /// The carriers that belong to a group: those that name it, and, over at most [`HOPS_MAX`]
    /// links, those that name nobody. Where a link meets a span that names orders itself, only
    /// these count, not the others of its trace.
    #[must_use]
    pub fn carriers_of_group(&self, group: &Group) -> BTreeMap<String, Through> {
        let mut carriers: BTreeMap<String, Through> = BTreeMap::new();
        for member in &group.members {
            let named = self.carriers_of(member).filter(|carrier| !self.is_reused(carrier));
            carriers.extend(named.map(|carrier| (carrier.clone(), Through::Named)));
        }
        let mut frontier: Vec<String> = carriers.keys().cloned().collect();
        let carriers_max = carriers.len() + ADOPTED_MAX;
        for _ in 0..HOPS_MAX {
            let mut next = Vec::new();
            for link in frontier.iter().flat_map(|c| self.links.get(c).into_iter().flatten()) {
                let fits = carriers.len() < carriers_max
                    && !carriers.contains_key(&link.other)
                    && !self.names_any(&link.other)
                    && !self.is_hub(&link.other)
                    && self.span_is_of(&link.carrier, &link.span_id, group);
                if fits {
                    carriers.insert(link.other.clone(), Through::Linked);
                    next.push(link.other.clone());
                }
            }
            frontier = next;
        }
        carriers
    }

    /// Whether a carrier names nobody and has more than [`HUB_LINKS_MAX`] links.
    #[must_use]
    pub fn is_hub(&self, carrier: &str) -> bool {
        let links = self.links.get(carrier).map_or(0, BTreeSet::len);
        links > HUB_LINKS_MAX && !self.names_any(carrier)
    }

    /// Whether a carrier is a message whose id so many orders have that it is no id.
    #[must_use]
    pub fn is_reused(&self, carrier: &str) -> bool {
        message_of(carrier).is_some()
            && self.whole(carrier).is_some_and(|orders| orders.len() > MESSAGE_ORDERS_MAX)
    }

    /// Whether a span speaks for the group: it names one of its ids, or nobody.
    fn span_is_of(&self, carrier: &str, span_id: &str, group: &Group) -> bool {
        if span_id.is_empty() {
            return true;
        }
        let spans = self.names.get(carrier);
        let Some(named) = spans.and_then(|spans| spans.get(span_id)) else { return true };
        named.keys().any(|order| group.members.contains(order))
    }
}

#[cfg(test)]
mod tests;
