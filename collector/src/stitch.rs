//! From what inserts touched to derived orders: a merging mailbox, the stitch task, the sweep.
//!
//! The mailbox forgets nothing that the store does not know: what is lost with the process, or
//! does not fit, is found by a sweep from the facts themselves, of this collector or another.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daemon::{Stop, Watch, log};
use order_store::{Progress, Stitched, Stitcher, StoreError, SweepState, Touched};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::metrics::CollectorMetrics;
use crate::settings::StitchSettings;

/// Wait after a failed derivation before the same orders are tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Successes after which chunks that were halved to nothing are whole again.
const CHUNK_GROWTH_STEPS: usize = 50;
/// How often the end of the stitch task is looked for at the stop.
const EMPTIED_POLL: Duration = Duration::from_millis(20);
/// How often open orders are merged and those that ended long ago let go.
const TIDY_INTERVAL: Duration = Duration::from_secs(3_600);
/// How often a long sweep says that it goes on.
const SPEAKS_EVERY: Duration = Duration::from_secs(5);
/// How often an idle stitch task says that it is well.
const IDLE_REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Orders and traces that wait to be derived again.
#[derive(Debug)]
pub struct Mailbox {
    pending: Mutex<Pending>,
    arrived: Notify,
    overflowed: Notify,
    pending_max: usize,
    metrics: CollectorMetrics,
}

#[derive(Debug, Default)]
struct Pending {
    touched: Touched,
    /// When the oldest of it was touched.
    since: Option<Instant>,
    /// The same of what is being derived.
    deriving_since: Option<Instant>,
    /// The same of what did not fit and is left to the next sweep.
    overflowed_since: Option<Instant>,
    /// The same of what the sweep under way looks for. It may be past what overflows meanwhile.
    sweeping_since: Option<Instant>,
    closed: bool,
}

/// Longest pause after a small derivation. It costs much the same for one order as for hundreds, so
/// the pause, as long as the derivation took, lets touched orders gather: the store spends at most
/// half of its time on deriving. After an idle time there is no pause.
const GATHER_MAX: Duration = Duration::from_millis(250);
/// From so many orders on a derivation costs by the order, and waiting for more saves nothing.
const SMALL_ORDERS: usize = 1_000;

/// What the stitch task does next.
enum Next {
    Stitch(Touched, Instant),
    Wait,
    End,
}

impl Mailbox {
    /// An empty mailbox that holds at most `pending_max` ids.
    #[must_use]
    pub fn new(pending_max: usize, metrics: CollectorMetrics) -> Self {
        Self {
            pending: Mutex::default(),
            arrived: Notify::new(),
            overflowed: Notify::new(),
            pending_max,
            metrics,
        }
    }

    /// Adds what was touched just now.
    pub fn put(&self, touched: Touched) {
        self.put_since(touched, Instant::now());
    }

    /// Adds what an insert touched: `since` lies before its rows came into the store. A full mailbox
    /// is emptied and a sweep replaces it, so that this never waits and never loses.
    pub fn put_since(&self, touched: Touched, since: Instant) {
        if touched.is_empty() {
            return;
        }
        let mut pending = self.lock();
        pending.since = earliest(pending.since, Some(since));
        pending.touched.merge(touched);
        if pending.touched.len() > self.pending_max {
            pending.touched = Touched::default();
            pending.overflowed_since = earliest(pending.overflowed_since, pending.since.take());
            self.metrics.stitch_overflows.inc();
            self.overflowed.notify_one();
        }
        self.show(&pending);
        drop(pending);
        self.arrived.notify_one();
    }

