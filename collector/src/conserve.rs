//! Conservation: what the facts name is what the board counts, checked all the time.

use std::time::{Duration, Instant};

use daemon::{Stop, log};
use order_store::{Conservation, Stitcher, StoreError};
use uuid::Uuid;

use crate::metrics::CollectorMetrics;
use crate::stitch::Mailbox;

/// Pauses between two checks of conservation.
const CHECK_PAUSE_MIN: Duration = Duration::from_secs(1);
const CHECK_PAUSE_MAX: Duration = Duration::from_secs(120);
/// A check that finds what the last one found is written down this often.
const CHECK_RECORDED_INTERVAL: Duration = Duration::from_secs(30);
/// A difference that lasts this long while nothing waits is mended.
const MENDED_AFTER_IDLE: Duration = Duration::from_secs(15);
/// A difference that lasts this long is mended although orders wait, if the stitchers keep up:
/// where orders come without a pause, something always waits, and nearly every check finds some.
const MENDED_AFTER: Duration = Duration::from_secs(3_600);
/// A stitcher that lags no further keeps up.
const KEEPS_UP_LAG: Duration = Duration::from_secs(60);
/// How long a difference is left to the collector that mends, before it is asked again who that is.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(60);
/// Mending goes through all orders: the pause after it is at least this, and so many times as long
/// as it took.
const MENDING_PAUSE: Duration = Duration::from_secs(600);
const MENDING_PAUSE_TIMES: u32 = 20;

/// Checks again and again that what the facts name is what the board counts. Reading all facts has
/// its price, so the pause is twenty times as long as the check took.
pub async fn run(mailbox: &Mailbox, stitcher: &Stitcher, metrics: &CollectorMetrics, stop: &Stop) {
    let checker = Uuid::now_v7().to_string();
    let mut recorded: Option<(Conservation, bool, Instant)> = None;
    let (mut patience, mut differing) = (Patience::default(), Differing::default());
    loop {
        let begun = Instant::now();
        let lag = mailbox.lag();
        // Another's backlog is no loss, either.
        let checked = async {
            Ok::<_, StoreError>((stitcher.conservation().await?, stitcher.lag_of_all().await?))
        };
        match checked.await {
            Ok((found, lag_of_all)) => {
                let lag = lag.max(lag_of_all);
                metrics.conserved(found);
                let ends = patience.ends(found.difference, lag, begun);
                let unexplained = differing.unexplained(found.difference, lag, begun);
                let is_late = unexplained > MENDED_AFTER_IDLE;
                let news = recorded.is_none_or(|(last, was_late, at)| {
                    (last, was_late) != (found, is_late) || at.elapsed() > CHECK_RECORDED_INTERVAL
                });
                if news && stitcher.record_conservation(&checker, found, unexplained).await.is_ok()
                {
                    recorded = Some((found, is_late, Instant::now()));
                }
                if ends {
                    // One of all collectors does it.
                    if stitcher.checks_first(&checker).await.unwrap_or(false) {
                        mend(stitcher, found, lag).await;
                        patience.begin_again(begun, Instant::now());
                    } else {
                        patience.leave(Instant::now());
                    }
                }
            }
            Err(error) => {
                tracing::debug!(error = log::chain(&error), "conservation not checked");
            }
        }
        let pause = (begun.elapsed() * 20).clamp(CHECK_PAUSE_MIN, CHECK_PAUSE_MAX);
        if !stop.sleep(pause).await {
            return;
        }
    }
}

/// How long a difference is looked at before it is mended: nearly all of them go away when what
/// waits is derived.
#[derive(Debug, Default)]
struct Patience {
    /// Since when the sum has not come out.
    differed_since: Option<Instant>,
    /// The same while nothing waited.
    idle_since: Option<Instant>,
    /// Nothing is mended before.
    not_before: Option<Instant>,
}

impl Patience {
    /// A check that began `now` found this difference while the oldest touch was so old.
    fn ends(&mut self, difference: i64, lag: Duration, now: Instant) -> bool {
        if difference == 0 || lag > KEEPS_UP_LAG {
            (self.differed_since, self.idle_since) = (None, None);
            return false;
        }
        let since = |since: Instant| now.saturating_duration_since(since);
        let differed = since(*self.differed_since.get_or_insert(now));
        let idle = if lag.is_zero() {
            since(*self.idle_since.get_or_insert(now))
        } else {
            self.idle_since = None;
            Duration::ZERO
        };
        let lasts = idle > MENDED_AFTER_IDLE || differed > MENDED_AFTER;
        lasts && self.not_before.is_none_or(|at| now >= at)
    }

    /// Another is to mend it; whether it is still there is asked again soon.
    fn leave(&mut self, now: Instant) {
        *self = Self { not_before: now.checked_add(LEFT_TO_OTHERS), ..Self::default() };
    }

