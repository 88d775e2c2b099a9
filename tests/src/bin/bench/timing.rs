//! Times of many repeats, as the few figures that are quoted.

use std::time::Duration;

/// Times, to be told in percentiles.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    times: Vec<Duration>,
}

impl Timing {
    pub(crate) fn push(&mut self, time: Duration) {
        self.times.push(time);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.times.append(&mut other.times);
    }

    /// `p50 1.2 ms, p99 3.4 ms, max 5.6 ms (300 times)`.
    pub(crate) fn line(&self) -> String {
        if self.times.is_empty() {
            return "not asked".to_owned();
        }
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let at = |percent: usize| -> f64 {
            let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        let (p50, p99, max) = (at(50), at(99), at(100));
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms ({} times)", sorted.len())
    }
}
