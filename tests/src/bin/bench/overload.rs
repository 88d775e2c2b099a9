//! `bench overload`: more than can be taken. Goodput at twice the capacity of a slow store, and
//! memory while the store is away and senders never stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use end_to_end::Stack;
use end_to_end::discarding::DiscardingStore;
use end_to_end::folder::Folder;
use end_to_end::parts::Part;
use end_to_end::stack::Ports;

use crate::load::{self, Target, Transport};
use crate::payload::Payloads;
use crate::usage;

/// Requests that are sent again and again where nothing is stored.
const BODIES: usize = 256;
/// The journal before the slow store: the smallest there is, so that it is full within seconds.
const JOURNAL_BYTES_MAX: &str = "33554432";

/// Measures what happens beyond the capacity.
#[derive(Debug, Args)]
pub(crate) struct OverloadSettings {
    /// Spans a second that the slow store takes.
    #[arg(long, default_value_t = 60_000)]
    capacity: usize,
    /// Seconds at capacity, and as many at twice the capacity; before them the journal is filled.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds without a store.
    #[arg(long, default_value_t = 300)]
    away_seconds: u64,
    /// Seconds between two looks at the memory.
    #[arg(long, default_value_t = 10)]
    look_seconds: u64,
    /// Senders at full speed while the store is away.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Bytes of the journal while the store is away.
    #[arg(long, default_value_t = 1 << 30)]
    journal_bytes_max: u64,
}

pub(crate) async fn run(
    settings: &OverloadSettings,
    seed: u64,
    spans_per_request: usize,
) -> Result<()> {
    let payloads = Payloads::new(seed, spans_per_request);
    println!("{}\n", usage::machine()?);
    println!("| what | figure |\n|---|---|");
    slow_store(settings, &payloads).await?;
    away(settings, &payloads).await
}

/// A store of a known capacity, a full journal, and twice as many spans as the store takes.
async fn slow_store(settings: &OverloadSettings, payloads: &Payloads) -> Result<()> {
    let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    let store = DiscardingStore::start(stack.url(Part::Engine)?, stack.client().clone()).await?;
    stack.reach_store_through(store.url());
    stack.extra(Part::Collector, &[&format!("--journal-bytes-max={JOURNAL_BYTES_MAX}")]);
    stack.start_part(Part::Collector).await?;
    let target = Target { transport: Transport::Http, url: stack.otlp_http()? };
    let per_request = payloads.spans_per_request as f64;
    let capacity = settings.capacity as f64;
    let (rate, seconds) = (capacity / per_request, settings.seconds as f64);
    // One run below the capacity says how many bytes a span is to the store.
    let first = load::bodies(payloads, 0, load::whole(rate * 0.5 * 5.0));
    let sent = load::at_a_rate(&target, &first, rate * 0.5).await?;
    crate::settled::stored(&stack).await?;
    let bytes_per_span = store.discarded().1 as f64 / (sent.taken as f64 * per_request);
    store.takes_at_most(load::whole(bytes_per_span * capacity) as u64);
    let mut from = BODIES * 1_000;
    for (what, times, seconds) in [
        ("at 0.9 of the capacity", 0.9, seconds),
        ("at twice the capacity, until the journal is full", 2.0, 2.0 * seconds),
        ("at twice the capacity, the journal full", 2.0, seconds),
    ] {
        let bodies = load::bodies(payloads, from, load::whole(rate * times * seconds));
        from += bodies.len();
        let (begun, before) = (Instant::now(), store.discarded().1);
        let sent = load::at_a_rate(&target, &bodies, rate * times).await?;
        let elapsed = begun.elapsed().as_secs_f64();
        let stored = (store.discarded().1 - before) as f64 / bytes_per_span / elapsed;
        println!(
            "| {what} ({:.0} spans/s offered) | answered {:.0} spans/s, {} of {} requests refused, \
             stored {stored:.0} spans/s ({:.0} % of {capacity:.0}), {} |",
            rate * times * per_request,
            sent.taken as f64 * per_request / elapsed,
            sent.refused,
            bodies.len(),
            stored / capacity * 100.0,
            sent.timing.line()
        );
    }
    store.takes_at_most(u64::MAX);
    let pid = stack.process(Part::Collector)?.id().context("the collector has ended")?;
    println!("| peak memory of the collector so far | {} MiB |", usage::peak_mib(pid)?);
    crate::settled::stored(&stack).await?;
    stack.finish().await
}

/// No store, and senders that never stop.
async fn away(settings: &OverloadSettings, payloads: &Payloads) -> Result<()> {
    let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
    let journal = format!("--journal-bytes-max={}", settings.journal_bytes_max);
    stack.extra(Part::Collector, &[&journal]);
    stack.start_parts(&[Part::Engine, Part::Collector]).await?;
    stack.kill_part(Part::Engine).await?;
    let pid = stack.process(Part::Collector)?.id().context("the collector has ended")?;
    let target = Target { transport: Transport::Http, url: stack.otlp_http()? };
    let bodies: Arc<Vec<Bytes>> = Arc::new(load::bodies(payloads, 0, BODIES));
    let duration = Duration::from_secs(settings.away_seconds);
    let sending = tokio::spawn({
        let (target, connections) = (target.clone(), settings.connections);
        async move { load::again_and_again(&target, &bodies, connections, duration).await }
    });
    let mut looks = Vec::new();
    while !sending.is_finished() {
        tokio::time::sleep(Duration::from_secs(settings.look_seconds)).await;
        looks.push(usage::resident_mib(pid)?.to_string());
    }
    let sent = sending.await.context("a sender panicked")??;
    println!(
        "| {} s without a store, journal of {} MiB: requests answered / refused | {} / {} |",
        settings.away_seconds,
        settings.journal_bytes_max >> 20,
        sent.taken,
        sent.refused
    );
    println!(
        "| memory of the collector every {} s, MiB | {} |",
        settings.look_seconds,
        looks.join(" ")
    );
    println!("| its peak | {} MiB |", usage::peak_mib(pid)?);
    // The rest waits for the next start; there is none.
    stack.kill_part(Part::Collector).await?;
    stack.finish().await
}
