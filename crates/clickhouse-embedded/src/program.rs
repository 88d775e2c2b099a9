//! From settings to a served socket, and back to nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::connections::{self, Bounds};
use daemon::serve::ServeError;
use daemon::{Health, Metrics, Stop, Watch};

use crate::auth::{AccountError, Accounts};
use crate::engine::{Engine, OpenError, library};
use crate::figures::Figures;
use crate::priority;
use crate::query_log::QueryLog;
use crate::run::Bench;
use crate::serve::{self, Admission, Shared};
use crate::session::Sessions;
use crate::settings::{Limits, Settings};
use crate::torn;

/// How often the engine is asked for a real answer.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How old the last such answer may be while the program is ready.
const PROBE_AGE_MAX: Duration = Duration::from_secs(10);
/// How often sessions are looked through for those whose time is over.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// Requests at once on one HTTP/2 connection; further ones wait.
const STREAMS_MAX: u32 = 128;

/// How long queries that outlived the drain deadline are told to end, and how often.
const CANCEL_MAX: Duration = Duration::from_secs(2);
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// The program does not start, or breaks while serving.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The users do not fit the address.
    #[error(transparent)]
    Accounts(#[from] AccountError),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] OpenError),
    /// The socket cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A file or thread of our own cannot be had.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// Ends the process without the engine's destructors, which do not bear running threads.
pub fn exit(code: u8) -> ! {
    crate::ffi::exit_at_once(code)
}

/// Opens the engine and serves it until `stop`, then drains.
///
/// # Errors
/// [`StartError`].
pub async fn start(settings: Settings, stop: Stop) -> Result<(), StartError> {
    let accounts = Accounts::new(&settings.users, settings.listen.ip())?;
    // Before a port is bound: nobody is told `listening` by a program that cannot serve.
    let library = library::find(settings.engine_library.as_deref()).map_err(OpenError::Missing)?;
    let metrics = Metrics::new("clickhouse-embedded", env!("CARGO_PKG_VERSION"));
    let figures = Figures::new(&metrics);
    let (listener, address) = daemon::serve::bind("clickhouse-http", settings.listen).await?;
    let (opening, failed) = (settings.clone(), figures.failed_writes.clone());
    let engine = tokio::task::spawn_blocking(move || Engine::open(&opening, &library, failed))
        .await
        .map_err(|error| StartError::Io { doing: "start the engine", source: error.into() })??;
    tracing::info!(version = engine.version, data = %settings.data.display(), "engine open");
    let log_path = settings.query_log.query_log.clone();
    let log_path = log_path.unwrap_or_else(|| settings.data.join("query-log.jsonl"));
    let log_bytes = settings.query_log.query_log_bytes_max;
    let query_log = QueryLog::open(&log_path, log_bytes, figures.log_dropped.clone())
        .map_err(|source| StartError::Io { doing: "open the log of queries", source })?;
    let limits = settings.limits.clone();
    let shared = Arc::new(Shared {
        accounts,
        sessions: Sessions::new(limits.sessions_max, limits.session_timeout_max),
        admission: Admission::new(&limits, figures.clone()),
        bench: Arc::new(Bench {
            engine,
            limits: limits.clone(),
            backups: settings.backups.is_some(),
        }),
        figures: figures.clone(),
        query_log,
    });
    let health = Health::new();
    let watch = health.watch("engine", PROBE_AGE_MAX);
    let probing = tokio::spawn(probe(Arc::clone(&shared), watch, stop.clone()));
    let lowering = tokio::spawn(priority::lower_merges(limits.merges_nice, stop.clone()));
    let expiring = tokio::spawn(expire(Arc::clone(&shared), stop.clone()));
    let router = serve::router(Arc::clone(&shared), health, metrics);
    if let Some(path) = &settings.common.ports_file {
        daemon::settings::write_ports_file(path, &[("clickhouse-http", address)])
            .map_err(|source| StartError::Io { doing: "write the ports file", source })?;
    }
    let (open, deadline) = (figures.connections.clone(), settings.common.drain_deadline);
    connections::serve(listener, router, bounds(&limits), open, stop, deadline).await;
    // All end with the stop signal; a broken one has nothing left to break.
    let _ = tokio::join!(probing, lowering, expiring);
    tokio::task::spawn_blocking(move || end(&shared))
        .await
        .map_err(|error| StartError::Io { doing: "end what runs", source: error.into() })?;
    tracing::info!("stopped");
    Ok(())
}

/// Cancels what outlived the drain, closes sessions, and writes the log of queries to its end.
fn end(shared: &Shared) {
    let started = Instant::now();
    loop {
        let running = shared.admission.running();
        if running.is_empty() || started.elapsed() > CANCEL_MAX {
            break;
        }
        for query_id in &running {
            if let Err(exception) = shared.bench.engine.cancel(query_id) {
                tracing::warn!(query_id, %exception, "cannot cancel");
            }
        }
        std::thread::sleep(CANCEL_EVERY);
    }
    shared.sessions.close_all();
    shared.query_log.flush();
}

fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        connections_max: limits.connections_max,
        // Its clients are few, and some hold many.
        peer_connections_max: None,
        header_read_timeout: limits.header_read_timeout,
        keep_alive: limits.header_read_timeout,
        idle_timeout: limits.header_read_timeout,
        streams_max: STREAMS_MAX,
    }
}

/// Asks the engine for a real answer, again and again: readiness watches that.
async fn probe(shared: Arc<Shared>, watch: Watch, stop: Stop) {
    loop {
        let asked = Arc::clone(&shared);
        let answered = tokio::task::spawn_blocking(move || asked.bench.engine.ask("SELECT 1", &[]));
        match answered.await {
            Ok(Ok(_)) => watch.progressed(),
            Ok(Err(exception)) => watch.failed(exception.to_string()),
            Err(error) => watch.failed(error.to_string()),
        }
        torn::let_go();
        if !stop.sleep(PROBE_EVERY).await {
            return;
        }
    }
}

async fn expire(shared: Arc<Shared>, stop: Stop) {
    while stop.sleep(EXPIRE_EVERY).await {
        let sessions = Arc::clone(&shared.sessions);
        let expired = tokio::task::spawn_blocking(move || sessions.expire()).await;
        if let Err(error) = expired {
            tracing::warn!(%error, "sessions cannot be looked through");
        }
        shared.figures.sessions.set(i64::try_from(shared.sessions.count()).unwrap_or(i64::MAX));
    }
}