    /// Says that nothing more will be put: the stitch task ends when the mailbox is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Age of the oldest touch that is not derived yet.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let pending = self.lock();
        let oldest = earliest(pending.since, pending.deriving_since);
        let oldest = earliest(oldest, pending.left_to_sweeps());
        let lag = oldest.map_or(Duration::ZERO, |since| since.elapsed());
        self.metrics.stitch_lag_seconds.set(lag.as_secs_f64());
        lag
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, pending: &Pending) {
        let size = i64::try_from(pending.touched.len()).unwrap_or(i64::MAX);
        self.metrics.stitch_pending.set(size);
    }

    fn next(&self, chunk_max: usize) -> Next {
        let mut pending = self.lock();
        if pending.touched.is_empty() {
            return if pending.closed { Next::End } else { Next::Wait };
        }
        let since = pending.since.take().unwrap_or_else(Instant::now);
        let chunk = pending.touched.take(chunk_max);
        if !pending.touched.is_empty() {
            pending.since = Some(since);
        }
        pending.deriving_since = Some(since);
        self.show(&pending);
        Next::Stitch(chunk, since)
    }

    fn derived(&self) {
        self.lock().deriving_since = None;
    }

    /// Waits until a closed mailbox is empty and its last chunk derived.
    async fn emptied(&self) {
        while !self.is_done() {
            tokio::time::sleep(EMPTIED_POLL).await;
        }
    }

    fn is_done(&self) -> bool {
        let pending = self.lock();
        pending.closed && pending.deriving_since.is_none() && pending.touched.is_empty()
    }

    /// A sweep begins: whether something did not fit, for which it must look. What overflows from
    /// now on is the next one's.
    fn sweeps(&self) -> bool {
        let mut pending = self.lock();
        pending.sweeping_since = pending.left_to_sweeps();
        pending.overflowed_since = None;
        pending.sweeping_since.is_some()
    }

    /// The sweep is over; one that failed leaves what it looked for to the next.
    fn swept(&self, has_found_all: bool) {
        let mut pending = self.lock();
        let sought = pending.sweeping_since.take().filter(|_| !has_found_all);
        pending.overflowed_since = earliest(pending.overflowed_since, sought);
    }

    /// Whether something did not fit and was not found yet.
    fn leaves_to_sweeps(&self) -> bool {
        self.lock().left_to_sweeps().is_some()
    }
}

