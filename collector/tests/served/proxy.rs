//! A proxy before the store: one that takes no more than so many bytes at once, or loses answers.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use prost::Message;
use reqwest::Client;
use tempfile::TempDir;

use crate::http::post;
use crate::otlp::{span, text, traces};
use crate::process::run;
use crate::stack::{Program, Stack, eventually, start_collector};

const PROTOBUF: &str = "application/x-protobuf";
/// What common proxies say; the status itself the store's client does not tell.
const REFUSAL: &str = "<html><head><title>413 Request Entity Too Large</title></head></html>";

#[derive(Clone)]
struct Proxy {
    store: String,
    bytes_max: Arc<AtomicUsize>,
    /// Answers to inserts of batches that are still to be lost, after the store has committed.
    losses: Arc<AtomicUsize>,
    client: Client,
}

impl Proxy {
    fn loses(&self, path: &str) -> bool {
        let is_batch = path.contains("insert_deduplication_token");
        let one_less = |left: usize| left.checked_sub(1);
        is_batch && self.losses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, proxy.bytes_max.load(Ordering::Relaxed)).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, REFUSAL).into_response();
    };
    let path = head.uri.path_and_query().unwrap().as_str();
    let mut sent = proxy.client.request(head.method, format!("{}{path}", proxy.store));
    for (name, value) in &head.headers {
        if !["host", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            sent = sent.header(name, value);
        }
    }
    let Ok(answer) = sent.body(body).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if proxy.loses(path) {
        assert!(answer.status().is_success());
        // The connection is cut in the middle of the answer.
        let cut = futures::stream::once(async { Err::<Bytes, _>(io::Error::other("cut")) });
        return Body::from_stream(cut).into_response();
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "content-length" && name != "transfer-encoding" {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

/// A collector that reaches the store of `stack` through a proxy.
struct Behind {
    collector: Program,
    folder: TempDir,
    url: String,
    bytes_max: Arc<AtomicUsize>,
    losses: Arc<AtomicUsize>,
}

impl Behind {
    async fn start(stack: &Stack, bytes_max: usize) -> Self {
        let store = format!("http://{}", stack.engine.address("clickhouse-http"));
        let bytes_max = Arc::new(AtomicUsize::new(bytes_max));
        let losses = Arc::new(AtomicUsize::new(0));
        let client = Client::new();
        let proxy = Proxy { store, bytes_max: bytes_max.clone(), losses: losses.clone(), client };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(forward).with_state(proxy);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let store = url.clone();
        // The proxy must answer meanwhile.
        let starting = tokio::task::spawn_blocking(move || start_collector(&path, &store, &[]));
        let behind = Self { collector: starting.await.unwrap(), folder, url, bytes_max, losses };
        eventually("the store is prepared", async || {
            behind.collector.log().contains("store ready")
        })
        .await;
        behind
    }

    async fn send(&self, id: u64, bytes: usize) {
        // Not to be compressed away.
        let noise: String =
            std::iter::repeat_with(|| char::from(rand_ascii())).take(bytes).collect();
        let body = traces("shop", vec![span(1, id, vec![text("k", &noise)])]).encode_to_vec();
        let url = format!("http://{}/v1/traces", self.collector.address("otlp-http"));
        assert_eq!(post(url, PROTOBUF, "", body).send().await.unwrap().status(), 200);
    }

    async fn metric(&self, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.collector.address("admin"));
        let page = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let line = page.lines().find_map(|line| {
            line.strip_prefix(&format!("waybill_collector_{name} ")).map(str::to_owned)
        });
        line.unwrap().parse().unwrap()
    }

    async fn stored(&self) {
        eventually("the journal is empty", async || self.metric("unsent_records").await == 0).await;
    }
}

fn rand_ascii() -> u8 {
    b'!' + getrandom::u32().unwrap().to_le_bytes()[0] % 90
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_is_halved_and_a_record_that_is_too_large_is_set_aside() {
    let stack = Stack::start(&[]).await;
    let behind = Behind::start(&stack, 20_000).await;
    stack.engine.freeze();
    for id in 1..=40 {
        // Two are too large by themselves.
        let bytes = if id == 17 { 30_000 } else { 1_200 };
        behind.send(id, if id == 29 { 22_000 } else { bytes }).await;
    }
    stack.engine.thaw();
    behind.stored().await;
    // Not folded: halves are no repeats.
    assert_eq!(stack.query_now("SELECT count() FROM otel_traces").await, ["38"]);
    let splits = behind.metric("insert_splits_total").await;
    assert!((2..40).contains(&splits), "{splits}");
    assert_eq!(behind.metric("refused_records_total").await, 2);
    let log = behind.collector.log();
    assert!(log.contains("the store refuses an insert; it gets its halves"), "{log}");

    let journal = behind.folder.path().join("journal");
    let resubmit = async |bytes_max| {
        behind.bytes_max.store(bytes_max, Ordering::Relaxed);
        let folder = journal.to_str().unwrap();
        let args = ["--store-url", &behind.url, "journal", "resubmit", folder].map(str::to_owned);
        let sent = tokio::task::spawn_blocking(move || run(&args.each_ref().map(String::as_str)));
        let sent = sent.await.unwrap();
        (sent.status.code(), String::from_utf8(sent.stdout).unwrap())
    };
    // One that is too large still holds up none behind it.
    let (code, told) = resubmit(26_000).await;
    assert!(told.contains("1 records are in the store, 1 stay"), "{told}");
    assert_eq!(code, Some(65), "{told}");
    let (code, told) = resubmit(1 << 20).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(stack.query_now("SELECT count(), uniq(SpanId) FROM otel_traces").await, ["40\t40"]);
    let left = fs::read_dir(journal.with_extension("refused")).unwrap();
    assert_eq!(left.count(), 1, "the lock alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_the_commit_is_no_second_insert() {
    let stack = Stack::start(&[]).await;
    let behind = Behind::start(&stack, usize::MAX).await;
    for id in 1..=8 {
        behind.losses.store(3, Ordering::Relaxed);
        behind.send(id, 10).await;
        behind.stored().await;
        assert_eq!(behind.losses.load(Ordering::Relaxed), 0, "answers were lost");
    }
    // Not folded.
    assert_eq!(stack.query_now("SELECT count() FROM otel_traces").await, ["8"]);
    assert_eq!(behind.metric("insert_failures_total").await, 24);
}
