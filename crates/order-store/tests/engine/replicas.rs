//! Reads over replicas that are real engines: they die, hang, fall behind and come back.

use std::time::{Duration, Instant};

use order_store::cluster::split;
use order_store::connection::{PROBE_INTERVAL, PROBE_TIME_MAX, ReplicaHealth, ReplicaUrls};
use order_store::schema::migrations;
use order_store::{ReplicaSettings, Store, StoreError};

use crate::server::Server;

const LAG_MAX: Duration = Duration::from_secs(30);
/// A condition that does not come true within this is a failure.
const DEADLINE: Duration = Duration::from_secs(60);

/// An engine with the tables, and a row that says which one it is.
async fn engine(name: &str) -> Server {
    let server = Server::start();
    let unbound = server.store.client().clone().with_database("default");
    unbound.query_raw("CREATE DATABASE waybill").execute().await.unwrap();
    for (_, _, text) in migrations() {
        for table in split(text).iter().filter(|text| text.starts_with("CREATE TABLE")) {
            run(&server, table).await;
        }
    }
    run(&server, &format!("CREATE VIEW me AS SELECT '{name}' AS name")).await;
    received(&server, "2026-01-01 00:00:00").await;
    server
}

async fn run(server: &Server, statement: &str) {
    let done = server.store.client().query_raw(statement).execute().await;
    assert!(done.is_ok(), "{statement}\n{}", done.unwrap_err());
}

/// Data received at that time arrives at the engine.
async fn received(server: &Server, at: &str) {
    let row = format!(
        "INSERT INTO sources (Source, Day, LastReceivedAt) VALUES ('shop', today(), '{at}')"
    );
    run(server, &row).await;
}

fn reading(primary: &Server, replicas: &[&Server]) -> Store {
    let urls = replicas.iter().map(|server| server.settings.store_url.clone()).collect();
    let settings = ReplicaSettings { store_replicas: ReplicaUrls(urls), replica_lag_max: LAG_MAX };
    Store::connect_reading(&primary.settings, &settings, None)
}

async fn who(store: &Store) -> Result<String, StoreError> {
    store.fetch_one("ask who answers", |client| client.query("SELECT name FROM me")).await
}

async fn until(store: &Store, name: &str) {
    let begun = Instant::now();
    while who(store).await.unwrap() != name {
        assert!(begun.elapsed() < DEADLINE, "{name} is not read: {:?}", store.read_status());
        store.probe_replicas().await;
    }
}

#[tokio::test]
async fn the_primary_is_read_until_a_replica_has_shown_itself() {
    let (primary, replica) = (engine("primary").await, engine("replica").await);
    let store = reading(&primary, &[&replica]);
    assert_eq!(who(&store).await.unwrap(), "primary");
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "replica");
    let status = store.read_status();
    assert_eq!(status.endpoint, replica.settings.store_url);
    assert!(!status.is_primary && status.primary_answers);
    // It lacks nothing; what may have come since it was asked is counted.
    assert!(status.lag < status.lag_max, "{status:?}");
    assert_eq!(who(&primary.store).await.unwrap(), "primary");
    assert!(primary.store.read_status().is_primary);
}

/// A handler of a web server must be able to own the read: what it borrows, and the rows.
#[tokio::test]
async fn a_read_can_be_spawned() {
    let primary = engine("primary").await;
    let store = reading(&primary, &[]);
    let asked = async move {
        let names = vec!["shop".to_owned()];
        let text = "SELECT count() FROM sources WHERE Source IN {names:Array(String)}";
        let counted: u64 =
            store.fetch_one("count", |client| client.query(text).param("names", &names)).await?;
        Ok::<_, StoreError>(counted)
    };
    assert_eq!(tokio::spawn(asked).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_dead_replica_is_left_under_way_and_comes_back() {
    let (primary, mut first, mut second) =
        (engine("primary").await, engine("first").await, engine("second").await);
    let store = reading(&primary, &[&first, &second]);
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "first");

    first.kill();
    assert_eq!(who(&store).await.unwrap(), "second", "no probe was needed");
    second.kill();
    assert_eq!(who(&store).await.unwrap(), "primary");
    let status = store.read_status();
    assert_eq!((status.failovers, status.primary_reads), (2, 1));
    assert!(status.replicas.iter().all(|replica| replica.health == ReplicaHealth::Down));

    second.restart();
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "primary", "one good probe is not enough");
    until(&store, "second").await;
}

