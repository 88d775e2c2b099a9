//! Binding and serving HTTP with a drain that ends.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::stop::Stop;

/// A socket could not be bound or served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address} for {name}; is another program using it?")]
    Bind {
        /// What the socket is for, for example `otlp-http`.
        name: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The accept loop ended.
    #[error("serving stopped")]
    Serve(#[source] std::io::Error),
}

/// Binds `address` (port 0: a free one), logs one `listening` line, and gives the listener with
/// the address it got.
///
/// # Errors
/// [`ServeError::Bind`].
pub async fn bind(
    name: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { name, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tracing::info!(name, address = %bound, "listening");
    Ok((listener, bound))
}

/// Serves `router` (HTTP/1.1, `TCP_NODELAY`) until `stop`, then finishes requests in hand for at
/// most `drain_deadline`.
///
/// # Errors
/// [`ServeError::Serve`] when the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: Stop,
    drain_deadline: Duration,
) -> Result<(), ServeError> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay not set");
        }
    });
    let graceful = stop.clone();
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(async move { graceful.stopped().await });
    tokio::select! {
        served = serving.into_future() => served.map_err(ServeError::Serve),
        () = deadline(&stop, drain_deadline) => {
            tracing::warn!(deadline_s = drain_deadline.as_secs(), "drain deadline passed");
            Ok(())
        }
    }
}

async fn deadline(stop: &Stop, drain_deadline: Duration) {
    stop.stopped().await;
    tokio::time::sleep(drain_deadline).await;
}
