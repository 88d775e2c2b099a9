//! `make bench`: what Waybill costs and how fast it answers, measured on this machine.
//!
//! It starts a private stack of the real programs, sends unique spans through the real OTLP
//! endpoint, and prints a Markdown table for `docs/benchmarks.md`. It asserts nothing: a figure is
//! read by people, beside the machine it was taken on. Without a command it measures ingest,
//! look-up, board and the rules of the alerts; its commands measure the collector alone, beside a
//! peer, and overloaded.
#![allow(clippy::print_stdout, reason = "the table is the program's purpose")]

mod payload;
mod usage;
mod timing;
mod settled;
mod load;
mod peer;
mod beside;
mod stored;
mod overload;
mod acknowledged;
mod ingest;
mod questions;
mod rules;

use anyhow::Result;
use clap::{Parser, Subcommand};
use end_to_end::Stack;

use crate::payload::Payloads;

/// Measures ingest, look-up, board and the rules of the alerts.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Settings {
    /// What to measure instead.
    #[command(subcommand)]
    command: Option<Command>,
    /// Spans to send at full speed.
    #[arg(long, default_value_t = 500_000)]
    spans: usize,
    /// Spans of one request, as an SDK's batch processor sends them.
    #[arg(long, default_value_t = 512, global = true)]
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
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
}

/// What else can be measured.
#[derive(Debug, Subcommand)]
enum Command {
    /// The collector alone, before a store that keeps nothing, in turns with the peer Rotel.
    Beside(beside::BesideSettings),
    /// Collector and engine with every part merged, and Rotel with the exporter's schema.
    Stored(stored::StoredSettings),
    /// Time to acknowledge at half of the peak, with the engine and before a store that keeps
    /// nothing.
    Acknowledged(acknowledged::AcknowledgedSettings),
    /// Goodput at twice the capacity, memory while the store is away.
    Overload(overload::OverloadSettings),
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    let (seed, spans_per_request) = (settings.seed, settings.spans_per_request);
    match &settings.command {
        None => whole(&settings).await,
        Some(Command::Beside(beside)) => beside::run(beside, seed, spans_per_request).await,
        Some(Command::Stored(stored)) => stored::run(stored, seed, spans_per_request).await,
        Some(Command::Acknowledged(settings)) => {
            acknowledged::run(settings, seed, spans_per_request).await
        }
        Some(Command::Overload(overload)) => overload::run(overload, seed, spans_per_request).await,
    }
}

async fn whole(settings: &Settings) -> Result<()> {
    println!("{}\n", usage::machine()?);
    let mut stack = Stack::start().await?;
    let payloads = Payloads::new(settings.seed, settings.spans_per_request);
    println!("| what | figure |\n|---|---|");
    let peak = ingest::full_speed(&mut stack, &payloads, settings).await?;
    ingest::paced(&stack, &payloads, settings, peak / 2.0).await?;
    ingest::catch_up(&stack).await?;
    questions::ask(&stack, &payloads, settings).await?;
    rules::evaluate(&mut stack).await?;
    stack.finish().await
}
