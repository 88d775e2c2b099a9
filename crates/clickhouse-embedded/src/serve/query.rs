//! One request of the query interface, from its URL to its answer.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, StatusCode, Uri};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::admission::Place;
use super::{Shared, body};
use crate::answer::{self, Answer, Holding, Labels, Sink};
use crate::auth::Role;
use crate::coding::{self, Coding};
use crate::exception::{Code, Exception};
use crate::ffi::Statistics;
use crate::figures::ByCode;
use crate::query_log::Entry;
use crate::request::Request as Asked;
use crate::run::{self, Account};
use crate::session::Lease;

/// What `GET /` without a query says, as the server does.
const GREETING: &str = "Ok.\n";
/// How often a query whose client left is told to end, until it has ended.
const CANCEL_EVERY: Duration = Duration::from_millis(100);
/// How many times; then its time limit has to end it.
const CANCELS_MAX: usize = 600;

/// Any path that is not served.
pub(crate) async fn no_such_path(uri: Uri) -> Response {
    let path = uri.path();
    let text = format!("There is no handle {path}\n\nUse / or /ping for health checks.\n");
    (StatusCode::NOT_FOUND, text).into_response()
}

/// Serves `/`.
pub(crate) async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD | Method::POST | Method::PUT => {}
        Method::OPTIONS => return allowed(StatusCode::NO_CONTENT),
        _ => return allowed(StatusCode::METHOD_NOT_ALLOWED),
    }
    let greets = request.uri().query().is_none_or(str::is_empty);
    if greets && matches!(*request.method(), Method::GET | Method::HEAD) {
        return GREETING.into_response();
    }
    match serve(&shared, request).await {
        Ok(response) => response,
        Err(exception) => {
            shared.figures.exceptions.get_or_create(&ByCode { code: exception.code }).inc();
            refusal(&exception)
        }
    }
}

fn allowed(status: StatusCode) -> Response {
    (status, [(ALLOW, "GET, HEAD, POST, PUT, OPTIONS")]).into_response()
}

/// An exception that came before there was a query to answer.
fn refusal(exception: &Exception) -> Response {
    let mut response = (exception.http_status(), format!("{exception}\n")).into_response();
    let headers = response.headers_mut();
    answer::insert(headers, "x-clickhouse-exception-code", &exception.code.to_string());
    answer::insert(headers, "x-clickhouse-server-display-name", answer::DISPLAY_NAME);
    answer::insert(headers, "content-type", "text/plain; charset=UTF-8");
    if exception.http_status() == StatusCode::SERVICE_UNAVAILABLE {
        answer::insert(headers, "retry-after", "1");
    }
    response
}

async fn serve(shared: &Arc<Shared>, request: Request<Body>) -> Result<Response, Exception> {
    let (parts, body) = request.into_parts();
    let bad = |error| Exception::new(Code::BadArguments, format!("Cannot parse the URL: {error}"));
    let Query(mut parameters) =
        Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(bad)?;
    let user = shared.accounts.authenticate(&parts.headers, &parameters)?;
    let limits = &shared.bench.limits;
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
    let body = match boundary {
        Some(boundary) => {
            let fields = form(body, boundary, limits.query_bytes_max);
            let fields = tokio::time::timeout(limits.text_time_max, fields).await;
            parameters.extend(fields.map_err(|_| body::late(limits))??);
            Body::empty()
        }
        // A reader's body is text to its end. It comes in before there is a place, so that one who
        // sends slowly keeps none.
        None if user.role == Role::Reader => body::whole(body, limits).await?,
        None => body,
    };
    let only_reads = matches!(parts.method, Method::GET | Method::HEAD);
    let catalogue = &shared.bench.engine.catalogue;
    let asked = Asked::new(user, &parts.headers, parameters, only_reads, catalogue)?;
    let lease = match &asked.session {
        // A reader's session has nothing to keep: no SET, no temporary tables.
        Some(_) if asked.user.role == Role::Reader => None,
        Some(ask) => Some(shared.sessions.lease(&asked.user, ask)?),
        None => None,
    };
    let place = shared.admission.admit(asked.user.role, &asked.query_id).await?;
    let reader = body::forward(body, limits.client_idle_max);
    let (reply, answer) = oneshot::channel();
    let sink =
        Sink::new(reply, labels(shared, &asked), holding(shared, &asked), limits.client_idle_max);
    let guard = LeftGuard::new(shared, &asked.query_id);
    let job = Job {
        shared: Arc::clone(shared),
        asked,
        sink,
        lease,
        place,
        ended: Arc::clone(&guard.ended),
    };
    tokio::task::spawn_blocking(move || job.run(Box::new(reader)));
    let broke = |_| Exception::new(Code::Aborted, "The query broke off");
    Ok(respond(answer.await.map_err(broke)?, guard))
}

