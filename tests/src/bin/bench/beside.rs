//! `bench beside`: what the collector itself costs, with its journal and `fsync` on, before a store
//! that keeps nothing; and the peer Rotel on the same requests, before the same store, in turns.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use end_to_end::Stack;
use end_to_end::discarding::DiscardingStore;
use end_to_end::folder::Folder;
use end_to_end::parts::Part;
use end_to_end::stack::Ports;
use tokio::time::sleep;

use crate::load::{self, Sent, Target, Transport};
use crate::payload::Payloads;
use crate::peer::Rotel;
use crate::usage::{cpu_seconds, peak_mib};
use crate::{settled, usage};

/// A sender whose store has got nothing for so long has sent all it has.
const QUIET_FOR: Duration = Duration::from_secs(2);
const QUIET_POLL: Duration = Duration::from_millis(100);

/// Measures the collector beside a peer.
#[derive(Debug, Args)]
pub(crate) struct BesideSettings {
    /// Spans of each run, all different.
    #[arg(long, default_value_t = 2_000_000)]
    spans: usize,
    /// Requests under way at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Runs of each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The peer's program (`rotel/rotel-agent` in PyPI's `rotel==0.0.1a15`); without it the
    /// collector is measured alone.
    #[arg(long, env = "WAYBILL_BENCH_ROTEL")]
    rotel: Option<PathBuf>,
    /// How the requests travel.
    #[arg(long, value_delimiter = ',', default_values = ["http", "grpc"])]
    transports: Vec<Transport>,
    /// An argument of the collector; repeatable.
    #[arg(long = "collector", allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// What one run came to.
struct Run {
    who: &'static str,
    transport: Transport,
    sent: Sent,
    cpu_seconds: f64,
    peak_mib: u64,
    stored_bytes: u64,
}

pub(crate) async fn run(
    settings: &BesideSettings,
    seed: u64,
    spans_per_request: usize,
) -> Result<()> {
    let payloads = Payloads::new(seed, spans_per_request);
    let requests = settings.spans.div_ceil(spans_per_request);
    let plain = load::bodies(&payloads, 0, requests);
    println!("{}\n", usage::machine()?);
    println!(
        "| who | transport | CPU s per million spans | spans/s answered | peak MiB | bytes to the store per span |"
    );
    println!("|---|---|---|---|---|---|");
    for transport in &settings.transports {
        let bodies = transport.frame(&plain);
        for _ in 0..settings.runs {
            if let Some(rotel) = &settings.rotel {
                let run = peer(rotel, *transport, &bodies, settings.connections).await?;
                run.print(spans_per_request);
            }
            let run = ours(settings, *transport, &bodies).await?;
            run.print(spans_per_request);
        }
    }
    Ok(())
}

impl Run {
    fn print(&self, spans_per_request: usize) {
        let spans = (self.sent.taken * spans_per_request) as f64;
        println!(
            "| {} | {} | {:.2} | {:.0} | {} | {:.0} |",
            self.who,
            self.transport.name(),
            self.cpu_seconds / spans * 1e6,
            spans / self.sent.elapsed.as_secs_f64(),
            self.peak_mib,
            self.stored_bytes as f64 / spans,
        );
    }
}

async fn engine() -> Result<(Stack, DiscardingStore)> {
    let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    let store = DiscardingStore::start(stack.url(Part::Engine)?, stack.client().clone()).await?;
    Ok((stack, store))
}

async fn peer(
    executable: &std::path::Path,
    transport: Transport,
    bodies: &Arc<Vec<Bytes>>,
    connections: usize,
) -> Result<Run> {
    let (stack, store) = engine().await?;
    let rotel = Rotel::start(executable, &store.url()).await?;
    let pid = rotel.pid()?;
    let before = cpu_seconds(pid)?;
    let sent = load::at_full_speed(&rotel.target(transport), bodies, connections).await?;
    let mut seen = store.discarded();
    let mut quiet = Duration::ZERO;
    while quiet < QUIET_FOR {
        sleep(QUIET_POLL).await;
        quiet = if store.discarded() == seen { quiet + QUIET_POLL } else { Duration::ZERO };
        seen = store.discarded();
    }
    ensure!(seen.0 > 0, "Rotel inserted nothing; {}", rotel.tail());
    let cpu_seconds = cpu_seconds(pid)? - before;
    let peak_mib = peak_mib(pid)?;
    rotel.finish().await?;
    stack.finish().await?;
    Ok(Run { who: "Rotel", transport, sent, cpu_seconds, peak_mib, stored_bytes: seen.1 })
}

async fn ours(
    settings: &BesideSettings,
    transport: Transport,
    bodies: &Arc<Vec<Bytes>>,
) -> Result<Run> {
    let (mut stack, store) = engine().await?;
    stack.reach_store_through(store.url());
    let arguments: Vec<&str> = settings.arguments.iter().map(String::as_str).collect();
    stack.extra(Part::Collector, &arguments);
    stack.start_part(Part::Collector).await?;
    let pid = stack.process(Part::Collector)?.id().context("the collector has ended")?;
    let url = match transport {
        Transport::Http => stack.otlp_http()?,
        Transport::Grpc => stack.otlp_grpc()?,
    };
    let before = cpu_seconds(pid)?;
    let target = Target { transport, url };
    let sent = load::at_full_speed(&target, bodies, settings.connections).await?;
    settled::stored(&stack).await?;
    settled::stitched(&stack).await?;
    let cpu_seconds = cpu_seconds(pid)? - before;
    let peak_mib = peak_mib(pid)?;
    stack.finish().await?;
    let stored_bytes = store.discarded().1;
    Ok(Run { who: "Waybill", transport, sent, cpu_seconds, peak_mib, stored_bytes })
}
