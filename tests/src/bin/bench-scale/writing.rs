//! Filling the store, and what that costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::parts::Part;
use end_to_end::scale::Filling;
use end_to_end::scale::filling::Target;
use end_to_end::scale::shape::SPANS_PER_ORDER;

use crate::Bench;
use crate::usage::cpu_seconds;

/// How often it is said how far filling has come.
const TELL_EVERY: Duration = Duration::from_secs(20);
/// How long merges may take to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(3_600);
/// No merge for so long is rest: the engine looks for work more often.
const REST: Duration = Duration::from_secs(10);

/// CPU seconds that the engine has used.
pub(crate) fn engine_cpu(bench: &mut Bench) -> Result<f64> {
    let pid = bench.stack.process(Part::Engine)?.id().context("the engine has ended")?;
    cpu_seconds(pid)
}

/// Fills and waits until merges rest.
pub(crate) async fn fill(bench: &mut Bench, filling: &Filling, target: Target) -> Result<()> {
    let (begun, before) = (Instant::now(), engine_cpu(bench)?);
    let mut told = Instant::now();
    let written = filling
        .fill(target, |progress| {
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                let share = 100.0 * progress.orders as f64 / progress.orders_total as f64;
                tell(target, share, begun.elapsed());
            }
        })
        .await?;
    let (filled, inserting) = (begun.elapsed().as_secs_f64(), engine_cpu(bench)? - before);
    rest(bench).await?;
    if written == 0 {
        return Ok(());
    }
    let total = engine_cpu(bench)? - before;
    let spans = written * SPANS_PER_ORDER;
    println!(
        "| {target:?}: {spans} spans written by the engine itself in | {filled:.0} s, \
         {inserting:.0} CPU s; merged to rest: {total:.0} CPU s |"
    );
    Ok(())
}

/// For whoever waits; not part of the report.
#[allow(clippy::print_stderr, reason = "progress of an hour's work, for the person who waits")]
fn tell(target: Target, percent: f64, elapsed: Duration) {
    eprintln!("{target:?}: {percent:.0} % after {} s", elapsed.as_secs());
}

/// Waits until no merge has run for a while.
pub(crate) async fn rest(bench: &Bench) -> Result<()> {
    let begun = Instant::now();
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < REST {
        let client = bench.store.client();
        let merges: u64 = client.query("SELECT count() FROM system.merges").fetch_one().await?;
        if merges > 0 {
            quiet_since = Instant::now();
        }
        if begun.elapsed() > REST_DEADLINE {
            bail!("{merges} merges are still running after {} s", REST_DEADLINE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
