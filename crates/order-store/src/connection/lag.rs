//! How far a replica is behind, measured from the data, and which replica to read. Pure.
//!
//! A watermark is a number that only grows as rows come in: the latest time of receipt that the
//! store knows, or until when orders are stitched, in milliseconds. A replica that has not reached
//! a watermark is as late as it is since the primary was first seen with it. So an idle store has
//! no lag, however long ago its last row came.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Watermarks kept. Past it pairs are merged, keeping the earlier time and the later watermark: a
/// lag is then taken for longer than it is, never for shorter.
const SAMPLES_MAX: usize = 512;

/// Watermarks that are followed; a replica is as late as it is by the worst of them.
pub(super) const WATERMARKS: usize = 2;

/// The histories of all watermarks.
#[derive(Debug, Default)]
pub(super) struct Histories([History; WATERMARKS]);

impl Histories {
    /// The primary was seen with those watermarks.
    pub(super) fn saw(&mut self, at: Instant, watermarks: [i64; WATERMARKS]) {
        for (history, watermark) in self.0.iter_mut().zip(watermarks) {
            history.saw(at, watermark);
        }
    }

    /// How far a replica with those watermarks is behind.
    pub(super) fn lag(&self, now: Instant, watermarks: [i64; WATERMARKS]) -> Duration {
        let each = self.0.iter().zip(watermarks);
        each.map(|(history, watermark)| history.lag(now, watermark)).max().unwrap_or_default()
    }
}

/// Which values of a watermark the primary had, and since when.
#[derive(Debug, Default)]
struct History {
    samples: VecDeque<(Instant, i64)>,
}

impl History {
    /// The primary was seen with that watermark.
    fn saw(&mut self, at: Instant, watermark: i64) {
        match self.samples.back() {
            Some((_, newest)) if *newest == watermark => return,
            // Less than before: another store stands there now, and what was known is void.
            Some((_, newest)) if *newest > watermark => self.samples.clear(),
            _ => {}
        }
        if self.samples.len() == SAMPLES_MAX {
            let merged: Vec<_> = self.samples.iter().copied().collect();
            self.samples = merged
                .chunks(2)
                .filter_map(|pair| Some((pair.first()?.0, pair.last()?.1)))
                .collect();
        }
        self.samples.push_back((at, watermark));
    }

    /// How far a replica with that watermark is behind.
    fn lag(&self, now: Instant, watermark: i64) -> Duration {
        let missing = self.samples.iter().position(|(_, primary)| *primary > watermark);
        let Some((index, (since, primary))) =
            missing.and_then(|at| Some((at, self.samples.get(at)?)))
        else {
            return Duration::ZERO;
        };
        let waited = now.saturating_duration_since(*since);
        if index > 0 {
            return waited;
        }
        // It misses what the primary had when it was first seen: for how long, only the
        // watermarks can say. After a pause in the data that is more than the truth.
        let between = u64::try_from(primary.saturating_sub(watermark)).unwrap_or(0);
        waited.max(Duration::from_millis(between))
    }
}

/// What is known of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaHealth {
    /// It has not been asked yet.
    Unknown,
    /// It does not answer, has no schema, or is cut off from replication.
    Down,
    /// It answers and is this far behind.
    Behind(Duration),
}

/// The replica to read: the one that was read before while it is fit, so that a page and the next
/// agree; else the least behind, the first of equals. None: the primary.
pub(super) fn choose(
    health: &[ReplicaHealth],
    current: Option<usize>,
    not: Option<usize>,
    lag_max: Duration,
) -> Option<usize> {
    let lag = |index: usize| match health.get(index) {
        Some(ReplicaHealth::Behind(lag)) if *lag <= lag_max && Some(index) != not => Some(*lag),
        _ => None,
    };
    let least = (0..health.len()).filter_map(|at| Some((lag(at)?, at))).min()?;
    let margin = lag_max / 4;
    let stays = current.filter(|at| lag(*at).is_some_and(|lag| lag <= least.0 + margin));
    stays.or(Some(least.1))
}

#[cfg(test)]
mod tests {
    use super::ReplicaHealth::{Behind, Down, Unknown};
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_replica_is_late_since_the_primary_had_what_it_lacks() {
        let begun = Instant::now();
        let mut history = History::default();
        assert_eq!(history.lag(begun, 0), Duration::ZERO, "an empty store has no lag");
        history.saw(begun, 1_000);
        history.saw(begun + seconds(3_600), 3_601_000);
        history.saw(begun + seconds(3_601), 3_601_000);
        history.saw(begun + seconds(3_602), 3_602_000);
        let now = begun + seconds(3_605);
        let cases = [
            (3_602_000, seconds(0)),
            (4_000_000, seconds(0)),
            // After an hour without data it lacks the first row: five seconds late, not an hour.
            (1_000, seconds(5)),
            (3_601_000, seconds(3)),
            (0, seconds(3_605)),
        ];
        for (watermark, expected) in cases {
            assert_eq!(history.lag(now, watermark), expected, "{watermark}");
        }
    }

    #[test]
    fn a_replica_that_was_behind_before_we_looked_is_known_by_its_data() {
        let begun = Instant::now();
        let mut history = History::default();
        history.saw(begun, 100_000);
        assert_eq!(history.lag(begun, 40_000), seconds(60));
    }

    #[test]
    fn a_primary_made_anew_begins_a_new_history() {
        let begun = Instant::now();
        let mut history = History::default();
        history.saw(begun, 100_000);
        history.saw(begun, 0);
        assert_eq!(history.lag(begun, 0), Duration::ZERO);
    }

    #[test]
    fn a_full_history_never_makes_a_lag_shorter() {
        let begun = Instant::now();
        let mut history = History::default();
        let samples = 3 * SAMPLES_MAX as u64;
        for n in 0..samples {
            history.saw(begun + seconds(n), i64::try_from(n).unwrap() * 1_000);
        }
        assert!(history.samples.len() <= SAMPLES_MAX);
        let now = begun + seconds(samples);
        for behind in 0..samples {
            let watermark = i64::try_from(samples - 1 - behind).unwrap() * 1_000;
            let lag = history.lag(now, watermark);
            assert!(lag >= seconds(behind), "{behind}: {lag:?}");
        }
    }

    #[test]
    fn the_least_late_is_read_and_kept() {
        let behind = |n| Behind(seconds(n));
        type Case = (Vec<ReplicaHealth>, Option<usize>, Option<usize>, Option<usize>);
        let cases: [Case; 9] = [
            (vec![], None, None, None),
            (vec![Unknown, Down], None, None, None),
            (vec![behind(5), behind(2)], None, None, Some(1)),
            (vec![behind(2), behind(2)], None, None, Some(0)),
            (vec![behind(0), behind(7)], Some(1), None, Some(1)),
            (vec![behind(0), behind(8)], Some(1), None, Some(0)),
            (vec![behind(31), Down], Some(0), None, None),
            (vec![behind(3), Down], Some(1), None, Some(0)),
            (vec![behind(0), behind(1)], Some(0), Some(0), Some(1)),
        ];
        for (health, current, not, expected) in cases {
            assert_eq!(choose(&health, current, not, seconds(30)), expected, "{health:?}");
        }
    }
}