    fn begin_again(&mut self, begun: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(begun);
        let pause = took.saturating_mul(MENDING_PAUSE_TIMES).max(MENDING_PAUSE);
        *self = Self { not_before: ended.checked_add(pause), ..Self::default() };
    }
}

/// Since when the sum has not come out, whoever tries to mend it.
#[derive(Debug, Default)]
struct Differing {
    since: Option<Instant>,
    idle_since: Option<Instant>,
}

impl Differing {
    /// How long the sum has not come out although nothing waited, or, where something always waits,
    /// has not come out once, if that is longer than orders may be on their way.
    fn unexplained(&mut self, difference: i64, lag: Duration, now: Instant) -> Duration {
        if difference == 0 {
            *self = Self::default();
            return Duration::ZERO;
        }
        let passed = |since: Instant| now.saturating_duration_since(since);
        let differs = passed(*self.since.get_or_insert(now));
        if !lag.is_zero() {
            self.idle_since = None;
            return if differs > MENDED_AFTER { differs } else { Duration::ZERO };
        }
        passed(*self.idle_since.get_or_insert(now))
    }
}

/// The sum does not come out, and has not for a while: counts are made anew.
async fn mend(stitcher: &Stitcher, found: Conservation, lag: Duration) {
    let Conservation { named, derived, merged, difference } = found;
    if lag.is_zero() {
        tracing::warn!(
            named,
            derived,
            merged,
            difference,
            "orders of the board are not those of the facts; counting again and deriving what was \
             missed. If it lasts, run `collector restitch`"
        );
    } else {
        tracing::info!(difference, "counting again, in case more than what waits is missing");
    }
    let mended = async {
        stitcher.recount_all().await?;
        stitcher.derive_missed().await
    };
    match mended.await {
        Ok(stitched) => tracing::info!(orders = stitched.orders, "orders that were missed derived"),
        Err(error) => tracing::warn!(error = log::chain(&error), "conservation not mended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a difference that is found every second is mended, seconds after the first check.
    fn mended_at(
        difference: impl Fn(u64) -> i64,
        lag: impl Fn(u64) -> u64,
        until: u64,
    ) -> Vec<u64> {
        let (begun, mut patience, mut mended) = (Instant::now(), Patience::default(), Vec::new());
        for second in 0..until {
            let now = begun + Duration::from_secs(second);
            if patience.ends(difference(second), Duration::from_millis(lag(second)), now) {
                patience.begin_again(now, now + Duration::from_secs(1));
                mended.push(second);
            }
        }
        mended
    }

    #[test]
    fn a_difference_that_lasts_is_mended_and_one_that_goes_away_is_not() {
        let always = |_| 3;
        assert_eq!(mended_at(|_| 0, |_| 0, 2_000), [] as [u64; 0], "it comes out");
        assert_eq!(mended_at(always, |_| 0, 700), [16, 617], "nothing waits");
        assert_eq!(mended_at(always, |_| 900, 7_300), [3_601, 7_203], "something always waits");
        assert_eq!(mended_at(always, |second| 900 * (second % 2), 4_000), [3_601], "now and then");
        assert_eq!(mended_at(always, |_| 61_000, 2_000), [] as [u64; 0], "it lags");
        let at_times = |second| i64::from(second % 15 != 0);
        assert_eq!(mended_at(at_times, |_| 0, 2_000), [] as [u64; 0], "it comes out at times");
    }

    #[test]
    fn a_difference_is_explained_by_what_waits() {
        let (begun, mut differing) = (Instant::now(), Differing::default());
        let at = |seconds| begun + Duration::from_secs(seconds);
        for (second, difference, lag_ms, unexplained_s) in [
            (0, 3, 0, 0),
            (9, 3, 0, 9),
            (10, 3, 700, 0),
            (11, 3, 0, 0),
            (15, 2, 0, 4),
            (20, 0, 0, 0),
            (30, 1, 700, 0),
            (3_630, 5, 700, 0),
            // Something always waits.
            (3_631, 1, 700, 3_601),
            (3_640, 0, 700, 0),
            (3_641, 1, 700, 0),
        ] {
            let lag = Duration::from_millis(lag_ms);
            let found = differing.unexplained(difference, lag, at(second));
            assert_eq!(found, Duration::from_secs(unexplained_s), "at {second} s");
        }
    }

    #[test]
    fn what_took_long_is_not_done_again_soon() {
        let (begun, mut patience) = (Instant::now(), Patience::default());
        let at = |seconds| begun + Duration::from_secs(seconds);
        patience.begin_again(begun, at(60));
        assert!(!patience.ends(1, Duration::ZERO, at(100)));
        assert!(!patience.ends(1, Duration::ZERO, at(60 + 20 * 60 - 1)));
        assert!(patience.ends(1, Duration::ZERO, at(60 + 20 * 60)));
        patience.leave(at(2_000));
        assert!(!patience.ends(1, Duration::ZERO, at(2_040)));
        assert!(patience.ends(1, Duration::ZERO, at(2_060)));
    }
}
