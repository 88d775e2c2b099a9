//! The parts put together: bind, open the journal, take in, wait for the store, stop in order.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use daemon::serve::{ServeError, bind};
use daemon::settings::write_ports_file;
use daemon::{Health, Metrics, Stop, Watch, admin, connections, log};
use journal::{Batches, Journal, JournalSettings, OpenError};
use order_model::Lifecycle;
use order_store::cluster::ClusterError;
use order_store::schema::MigrateError;
use order_store::{RetentionSettings, Stitcher, Store, Writer};
use otlp_columns::Mapper;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use crate::conserve;
use crate::entrance::Entrance;
use crate::guard::{Guard, GuardError};
use crate::hygiene::RedactionError;
use crate::insert::{InsertError, Inserter};
use crate::intake::Intake;
use crate::metrics::CollectorMetrics;
use crate::settings::Settings;
use crate::stitch::{self, Mailbox, Sweeper};
use crate::store_watch::StoreWatch;
use crate::{grpc, http};

/// Wait between two questions to a store that is not there yet.
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// How long migrations may take; then they are begun again where they are.
const PREPARE_TIME_MAX: Duration = Duration::from_secs(600);
/// What the last tasks get beyond the drain deadline, so that requests answered at its end are
/// still stitched.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// How long the journal may take to close; it writes a position.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long threads that block may outlive a program that has ended: a disk that hangs holds its
/// thread for ever.
const THREADS_TIME_MAX: Duration = Duration::from_millis(100);
/// Readiness fails when nothing was heard of a part for this long.
const PROGRESS_AGE_MAX: Duration = Duration::from_secs(30);

