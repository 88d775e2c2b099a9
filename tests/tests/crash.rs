//! Programs killed at random, power lost and disks filled: every acknowledged span, log record and
//! point is there once, and every order in its state. `make crash` does it for longer.

use std::time::Duration;

use anyhow::Result;
use end_to_end::crash::{Fault, Plan, Report, run};
use end_to_end::forgetful::ForgetfulDisk;

fn seed() -> Result<u64> {
    Ok(std::env::var("WAYBILL_SEED").map_or_else(|_| Ok(rand::random()), |seed| seed.parse())?)
}

async fn nothing_is_lost(
    seed: u64,
    counted: &[Fault],
    merging: &[Fault],
    forgetful: bool,
) -> Result<Report> {
    let plan = Plan {
        seed,
        kills: 20,
        senders: 4,
        counted: counted.to_vec(),
        merging: merging.to_vec(),
        forgetful,
        outages: Vec::new(),
        lingers: Duration::ZERO,
    };
    let report = run(plan, |_| {}).await?;
    assert!(report.is_clean(), "seed {seed}\n{report}");
    let [spans, logs, points] = report.sent;
    assert!(spans > 100 && logs > 50 && points > 10, "seed {seed}\n{report}");
    Ok(report)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_once_whatever_dies() -> Result<()> {
    let seed = seed()?;
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    let report = nothing_is_lost(seed, &Fault::OF_PROGRAMS, &[], false).await?;
    assert!(report.counted > 500, "{report}");
    eprintln!("{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_outlasts_power_and_full_disks() -> Result<()> {
    if !ForgetfulDisk::is_possible() {
        return Ok(());
    }
    // Each loss of power kills two.
    let seed = seed()?;
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
    let report = nothing_is_lost(seed, &[], &Fault::OF_DISKS, true).await?;
    assert!(report.power_losses >= 5, "{report}");
    eprintln!("{report}");
    Ok(())
}
