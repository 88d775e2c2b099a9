//! Every order derived from its facts, by the collector's own command.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::parts::Part;
use end_to_end::process::{Process, Program};
use end_to_end::programs;

use crate::Bench;
use crate::usage::cpu_seconds;
use crate::writing::{engine_cpu, rest};

/// How often the command's CPU time is read; what it used after the last reading is not counted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Derives every order, and says what that cost.
pub(crate) async fn derive_all(bench: &mut Bench) -> Result<()> {
    let derived = "SELECT count() FROM orders FINAL";
    let orders: u64 = bench.store.client().query(derived).fetch_one().await?;
    if orders >= bench.shape.orders() {
        println!("| orders derived by an earlier run | {orders} |");
        return Ok(());
    }
    let store = format!("--store-url={}", bench.stack.url(Part::Engine)?);
    let program = Program {
        name: "restitch",
        executable: programs::ours("collector")?,
        arguments: vec![store.into(), "restitch".into()],
    };
    let (begun, before) = (Instant::now(), engine_cpu(bench)?);
    let mut process = Process::start(&program, &bench.stack.logs())?;
    let pid = process.id().context("`collector restitch` ended at once")?;
    let mut own = 0.0;
    let status = loop {
        match process.ended()? {
            Some(status) => break status,
            None => own = cpu_seconds(pid).unwrap_or(own),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    if !status.success() {
        bail!("`collector restitch` failed; {}", process.tail());
    }
    let took = begun.elapsed().as_secs_f64();
    rest(bench).await?;
    let used = engine_cpu(bench)? - before + own;
    let orders: u64 = bench.store.client().query(derived).fetch_one().await?;
    println!("| {orders} orders derived by `collector restitch` in | {took:.0} s |");
    forget_ended(bench).await?;
    let per_million = used * 1e6 / bench.shape.spans as f64;
    println!("| stitcher CPU per million spans, engine and merges included | {per_million:.1} s |");
    Ok(())
}

/// Rows that say "ended" stay beside the open orders for a day after the derivation. A store in use
/// has those of one day; this one, derived just now, has those of all: they go as the collector
/// lets them go a day later.
async fn forget_ended(bench: &Bench) -> Result<()> {
    let client = bench.store.client();
    let ended = "SELECT count() FROM orders_open FINAL WHERE IsOpen = 0";
    let ended: u64 = client.query(ended).fetch_one().await?;
    for statement in [
        "OPTIMIZE TABLE orders_open FINAL",
        "ALTER TABLE orders_open DELETE WHERE IsOpen = 0 SETTINGS mutations_sync = 1",
    ] {
        client.query(statement).execute().await.context("letting ended orders go")?;
    }
    println!("| ended orders let go from beside the open ones, as after a day | {ended} |");
    Ok(())
}
