//! Conservation: what the facts name is what the board counts, checked all the time.

use std::time::{Duration, Instant};

use daemon::{Stop, log};
use order_store::{Conservation, Stitcher};
use uuid::Uuid;

use crate::metrics::CollectorMetrics;
use crate::stitch::Mailbox;

/// Pauses between two checks of conservation.
const CHECK_PAUSE_MIN: Duration = Duration::from_secs(1);
const CHECK_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A check that finds what the last one found is written down this often.
const CHECK_RECORDED_INTERVAL: Duration = Duration::from_secs(30);
/// A difference that lasts this long while nothing waits is mended.
const DIFFERENCE_MENDED_AFTER: Duration = Duration::from_secs(15);
/// Mending goes through all orders: not more often than this.
const MENDING_PAUSE: Duration = Duration::from_secs(600);

/// Checks again and again that what the facts name is what the board counts. Reading all facts has
/// its price, so the pause is twenty times as long as the check took.
pub async fn run(mailbox: &Mailbox, stitcher: &Stitcher, metrics: &CollectorMetrics, stop: &Stop) {
    let checker = Uuid::now_v7().to_string();
    let mut recorded: Option<(Conservation, Instant)> = None;
    let mut differed_since: Option<Instant> = None;
    let mut mended_at: Option<Instant> = None;
    loop {
        let begun = Instant::now();
        let caught_up = mailbox.lag().is_zero();
        match stitcher.conservation().await {
            Ok(found) => {
                metrics.conserved(found);
                let news = recorded.is_none_or(|(last, at)| {
                    last != found || at.elapsed() > CHECK_RECORDED_INTERVAL
                });
                if news && stitcher.record_conservation(&checker, found).await.is_ok() {
                    recorded = Some((found, Instant::now()));
                }
                if found.difference == 0 || !caught_up {
                    differed_since = None;
                } else if differed_since.get_or_insert(begun).elapsed() > DIFFERENCE_MENDED_AFTER
                    && mended_at.is_none_or(|at| at.elapsed() > MENDING_PAUSE)
                {
                    mend(stitcher, found).await;
                    mended_at = Some(Instant::now());
                    differed_since = None;
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

/// The sum does not come out although nothing waits: counts are made anew.
async fn mend(stitcher: &Stitcher, found: Conservation) {
    let Conservation { named, derived, merged, difference } = found;
    tracing::warn!(
        named,
        derived,
        merged,
        difference,
        "orders of the board are not those of the facts; counting again and deriving what was \
         missed. If it lasts, run `collector restitch`"
    );
    let mended = async {
        stitcher.recount_all().await?;
        stitcher.derive_missed().await
    };
    match mended.await {
        Ok(stitched) => tracing::info!(orders = stitched.orders, "orders that were missed derived"),
        Err(error) => tracing::warn!(error = log::chain(&error), "conservation not mended"),
    }
}
