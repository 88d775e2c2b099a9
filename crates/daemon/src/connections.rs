//! The accept loop of a port that strangers may reach: HTTP/1 and HTTP/2 with bounds on
//! connections and on the time that a peer may keep one without saying anything; with TLS or not.

mod activity;
mod peers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::health::Note;
use crate::stop::Stop;
use crate::tls::{PeerNames, Tls};

use activity::{Activity, Patience};
use peers::{Peers, Place};

/// Bytes of one HTTP/2 head.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Bytes that an HTTP/1 connection buffers; also the bound of one head.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Wait after the system refused to accept (out of file descriptors), before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What an idle peer gets to go by itself, once it was told to; then it is cut off.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);
/// A port that is full, or a peer that has too many connections, is told of that often at most.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// What one port grants its peers.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at the same time; past it new ones wait to be accepted.
    pub connections_max: usize,
    /// Connections of one address (of IPv6: one network of 64 bits) at the same time; past it new
    /// ones are closed at once. `None`: no bound of its own.
    pub peer_connections_max: Option<usize>,
    /// How long a client may take to send the head of a request, and how long an HTTP/1
    /// connection may be idle; then it is closed.
    pub header_read_timeout: Duration,
    /// How often an HTTP/2 peer is asked whether it is there; one that does not answer within
    /// the same time again is closed.
    pub keep_alive: Duration,
    /// How long a connection may be without a request, or its peer take nothing of an answer,
    /// whatever else it says (pings, say); then it is told to go, and closed.
    pub idle_timeout: Duration,
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

/// Whom a request comes from; of IPv6 the network of 64 bits. Among the extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Where a port shows how it does.
#[derive(Debug, Clone)]
pub struct Signs {
    /// The port, in logs and remarks.
    pub name: &'static str,
    /// Open connections.
    pub open: Gauge,
    /// Connections closed at once because their peer had too many.
    pub refused: Counter,
    /// Times that all connections were in use, so that new ones had to wait.
    pub full: Counter,
    /// Says so while it lasts.
    pub note: Option<Note>,
}

impl From<Gauge> for Signs {
    /// Of a port that shows its connections only.
    fn from(open: Gauge) -> Self {
        let (refused, full) = (Counter::default(), Counter::default());
        Self { name: "http", open, refused, full, note: None }
    }
}

/// Serves `router` until `stop`; then takes no new connections or requests and finishes those in
/// hand, for at most `drain_deadline`. A request on a connection whose client showed a certificate
/// has [`PeerNames`] among its extensions.
pub async fn serve(
    port: impl Into<Port>,
    router: Router,
    bounds: Bounds,
    signs: impl Into<Signs>,
    stop: Stop,
    drain_deadline: Duration,
) {
    let Port { listener, tls } = port.into();
    let builder = builder(&bounds);
    let mut door = Door::new(listener, &bounds, signs.into());
    let open = door.signs.open.clone();
    let conversations = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.stopped() => break,
            accepted = door.accept() => accepted,
        };
        let Some((stream, places)) = accepted else { continue };
        let peer = PeerAddress(places.1.peer());
        let conversation = Conversation {
            builder: builder.clone(),
            router: router.clone(),
            patience: Patience {
                silence_max: bounds.header_read_timeout,
                idle_max: bounds.idle_timeout,
            },
            stop: stop.clone(),
            peer,
        };
        let (tls, open, stop) = (tls.clone(), open.clone(), stop.clone());
        open.inc();
        conversations.spawn(async move {
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
            drop(places);
        });
    }
    drop(door);
    conversations.close();
    if tokio::time::timeout(drain_deadline, conversations.wait()).await.is_err() {
        tracing::warn!(deadline_s = drain_deadline.as_secs(), "requests cut off at the deadline");
    }
}

/// What one connection is served with.
struct Conversation {
    builder: Builder<TokioExecutor>,
    router: Router,
    patience: Patience,
    stop: Stop,
    peer: PeerAddress,
}

impl Conversation {
    /// Serves until the peer, its idleness or the stop ends it.
    async fn hold<S>(self, stream: S, names: Option<PeerNames>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let router = watched_router(self.router, &activity, self.peer, names);
        let service = TowerToHyperService::new(router);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let mut connection = std::pin::pin!(connection);
        let is_idle = tokio::select! {
            ended = connection.as_mut() => return told(ended),
            () = self.stop.stopped() => false,
            () = activity.idle(self.patience) => true,
        };
        // Over HTTP/2 the peer is told to go (GOAWAY), and what it began is finished.
        connection.as_mut().graceful_shutdown();
        if !is_idle {
            return told(connection.await);
        }
        loop {
            tokio::select! {
                ended = connection.as_mut() => return told(ended),
                () = tokio::time::sleep(LEAVE_TIME_MAX) => {}
            }
            if activity.unused_for() >= LEAVE_TIME_MAX {
                tracing::debug!("idle connection closed");
                return;
            }
        }
    }
}

/// Broken connections are the client's business; not worth a warning.
fn told(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}

/// A socket with the places behind it.
struct Door {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    slots_max: usize,
    peers: Peers,
    signs: Signs,
    full_told: Option<Instant>,
    peer_told: Option<Instant>,
}

impl Door {
    fn new(listener: TcpListener, bounds: &Bounds, signs: Signs) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(bounds.connections_max)),
            slots_max: bounds.connections_max,
            peers: Peers::new(bounds.peer_connections_max),
            signs,
            full_told: None,
            peer_told: None,
        }
    }

    /// The next connection, with its places; `None` when there was one that is not taken.
    async fn accept(&mut self) -> Option<(TcpStream, (OwnedSemaphorePermit, Place))> {
        let slot = self.slot().await?;
        let (stream, address) = match self.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return None;
            }
        };
        let Some(place) = self.peers.enter(address.ip()) else {
            self.refuse(address);
            return None;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay not set");
        }
        Some((stream, (slot, place)))
    }

    /// A free slot. When there is none, that is said before one is waited for.
    async fn slot(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        let (port, connections) = (self.signs.name, self.slots_max);
        self.signs.full.inc();
        if let Some(note) = &self.signs.note {
            note.set(format!("all {connections} connections are in use; new ones wait"));
        }
        if is_due(&mut self.full_told) {
            tracing::warn!(port, connections, "all connections are in use; new ones wait");
        }
        // The semaphore is never closed.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        if let Some(note) = &self.signs.note {
            note.clear();
        }
        slot
    }

    fn refuse(&mut self, address: SocketAddr) {
        self.signs.refused.inc();
        tracing::debug!(port = self.signs.name, %address, "connection refused");
        if is_due(&mut self.peer_told) {
            tracing::warn!(port = self.signs.name, "a peer has all connections that it may have");
        }
    }
}

/// Whether something may be told again; notes that it is.
fn is_due(told: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = told.is_none_or(|at| now.duration_since(at) >= TELL_INTERVAL);
    if is_due {
        *told = Some(now);
    }
    is_due
}

/// The router, noting which requests are in hand, and from whom they come.
fn watched_router(
    router: Router,
    activity: &Activity,
    peer: PeerAddress,
    names: Option<PeerNames>,
) -> Router {
    let activity = activity.clone();
    router.layer(axum::middleware::from_fn(move |mut request: Request, next| {
        request.extensions_mut().insert(peer);
        if let Some(names) = &names {
            request.extensions_mut().insert(names.clone());
        }
        activity.clone().answer(request, next)
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