/// The collector could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The rules of redaction are not usable.
    #[error(transparent)]
    Redaction(#[from] RedactionError),
    /// The name of the cluster cannot stand in statements.
    #[error("bad setting --store-cluster")]
    Cluster(#[from] ClusterError),
    /// A setting of who may send cannot be used.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// A port could not be bound.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The ports file could not be written.
    #[error("cannot write the ports file {}", path.display())]
    PortsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal could not be opened.
    #[error("cannot open the journal")]
    Journal(#[from] OpenError),
    /// What is in the journal could not be taken to the store.
    #[error("cannot go on")]
    Insert(#[from] InsertError),
    /// The schema could not be brought up to date.
    #[error("cannot prepare the store")]
    Migrate(#[source] MigrateError),
    /// A task of ours panicked.
    #[error("a part of the collector panicked")]
    Panicked {
        /// Which and where.
        source: JoinError,
    },
}

/// The sockets of the collector.
struct Sockets {
    http: TcpListener,
    grpc: TcpListener,
    admin: TcpListener,
}

/// What all tasks share.
struct Parts {
    store: Store,
    mailbox: Arc<Mailbox>,
    metrics: CollectorMetrics,
    store_watch: StoreWatch,
    stitch_watch: Watch,
    sweep_watch: Watch,
}

/// Runs the collector until `stop`.
///
/// Requests are taken as soon as the journal is open, whether the store is there or not. Ports are
/// bound before: senders then get 503 with `Retry-After`, which they obey, instead of a refused
/// connection, which some take for final; and `/livez` can be asked.
///
/// # Errors
/// [`RunError`].
pub async fn run(settings: Settings, lifecycle: Lifecycle, stop: Stop) -> Result<(), RunError> {
    let redaction = settings.hygiene.redaction()?;
    let layout = settings.cluster.layout(&settings.store.store_database)?;
    let limits = settings.hygiene.limits(settings.intake.decoded_bytes_max);
    let lifecycle = Arc::new(lifecycle);
    let mapper = Mapper::new(Arc::clone(&lifecycle), redaction, limits);
    let page = Metrics::new("collector", env!("CARGO_PKG_VERSION"));
    let metrics = CollectorMetrics::new(&page);
    let health = Health::new();
    let journal_watch = health.watch("journal", PROGRESS_AGE_MAX);
    let insert_watch = health.watch_beside("inserts", PROGRESS_AGE_MAX);
    let sweep_age_max = settings.stitch.sweep_interval + PROGRESS_AGE_MAX;
    let parts = Parts {
        store: Store::connect_to(&settings.store, layout),
        mailbox: Arc::new(Mailbox::new(settings.stitch.stitch_pending_max, metrics.clone())),
        store_watch: StoreWatch::new(health.watch_beside("store", PROGRESS_AGE_MAX)),
        stitch_watch: health.watch_beside("stitcher", PROGRESS_AGE_MAX),
        sweep_watch: health.watch_beside("sweep", sweep_age_max),
        metrics,
    };

    let guard = Guard::open(&settings, &page, &health).await?;
    let sockets = bind_all(&settings).await?;
    let intake = Intake::new(mapper, settings.intake.clone(), parts.metrics.clone());
    // The admin port answers until the very end.
    let end = Stop::new();
    let drain = settings.common.drain_deadline;
    let admin = admin::router(health.clone(), page.clone());
    let admin = tokio::spawn(daemon::serve::serve(sockets.admin, admin, end.clone(), drain));
    let mut servers = JoinSet::new();
    let entrance = Entrance { access: guard.access(), intake: intake.clone() };
    for (name, listener, router) in [
        ("otlp_http", sockets.http, http::router(entrance.clone())),
        ("otlp_grpc", sockets.grpc, grpc::router(entrance)),
    ] {
        let signs = parts.metrics.signs_of(name, &health);
        let (bounds, stop) = (settings.connections.bounds(), stop.clone());
        let port = guard.port(listener);
        servers.spawn(connections::serve(port, router, bounds, signs, stop, drain));
    }
    servers.spawn(guard.watch(stop.clone()));

    let ran = match open_journal(&settings, &parts.metrics, &stop).await {
        Ok(Some((journal, batches))) => {
            let (shown, metrics) = (journal.clone(), parts.metrics.clone());
            page.before_page(move || crate::journal::show(&shown, &metrics));
            let looking =
                crate::journal::look(journal.clone(), journal_watch, insert_watch, stop.clone());
            let looking = tokio::spawn(looking);
            intake.open(journal.clone());
            drop(intake);
            let ran = work(&settings, lifecycle, parts, &journal, batches, servers, &stop).await;
            stop.stop();
            crate::journal::close(journal, CLOSE_TIME_MAX).await;
            looking.await.map_err(|source| RunError::Panicked { source })?;
            ran
        }
        // Nobody was answered yet.
        Ok(None) => join(&mut servers, Instant::now() + drain).await,
        Err(error) => Err(error.into()),
    };
    end.stop();
    admin.await.map_err(|source| RunError::Panicked { source })??;
    if ran.is_ok() {
        tracing::info!("stopped");
    }
    ran
}

/// Runs a program of ours to its end, and does not wait for threads that hang then.
///
/// # Errors
/// The operating system gives no threads, or what the program says.
pub fn to_the_end<T>(program: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(program);
    runtime.shutdown_timeout(THREADS_TIME_MAX);
    Ok(ended)
}

async fn open_journal(
    settings: &Settings,
    metrics: &CollectorMetrics,
    stop: &Stop,
) -> Result<Option<(Journal, Batches)>, OpenError> {
    // The settings were checked.
    let settings = settings.journal.settings().unwrap_or_else(|| JournalSettings::new("journal"));
    crate::journal::open(settings, metrics, stop).await
}

async fn bind_all(settings: &Settings) -> Result<Sockets, RunError> {
    let (http, http_address) = bind("otlp-http", settings.otlp_http).await?;
    let (grpc, grpc_address) = bind("otlp-grpc", settings.otlp_grpc).await?;
    let (admin, admin_address) = bind("admin", settings.admin).await?;
    if let Some(path) = &settings.common.ports_file {
        let ports =
            [("otlp-http", http_address), ("otlp-grpc", grpc_address), ("admin", admin_address)];
        write_ports_file(path, &ports)
            .map_err(|source| RunError::PortsFile { path: path.clone(), source })?;
    }
    Ok(Sockets { http, grpc, admin })
}

/// Waits for the store and brings its schema and retention up to date; `false` when the stop came
/// first.
async fn prepare(
    parts: &Parts,
    lifecycle: &Lifecycle,
    settings: &Settings,
    stop: &Stop,
) -> Result<bool, RunError> {
    let mut told = false;
    loop {
        let preparing = bring_up_to_date(&parts.store, lifecycle, &settings.retention);
        let prepared = tokio::select! {
            prepared = timeout(PREPARE_TIME_MAX, preparing) => prepared,
            () = stop.stopped() => return Ok(false),
        };
        match prepared {
            Ok(Ok(())) => {
                parts.store_watch.answered();
                tracing::info!("store ready");
                return Ok(true);
            }
            Ok(Err(MigrateError::Store(error))) if error.is_unreachable() => {
                parts.store_watch.away(log::chain(&error));
            }
            // A password, a right or a disk may be mended while data is taken.
            Ok(Err(MigrateError::Store(error))) => {
                let error = log::chain(&error);
                if !std::mem::replace(&mut told, true) {
                    tracing::error!(error, "the store cannot be prepared; data is kept meanwhile");
                }
                parts.store_watch.refused(error);
            }
            Ok(Err(error)) => return Err(RunError::Migrate(error)),
            Err(_) => {
                let seconds = PREPARE_TIME_MAX.as_secs();
                parts.store_watch.away(format!("the schema was not prepared within {seconds} s"));
            }
        }
        if !stop.sleep(STORE_PAUSE).await {
            return Ok(false);
        }
    }
}

async fn bring_up_to_date(
    store: &Store,
    lifecycle: &Lifecycle,
    retention: &RetentionSettings,
) -> Result<(), MigrateError> {
    store.migrate(lifecycle).await?;
    store.retain(retention).await?;
    Ok(())
}

/// Takes what is answered to the store until the stop, then stops in the order in which data runs:
/// servers, inserts, stitcher.
async fn work(
    settings: &Settings,
    lifecycle: Arc<Lifecycle>,
    parts: Parts,
    journal: &Journal,
    batches: Batches,
    mut servers: JoinSet<()>,
    stop: &Stop,
) -> Result<(), RunError> {
    let drain = settings.common.drain_deadline + DRAIN_GRACE;
    match prepare(&parts, &lifecycle, settings, stop).await {
        Ok(true) => {}
        // What was answered meanwhile stays in the journal.
        Ok(false) => return join(&mut servers, Instant::now() + drain).await,
        Err(error) => {
            stop.stop();
            join(&mut servers, Instant::now() + drain).await?;
            return Err(error);
        }
    }
    let Parts { store, mailbox, metrics, store_watch, stitch_watch, sweep_watch } = parts;
    let stitcher = Stitcher::new(store.clone(), lifecycle);
    let known = Sweeper::make_known(stitcher.clone(), &sweep_watch, stop).await;
    let Some(sweeper) = known else {
        return join(&mut servers, Instant::now() + drain).await;
    };
    let inserter = Inserter::new(
        journal.clone(),
        Writer::new(store.clone()),
        settings.insert.clone(),
        settings.journal.refused(),
        Arc::clone(&mailbox),
        metrics.clone(),
        store_watch.clone(),
    );
    let mut inserting = tokio::spawn(inserter.run(batches));
    let mut stitchers = JoinSet::new();
    let limits = settings.stitch.clone();
    stitchers.spawn({
        let (mailbox, stitcher, limits) = (Arc::clone(&mailbox), stitcher.clone(), limits.clone());
        let metrics = metrics.clone();
        async move { stitch::run(&mailbox, &stitcher, &limits, &stitch_watch, &metrics).await }
    });
    stitchers.spawn({
        let (mailbox, stitcher) = (Arc::clone(&mailbox), stitcher.clone());
        let (metrics, stop) = (metrics.clone(), stop.clone());
        async move { conserve::run(&mailbox, &stitcher, &metrics, &stop).await }
    });
    stitchers.spawn({
        let (mailbox, stop) = (Arc::clone(&mailbox), stop.clone());
        let journal = journal.clone();
        async move {
            let unsent = || journal.stats().unconfirmed_age(SystemTime::now());
            let watch = &sweep_watch;
            stitch::sweep(sweeper, &mailbox, &unsent, &limits, watch, &metrics, &stop).await;
        }
    });
    let ping = tokio::spawn(store_watch.ping(store, stop.clone()));

    let mut died = None;
    let inserted = tokio::select! {
        () = stop.stopped() => None,
        inserted = &mut inserting => Some(inserted),
        source = panicked(&mut servers) => {
            died = Some(source);
            None
        }
    };
    // Without an inserter, or one of its ports, nothing goes on.
    stop.stop();
    let deadline = Instant::now() + drain;
    if let Some(source) = died {
        return Err(RunError::Panicked { source });
    }
    join(&mut servers, deadline).await?;
    journal.stop();
    let inserted = match inserted {
        Some(inserted) => inserted,
        None => match timeout_at(deadline, &mut inserting).await {
            Ok(inserted) => inserted,
            Err(_) => {
                let unsent = journal.stats().unconfirmed_records;
                tracing::warn!(unsent, "the rest of the journal waits for the next start");
                inserting.abort();
                Ok(Ok(()))
            }
        },
    };
    mailbox.close();
    join(&mut stitchers, deadline).await?;
    ping.await.map_err(|source| RunError::Panicked { source })?;
    inserted.map_err(|source| RunError::Panicked { source })??;
    Ok(())
}

/// Waits until one of the tasks panics: one that has nothing to do may end.
async fn panicked(tasks: &mut JoinSet<()>) -> JoinError {
    loop {
        match tasks.join_next().await {
            Some(Ok(())) => {}
            Some(Err(source)) => return source,
            None => std::future::pending().await,
        }
    }
}

/// Joins tasks; those that are not done at the deadline are cut off.
async fn join(tasks: &mut JoinSet<()>, deadline: Instant) -> Result<(), RunError> {
    loop {
        match timeout_at(deadline, tasks.join_next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(source))) => return Err(RunError::Panicked { source }),
            Err(_) => {
                tracing::warn!(tasks = tasks.len(), "work cut off at the drain deadline");
                tasks.shutdown().await;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_thread_that_hangs_does_not_outlast_the_program() {
        let (hang, until) = channel::<()>();
        let ended = to_the_end(async {
            tokio::task::spawn_blocking(move || until.recv());
            7
        });
        assert_eq!(ended.unwrap(), 7);
        drop(hang);
    }
}
