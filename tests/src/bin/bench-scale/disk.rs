//! Bytes on disk, table by table, and what the machine has of them in memory.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::Advice;

use crate::Bench;

/// Tables whose rows come from spans and orders, and nowhere else.
const NOT_OURS: [&str; 3] = ["scale_shape", "scale_done", "schema_migrations"];

/// Prints bytes per span of each table, and of each schema.
pub(crate) async fn sizes(bench: &Bench) -> Result<()> {
    let rows: Vec<(String, String, u64, u64)> = bench
        .store
        .client()
        .query(
            "SELECT database, table, sum(rows), sum(bytes_on_disk) FROM system.parts \
             WHERE active AND database IN ('waybill', 'exporter') \
             GROUP BY database, table ORDER BY database DESC, sum(bytes_on_disk) DESC",
        )
        .fetch_all()
        .await
        .context("reading sizes")?;
    let spans = bench.shape.spans as f64;
    for database in ["waybill", "exporter"] {
        let of = || rows.iter().filter(|(d, t, ..)| d == database && !NOT_OURS.contains(&&**t));
        let total: u64 = of().map(|(.., bytes)| bytes).sum();
        if total > 0 {
            println!("| {database}: bytes per span | {:.1} |", total as f64 / spans);
        }
        for (_, table, count, bytes) in of() {
            let each = *bytes as f64 / spans;
            println!("| – {database}.{table}, {count} rows | {each:.2} |");
        }
    }
    Ok(())
}

/// Has the kernel forget every page of the store's files: what is read next comes from the disk.
pub(crate) fn forget(folder: &Path) -> Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue; // A part that was merged away in the meantime.
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && let Ok(file) = File::open(entry.path())
            {
                rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
                    .with_context(|| format!("forgetting {}", entry.path().display()))?;
            }
        }
    }
    Ok(())
}
