//! The accept loop: HTTP/1.1 with bounds on connections and on the time to send a head.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use daemon::Stop;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Limits;

/// Bytes that a connection buffers, which bounds the head of a request; a longer one is 431.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Wait after the system refused to accept (out of file descriptors), before trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `stop`; then takes no new connections or requests and finishes those in
/// hand, for at most `drain_deadline`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    open: Gauge,
    stop: Stop,
    drain_deadline: Duration,
) {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .max_buf_size(HEAD_BYTES_MAX);
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.stopped() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else { continue };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let watched = graceful.watch(connection);
        let open = open.clone();
        open.inc();
        tokio::spawn(async move {
            // Broken connections are the client's business; they are not worth a warning.
            if let Err(error) = watched.await {
                tracing::debug!(%error, "connection ended");
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

/// Waits for a free slot, then for a client; none when the system refused.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
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
