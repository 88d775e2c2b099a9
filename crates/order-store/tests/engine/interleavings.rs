//! A derivation that is held before any one of its requests, while another sees newer facts: the
//! newer state stays, wherever the older was held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use order_model::Lifecycle;
use order_store::{Stitcher, Store, StoreSettings, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::facts::{batch, shown};
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

/// What is heard first, what is heard while the derivation of that is held, and what is shown.
type Case = (&'static str, &'static str, &'static [&'static str]);

const CASES: [Case; 6] = [
    ("stage A CLOSED 60", "stage A PACKAGING 5", &["A PACKAGING; was CLOSED PACKAGING"]),
    ("stage A PACKAGING 60", "stage A CLOSED 5", &["A CLOSED; was PACKAGING CLOSED"]),
    (
        "name A t/1 + link u t/2 + said u CLOSED 5",
        "name B t/2",
        &["A ; named t", "B CLOSED; was CLOSED; named t; linked u"],
    ),
    ("name A t + said u CLOSED 5", "link u t/1", &["A CLOSED; was CLOSED; named t; linked u"]),
    (
        "stage A PACKAGING 60 + number A 7 + stage B CLOSED 5",
        "number B 7",
        &["A CLOSED; was PACKAGING CLOSED; also B"],
    ),
    (
        "name A t + said u CLOSED 5 + meets u m-1",
        "message A M1",
        &["A CLOSED; was CLOSED; named t; linked u"],
    ),
];

/// Two derivations of one order: the older is held before each of its requests in turn while the
/// newer sees more, whatever it is that came to be known.
#[tokio::test]
async fn wherever_an_older_derivation_is_held_the_newer_stays() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let cases = CASES.iter().enumerate().map(|(case, facts)| hold_everywhere(&server, case, facts));
    futures::future::join_all(cases).await;
    let stitcher = Stitcher::new(server.store.clone(), Default::default());
    assert_eq!(stitcher.conservation().await.unwrap().difference, 0);
}

async fn hold_everywhere(server: &Server, case: usize, (first, second, expected): &Case) {
    let writer = Writer::new(server.store.clone());
    let newer = Stitcher::new(server.store.clone(), Default::default());
    let (store, gate) = gated(server).await;
    let older = Stitcher::new(store, Default::default());
    let mut held = 0;
    for number in 1..=REQUESTS_MAX {
        let world = format!("W{case}-{number:02}-");
        let (heard_first, heard_second) = (batch(&world, first), batch(&world, second));
        writer.insert(&heard_first, &format!("{world}1")).await.unwrap();
        gate.hold(number);
        let (older, touched) = (older.clone(), heard_first.touched());
        let mut deriving =
            tokio::spawn(async move { older.stitch(&touched, Duration::ZERO).await.unwrap() });
        tokio::select! {
            () = gate.reached.notified() => {}
            done = &mut deriving => {
                done.unwrap();
                break;
            }
        }
        held = number;
        writer.insert(&heard_second, &format!("{world}2")).await.unwrap();
        newer.stitch(&heard_second.touched(), Duration::ZERO).await.unwrap();
        gate.released.send_replace(true);
        deriving.await.unwrap();
        let context = format!("{second}, held before request {number}");
        assert_eq!(shown(server, &world).await, *expected, "{context}");
    }
    assert!((8..REQUESTS_MAX).contains(&held), "{held} requests of one derivation");
}

/// Two derivations are held before each of so many of their last requests: there they write, and
/// count.
const LAST: usize = 6;

/// Starts a derivation that is held before the request of that number, or ends before it.
async fn begin(
    (stitcher, gate): &(Stitcher, Arc<Gate>),
    touched: order_store::Touched,
    number: usize,
) -> tokio::task::JoinHandle<()> {
    gate.hold(number);
    let stitcher = stitcher.clone();
    let deriving = tokio::spawn(async move {
        stitcher.stitch(&touched, Duration::ZERO).await.unwrap();
    });
    while !deriving.is_finished() {
        let reached = gate.reached.notified();
        if tokio::time::timeout(Duration::from_millis(5), reached).await.is_ok() {
            break;
        }
    }
    deriving
}

/// The older sees that an order has ended, the newer that it goes on: wherever both are held, the
/// order is counted once.
#[tokio::test]
async fn wherever_two_derivations_are_held_an_order_is_counted_once() {
    let server = Server::start();
    server.store.migrate(&Lifecycle::default()).await.unwrap();
    let writer = Writer::new(server.store.clone());
    let facts = ["stage A CLOSED 60", "stage A PACKAGING 5"];
    let mut sides = Vec::new();
    let mut requests = Vec::new();
    for (index, fact) in facts.into_iter().enumerate() {
        let (store, gate) = gated(&server).await;
        let side = (Stitcher::new(store, Default::default()), gate);
        let heard = batch("U-", fact);
        writer.insert(&heard, &format!("U-{index}")).await.unwrap();
        begin(&side, heard.touched(), usize::MAX).await.await.unwrap();
        requests.push(side.1.seen.load(Ordering::SeqCst));
        sides.push(side);
    }
    let last = |index: usize| requests[index] - LAST..=requests[index];
    let pairs = last(0).flat_map(|one| last(1).map(move |other| [one, other]));
    let cases = pairs.flat_map(|held| [[0, 1], [1, 0]].map(|released| (held, released)));
    let checker = Stitcher::new(server.store.clone(), Default::default());
    for (number, (held, released)) in cases.enumerate() {
        let world = format!("P{number:02}-");
        let mut deriving = Vec::new();
        for (index, fact) in facts.into_iter().enumerate() {
            let heard = batch(&world, fact);
            writer.insert(&heard, &format!("{world}{index}")).await.unwrap();
            deriving.push(begin(&sides[index], heard.touched(), held[index]).await);
        }
        for index in released {
            sides[index].1.released.send_replace(true);
            (&mut deriving[index]).await.unwrap();
        }
        let context = format!("held before {held:?} of {requests:?}, released as {released:?}");
        assert_eq!(
            shown(&server, &world).await,
            ["A PACKAGING; was CLOSED PACKAGING"],
            "{context}"
        );
        assert_eq!(checker.conservation().await.unwrap().difference, 0, "{context}");
    }
}