#[tokio::test]
async fn a_mistake_in_the_question_is_not_asked_again_elsewhere() {
    let (primary, replica) = (engine("primary").await, engine("replica").await);
    run(&primary, "CREATE VIEW here_only AS SELECT 1").await;
    let store = reading(&primary, &[&replica]);
    store.probe_replicas().await;
    let answer = store.fetch_one::<u8, _>("ask", |client| client.query("SELECT * FROM here_only"));
    assert!(!answer.await.unwrap_err().is_retryable());
    assert_eq!(store.read_status().failovers, 0);
}

#[tokio::test]
async fn a_replica_beyond_the_bound_is_not_read_until_it_has_caught_up() {
    let (primary, late, good) =
        (engine("primary").await, engine("late").await, engine("good").await);
    received(&primary, "2026-01-01 00:01:00").await;
    received(&good, "2026-01-01 00:00:50").await;
    let store = reading(&primary, &[&late, &good]);
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "good", "{:?}", store.read_status());
    let status = store.read_status();
    assert!(status.lag >= Duration::from_secs(10) && status.lag < LAG_MAX, "{status:?}");
    assert!(!status.replicas[0].fit && status.replicas[1].fit, "{status:?}");

    let store = reading(&primary, &[&late]);
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "primary", "all are beyond the bound");
    received(&late, "2026-01-01 00:01:00").await;
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "late");
}

/// The states lag when the facts do not: the watermark of the stitcher is followed, too.
#[tokio::test]
async fn a_replica_without_the_latest_states_is_behind() {
    let (primary, replica) = (engine("primary").await, engine("replica").await);
    let stitched = |until: &str| {
        format!("INSERT INTO stitchers (Stitcher, StitchedUntil) VALUES ('s', '{until}')")
    };
    run(&primary, &stitched("2026-01-01 02:00:00")).await;
    run(&replica, &stitched("2026-01-01 01:00:00")).await;
    let store = reading(&primary, &[&replica]);
    store.probe_replicas().await;
    let behind = ReplicaHealth::Behind(Duration::from_secs(3_600));
    assert_eq!(store.read_status().replicas[0].health, behind);
}

#[tokio::test]
async fn reads_go_on_while_the_primary_is_away() {
    let (mut primary, replica) = (engine("primary").await, engine("replica").await);
    let store = reading(&primary, &[&replica]);
    store.probe_replicas().await;
    primary.kill();
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "replica");
    assert!(!store.read_status().primary_answers);
}

/// A replica that answers nothing and refuses nothing is the worst one: the watch takes the read
/// away from it.
#[tokio::test]
async fn a_read_in_hand_leaves_a_replica_that_hangs() {
    let (primary, replica) = (engine("primary").await, engine("replica").await);
    let store = reading(&primary, &[&replica]);
    store.probe_replicas().await;
    assert_eq!(who(&store).await.unwrap(), "replica");
    replica.pause();
    let bound = DEADLINE.max(PROBE_INTERVAL + PROBE_TIME_MAX);
    let watched = async {
        tokio::select! {
            () = store.watch_replicas() => unreachable!("it watches until dropped"),
            name = who(&store) => name.unwrap(),
        }
    };
    let name = tokio::time::timeout(bound, watched).await;
    replica.resume();
    assert_eq!(name.unwrap(), "primary");
}

/// Pages read as a user who sees the product's tables only.
#[tokio::test]
async fn a_user_who_may_only_read_reads_replicas() {
    let (mut primary, replica) = (engine("primary").await, engine("replica").await);
    primary.settings.store_user = "reader".to_owned();
    received(&primary, "2026-01-01 00:00:10").await;
    let store = reading(&primary, &[&replica]);
    let refused = store.client().query("SELECT count() FROM system.replicas").fetch_one::<u64>();
    assert!(refused.await.is_err());
    store.probe_replicas().await;
    let behind = ReplicaHealth::Behind(Duration::from_secs(10));
    assert_eq!(store.read_status().replicas[0].health, behind);
    assert_eq!(who(&store).await.unwrap(), "replica");
}

/// A replica of another release, or an empty one, has no tables: it is down, not an error page.
#[tokio::test]
async fn a_replica_without_the_schema_is_down() {
    let (primary, empty) = (engine("primary").await, Server::start());
    let store = reading(&primary, &[&empty]);
    store.probe_replicas().await;
    assert_eq!(store.read_status().replicas[0].health, ReplicaHealth::Down);
    assert_eq!(who(&store).await.unwrap(), "primary");
}
