//! Twenty programs killed at random: every acknowledged span is there once. `make crash` kills 500.

use anyhow::Result;
use end_to_end::crash::{Plan, run};

#[tokio::test]
async fn what_is_acknowledged_is_stored_once_whatever_dies() -> Result<()> {
    let seed = std::env::var("WAYBILL_SEED").map_or_else(|_| Ok(rand::random()), |s| s.parse())?;
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    let report = run(Plan { seed, kills: 20, senders: 4 }, |_| {}).await?;
    assert!(report.is_clean(), "seed {seed}\n{report}");
    assert!(report.spans > 100, "seed {seed}\n{report}");
    Ok(())
}
