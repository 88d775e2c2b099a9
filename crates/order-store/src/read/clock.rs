//! The store's clock between two looks at it: a question need not wait for another one first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::UnixMillis;

/// A look at the clock is as old as this at most: a clock that was set is followed within it.
const LOOK_AGE_MAX: Duration = Duration::from_secs(2);

/// The last look at the store's clock.
#[derive(Debug, Clone, Default)]
pub(super) struct LastLook(Arc<Mutex<Option<(Instant, UnixMillis)>>>);

impl LastLook {
    /// What the store's clock says now, going by the last look; none when that is too long ago.
    /// It is behind by the time that the answer to the look took, and never ahead.
    pub(super) fn now(&self) -> Option<UnixMillis> {
        let looked = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, clock) = looked?;
        let since = at.elapsed();
        (since < LOOK_AGE_MAX).then(|| clock + i64::try_from(since.as_millis()).unwrap_or(0))
    }

    /// Remembers what it said just now.
    pub(super) fn looked(&self, clock: UnixMillis) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), clock));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_just_looked_at_goes_on_and_an_old_look_is_worth_nothing() {
        let look = LastLook::default();
        assert_eq!(look.now(), None);
        look.looked(1_000);
        assert!(look.now().is_some_and(|now| (1_000..1_000 + 2_000).contains(&now)));
        let long_ago = Instant::now().checked_sub(LOOK_AGE_MAX);
        *look.0.lock().unwrap() = long_ago.map(|at| (at, 1_000));
        assert_eq!(look.now(), None);
    }
}
