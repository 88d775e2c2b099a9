//! `collector restitch`: derives every order again.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use order_model::Lifecycle;
use order_store::cluster::ClusterError;
use order_store::schema::MigrateError;
use order_store::{Stitcher, Store, StoreError};

use crate::settings::{RestitchArgs, Settings};

/// The orders could not all be derived; those before the last id told were.
#[derive(Debug, thiserror::Error)]
pub enum RestitchError {
    /// The schema could not be brought up to date.
    #[error("cannot prepare the store")]
    Migrate(#[from] MigrateError),
    /// The name of the cluster cannot stand in statements.
    #[error("bad setting --store-cluster")]
    Cluster(#[from] ClusterError),
    /// The store refused or could not be reached.
    #[error("not every order was derived; go on with `--after`")]
    Store(#[from] StoreError),
    /// The output was closed.
    #[error("cannot print the progress")]
    Print(#[from] io::Error),
}

/// Derives every order again, telling page by page how far it has come.
///
/// # Errors
/// See [`RestitchError`].
pub async fn run(
    settings: &Settings,
    args: &RestitchArgs,
    lifecycle: Lifecycle,
    out: &mut (impl Write + Send),
) -> Result<(), RestitchError> {
    let layout = settings.cluster.layout(&settings.store.store_database)?;
    let store = Store::connect_to(&settings.store, layout);
    store.migrate_beside(&lifecycle).await?;
    let stitcher = Stitcher::new(store, Arc::new(lifecycle));
    let begun = Instant::now();
    let mut printed = Ok(());
    let told = |orders: usize, last: &str| {
        let per_second = orders as f64 / begun.elapsed().as_secs_f64();
        printed = writeln!(out, "{orders} orders, {per_second:.0}/s, up to {last}");
    };
    let stitched = stitcher.restitch(&args.after, told).await?;
    printed?;
    let found = stitcher.conservation().await?;
    if stitched.refused > 0 {
        writeln!(out, "{} orders refused by the store: the log names them", stitched.refused)?;
    }
    writeln!(
        out,
        "{} orders derived in {:.0} s; {} ids named, {} orders counted, {} ids merged, difference {}",
        stitched.orders,
        begun.elapsed().as_secs_f64(),
        found.named,
        found.derived,
        found.merged,
        found.difference
    )?;
    Ok(())
}
