//! The orders that a signal names: read, checked and bounded.

use order_model::OrderId;

use crate::counts::{Refusal, SignalCounts};
use crate::limits::ORDERS_PER_CALL_MAX;

/// What names one order or several: ids as text or checked, and lists of them.
pub trait NamesOrders {
    /// Gives each id as text.
    fn each(&self, take: &mut dyn FnMut(&str));
}

impl NamesOrders for str {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        take(self);
    }
}

impl NamesOrders for String {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        take(self);
    }
}

impl NamesOrders for OrderId {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        take(self.as_str());
    }
}

impl<T: NamesOrders + ?Sized> NamesOrders for &T {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        (**self).each(take);
    }
}

impl<T: NamesOrders> NamesOrders for [T] {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        self.iter().for_each(|orders| orders.each(take));
    }
}

impl<T: NamesOrders, const N: usize> NamesOrders for [T; N] {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        self.as_slice().each(take);
    }
}

impl<T: NamesOrders> NamesOrders for Vec<T> {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        self.as_slice().each(take);
    }
}

/// The ids that are ids, each once, in the order given. What is refused is counted.
pub(crate) fn read(
    orders: &(impl NamesOrders + ?Sized),
    counts: &SignalCounts,
    signal: &'static str,
) -> Vec<OrderId> {
    let mut ids: Vec<OrderId> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    orders.each(&mut |text| match OrderId::parse(text) {
        Err(_) => counts.refuse(Refusal::NotAnOrderId, signal),
        Ok(id) if seen.contains(&id) => {}
        Ok(_) if ids.len() >= ORDERS_PER_CALL_MAX => counts.refuse(Refusal::TooManyOrders, signal),
        Ok(id) => {
            seen.insert(id.clone());
            ids.push(id);
        }
    });
    ids
}

/// A name in a signal: a stage, a key, a partner's number. What may be written in an id may be
/// written in a name, and no more: without control characters, of the same length.
pub(crate) fn name(text: &str) -> Option<String> {
    OrderId::parse(text).ok().map(OrderId::into_string)
}
