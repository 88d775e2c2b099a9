//! `make crash`: kills collector and engine at random while clients send, takes power and disks
//! away, and looks for everything that was acknowledged.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use end_to_end::crash::{Fault, Plan, TAKEN_OVER_AFTER, run};
use end_to_end::forgetful::ForgetfulDisk;

/// Kills between two words on how far it is.
const TOLD_EVERY: usize = 20;

#[derive(Debug, Parser)]
struct Args {
    /// Programs to kill.
    #[arg(long, env = "CRASH_KILLS", default_value_t = 500)]
    kills: usize,
    /// Decides every fault; without it a new one.
    #[arg(long, env = "WAYBILL_SEED")]
    seed: Option<u64>,
    /// Clients at the same time.
    #[arg(long, default_value_t = 6)]
    senders: usize,
    /// Long outages of the store, seconds each.
    #[arg(long, value_delimiter = ',', default_value = "120,240")]
    outages: Vec<u64>,
    /// Only losses of power and full disks.
    #[arg(long)]
    disks_only: bool,
    /// Only faults of programs, on an ordinary disk.
    #[arg(long, conflicts_with = "disks_only")]
    programs_only: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is for a person")]
async fn main() -> Result<()> {
    let Args { kills, seed, senders, outages, disks_only, programs_only } = Args::parse();
    let seed = seed.unwrap_or_else(rand::random);
    println!("seed {seed} (set WAYBILL_SEED to repeat)");
    let counted = if disks_only { Vec::new() } else { Fault::OF_PROGRAMS.to_vec() };
    let mut merging = counted.clone();
    let impossible = ForgetfulDisk::is_impossible().filter(|_| !programs_only);
    if let Some(why) = &impossible {
        eprintln!("NO POWER IS LOST AND NO DISK IS FULL in this run: {why}");
    }
    let forgetful = !programs_only && impossible.is_none();
    if forgetful {
        merging.extend(Fault::OF_DISKS);
    }
    let outages = outages.into_iter().map(Duration::from_secs).collect();
    let lingers = TAKEN_OVER_AFTER;
    let plan = Plan { seed, kills, senders, counted, merging, forgetful, outages, lingers };
    let mut told = 0;
    let report = run(plan, |report| {
        let killed = report.kills();
        if killed >= told + TOLD_EVERY {
            told = killed;
            eprintln!("{killed} of {kills} killed");
        }
    })
    .await?;
    println!("| what | figure |\n|---|---|\n{report}");
    if !report.is_clean() {
        bail!("something is lost, doubled or not what was acknowledged");
    }
    Ok(())
}
