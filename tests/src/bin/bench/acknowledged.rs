//! `bench acknowledged`: the time to acknowledge at half of the peak.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use end_to_end::Stack;
use end_to_end::discarding::DiscardingStore;
use end_to_end::folder::Folder;
use end_to_end::parts::Part;
use end_to_end::stack::Ports;

use crate::load::{self, Target, Transport};
use crate::payload::Payloads;
use crate::{settled, usage};

/// Measures the time to acknowledge.
#[derive(Debug, Args)]
pub(crate) struct AcknowledgedSettings {
    /// Spans at full speed, from which the peak follows.
    #[arg(long, default_value_t = 500_000)]
    spans: usize,
    /// Requests under way at once then.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Seconds at half of the peak.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Spans per second in place of half of the peak.
    #[arg(long)]
    rate: Option<f64>,
    /// Before which store: `engine`, `discarding`.
    #[arg(long, value_delimiter = ',', default_values = ["engine", "discarding"])]
    stores: Vec<String>,
    /// An argument of the collector; repeatable.
    #[arg(long = "collector", allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(
    settings: &AcknowledgedSettings,
    seed: u64,
    spans_per_request: usize,
) -> Result<()> {
    let payloads = Payloads::new(seed, spans_per_request);
    println!("{}\n", usage::machine()?);
    println!("| acknowledgement | figure |\n|---|---|");
    for store in &settings.stores {
        before(store, settings, &payloads).await?;
    }
    Ok(())
}

async fn before(store: &str, settings: &AcknowledgedSettings, payloads: &Payloads) -> Result<()> {
    let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    if store == "discarding" {
        let client = stack.client().clone();
        let store = DiscardingStore::start(stack.url(Part::Engine)?, client).await?;
        stack.reach_store_through(store.url());
    }
    let arguments: Vec<&str> = settings.arguments.iter().map(String::as_str).collect();
    stack.extra(Part::Collector, &arguments);
    stack.start_part(Part::Collector).await?;
    let target = Target { transport: Transport::Http, url: stack.otlp_http()? };
    let per_request = payloads.spans_per_request;
    let requests = settings.spans.div_ceil(per_request);
    let bodies = Arc::new(load::bodies(payloads, 0, requests));
    let sent = load::at_full_speed(&target, &bodies, settings.connections).await?;
    let peak = (sent.taken * per_request) as f64 / sent.elapsed.as_secs_f64();
    println!("| {store}, full speed ({peak:.0} spans/s) | {} |", sent.timing.line());
    settled::stored(&stack).await?;
    settled::stitched(&stack).await?;
    let rate = settings.rate.unwrap_or(peak / 2.0);
    let per_second = rate / per_request as f64;
    let seconds = Duration::from_secs(settings.seconds).as_secs_f64();
    let bodies = load::bodies(payloads, requests, load::whole(per_second * seconds));
    let sent = load::at_a_rate(&target, &bodies, per_second).await?;
    ensure!(sent.refused == 0, "{} requests were refused", sent.refused);
    println!("| {store}, {rate:.0} spans/s for {seconds:.0} s | {} |", sent.timing.line());
    settled::stored(&stack).await?;
    stack.finish().await
}
