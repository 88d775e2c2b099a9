//! A store that keeps nothing: inserts of rows are read and thrown away, everything else is asked
//! of a real engine behind it.
//!
//! What a collector costs by itself is measured before it: migrations, reads and statements are
//! answered as in production, an insert is answered as soon as its last byte has come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use reqwest::Client;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;

use crate::address::ANY;

/// Time between two inserts that a paced store makes up for.
const CATCH_UP_MAX: Duration = Duration::from_millis(200);

/// The store; it serves until the runtime ends.
#[derive(Debug, Clone)]
pub struct DiscardingStore {
    shared: Arc<Shared>,
    url: String,
}

#[derive(Debug)]
struct Shared {
    engine: String,
    client: Client,
    inserts: AtomicU64,
    bytes: AtomicU64,
    /// Bytes a second that are taken at most, over all inserts.
    bytes_per_second: AtomicU64,
    /// When what was taken so far is due at that pace.
    paced_until: Mutex<Instant>,
}

impl DiscardingStore {
    /// Starts one before the engine at that root URL, on a free port.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(engine: String, client: Client) -> Result<Self> {
        let listener = TcpListener::bind(ANY).await.context("binding the discarding store")?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Shared {
            engine,
            client,
            inserts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_per_second: AtomicU64::new(u64::MAX),
            paced_until: Mutex::new(Instant::now()),
        };
        let shared = Arc::new(shared);
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { shared, url })
    }

    /// Its root URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on it takes no more bytes a second than this.
    pub fn takes_at_most(&self, bytes_per_second: u64) {
        self.shared.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Inserts and their bytes, as they travelled, that were thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> (u64, u64) {
        let Shared { inserts, bytes, .. } = &*self.shared;
        (inserts.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// When so many bytes more may have been taken, if there is a pace.
    fn due(&self, bytes: u64) -> Option<Instant> {
        let per_second = self.bytes_per_second.load(Ordering::Relaxed);
        if per_second == u64::MAX {
            return None;
        }
        let mut until = self.paced_until.lock().unwrap_or_else(PoisonError::into_inner);
        let idle_since = Instant::now().checked_sub(CATCH_UP_MAX).unwrap_or(*until);
        let taken = Duration::from_secs_f64(bytes as f64 / per_second as f64);
        *until = idle_since.max(*until) + taken;
        Some(*until)
    }
}

/// Whether rows follow in the body: then the statement stands in the address.
fn brings_rows(query: Option<&str>) -> bool {
    query.is_some_and(|query| {
        query.split('&').any(|pair| {
            let statement = pair.strip_prefix("query=").unwrap_or_default();
            statement.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case("INSERT"))
        })
    })
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let answered = if brings_rows(request.uri().query()) {
        discard(&shared, request.into_body()).await.map(IntoResponse::into_response)
    } else {
        pass_on(&shared, request).await
    };
    answered.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response())
}

async fn discard(shared: &Shared, body: Body) -> Result<StatusCode> {
    let mut data = body.into_data_stream();
    while let Some(chunk) = data.next().await {
        let bytes = chunk.context("reading an insert")?.len() as u64;
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(due) = shared.due(bytes) {
            tokio::time::sleep_until(due.into()).await;
        }
    }
    shared.inserts.fetch_add(1, Ordering::Relaxed);
    Ok(StatusCode::OK)
}

async fn pass_on(shared: &Shared, request: Request) -> Result<Response> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut asked = shared.client.request(head.method, format!("{}{target}", shared.engine));
    let hop_by_hop = ["host", "connection", "transfer-encoding"];
    for (name, value) in
        head.headers.iter().filter(|(name, _)| !hop_by_hop.contains(&name.as_str()))
    {
        asked = asked.header(name, value);
    }
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let answer = asked.body(body).send().await.context("asking the engine")?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in
        answer.headers().iter().filter(|(name, _)| !hop_by_hop.contains(&name.as_str()))
    {
        response = response.header(name, value);
    }
    response.body(Body::from_stream(answer.bytes_stream())).context("passing an answer on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_that_bring_rows_are_thrown_away() {
        for (query, expected) in [
            (Some("database=x&query=INSERT+INTO+otel_traces+FORMAT+RowBinary"), true),
            (Some("query=insert%20into%20t"), true),
            (Some("query=SELECT+1"), false),
            (Some("database=INSERT"), false),
            (None, false),
        ] {
            assert_eq!(brings_rows(query), expected, "{query:?}");
        }
    }
}
