//! How many spans: as told, as the folder already holds, or as disk and an hour allow.

use std::path::Path;

use anyhow::{Context, Result};
use order_store::Store;

use crate::Settings;

/// The published benchmark at ten times its size: more is not asked for.
const SPANS_MAX: u64 = 100_000_000;
/// Disk for a span in both schemas, facts and state, while the parts of a day are merged.
const BYTES_PER_SPAN: u64 = 400;
/// Spans written in an hour by two cores, both schemas, merged and derived; measured.
const SPANS_PER_HOUR_AND_CORE: u64 = 20_000_000;

/// The spans to have, and why, in a line.
pub(crate) async fn spans(settings: &Settings, store: &Store, folder: &Path) -> Result<u64> {
    if let Some(spans) = settings.spans {
        println!("{spans} spans, as told.\n");
        return Ok(spans);
    }
    let known = store.client().query("EXISTS TABLE scale_shape").fetch_one::<u8>().await?;
    if known == 1 {
        let spans = store.client().query("SELECT spans FROM scale_shape").fetch_optional().await?;
        if let Some(spans) = spans {
            println!("{spans} spans, as in {}.\n", folder.display());
            return Ok(spans);
        }
    }
    let disk = rustix::fs::statvfs(folder).context("asking for the free disk")?;
    let free = disk.f_bavail * disk.f_frsize;
    let cores = std::thread::available_parallelism().context("counting processors")?.get() as u64;
    let (by_disk, by_time) = (free / BYTES_PER_SPAN, cores * SPANS_PER_HOUR_AND_CORE);
    let spans = by_disk.min(by_time).min(SPANS_MAX);
    println!(
        "{spans} spans: {} GB are free ({by_disk} spans), {cores} cores write {by_time} in an \
         hour, and {SPANS_MAX} are enough.\n",
        free >> 30
    );
    Ok(spans)
}
