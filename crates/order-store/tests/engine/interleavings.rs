//! A derivation that is held before any one of its requests, while another sees newer facts: the
//! newer state stays, wherever the older was held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use order_model::Lifecycle;
use order_model::keys::SIGNAL_STAGE;
use order_store::rows::{Batch, OrderEventRow, OrderTraceRow};
use order_store::{Stitcher, Store, StoreSettings, Touched, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::server::Server;

/// A derivation asks no more often than this.
const REQUESTS_MAX: usize = 60;

/// Passes requests on, and holds one of them.
struct Gate {
    seen: AtomicUsize,
    held_at: AtomicUsize,
    /// The request has come.
    reached: Notify,
    released: watch::Sender<bool>,
}

impl Gate {
    /// Holds the request of that number, counted from now.
    fn hold(&self, number: usize) {
        self.released.send_replace(false);
        self.seen.store(0, Ordering::SeqCst);
        self.held_at.store(number, Ordering::SeqCst);
    }

    async fn pass(&self) {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.held_at.load(Ordering::SeqCst) {
            self.reached.notify_one();
            self.released.subscribe().wait_for(|released| *released).await.unwrap();
        }
    }
}

/// A store reached through a gate.
async fn gated(server: &Server) -> (Store, Arc<Gate>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store_url = format!("http://{}", listener.local_addr().unwrap());
    let engine = server.settings.store_url.trim_start_matches("http://").to_owned();
    let gate = Arc::new(Gate {
        seen: AtomicUsize::new(0),
        held_at: AtomicUsize::new(0),
        reached: Notify::new(),
        released: watch::channel(false).0,
    });
    let passing = Arc::clone(&gate);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let engine = TcpStream::connect(&engine).await.unwrap();
            tokio::spawn(pass_on(client, engine, Arc::clone(&passing)));
        }
    });
    (Store::connect(&StoreSettings { store_url, ..server.settings.clone() }), gate)
}

async fn pass_on(client: TcpStream, engine: TcpStream, gate: Arc<Gate>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = engine.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_engine, &mut to_client).await });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
        if bytes.starts_with(b"POST ") || bytes.starts_with(b"GET ") {
            gate.pass().await;
        }
        if to_engine.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

fn stage(order: &str, stage: &str, age_s: i64) -> Batch {
    let received_at = chrono::Utc::now().timestamp_millis();
    let order_events = vec![OrderEventRow {
        order_id: order.into(),
        signal: SIGNAL_STAGE.into(),
        stage: stage.into(),
        event_time: (received_at - age_s * 1_000) * 1_000_000,
        received_at,
        source: "mes".into(),
        ..OrderEventRow::default()
    }];
    let naming = OrderTraceRow { order_id: order.into(), received_at, ..OrderTraceRow::default() };
    Batch { order_events, order_traces: vec![naming], ..Batch::default() }
}

#[tokio::test]
async fn wherever_an_older_derivation_is_held_the_newer_stays() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let newer = Stitcher::new(server.store.clone(), Default::default());
    let (store, gate) = gated(&server).await;
    let older = Stitcher::new(store, Default::default());
    let mut held = 0;
    for number in 1..=REQUESTS_MAX {
        let order = format!("A{number:02}");
        let touched = Touched { orders: [order.clone()].into(), ..Touched::default() };
        writer.insert(&stage(&order, "PACKAGING", 60), &format!("{order}-1")).await.unwrap();
        gate.hold(number);
        let (older, aside) = (older.clone(), touched.clone());
        let mut deriving = tokio::spawn(async move { older.stitch(&aside).await.unwrap() });
        tokio::select! {
            () = gate.reached.notified() => {}
            done = &mut deriving => {
                done.unwrap();
                break;
            }
        }
        held = number;
        // Ended for good, so that the count of settled orders is at stake, too.
        writer.insert(&stage(&order, "CLOSED", 5), &format!("{order}-2")).await.unwrap();
        newer.stitch(&touched).await.unwrap();
        gate.released.send_replace(true);
        deriving.await.unwrap();
        let state = "SELECT Stage FROM orders FINAL WHERE OrderId = {order:String}";
        let query = server.store.client().query(state).param("order", &order);
        let stage: String = query.fetch_one().await.unwrap();
        assert_eq!(stage, "CLOSED", "held before request {number}");
        let found = newer.conservation().await.unwrap();
        assert_eq!((found.named, found.difference), (number as u64, 0), "held at {number}");
    }
    assert!((8..REQUESTS_MAX).contains(&held), "{held} requests of one derivation");
}
