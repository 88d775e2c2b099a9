//! The parts put together: bind, wait for the store, take in, stop in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::serve::{ServeError, bind};
use daemon::settings::write_ports_file;
use daemon::{Health, Metrics, Stop, Watch, admin, connections, log};
use order_model::Lifecycle;
use order_store::cluster::ClusterError;
use order_store::schema::MigrateError;
use order_store::{RetentionSettings, Stitcher, Store, StoreError, Writer};
use otlp_columns::redact::BadPattern;
use otlp_columns::{Limits, Mapper, Redaction};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::conserve;
use crate::entrance::Entrance;
use crate::guard::{Guard, GuardError};
use crate::insert::{Inserter, Job};
use crate::intake::Intake;
use crate::metrics::CollectorMetrics;
use crate::settings::Settings;
use crate::stitch::{self, Mailbox};
use crate::store_watch::StoreWatch;
use crate::{grpc, http};

/// Wait between two questions to a store that is not there yet.
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// What the last tasks get beyond the drain deadline, so that requests answered at its end are
/// still stitched.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// Readiness fails when nothing was heard of a part for this long.
const PROGRESS_AGE_MAX: Duration = Duration::from_secs(30);

/// The collector could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A redaction pattern of the settings is not usable.
    #[error("bad setting --redact-key")]
    Redaction(#[source] BadPattern),
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
        source: std::io::Error,
    },
    /// The store did not answer within `--store-wait`.
    #[error("the store did not answer within {waited_s} s")]
    StoreUnavailable {
        /// How long it was waited for.
        waited_s: u64,
        /// Its last error.
        source: StoreError,
    },
    /// The schema could not be brought up to date.
    #[error("cannot prepare the store")]
    Migrate(#[source] MigrateError),
    /// A task of ours panicked.
    #[error("a part of the collector panicked")]
    Panicked {
        /// Which and where.
        source: tokio::task::JoinError,
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
/// Ports are bound before the store is there: senders then get 503 with `Retry-After`, which they
/// obey, instead of a refused connection, which some take for final; and `/livez` can be asked.
///
/// # Errors
/// [`RunError`].
pub async fn run(settings: Settings, lifecycle: Lifecycle, stop: Stop) -> Result<(), RunError> {
    let redaction = Redaction::with(&settings.redact_keys).map_err(RunError::Redaction)?;
    let layout = settings.cluster.layout(&settings.store.store_database)?;
    let limits =
        Limits { decoded_bytes_max: settings.intake.decoded_bytes_max, ..Limits::default() };
    let lifecycle = Arc::new(lifecycle);
    let mapper = Mapper::new(Arc::clone(&lifecycle), redaction, limits);
    let page = Metrics::new("collector", env!("CARGO_PKG_VERSION"));
    let metrics = CollectorMetrics::new(&page);
    let health = Health::new();
    let parts = Parts {
        store: Store::connect_to(&settings.store, layout),
        mailbox: Arc::new(Mailbox::new(settings.stitch.stitch_pending_max, metrics.clone())),
        store_watch: StoreWatch::new(health.watch("store", PROGRESS_AGE_MAX)),
        stitch_watch: health.watch("stitcher", PROGRESS_AGE_MAX),
        sweep_watch: health.watch("sweep", settings.stitch.sweep_interval + PROGRESS_AGE_MAX),
        metrics,
    };

    let guard = Guard::open(&settings, &page, &health).await?;
    let sockets = bind_all(&settings).await?;
    let (send_jobs, jobs) = mpsc::channel(settings.intake.in_flight_requests_max);
    let intake = Intake::new(mapper, settings.intake.clone(), parts.metrics.clone(), send_jobs);
    // The admin port answers until the very end.
    let end = Stop::new();
    let drain = settings.common.drain_deadline;
    let admin =
        daemon::serve::serve(sockets.admin, admin::router(health, page), end.clone(), drain);
    let admin = tokio::spawn(admin);
    let mut servers = JoinSet::new();
    let entrance = Entrance { access: guard.access(), intake: intake.clone() };
    for (name, listener, router) in [
        ("otlp_http", sockets.http, http::router(entrance.clone())),
        ("otlp_grpc", sockets.grpc, grpc::router(entrance)),
    ] {
        let open = parts.metrics.connections_of(name);
        let (bounds, stop) = (settings.connections.bounds(), stop.clone());
        let port = guard.port(listener);
        servers.spawn(connections::serve(port, router, bounds, open, stop, drain));
    }
    servers.spawn(guard.watch(stop.clone()));

    let prepared = prepare(&parts, &lifecycle, &settings, &stop).await;
    let ran = match prepared {
        Ok(true) => work(&settings, lifecycle, parts, intake, jobs, servers, &stop).await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    end.stop();
    admin.await.map_err(|source| RunError::Panicked { source })??;
    ran
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

/// Waits for the store and brings its schema and retention up to date; `false` when the stop came first.
async fn prepare(
    parts: &Parts,
    lifecycle: &Lifecycle,
    settings: &Settings,
    stop: &Stop,
) -> Result<bool, RunError> {
    let store_wait = settings.store_wait;
    let deadline = Instant::now() + store_wait;
    let mut told = false;
    loop {
        let error = match bring_up_to_date(&parts.store, lifecycle, &settings.retention).await {
            Ok(()) => {
                parts.store_watch.answered();
                tracing::info!("store ready");
                return Ok(true);
            }
            Err(MigrateError::Store(error)) if error.is_retryable() => error,
            Err(error) => return Err(RunError::Migrate(error)),
        };
        let chain = log::chain(&error);
        if !told {
            tracing::warn!(error = chain, wait_s = store_wait.as_secs(), "waiting for the store");
            told = true;
        }
        parts.store_watch.refused(chain);
        if Instant::now() + STORE_PAUSE > deadline {
            let waited_s = store_wait.as_secs();
            return Err(RunError::StoreUnavailable { waited_s, source: error });
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

/// Takes in until the stop, then stops in the order in which data runs: servers, inserts,
/// stitcher.
async fn work(
    settings: &Settings,
    lifecycle: Arc<Lifecycle>,
    parts: Parts,
    intake: Intake,
    jobs: mpsc::Receiver<Job>,
    mut servers: JoinSet<()>,
    stop: &Stop,
) -> Result<(), RunError> {
    let Parts { store, mailbox, metrics, store_watch, stitch_watch, sweep_watch } = parts;
    let inserter = Inserter::new(
        jobs,
        Writer::new(store.clone()),
        settings.insert.clone(),
        Arc::clone(&mailbox),
        metrics.clone(),
        store_watch.clone(),
    );
    let mut inserters = JoinSet::new();
    for _ in 0..settings.insert.inserts_at_once {
        inserters.spawn(inserter.clone().run());
    }
    drop(inserter);
    let stitcher = Stitcher::new(store.clone(), lifecycle);
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
        async move {
            stitch::sweep(&mailbox, &stitcher, &limits, &sweep_watch, &metrics, &stop).await;
        }
    });
    let ping = tokio::spawn(store_watch.ping(store, stop.clone()));
    intake.open();
    // The servers hold the intake from here on: when they have drained, its queue ends.
    drop(intake);

    stop.stopped().await;
    let deadline = Instant::now() + settings.common.drain_deadline;
    join(&mut servers, deadline + DRAIN_GRACE).await?;
    join(&mut inserters, deadline + DRAIN_GRACE).await?;
    mailbox.close();
    join(&mut stitchers, deadline + DRAIN_GRACE).await?;
    ping.await.map_err(|source| RunError::Panicked { source })?;
    tracing::info!("stopped");
    Ok(())
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
