//! Which orders a writer has met: a set that forgets what it has not seen for long.

use std::collections::HashSet;

/// Orders of one generation; two are kept, so that at most twice as many are known.
const GENERATION_MAX: usize = 200_000;

/// Orders that were written before. What is forgotten is written once more.
#[derive(Debug, Default)]
pub(super) struct MetOrders {
    young: HashSet<Box<str>>,
    old: HashSet<Box<str>>,
}

impl MetOrders {
    /// Whether the order was added lately; asking keeps it.
    pub(super) fn has(&mut self, order_id: &str) -> bool {
        if self.young.contains(order_id) {
            return true;
        }
        let known = self.old.contains(order_id);
        if known {
            self.add(order_id);
        }
        known
    }

    /// Adds an order that is in the store.
    pub(super) fn add(&mut self, order_id: &str) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(order_id.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let mut met = MetOrders::default();
        for n in 0..3 * GENERATION_MAX {
            met.add(&format!("A{n}"));
            assert!(met.has("A0"), "after {n}");
        }
        assert!(!met.has("A1"));
        assert!(met.young.len() + met.old.len() <= 2 * GENERATION_MAX);
    }
}
