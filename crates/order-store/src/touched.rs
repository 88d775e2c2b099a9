//! What a batch touches, for the stitcher.

use std::collections::BTreeSet;

/// Orders and carriers whose state must be derived again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Orders named.
    pub orders: BTreeSet<String>,
    /// Carriers that got facts without an order, or links: their orders, and those near them.
    pub carriers: BTreeSet<String>,
    /// Carriers that were named: orders near them, which may have held them for their own.
    pub named: BTreeSet<String>,
}

impl Touched {
    /// Adds what `other` touches.
    pub fn merge(&mut self, other: Self) {
        add(&mut self.orders, other.orders);
        add(&mut self.carriers, other.carriers);
        add(&mut self.named, other.named);
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.orders.len() + self.carriers.len() + self.named.len()
    }

    /// Whether nothing is touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes at most `ids_max` ids out: orders first, then carriers.
    #[must_use]
    pub fn take(&mut self, ids_max: usize) -> Self {
        let mut taken = Self::default();
        while taken.len() < ids_max {
            if let Some(order) = self.orders.pop_first() {
                taken.orders.insert(order);
            } else if let Some(carrier) = self.carriers.pop_first() {
                taken.carriers.insert(carrier);
            } else if let Some(carrier) = self.named.pop_first() {
                taken.named.insert(carrier);
            } else {
                break;
            }
        }
        taken
    }
}

/// Adds the smaller set to the larger, id by id: `BTreeSet::append` builds both anew, and what
/// waits is much larger than what comes.
fn add(ids: &mut BTreeSet<String>, mut more: BTreeSet<String>) {
    if more.len() > ids.len() {
        std::mem::swap(ids, &mut more);
    }
    ids.extend(more);
}
