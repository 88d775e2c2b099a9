//! `collector journal resubmit`: sends records again that the store refused, once the cause is
//! mended.
//!
//! A record goes under the name under which it was refused, and leaves the folder when the store
//! has its rows durably and its orders are derived: interrupted anywhere, the command is run again.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use daemon::log;
use order_model::Lifecycle;
use order_store::cluster::ClusterError;
use order_store::record::Table;
use order_store::schema::MigrateError;
use order_store::{Block, Fault, Stitcher, Store, StoreError, Writer};
use tokio::time::sleep;

use crate::set_aside::{SetAside, SetAsideRecord};
use crate::settings::Settings;

/// Tries of one record while the store does not say that its data is at fault.
const TRIES_MAX: u32 = 5;
/// Wait between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// What `collector journal resubmit` takes.
#[derive(Debug, Clone, Args)]
pub struct ResubmitArgs {
    /// The journal's folder: what was set aside lies beside it, or in `--journal-refused`.
    #[arg(env = "WAYBILL_JOURNAL", value_name = "DIR")]
    pub folder: PathBuf,
    /// Print what is there and change nothing; no store is asked.
    #[arg(long)]
    pub list: bool,
}

/// Not every record is in the store. Those that are not stay where they were.
#[derive(Debug, thiserror::Error)]
pub enum ResubmitError {
    /// The operating system refuses.
    #[error("cannot read or change {}", folder.display())]
    Folder {
        /// The folder of the records.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another one runs.
    #[error("another `journal resubmit` runs in {}; wait for its end", folder.display())]
    Locked {
        /// The folder of the records.
        folder: PathBuf,
    },
    /// The name of the cluster cannot stand in statements.
    #[error("bad setting --store-cluster")]
    Cluster(#[from] ClusterError),
    /// The schema could not be brought up to date.
    #[error("cannot prepare the store; nothing was changed")]
    Migrate(#[from] MigrateError),
    /// The store could not be reached, or failed. What it has is told.
    #[error("the store does not take what is left; it stays where it is")]
    Store(#[from] StoreError),
    /// The store refuses still, or a file is no record.
    #[error("{left} records stay in {}", folder.display())]
    Left {
        /// How many.
        left: usize,
        /// The folder of the records.
        folder: PathBuf,
    },
    /// The output was closed.
    #[error("cannot print")]
    Print(#[from] io::Error),
}

impl ResubmitError {
    /// Whether it is for the data, and not for the machine or the store.
    #[must_use]
    pub fn is_of_the_data(&self) -> bool {
        matches!(self, Self::Left { .. })
    }
}

/// Sends every record again, or lists them.
///
/// # Errors
/// [`ResubmitError`].
pub async fn run(
    settings: &Settings,
    args: &ResubmitArgs,
    lifecycle: Lifecycle,
    out: &mut (impl Write + Send),
) -> Result<(), ResubmitError> {
    let folder = settings.journal.refused_beside(&args.folder);
    let failed = |source| ResubmitError::Folder { folder: folder.folder().to_owned(), source };
    let mut records = folder.records().map_err(failed)?;
    if args.list {
        return list(&folder, &records, out);
    }
    if records.is_empty() {
        writeln!(out, "nothing is set aside in {}", folder.folder().display())?;
        return Ok(());
    }
    let locked = || ResubmitError::Locked { folder: folder.folder().to_owned() };
    let _lock = folder.lock().map_err(failed)?.ok_or_else(locked)?;
    // What another one has sent since is gone.
    records = folder.records().map_err(failed)?;
    let layout = settings.cluster.layout(&settings.store.store_database)?;
    let store = Store::connect_to(&settings.store, layout);
    store.migrate_beside(&lifecycle).await?;
    let again = Resubmitter {
        folder: &folder,
        writer: Writer::new(store.clone()),
        stitcher: Stitcher::new(store, Arc::new(lifecycle)),
    };
    let mut left = 0;
    for record in &records {
        let name = &record.name;
        match again.send(record).await? {
            Sent::Stored(rows) => writeln!(out, "{name}: {rows} rows are in the store")?,
            Sent::Left(why) => {
                left += 1;
                writeln!(out, "{name}: stays: {why}")?;
            }
        }
    }
    writeln!(out, "{} records are in the store, {left} stay", records.len() - left)?;
    if left == 0 {
        return Ok(());
    }
    Err(ResubmitError::Left { left, folder: folder.folder().to_owned() })
}

fn list(
    folder: &SetAside,
    records: &[SetAsideRecord],
    out: &mut impl Write,
) -> Result<(), ResubmitError> {
    for record in records {
        let told = match folder.read(record) {
            Ok(bytes) => match Block::read(std::slice::from_ref(&bytes)) {
                Ok(block) => contents(&block, bytes.len()),
                Err(error) => log::chain(&error),
            },
            Err(error) => log::chain(&error),
        };
        writeln!(out, "{}: {told}", record.name)?;
    }
    writeln!(out, "{} records in {}", records.len(), folder.folder().display())?;
    Ok(())
}

/// The rows of each table.
fn contents(block: &Block, bytes: usize) -> String {
    let filled = Table::ALL.into_iter().filter(|table| block.count(*table) > 0);
    let rows: Vec<String> =
        filled.map(|table| format!("{} {}", block.count(table), table.name())).collect();
    format!("{}; {bytes} bytes", rows.join(", "))
}

/// What came of a record.
enum Sent {
    /// Its rows are in the store, and it is gone.
    Stored(u64),
    /// It is where it was.
    Left(String),
}

struct Resubmitter<'a> {
    folder: &'a SetAside,
    writer: Writer,
    stitcher: Stitcher,
}

impl Resubmitter<'_> {
    async fn send(&self, record: &SetAsideRecord) -> Result<Sent, ResubmitError> {
        let folder = || self.folder.folder().to_owned();
        let failed = |source| ResubmitError::Folder { folder: folder(), source };
        let bytes = self.folder.read(record).map_err(failed)?;
        let block = match Block::read(&[bytes]) {
            Ok(block) => block,
            Err(error) => return Ok(Sent::Left(log::chain(&error))),
        };
        if let Err(error) = self.insert(&block, &record.name).await {
            // What the store cannot take as it is holds up none behind it.
            return match error.fault() {
                Fault::Data | Fault::TooLarge => Ok(Sent::Left(log::chain(&error))),
                Fault::Memory | Fault::Passing => Err(error.into()),
            };
        }
        // Part of it may have come in whenever it was first tried.
        self.stitcher.stitch(block.touched(), Duration::MAX).await?;
        self.folder.remove(record).map_err(failed)?;
        Ok(Sent::Stored(block.rows()))
    }

    async fn insert(&self, block: &Block, name: &str) -> Result<(), StoreError> {
        let mut tries = 1;
        loop {
            match self.writer.insert_block(block, name).await {
                Err(error)
                    if matches!(error.fault(), Fault::Memory | Fault::Passing)
                        && tries < TRIES_MAX =>
                {
                    tracing::warn!(name, error = log::chain(&error), "not stored; trying again");
                }
                outcome => return outcome,
            }
            tries += 1;
            sleep(PAUSE).await;
        }
    }
}
