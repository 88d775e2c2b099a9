//! The accept loop of a port that strangers may reach: HTTP/1 and HTTP/2 with bounds on
//! connections and on the time that a peer may keep one without saying anything; with TLS or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::stop::Stop;
use crate::tls::{PeerNames, Tls};

/// Bytes of one HTTP/2 head.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Bytes that an HTTP/1 connection buffers; also the bound of one head.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Wait after the system refused to accept (out of file descriptors), before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one port grants its peers.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at the same time; past it new ones wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take to send the head of a request, and how long an HTTP/1
    /// connection may be idle; then it is closed.
    pub header_read_timeout: Duration,
    /// How often an HTTP/2 peer is asked whether it is there; one that does not answer within
    /// the same time again is closed.
    pub keep_alive: Duration,
    /// Requests at the same time on one HTTP/2 connection; further ones wait.
    pub streams_max: u32,
}

/// A bound socket and what is spoken on it.
#[derive(Debug)]
pub struct Port {
    /// The socket.
    pub listener: TcpListener,
    /// TLS; `None`: plain text.
    pub tls: Option<Tls>,
}

impl From<TcpListener> for Port {
    /// A port in plain text.
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

/// Serves `router` until `stop`; then takes no new connections or requests and finishes those in
/// hand, for at most `drain_deadline`. `open` shows the connections. A request on a connection
/// whose client showed a certificate has [`PeerNames`] among its extensions.
pub async fn serve(
    port: impl Into<Port>,
    router: Router,
    bounds: Bounds,
    open: Gauge,
    stop: Stop,
    drain_deadline: Duration,
) {
    let Port { listener, tls } = port.into();
    let builder = builder(&bounds);
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.stopped() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else { continue };
        let conversation = Conversation {
            builder: builder.clone(),
            router: router.clone(),
            silence_max: bounds.header_read_timeout,
            watcher: graceful.watcher(),
        };
        let (tls, open, stop) = (tls.clone(), open.clone(), stop.clone());
        open.inc();
        tokio::spawn(async move {
            match tls {
                None => conversation.hold(stream, None).await,
                // Each handshake is a task of its own: a slow one keeps nobody waiting.
                Some(tls) => {
                    let shaken = tokio::select! {
                        () = stop.stopped() => None,
                        shaken = tls.accept(stream) => shaken,
                    };
                    if let Some((stream, names)) = shaken {
                        conversation.hold(stream, names).await;
                    }
                }
            }
            open.dec();
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(drain_deadline, graceful.shutdown()).await.is_err() {
        tracing::warn!(deadline_s = drain_deadline.as_secs(), "requests cut off at the deadline");
    }
}

/// What one connection is served with.
struct Conversation {
    builder: Builder<TokioExecutor>,
    router: Router,
    silence_max: Duration,
    watcher: Watcher,
}

impl Conversation {
    /// Serves until the peer, its silence or the stop ends it.
    async fn hold<S>(self, stream: S, names: Option<PeerNames>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let spoken = Arc::new(AtomicBool::new(false));
        let service = TowerToHyperService::new(watched_router(self.router, &spoken, names));
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::select! {
            ended = self.watcher.watch(connection) => {
                // Broken connections are the client's business; not worth a warning.
                if let Err(error) = ended {
                    tracing::debug!(error, "connection ended");
                }
            }
            () = silence(&spoken, self.silence_max) => {
                tracing::debug!("connection without a request closed");
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "nodelay not set");
            }
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Returns when no request came within `silence_max`. The timers of HTTP/1 and HTTP/2 begin only
/// once the protocol is known, so that a peer that says nothing would stay for ever.
async fn silence(spoken: &AtomicBool, silence_max: Duration) {
    tokio::time::sleep(silence_max).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// The router, noting that a request came, and from whom.
fn watched_router(router: Router, spoken: &Arc<AtomicBool>, names: Option<PeerNames>) -> Router {
    let spoken = Arc::clone(spoken);
    router.layer(axum::middleware::map_request(move |mut request: Request| {
        spoken.store(true, Ordering::Relaxed);
        if let Some(names) = &names {
            request.extensions_mut().insert(names.clone());
        }
        std::future::ready(request)
    }))
}

fn builder(bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_read_timeout)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams_max)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(bounds.keep_alive)
        .keep_alive_timeout(bounds.keep_alive);
    builder
}