impl Pending {
    fn left_to_sweeps(&self) -> Option<Instant> {
        earliest(self.overflowed_since, self.sweeping_since)
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Derives what is put into the mailbox, at once, until it is closed and empty.
///
/// After a failure chunks are halved and grow again with success. What the store refuses for good
/// is given up until it is touched again, so that it holds up nobody but itself.
pub async fn run(
    mailbox: &Mailbox,
    stitcher: &Stitcher,
    settings: &StitchSettings,
    watch: &Watch,
    metrics: &CollectorMetrics,
) {
    let mut failing = false;
    let mut chunk_max = settings.stitch_chunk_max;
    loop {
        let (chunk, since) = match mailbox.next(chunk_max) {
            Next::Stitch(chunk, since) => (chunk, since),
            Next::End => return,
            Next::Wait => {
                watch.progressed();
                // Idle is progress, too, and is reported.
                let waited = mailbox.arrived.notified();
                let _ = tokio::time::timeout(IDLE_REPORT_INTERVAL, waited).await;
                continue;
            }
        };
        let begun = Instant::now();
        match stitcher.stitch_telling(&chunk, since.elapsed(), || watch.progressed()).await {
            Ok(stitched) => {
                mailbox.derived();
                metrics.stitch_seconds.observe(since.elapsed().as_secs_f64());
                metrics.stitched_orders.inc_by(stitched.orders as u64);
                metrics.stitch_refused.inc_by(stitched.refused as u64);
                watch.progressed();
                failing = false;
                let step = settings.stitch_chunk_max.div_ceil(CHUNK_GROWTH_STEPS);
                chunk_max = (chunk_max + step).min(settings.stitch_chunk_max);
                if stitched.orders < SMALL_ORDERS && !mailbox.lock().closed {
                    tokio::time::sleep(begun.elapsed().min(GATHER_MAX)).await;
                }
            }
            Err(error) => {
                note_failure(&error, "orders not derived; trying again", watch, metrics, failing);
                failing = true;
                chunk_max = (chunk_max / 2).max(1);
                if chunk.len() > 1 || !error.is_of_the_data() {
                    mailbox.put_since(chunk, since);
                } else {
                    metrics.stitch_refused.inc();
                    tracing::error!(touched = ?chunk, "not derived, and given up");
                }
                mailbox.derived();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// A stitcher that the others know.
#[derive(Debug)]
pub struct Sweeper {
    stitcher: Stitcher,
    state: SweepState,
}

impl Sweeper {
    /// Makes a stitcher known in the store; nothing, if the stop comes first. Nothing may be inserted
    /// before: what a process that nobody knows takes with it is nobody's to find.
    pub async fn make_known(stitcher: Stitcher, watch: &Watch, stop: &Stop) -> Option<Self> {
        let mut state = SweepState::new(Uuid::now_v7().to_string());
        while let Err(error) = stitcher.begin(&mut state).await {
            watch.failed(log::chain(&error));
            if !stop.sleep(RETRY_PAUSE).await {
                return None;
            }
        }
        Some(Self { stitcher, state })
    }
}

/// Sweeps once at start, then at every interval or when the mailbox overflowed, until the stop;
/// says each time how far this collector has come. `unsent` is the age of the oldest answer that is
/// not known to be in the store.
pub async fn sweep(
    sweeper: Sweeper,
    mailbox: &Mailbox,
    unsent: &(impl Fn() -> Duration + Sync),
    settings: &StitchSettings,
    watch: &Watch,
    metrics: &CollectorMetrics,
    stop: &Stop,
) {
    let Sweeper { ref stitcher, mut state } = sweeper;
    let mut failing = false;
    let mut tidied = Instant::now();
    while !stop.is_stopped() {
        let mut pause = settings.sweep_interval;
        match sweep_once(mailbox, unsent, stitcher, &mut state).await {
            Ok(stitched) => {
                metrics.swept_orders.inc_by(stitched.orders as u64);
                metrics.stitch_refused.inc_by(stitched.refused as u64);
                watch.progressed();
                failing = false;
            }
            Err(error) => {
                note_failure(&error, "sweep failed; trying again", watch, metrics, failing);
                failing = true;
                // Readiness is not to wait for the next interval.
                pause = pause.min(RETRY_PAUSE);
            }
        }
        if tidied.elapsed() > TIDY_INTERVAL {
            tidied = Instant::now();
            let spoken = state.clone();
            let tidying = stitcher.tidy();
            if let Err(error) = speaking(stitcher, &spoken, mailbox, unsent, tidying).await {
                tracing::warn!(error = log::chain(&error), "open orders not tidied");
            }
        }
        tokio::select! {
            () = stop.stopped() => {}
            () = tokio::time::sleep(pause) => {}
            () = mailbox.overflowed.notified() => {}
        }
    }
    mailbox.emptied().await;
    // What is in doubt, or did not fit, is another's to find: it begins where this one was last said
    // to be.
    if unsent() > Duration::ZERO || mailbox.leaves_to_sweeps() {
        return;
    }
    let last = Progress { lag_ms: 0, stopped: true };
    if let Err(error) = stitcher.report(&state, last).await {
        tracing::warn!(error = log::chain(&error), "the stop is not known to other collectors");
    }
}

async fn sweep_once(
    mailbox: &Mailbox,
    unsent: &impl Fn() -> Duration,
    stitcher: &Stitcher,
    state: &mut SweepState,
) -> Result<Stitched, StoreError> {
    let has_overflowed = mailbox.sweeps();
    if has_overflowed {
        state.begin_again();
    }
    // Also one whose takeovers fail is there, and has stitched what it says.
    let speaks = state.has_begun() || has_overflowed;
    let sweeping = async {
        if speaks {
            stitcher.report(state, progress(mailbox, unsent)).await?;
        }
        let spoken = state.clone();
        let sweeping = stitcher.sweep(state);
        speaking(stitcher, &spoken, mailbox, unsent, sweeping).await
    };
    let swept = sweeping.await;
    mailbox.swept(swept.is_ok());
    let stitched = swept?;
    if !speaks {
        stitcher.report(state, progress(mailbox, unsent)).await?;
    }
    Ok(stitched)
}

fn progress(mailbox: &Mailbox, unsent: &impl Fn() -> Duration) -> Progress {
    // An insert in doubt may have been done at any time since its data was answered.
    let lag = mailbox.lag().max(unsent());
    let lag_ms = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
    Progress { lag_ms, stopped: false }
}

/// Does that, and says meanwhile that this stitcher is there: the others take one that says nothing
/// for dead, and would all do its work.
async fn speaking<T>(
    stitcher: &Stitcher,
    spoken: &SweepState,
    mailbox: &Mailbox,
    unsent: &impl Fn() -> Duration,
    doing: impl Future<Output = T>,
) -> T {
    let mut doing = std::pin::pin!(doing);
    loop {
        tokio::select! {
            done = &mut doing => return done,
            () = tokio::time::sleep(SPEAKS_EVERY) => {}
        }
        let told = stitcher.report(spoken, progress(mailbox, unsent));
        let told = tokio::select! {
            done = &mut doing => return done,
            told = told => told,
        };
        if let Err(error) = told {
            tracing::debug!(error = log::chain(&error), "not said how far this collector is");
        }
    }
}

fn note_failure(
    error: &StoreError,
    what: &'static str,
    watch: &Watch,
    metrics: &CollectorMetrics,
    failing: bool,
) {
    metrics.stitch_failures.inc();
    let chain = log::chain(error);
    // The first of a row is news, the others only counted.
    if failing {
        tracing::debug!(error = chain, "{what}");
    } else {
        tracing::warn!(error = chain, "{what}");
    }
    watch.failed(chain);
}

#[cfg(test)]
mod tests {
    use daemon::Metrics;

    use super::*;

    fn touched(orders: &[&str], traces: &[&str]) -> Touched {
        let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Touched { orders: own(orders), carriers: own(traces), ..Touched::default() }
    }

    fn mailbox(pending_max: usize) -> Mailbox {
        Mailbox::new(pending_max, CollectorMetrics::new(&Metrics::new("collector", "0")))
    }

    #[test]
    fn repeats_merge_and_chunks_are_bounded() {
        let mailbox = mailbox(10);
        mailbox.put(touched(&["b", "a"], &["t"]));
        mailbox.put(touched(&["a"], &["t"]));
        let mut chunks = Vec::new();
        while let Next::Stitch(chunk, _) = mailbox.next(2) {
            chunks.push(chunk);
        }
        assert_eq!(chunks, [touched(&["a", "b"], &[]), touched(&[], &["t"])]);
        assert!(matches!(mailbox.next(2), Next::Wait));
        mailbox.close();
        assert!(matches!(mailbox.next(2), Next::End));
    }

    #[tokio::test]
    async fn a_full_mailbox_asks_for_a_sweep() {
        let mailbox = mailbox(2);
        mailbox.put(touched(&["a", "b", "c"], &[]));
        assert!(matches!(mailbox.next(9), Next::Wait));
        assert_eq!(mailbox.metrics.stitch_overflows.get(), 1);
        mailbox.overflowed.notified().await;
    }

    /// A sweep goes through the orders by name: what overflows while it does may lie behind it.
    #[test]
    fn what_overflows_during_a_sweep_is_left_to_the_next() {
        let mailbox = mailbox(2);
        let overflow = || mailbox.put(touched(&["a", "b", "c"], &[]));
        assert!(!mailbox.sweeps());
        mailbox.swept(true);
        overflow();
        assert!(mailbox.sweeps());
        overflow();
        mailbox.swept(true);
        assert!(mailbox.lag() > Duration::ZERO && mailbox.leaves_to_sweeps());
        // One that fails has found nothing.
        assert!(mailbox.sweeps());
        mailbox.swept(false);
        assert!(mailbox.leaves_to_sweeps());
        assert!(mailbox.sweeps());
        assert!(mailbox.leaves_to_sweeps(), "not found yet");
        mailbox.swept(true);
        assert!(!mailbox.leaves_to_sweeps() && mailbox.lag().is_zero());
    }
}
