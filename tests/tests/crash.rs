//! Programs killed at random, power lost and disks filled: every acknowledged span, log record and
//! point is there once, and every order in its state. `make crash` does it for longer.

use std::time::Duration;

use anyhow::Result;
use end_to_end::crash::{Fault, Plan, Report, run};
use end_to_end::forgetful::ForgetfulDisk;

#[allow(clippy::print_stderr, reason = "the person who reads a failed test needs it")]
async fn nothing_is_lost(counted: &[Fault], merging: &[Fault], forgetful: bool) -> Result<Report> {
    let seed = std::env::var("WAYBILL_SEED").map_or_else(|_| Ok(rand::random()), |s| s.parse())?;
    eprintln!("seed {seed} (set WAYBILL_SEED to repeat)");
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
    eprintln!("{report}");
    Ok(report)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_once_whatever_dies() -> Result<()> {
    let report = nothing_is_lost(&Fault::OF_PROGRAMS, &[], false).await?;
    assert!(report.counted > 500, "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_outlasts_power_and_full_disks() -> Result<()> {
    if let Some(why) = ForgetfulDisk::is_impossible() {
        eprintln!("NOT TESTED, no disk that forgets (it takes /dev/fuse and root): {why}");
        return Ok(());
    }
    // Each loss of power kills two.
    let report = nothing_is_lost(&[], &Fault::OF_DISKS, true).await?;
    assert!(report.power_losses >= 5, "{report}");
    Ok(())
}
