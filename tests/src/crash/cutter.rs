//! Between collector and engine: passes everything on, and cuts connections when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No request is cut.
const NEVER: usize = usize::MAX;

/// A relay with scissors.
#[derive(Debug)]
pub(super) struct Cutter {
    url: String,
    orders: Arc<Orders>,
}

#[derive(Debug)]
struct Orders {
    /// Answers to lose.
    answers: AtomicUsize,
    /// Bytes of a connection's requests after which it is cut.
    request_bytes: AtomicUsize,
    lost_answers: AtomicUsize,
    cut_requests: AtomicUsize,
}

impl Cutter {
    /// Relays to the engine from a free port.
    pub(super) async fn start(engine_url: String) -> Result<Self> {
        let engine = engine_url.strip_prefix("http://").context("no http URL")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let orders = Arc::new(Orders {
            answers: AtomicUsize::new(0),
            request_bytes: AtomicUsize::new(NEVER),
            lost_answers: AtomicUsize::new(0),
            cut_requests: AtomicUsize::new(0),
        });
        let relaying = Arc::clone(&orders);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (engine, orders) = (engine.clone(), Arc::clone(&relaying));
                tokio::spawn(async move {
                    // Without an engine the connection is closed: it is away for the client, too.
                    if let Ok(engine) = TcpStream::connect(&engine).await {
                        relay(client, engine, &orders).await;
                    }
                });
            }
        });
        Ok(Self { url, orders })
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// The next answers to inserts do not arrive.
    pub(super) fn lose_answers(&self, count: usize) {
        self.orders.answers.store(count, Ordering::Relaxed);
    }

    /// Connections are cut after so many bytes of requests.
    pub(super) fn cut_requests_after(&self, bytes: usize) {
        self.orders.request_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn cut_no_requests(&self) {
        self.cut_requests_after(NEVER);
    }

    pub(super) fn lost_answers(&self) -> usize {
        self.orders.lost_answers.load(Ordering::Relaxed)
    }

    pub(super) fn cut_requests(&self) -> usize {
        self.orders.cut_requests.load(Ordering::Relaxed)
    }
}

async fn relay(client: TcpStream, engine: TcpStream, orders: &Orders) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = engine.into_split();
    let is_insert = AtomicUsize::new(0);
    let requests = async {
        let mut bytes = vec![0; 64 << 10];
        let mut passed = 0;
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            // The statement of an insert stands in the URL.
            let head = &bytes[..read.min(4_096)];
            if head.starts_with(b"POST ") {
                let inserts = head.windows(6).any(|window| window == b"INSERT");
                is_insert.store(usize::from(inserts), Ordering::Relaxed);
            }
            let left = orders.request_bytes.load(Ordering::Relaxed).saturating_sub(passed);
            if read > left {
                let _ = to_engine.write_all(&bytes[..left]).await;
                orders.cut_requests.fetch_add(1, Ordering::Relaxed);
                return;
            }
            passed += read;
            if to_engine.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_engine.read(&mut bytes).await {
            let to_lose = &orders.answers;
            let loses = is_insert.load(Ordering::Relaxed) == 1
                && to_lose
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok();
            if loses {
                orders.lost_answers.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to_client.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    // The end of one is the end of both: the sockets are closed.
    tokio::select! {
        () = requests => {}
        () = answers => {}
    }
}
