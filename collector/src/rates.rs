//! How much may come: token buckets that go into debt.
//!
//! What a request costs is known only once its body is decoded, so a bucket is asked before
//! (is one left?) and charged after, in full: a request larger than all that may be saved
//! up still passes, and the next one waits until its debt is paid. The mean never exceeds the
//! rate, and what is refused is refused before its body is read.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Services with a bucket of their own; the rest share one.
pub const KEYS_MAX: usize = 10_000;
/// How often buckets that are full again, and so say nothing, are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Longest wait that is computed: a rate may be tiny and a debt large.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// What sums of fractions may be off by, so that who waited as told does not wait again.
const ROUNDING: f64 = 1e-3;

/// So much per second, and so many seconds' worth of it at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Per second; more than 0.
    pub per_second: f64,
    /// What is not used is saved up for this long.
    pub burst: Duration,
}

impl Rate {
    fn capacity(self) -> f64 {
        (self.per_second * self.burst.as_secs_f64()).max(1.0)
    }
}

/// One bucket. Its rate is passed in, since it may change while the bucket lives.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// How far below its capacity, at `at`.
    missing: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub const fn full(now: Instant) -> Self {
        Self { missing: 0.0, at: now }
    }

    /// How long to wait until something is left; `None`: something is.
    #[must_use]
    pub fn wait(&self, rate: Rate, now: Instant) -> Option<Duration> {
        // Until there is a whole one again: a trickle lets nobody in.
        let short = self.missing_at(rate, now) - rate.capacity() + 1.0;
        if short <= ROUNDING {
            return None;
        }
        let seconds = short / rate.per_second;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX).min(WAIT_MAX))
    }

    /// Takes `cost`, if anything is left.
    ///
    /// # Errors
    /// How long to wait until something is left; nothing was taken.
    pub fn take(&mut self, rate: Rate, cost: f64, now: Instant) -> Result<(), Duration> {
        if let Some(wait) = self.wait(rate, now) {
            return Err(wait);
        }
        self.spend(rate, cost, now);
        Ok(())
    }

    /// Takes `cost` whatever is left. A negative one gives back.
    pub fn spend(&mut self, rate: Rate, cost: f64, now: Instant) {
        *self = Self { missing: (self.missing_at(rate, now) + cost).max(0.0), at: now };
    }

    fn missing_at(&self, rate: Rate, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.missing - since * rate.per_second).max(0.0)
    }
}

/// Buckets by key, of one rate. Their number is bounded by [`KEYS_MAX`].
#[derive(Debug)]
pub struct Buckets {
    rate: Rate,
    keys_max: usize,
    by_key: HashMap<String, Bucket>,
    /// What those past the bound share.
    rest: Bucket,
    swept_at: Instant,
}

impl Buckets {
    /// Every bucket is full.
    #[must_use]
    pub fn new(rate: Rate, keys_max: usize, now: Instant) -> Self {
        let by_key = HashMap::new();
        Self { rate, keys_max, by_key, rest: Bucket::full(now), swept_at: now }
    }

    /// Takes each cost from its key's bucket, or nothing at all.
    ///
    /// # Errors
    /// The index of the key that has nothing left and must wait longest, and how long.
    pub fn take_all(
        &mut self,
        costs: &[(String, u64)],
        now: Instant,
    ) -> Result<(), (usize, Duration)> {
        self.forget_idle(now);
        let waits = costs.iter().enumerate();
        let waits = waits.filter_map(|(index, (key, _))| {
            Some((index, self.by_key.get(key).unwrap_or(&self.fresh(now)).wait(self.rate, now)?))
        });
        if let Some(longest) = waits.max_by_key(|(_, wait)| *wait) {
            return Err(longest);
        }
        for (key, cost) in costs {
            let rate = self.rate;
            self.bucket(key, now).spend(rate, *cost as f64, now);
        }
        Ok(())
    }

    /// Keys with a bucket of their own.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// What a key without a bucket has.
    fn fresh(&self, now: Instant) -> Bucket {
        if self.by_key.len() < self.keys_max { Bucket::full(now) } else { self.rest }
    }

    fn bucket(&mut self, key: &str, now: Instant) -> &mut Bucket {
        if !self.by_key.contains_key(key) && self.by_key.len() >= self.keys_max {
            return &mut self.rest;
        }
        self.by_key.entry(key.to_owned()).or_insert(Bucket::full(now))
    }

