//! Which orders a writer has met: a set that forgets what it has not seen for long.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Orders of one generation; two are kept, so that at most twice as many are known.
const GENERATION_MAX: usize = 200_000;
/// Bytes of their ids, likewise.
const GENERATION_BYTES_MAX: usize = 16 << 20;
/// A generation ends after this time at the latest, so that a store that has lost names, or lets
/// them go with their age, gets them again.
const GENERATION_TIME_MAX: Duration = Duration::from_secs(12 * 3_600);

/// Orders that were written before. What is forgotten is written once more.
#[derive(Debug, Default)]
pub(super) struct MetOrders {
    young: HashSet<Box<str>>,
    young_bytes: usize,
    young_since: Option<Instant>,
    old: HashSet<Box<str>>,
}

impl MetOrders {
    /// Whether the order was added lately.
    pub(super) fn has(&self, order_id: &str) -> bool {
        self.young.contains(order_id) || self.old.contains(order_id)
    }

    /// Adds an order that is in the store.
    pub(super) fn add(&mut self, order_id: &str) {
        let aged = self.young_since.is_some_and(|since| since.elapsed() > GENERATION_TIME_MAX);
        if aged || self.young.len() >= GENERATION_MAX || self.young_bytes > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            (self.young_bytes, self.young_since) = (0, None);
        }
        self.young_since.get_or_insert_with(Instant::now);
        if self.young.insert(order_id.into()) {
            self.young_bytes += order_id.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generations_are_known_and_older_ones_forgotten() {
        let mut met = MetOrders::default();
        for n in 0..=2 * GENERATION_MAX {
            met.add(&format!("A{n}"));
            assert!(met.young.len() + met.old.len() <= 2 * GENERATION_MAX);
        }
        assert!(!met.has("A0") && met.has(&format!("A{GENERATION_MAX}")));
        let (long, mut met) = ("x".repeat(1 << 20), MetOrders::default());
        for n in 0..100 {
            met.add(&format!("{n}{long}"));
        }
        assert!(met.young.len() + met.old.len() <= 40);
    }
}
