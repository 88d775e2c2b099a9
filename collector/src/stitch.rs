//! From what inserts touched to derived orders: a merging mailbox, the stitch task, the sweep.
//!
//! The mailbox forgets nothing that the store does not know: what is lost with the process, or
//! does not fit, is found by the sweep from the facts themselves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daemon::{Stop, Watch, log};
use order_store::{Stitcher, StoreError, SweepState, Touched};
use tokio::sync::Notify;

use crate::metrics::CollectorMetrics;
use crate::settings::StitchSettings;

/// Wait after a failed derivation before the same orders are tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Successes after which chunks that were halved to nothing are whole again.
const CHUNK_GROWTH_STEPS: usize = 50;
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
    since: Option<Instant>,
    closed: bool,
}

/// Longest pause after a derivation. A derivation costs much the same for one order as for
/// hundreds, so the pause, as long as the derivation took, lets touched orders gather: under load
/// the store spends at most half of its time on deriving. After an idle time there is no pause.
const GATHER_MAX: Duration = Duration::from_millis(250);

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

    /// Adds what an insert touched. A full mailbox is emptied and a sweep over everything
    /// replaces it, so that this never waits and never loses.
    pub fn put(&self, touched: Touched) {
        if touched.is_empty() {
            return;
        }
        let mut pending = self.lock();
        pending.since.get_or_insert_with(Instant::now);
        pending.touched.merge(touched);
        if size(&pending.touched) > self.pending_max {
            pending.touched = Touched::default();
            pending.since = None;
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

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, pending: &Pending) {
        let size = i64::try_from(size(&pending.touched)).unwrap_or(i64::MAX);
        self.metrics.stitch_pending.set(size);
    }

    fn next(&self, chunk_max: usize) -> Next {
        let mut pending = self.lock();
        if pending.touched.is_empty() {
            return if pending.closed { Next::End } else { Next::Wait };
        }
        let since = pending.since.take().unwrap_or_else(Instant::now);
        let chunk = take_chunk(&mut pending.touched, chunk_max);
        if !pending.touched.is_empty() {
            pending.since = Some(since);
        }
        self.show(&pending);
        Next::Stitch(chunk, since)
    }
}

fn size(touched: &Touched) -> usize {
    touched.orders.len() + touched.traces.len()
}

/// Takes at most `chunk_max` ids: orders first, then traces.
fn take_chunk(touched: &mut Touched, chunk_max: usize) -> Touched {
    let mut chunk = Touched::default();
    while size(&chunk) < chunk_max {
        if let Some(order) = touched.orders.pop_first() {
            chunk.orders.insert(order);
        } else if let Some(trace) = touched.traces.pop_first() {
            chunk.traces.insert(trace);
        } else {
            break;
        }
    }
    chunk
}

/// Derives what is put into the mailbox, at once, until it is closed and empty.
///
/// After a failure chunks are halved and grow again with success. A single order that the store
/// refuses for good is left to the sweep, so that it holds up nobody but itself.
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
        match stitcher.stitch(&chunk).await {
            Ok(stitched) => {
                metrics.stitch_seconds.observe(since.elapsed().as_secs_f64());
                metrics.stitched_orders.inc_by(stitched.orders as u64);
                watch.progressed();
                failing = false;
                let step = settings.stitch_chunk_max.div_ceil(CHUNK_GROWTH_STEPS);
                chunk_max = (chunk_max + step).min(settings.stitch_chunk_max);
                if !mailbox.lock().closed {
                    tokio::time::sleep(begun.elapsed().min(GATHER_MAX)).await;
                }
            }
            Err(error) => {
                note_failure(&error, "orders not derived; trying again", watch, metrics, failing);
                failing = true;
                chunk_max = (chunk_max / 2).max(1);
                if size(&chunk) > 1 || error.is_retryable() {
                    mailbox.put(chunk);
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Sweeps once at start, then at every interval or when the mailbox overflowed, until the stop.
pub async fn sweep(
    mailbox: &Mailbox,
    stitcher: &Stitcher,
    settings: &StitchSettings,
    watch: &Watch,
    metrics: &CollectorMetrics,
    stop: &Stop,
) {
    let mut state = SweepState::default();
    let mut failing = false;
    loop {
        let mut pause = settings.sweep_interval;
        match stitcher.sweep(&mut state).await {
            Ok(stitched) => {
                metrics.swept_orders.inc_by(stitched.orders as u64);
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
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(pause) => {}
            () = mailbox.overflowed.notified() => state = SweepState::default(),
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
        Touched { orders: own(orders), traces: own(traces) }
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
}
