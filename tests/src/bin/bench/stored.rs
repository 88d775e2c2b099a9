//! `bench stored`: what it costs to have spans in the embedded engine, merged to rest: the collector
//! with its tables and the stitcher, and the peer Rotel with the OpenTelemetry exporter's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use clickhouse::Client;
use end_to_end::Stack;
use end_to_end::folder::Folder;
use end_to_end::parts::Part;
use end_to_end::scale::exporter;
use end_to_end::stack::Ports;
use tokio::time::sleep;

use crate::load::{self, Target, Transport};
use crate::payload::Payloads;
use crate::peer::Rotel;
use crate::usage::cpu_seconds;
use crate::{settled, usage};

/// How long the peer may take to store what it has answered.
const STORED_WITHIN: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(200);
/// No merge for so long is rest: the engine looks for work more often.
const REST: Duration = Duration::from_secs(5);

/// Measures collector and engine together.
#[derive(Debug, Args)]
pub(crate) struct StoredSettings {
    /// Spans of each run, all different.
    #[arg(long, default_value_t = 1_000_000)]
    spans: usize,
    /// Requests under way at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// The peer's program; without it the collector is measured alone.
    #[arg(long, env = "WAYBILL_BENCH_ROTEL")]
    rotel: Option<PathBuf>,
}

/// CPU seconds of the two programs.
struct Used {
    collector: f64,
    inserted: f64,
    merged: f64,
    spans: f64,
    bytes: u64,
}

pub(crate) async fn run(
    settings: &StoredSettings,
    seed: u64,
    spans_per_request: usize,
) -> Result<()> {
    let payloads = Payloads::new(seed, spans_per_request);
    let requests = settings.spans.div_ceil(spans_per_request);
    let bodies = Arc::new(load::bodies(&payloads, 0, requests));
    let per_request = spans_per_request as f64;
    println!("{}\n", usage::machine()?);
    println!(
        "| CPU s per million spans | collector | engine until stored (ours: and stitched) | engine \
         with every part merged | both | bytes on disk per span |"
    );
    println!("|---|---|---|---|---|---|");
    if let Some(rotel) = &settings.rotel {
        peer(rotel, &bodies, per_request, settings.connections)
            .await?
            .print("Rotel, exporter's schema");
    }
    ours(&bodies, per_request, settings.connections).await?.print("Waybill");
    Ok(())
}

impl Used {
    fn print(&self, who: &str) {
        let per_million = |seconds: f64| seconds / self.spans * 1e6;
        println!(
            "| {who} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} |",
            per_million(self.collector),
            per_million(self.inserted),
            per_million(self.merged),
            per_million(self.collector + self.merged),
            self.bytes as f64 / self.spans,
        );
    }
}

async fn peer(
    executable: &Path,
    bodies: &Arc<Vec<Bytes>>,
    per_request: f64,
    connections: usize,
) -> Result<Used> {
    let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    let client = Client::default().with_url(stack.url(Part::Engine)?);
    exporter::create(&client).await?;
    let engine = pid(&mut stack, Part::Engine)?;
    let rotel = Rotel::start(executable, &stack.url(Part::Engine)?).await?;
    let before = (cpu_seconds(rotel.pid()?)?, cpu_seconds(engine)?);
    let target = rotel.target(Transport::Http);
    let sent = load::at_full_speed(&target, bodies, connections).await?;
    let spans = sent.taken as f64 * per_request;
    let begun = Instant::now();
    loop {
        let query = format!("SELECT count() FROM {}", exporter::TRACES);
        let stored: u64 = client.query(&query).fetch_one().await?;
        if stored as f64 >= spans {
            break;
        }
        if begun.elapsed() > STORED_WITHIN {
            bail!("Rotel stored {stored} of {spans} spans; {}", rotel.tail());
        }
        sleep(POLL).await;
    }
    let (collector, inserted) =
        (cpu_seconds(rotel.pid()?)? - before.0, cpu_seconds(engine)? - before.1);
    rotel.finish().await?;
    rest(&client, "exporter").await?;
    let merged = cpu_seconds(engine)? - before.1;
    let bytes = bytes_on_disk(&client, "exporter").await?;
    stack.finish().await?;
    Ok(Used { collector, inserted, merged, spans, bytes })
}

async fn ours(bodies: &Arc<Vec<Bytes>>, per_request: f64, connections: usize) -> Result<Used> {
    let mut stack = Stack::new(Folder::private()?, Ports::Free)?;
    stack.start_parts(&[Part::Engine, Part::Collector]).await?;
    let client = Client::default().with_url(stack.url(Part::Engine)?);
    let (engine, pid) = (pid(&mut stack, Part::Engine)?, pid(&mut stack, Part::Collector)?);
    let before = (cpu_seconds(pid)?, cpu_seconds(engine)?);
    let target = Target { transport: Transport::Http, url: stack.otlp_http()? };
    let sent = load::at_full_speed(&target, bodies, connections).await?;
    ensure!(sent.refused == 0, "{} requests were refused", sent.refused);
    settled::stored(&stack).await?;
    settled::stitched(&stack).await?;
    let (collector, inserted) = (cpu_seconds(pid)? - before.0, cpu_seconds(engine)? - before.1);
    stack.stop_part(Part::Collector).await?;
    rest(&client, "waybill").await?;
    let merged = cpu_seconds(engine)? - before.1;
    let bytes = bytes_on_disk(&client, "waybill").await?;
    stack.finish().await?;
    Ok(Used { collector, inserted, merged, spans: sent.taken as f64 * per_request, bytes })
}

fn pid(stack: &mut Stack, part: Part) -> Result<u32> {
    stack.process(part)?.id().with_context(|| format!("{} has ended", part.name()))
}

/// Merges every part of every partition into one and waits for the end.
async fn rest(client: &Client, database: &str) -> Result<()> {
    let tables: Vec<String> = client
        .query(
            "SELECT name FROM system.tables \
             WHERE database = {database:String} AND engine LIKE '%MergeTree'",
        )
        .param("database", database)
        .fetch_all()
        .await
        .context("listing tables")?;
    for table in tables {
        let statement = format!("OPTIMIZE TABLE {database}.`{table}` FINAL");
        client.query(&statement).execute().await.with_context(|| format!("merging {table}"))?;
    }
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < REST {
        let merges: u64 = client.query("SELECT count() FROM system.merges").fetch_one().await?;
        if merges > 0 {
            quiet_since = Instant::now();
        }
        sleep(POLL).await;
    }
    Ok(())
}

async fn bytes_on_disk(client: &Client, database: &str) -> Result<u64> {
    client
        .query(
            "SELECT sum(bytes_on_disk) FROM system.parts \
             WHERE active AND database = {database:String}",
        )
        .param("database", database)
        .fetch_one()
        .await
        .context("weighing the parts")
}
