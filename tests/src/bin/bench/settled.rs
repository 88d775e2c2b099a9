//! Waiting until what was answered is stored, and stitched.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use end_to_end::Stack;
use end_to_end::parts::Part;

/// How long what was answered may take to be stored and stitched.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);

/// Waits until nothing answered waits for the store.
pub(crate) async fn stored(stack: &Stack) -> Result<()> {
    reaches_zero(stack, "unsent_records").await
}

/// Waits until no order waits for being derived.
pub(crate) async fn stitched(stack: &Stack) -> Result<()> {
    reaches_zero(stack, "stitch_pending").await
}

async fn reaches_zero(stack: &Stack, gauge: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        if self::gauge(stack, gauge).await? == Some(0.0) {
            return Ok(());
        }
        if begun.elapsed() > SETTLED_WITHIN {
            bail!("{gauge} was not 0 within {} s", SETTLED_WITHIN.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A gauge of the collector.
pub(crate) async fn gauge(stack: &Stack, name: &str) -> Result<Option<f64>> {
    let url = format!("{}/metrics", stack.url(Part::Collector)?);
    let page = stack.client().get(&url).send().await?.text().await?;
    let name = format!("waybill_collector_{name} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    Ok(line.and_then(|value| value.trim().parse().ok()))
}
