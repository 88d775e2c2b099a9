//! `make bench`: what Waybill costs and how fast it answers, measured on this machine.
//!
//! It starts a private stack of the real programs, sends unique spans through the real OTLP
//! endpoint, and prints a Markdown table for `docs/benchmarks.md`. It asserts nothing: a figure is
//! read by people, beside the machine it was taken on.
#![allow(clippy::print_stdout, reason = "the table is the program's purpose")]

mod payload;
mod usage;
mod ingest;
mod questions;
mod timing;

use anyhow::Result;
use clap::Parser;
use end_to_end::Stack;

use crate::payload::Payloads;

/// Measures ingest, look-up and board.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Settings {
    /// Spans to send at full speed.
    #[arg(long, default_value_t = 500_000)]
    spans: usize,
    /// Spans of one request, as an SDK's batch processor sends them.
    #[arg(long, default_value_t = 512)]
    spans_per_request: usize,
    /// Requests under way at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Seconds at half of the peak rate, for the time to acknowledge.
    #[arg(long, default_value_t = 10)]
    paced_seconds: u64,
    /// Questions of each kind put to pages and API.
    #[arg(long, default_value_t = 300)]
    questions: usize,
    /// Decides every id and value.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    println!("{}\n", usage::machine()?);
    let mut stack = Stack::start().await?;
    let payloads = Payloads::new(settings.seed, settings.spans_per_request);
    println!("| what | figure |\n|---|---|");
    let peak = ingest::full_speed(&mut stack, &payloads, &settings).await?;
    ingest::paced(&stack, &payloads, &settings, peak / 2.0).await?;
    ingest::catch_up(&stack).await?;
    questions::ask(&stack, &payloads, &settings).await?;
    stack.finish().await
}
