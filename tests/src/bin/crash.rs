//! `make crash`: kills collector and engine at random while clients send, and counts what is left.

use anyhow::{Result, bail};
use clap::Parser;
use end_to_end::crash::{Plan, run};

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
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is for a person")]
async fn main() -> Result<()> {
    let Args { kills, seed, senders } = Args::parse();
    let seed = seed.unwrap_or_else(rand::random);
    println!("seed {seed} (set WAYBILL_SEED to repeat)");
    let mut told = 0;
    let report = run(Plan { seed, kills, senders }, |report| {
        let killed = report.collector_kills + report.engine_kills;
        if killed >= told + 20 {
            told = killed;
            eprintln!("{killed} of {kills} killed");
        }
    })
    .await?;
    println!("| what | figure |\n|---|---|\n{report}");
    if !report.is_clean() {
        bail!("something is lost, doubled or not counted");
    }
    Ok(())
}