/// The fields of a form: `query`, `param_*`, settings. Files (external tables) are not served.
async fn form(
    body: Body,
    boundary: String,
    bytes_max: usize,
) -> Result<Vec<(String, String)>, Exception> {
    let limit = multer::SizeLimit::new().whole_stream(bytes_max as u64);
    let constraints = multer::Constraints::new().size_limit(limit);
    let mut form =
        multer::Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let bad = |error: multer::Error| match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            let message = format!("Max query size exceeded: {bytes_max} bytes");
            Exception::new(Code::QueryIsTooLarge, message)
        }
        error => Exception::new(Code::BadArguments, format!("Cannot read the form: {error}")),
    };
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(bad)? {
        if field.file_name().is_some() {
            return Err(Exception::new(Code::NotImplemented, "External tables are not served"));
        }
        let name = field.name().unwrap_or_default().to_owned();
        fields.push((name, field.text().await.map_err(bad)?));
    }
    Ok(fields)
}

fn labels(shared: &Shared, asked: &Asked) -> Labels {
    Labels {
        query_id: asked.query_id.clone(),
        timezone: shared.bench.engine.timezone.clone(),
        format: asked.format.clone().unwrap_or_else(|| "TabSeparated".to_owned()),
        coding: asked.answer_coding,
    }
}

fn holding(shared: &Shared, asked: &Asked) -> Holding {
    let limits = &shared.bench.limits;
    let (whole, part) = (limits.waited_result_bytes_max, limits.held_result_bytes_max);
    let bytes_max = if asked.waits_for_end { whole } else { part };
    Holding { bytes_max, waits_for_end: asked.waits_for_end }
}

/// A query on its thread.
struct Job {
    shared: Arc<Shared>,
    asked: Asked,
    sink: Sink,
    lease: Option<Lease>,
    place: Place,
    ended: Arc<AtomicBool>,
}

impl Job {
    fn run(self, body: Box<dyn Read + Send>) {
        let Self { shared, asked, mut sink, mut lease, place, ended } = self;
        let started = Instant::now();
        let mut account = Account::default();
        let result = decoded(&asked, body).and_then(|body| {
            run::run(&shared.bench, &asked, body, lease.as_mut(), &mut sink, &mut account)
        });
        ended.store(true, Ordering::Release);
        // The next request of the session, and of the id, may come with the answer.
        drop(lease);
        drop(place);
        let answer_bytes = sink.bytes;
        sink.finish(result.as_ref());
        note(&shared, asked, account, &result, started, answer_bytes);
    }
}

/// Undoes the codings of the body: HTTP's first, then ClickHouse's blocks.
fn decoded(asked: &Asked, body: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>, Exception> {
    let bad = |error| Exception::new(Code::CannotDecompress, format!("Cannot decompress: {error}"));
    let body = coding::decoder(asked.body_coding, body).map_err(bad)?;
    let blocks = if asked.body_is_blocks { Coding::Block } else { Coding::Identity };
    coding::decoder(blocks, body).map_err(bad)
}

fn note(
    shared: &Shared,
    asked: Asked,
    account: Account,
    result: &Result<Statistics, Exception>,
    started: Instant,
    answer_bytes: u64,
) {
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let figures = &shared.figures;
    figures.query_ms.inc_by(duration_ms);
    figures.answer_bytes.inc_by(answer_bytes);
    let statistics = result.as_ref().copied().unwrap_or_default();
    figures.written_rows.inc_by(statistics.written_rows);
    let exception_code = result.as_ref().err().map_or(0, |exception| exception.code);
    if exception_code > 0 {
        figures.exceptions.get_or_create(&ByCode { code: exception_code }).inc();
    }
    shared.query_log.write(Entry {
        query_id: asked.query_id,
        user: asked.user.name,
        statement: account.statement,
        class: account.class,
        duration_ms,
        statistics,
        answer_bytes,
        exception_code,
    });
}

/// Ends the query when the client leaves before its end.
struct LeftGuard {
    shared: Arc<Shared>,
    query_id: String,
    ended: Arc<AtomicBool>,
}

impl LeftGuard {
    fn new(shared: &Arc<Shared>, query_id: &str) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        Self { shared: Arc::clone(shared), query_id: query_id.to_owned(), ended }
    }
}

impl Drop for LeftGuard {
    fn drop(&mut self) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        let (shared, ended) = (Arc::clone(&self.shared), Arc::clone(&self.ended));
        let query_id = std::mem::take(&mut self.query_id);
        tokio::task::spawn_blocking(move || cancel(&shared, &query_id, &ended));
    }
}

/// Tells the engine to end the query until it has ended: it may not have begun when first told.
fn cancel(shared: &Shared, query_id: &str, ended: &AtomicBool) {
    shared.figures.cancelled.inc();
    for _ in 0..CANCELS_MAX {
        if ended.load(Ordering::Acquire) {
            return;
        }
        if let Err(exception) = shared.bench.engine.cancel(query_id) {
            tracing::warn!(query_id, %exception, "a query whose client left cannot be cancelled");
        }
        std::thread::sleep(CANCEL_EVERY);
    }
    tracing::warn!(query_id, "a query whose client left does not end");
}

fn respond(answer: Answer, guard: LeftGuard) -> Response {
    let body = match answer.body {
        answer::Body::Whole(bytes) => Body::from(bytes),
        answer::Body::Parts(parts) => {
            let stream = ReceiverStream::new(parts).map(move |part| {
                let _held_until_the_end = &guard;
                Ok::<_, std::convert::Infallible>(part)
            });
            Body::from_stream(stream)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}
