//! `make bench-scale`: how large the store gets and how fast it answers when it is full.
//!
//! It starts the real engine on a folder, fills it with spans and orders (and goes on where an
//! earlier run stopped), has the collector derive every order, and prints Markdown tables for
//! `docs/benchmarks.md`: Waybill's schema, and the OpenTelemetry exporter's on the same spans. It
//! asserts nothing: a figure is read by people, beside the machine it was taken on.
#![allow(clippy::print_stdout, reason = "the table is the program's purpose")]

#[allow(dead_code, reason = "bench and bench-scale share the file, each uses a part")]
#[path = "../bench/timing.rs"]
mod timing;
#[path = "../bench/rules.rs"]
mod rules;
#[allow(dead_code, reason = "bench and bench-scale share the file, each uses a part")]
#[path = "../bench/usage.rs"]
mod usage;
mod disk;
mod size;
mod writing;
mod deriving;
mod traffic;
mod timelines;
mod views;
mod pages;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use end_to_end::Stack;
use end_to_end::folder::Folder;
use end_to_end::parts::Part;
use end_to_end::scale::filling::Target;
use end_to_end::scale::{Filling, Shape, Values, exporter};
use end_to_end::stack::Ports;
use order_model::Lifecycle;
use order_store::{Reader, Store, StoreSettings};

/// Fills a store and measures it.
#[derive(Debug, Parser)]
#[command(name = "bench-scale", version)]
struct Settings {
    /// Spans to have in the store; ten make an order. Without it: as many as disk and an hour
    /// allow. A folder that holds spans already keeps its size.
    #[arg(long, env = "SCALE_SPANS")]
    spans: Option<u64>,
    /// Where the store is. A run that was stopped goes on from there.
    #[arg(long, default_value = "target/bench-scale")]
    folder: PathBuf,
    /// Attribute values as tracegen cycles through them, or drawn anew: harder to compress.
    #[arg(long, value_enum, default_value = "drawn")]
    values: Values,
    /// Leaves the exporter's schema out.
    #[arg(long)]
    without_exporter: bool,
    /// Only fills the store.
    #[arg(long)]
    only_fill: bool,
    /// Only measures freshness, board, lists and pages, with stage events coming in.
    #[arg(long)]
    only_pages: bool,
    /// Questions of each kind.
    #[arg(long, default_value_t = 300)]
    questions: usize,
    /// Stage events a second through the collector while pages are asked.
    #[arg(long, default_value_t = 500)]
    events_per_second: u64,
    /// Decides which orders are asked for.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The store and what is in it.
struct Bench {
    stack: Stack,
    settings: Settings,
    store: Store,
    reader: Reader,
    shape: Shape,
}

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    println!("{}\n", usage::machine()?);
    std::fs::create_dir_all(&settings.folder)
        .with_context(|| format!("making {}", settings.folder.display()))?;
    let folder = settings.folder.canonicalize().context("finding the folder")?;
    let mut stack = Stack::new(Folder::named(folder)?, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    let store = connect(&stack)?;
    store.migrate(&Lifecycle::default()).await.context("migrating the store")?;
    let spans = size::spans(&settings, &store, stack.folder()).await?;
    let now_ms = chrono::Utc::now().timestamp_millis();
    let wanted = Shape::new(spans, settings.values, now_ms);
    let filling = Filling::begin(store.client(), wanted).await?;
    let reader = Reader::new(store.clone());
    let mut bench = Bench { stack, settings, store, reader, shape: filling.shape() };
    println!("| what | figure |\n|---|---|");
    writing::fill(&mut bench, &filling, Target::Waybill).await?;
    if !bench.settings.without_exporter {
        exporter::create(bench.store.client()).await?;
        writing::fill(&mut bench, &filling, Target::Exporter).await?;
    }
    if !bench.settings.only_fill {
        deriving::derive_all(&mut bench).await?;
        if !bench.settings.only_pages {
            disk::sizes(&bench).await?;
            timelines::measure(&mut bench).await?;
        }
        pages::measure(&mut bench).await?;
        rules::evaluate(&mut bench.stack).await?;
    }
    bench.stack.finish().await
}

/// A handle on the store of a running engine.
fn connect(stack: &Stack) -> Result<Store> {
    Ok(Store::connect(&StoreSettings {
        store_url: stack.url(Part::Engine)?,
        store_user: "default".to_owned(),
        store_password: String::new(),
        store_database: "waybill".to_owned(),
    }))
}