    /// A full bucket is the same as none.
    fn forget_idle(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept_at) >= SWEEP_INTERVAL {
            let rate = self.rate;
            self.by_key.retain(|_, bucket| bucket.missing_at(rate, now) > 0.0);
            self.swept_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { per_second: 100.0, burst: Duration::from_secs(2) };

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let begun = Instant::now();
        let mut bucket = Bucket::full(begun);
        assert_eq!(bucket.take(RATE, 150.0, begun), Ok(()));
        assert_eq!(bucket.take(RATE, 50.0, begun), Ok(()));
        assert_eq!(bucket.take(RATE, 1.0, begun), Err(seconds(0.01)));
        assert_eq!(bucket.take(RATE, 1.0, begun + seconds(0.02)), Ok(()));
    }

    #[test]
    fn what_is_larger_than_the_burst_passes_and_is_paid_for() {
        let begun = Instant::now();
        let mut bucket = Bucket::full(begun);
        assert_eq!(bucket.take(RATE, 1_000.0, begun), Ok(()));
        // 200 were saved up: 800 are owed.
        assert_eq!(bucket.wait(RATE, begun), Some(seconds(8.01)));
        assert_eq!(bucket.wait(RATE, begun + seconds(8.0)), Some(seconds(0.01)));
        assert_eq!(bucket.wait(RATE, begun + seconds(8.02)), None);
    }

    #[test]
    fn a_tiny_rate_has_a_longest_wait() {
        let begun = Instant::now();
        let rate = Rate { per_second: 1e-300, burst: seconds(1.0) };
        let mut bucket = Bucket::full(begun);
        bucket.spend(rate, 1e300, begun);
        assert_eq!(bucket.wait(rate, begun), Some(WAIT_MAX));
    }

    #[test]
    fn one_key_over_its_rate_takes_from_none() {
        let now = Instant::now();
        let mut buckets = Buckets::new(RATE, 10, now);
        let costs = |costs: &[(&str, u64)]| -> Vec<(String, u64)> {
            costs.iter().map(|(key, cost)| ((*key).to_owned(), *cost)).collect()
        };
        assert_eq!(buckets.take_all(&costs(&[("shop", 199), ("crm", 200)]), now), Ok(()));
        let (index, wait) = buckets.take_all(&costs(&[("shop", 5), ("crm", 5)]), now).unwrap_err();
        assert_eq!((index, wait), (1, seconds(0.01)));
        // The shop was not charged for it.
        assert_eq!(buckets.take_all(&costs(&[("shop", 1)]), now), Ok(()));
        assert!(buckets.take_all(&costs(&[("shop", 1)]), now).is_err());
    }

    #[test]
    fn keys_are_bounded_and_the_rest_share_one_bucket() {
        let now = Instant::now();
        let mut buckets = Buckets::new(RATE, 2, now);
        for key in ["a", "b", "c"] {
            assert_eq!(buckets.take_all(&[(key.to_owned(), 200)], now), Ok(()), "{key}");
        }
        assert_eq!(buckets.keys(), 2);
        // Taken by `c`.
        assert!(buckets.take_all(&[("d".to_owned(), 1)], now).is_err());
        // Full again, they are forgotten, and others may have them.
        let later = now + SWEEP_INTERVAL;
        assert_eq!(buckets.take_all(&[("d".to_owned(), 1)], later), Ok(()));
        assert_eq!(buckets.keys(), 1);
    }

    proptest! {
        /// Over any run of requests no more than the rate allows is taken, but for the burst and
        /// the one request that went into debt.
        #[test]
        fn the_mean_never_exceeds_the_rate(
            requests in prop::collection::vec((0_u64..500, 1_u32..400), 1..200),
        ) {
            let begun = Instant::now();
            let mut bucket = Bucket::full(begun);
            let (mut now, mut taken, mut last) = (begun, 0.0, 0.0);
            for (pause_ms, cost) in requests {
                now += Duration::from_millis(pause_ms);
                let cost = f64::from(cost);
                if bucket.take(RATE, cost, now).is_ok() {
                    taken += cost;
                    last = cost;
                }
            }
            let elapsed = now.saturating_duration_since(begun).as_secs_f64();
            let most = RATE.capacity() + RATE.per_second * elapsed + last + 1e-6;
            prop_assert!(taken <= most, "{taken} > {most}");
        }

        /// Who waits as long as it was told is served.
        #[test]
        fn a_wait_is_long_enough(cost in 1_u32..100_000) {
            let begun = Instant::now();
            let mut bucket = Bucket::full(begun);
            bucket.spend(RATE, f64::from(cost), begun);
            if let Some(wait) = bucket.wait(RATE, begun) {
                prop_assert_eq!(bucket.wait(RATE, begun + wait), None);
            }
        }
    }
}
