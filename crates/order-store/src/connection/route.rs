//! The read path: the replica that is read now, what becomes of a read when it fails, and how the
//! replicas are watched.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use serde::Deserialize;
use tokio::sync::watch;

use super::lag::{Histories, ReplicaHealth, WATERMARKS, choose};
use crate::error::StoreError;

/// How often each replica is asked: a dead one is left alone, and a lag is known, to within this
/// and [`PROBE_TIME_MAX`].
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long one probe may take; then the replica counts as down and reads in hand there move on.
pub const PROBE_TIME_MAX: Duration = Duration::from_secs(2);
/// Good probes in a row before a replica that was down is read again: one that comes and goes
/// costs every read a second try.
const GOOD_PROBES: u32 = 2;
/// Replicas that one read tries before the primary.
const READ_REPLICAS_MAX: usize = 2;

/// The watermarks: facts received, states derived.
const WATERMARKS_QUERY: &str = "SELECT \
    (SELECT max(toUnixTimestamp64Milli(LastReceivedAt)) FROM sources) AS Received, \
    (SELECT max(toUnixTimestamp64Milli(StitchedUntil)) FROM stitchers) AS Stitched";

/// What the engine says of its own replication; nothing where no table is replicated.
const REPLICATION_QUERY: &str = "SELECT max(absolute_delay) AS DelaySeconds, \
    max(is_readonly OR is_session_expired) AS CutOff \
    FROM system.replicas WHERE database = currentDatabase()";

/// How the engine begins to refuse a table that the user may not read.
const ACCESS_DENIED: &str = "Code: 497.";

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Watermarks {
    received: Option<i64>,
    stitched: Option<i64>,
}

#[derive(Row, Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Replication {
    delay_seconds: u64,
    cut_off: u8,
}

struct Probe {
    watermarks: [i64; WATERMARKS],
    replication: Replication,
}

/// A server that can be read.
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) client: Client,
}

/// The replicas, what is known of them, and which one is read.
pub(super) struct Route {
    primary: Endpoint,
    replicas: Vec<Endpoint>,
    lag_max: Duration,
    known: Mutex<Known>,
    /// Per replica whether it is up: reads in hand leave one that goes down.
    up: Vec<watch::Sender<bool>>,
    failovers: AtomicU64,
    primary_reads: AtomicU64,
}

struct Known {
    history: Histories,
    health: Vec<ReplicaHealth>,
    good_probes: Vec<u32>,
    /// When the last probe began.
    probed_at: Option<Instant>,
    current: Option<usize>,
    primary_answers: bool,
}

/// Where reads go, for pages and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStatus {
    /// The address that is read now.
    pub endpoint: String,
    /// Whether that is the store that is written to.
    pub is_primary: bool,
    /// How far it is behind at most: as the last probe found it, and what may have come since; at
    /// least, while the primary does not answer. Nothing for the primary.
    pub lag: Duration,
    /// The bound: replicas further behind are not read.
    pub lag_max: Duration,
    /// Whether the primary answered its last probe. If not, lags are measured against the last
    /// that was heard of it.
    pub primary_answers: bool,
    /// Every replica, in the order of the setting.
    pub replicas: Vec<ReplicaStatus>,
    /// Reads that failed at a replica and were asked again elsewhere, since the start.
    pub failovers: u64,
    /// Reads that went to the primary because no replica was fit, since the start.
    pub primary_reads: u64,
}

/// One replica, for pages and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its address.
    pub endpoint: String,
    /// What is known of it.
    pub health: ReplicaHealth,
    /// Whether reads may go there: it answers and is within the bound.
    pub fit: bool,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("replicas", &self.replicas.len()).finish_non_exhaustive()
    }
}

impl Route {
    pub(super) fn new(primary: Endpoint, replicas: Vec<Endpoint>, lag_max: Duration) -> Self {
        let known = Known {
            history: Histories::default(),
            health: vec![ReplicaHealth::Unknown; replicas.len()],
            good_probes: vec![GOOD_PROBES; replicas.len()],
            probed_at: None,
            current: None,
            primary_answers: true,
        };
        let up = replicas.iter().map(|_| watch::Sender::new(true)).collect();
        Self {
            primary,
            replicas,
            lag_max,
            known: Mutex::new(known),
            up,
            failovers: AtomicU64::new(0),
            primary_reads: AtomicU64::new(0),
        }
    }

    pub(super) fn has_replicas(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// The client of the server to read now.
    pub(super) fn client(&self) -> &Client {
        let endpoint = self.choose(None).and_then(|index| self.replicas.get(index));
        &endpoint.unwrap_or(&self.primary).client
    }

    /// Asks the replica that is read now; on a failure that another server may not have, another
    /// one, then the primary. A replica that goes down under a read is left at once.
    pub(super) async fn read<T, F, A>(&self, doing: &'static str, ask: F) -> Result<T, StoreError>
    where
        F: Fn(&Client) -> A,
        A: Future<Output = clickhouse::error::Result<T>>,
    {
        let mut tried = None;
        for _ in 0..READ_REPLICAS_MAX {
            let Some(index) = self.choose(tried) else { break };
            let Some(replica) = self.replicas.get(index) else { break };
            let answer = tokio::select! {
                answer = ask(&replica.client) => answer,
                () = self.goes_down(index) => Err(clickhouse::error::Error::TimedOut),
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => StoreError::doing(doing)(error),
            };
            if !error.is_retryable() {
                return Err(error);
            }
            self.failovers.fetch_add(1, Ordering::Relaxed);
            if error.is_unreachable() {
                self.turn(&mut self.lock(), index, ReplicaHealth::Down, "a read failed");
            }
            tried = Some(index);
        }
        if self.has_replicas() {
            self.primary_reads.fetch_add(1, Ordering::Relaxed);
        }
        ask(&self.primary.client).await.map_err(StoreError::doing(doing))
    }

    async fn goes_down(&self, index: usize) {
        let Some(up) = self.up.get(index) else { return std::future::pending().await };
        if up.subscribe().wait_for(|up| !up).await.is_err() {
            // The route is gone, and the read with it.
            std::future::pending::<()>().await;
        }
    }

    /// Asks the primary and every replica once, all at the same time.
    pub(super) async fn probe(&self) {
        let begun = Instant::now();
        let replicas = self.replicas.iter().map(|replica| probe(&replica.client));
        let (primary, replicas) =
            tokio::join!(probe(&self.primary.client), futures::future::join_all(replicas));
        let mut known = self.lock();
        known.probed_at = Some(begun);
        if primary.is_ok() != known.primary_answers {
            known.primary_answers = primary.is_ok();
            let answers = known.primary_answers;
            tracing::info!(endpoint = self.primary.url, answers, "primary of the read path turned");
        }
        if let Ok(primary) = primary {
            known.history.saw(begun, primary.watermarks);
        }
        for (index, probed) in replicas.into_iter().enumerate() {
            self.judge(&mut known, index, probed);
        }
    }

    fn judge(&self, known: &mut Known, index: usize, probed: Result<Probe, String>) {
        let (health, why) = match probed {
            Err(why) => (ReplicaHealth::Down, why),
            Ok(probe) if probe.replication.cut_off == 1 => {
                (ReplicaHealth::Down, "cut off from replication".to_owned())
            }
            Ok(probe) => {
                let by_data = known.history.lag(Instant::now(), probe.watermarks);
                let by_queue = Duration::from_secs(probe.replication.delay_seconds);
                (ReplicaHealth::Behind(by_data.max(by_queue)), String::new())
            }
        };
        if let (ReplicaHealth::Behind(_), Some(good)) = (health, known.good_probes.get_mut(index)) {
            *good = good.saturating_add(1);
            if *good < GOOD_PROBES {
                return;
            }
        }
        self.turn(known, index, health, &why);
    }

    /// Notes what is known of a replica now; a turn between fit and unfit is logged once.
    fn turn(&self, known: &mut Known, index: usize, health: ReplicaHealth, why: &str) {
        let Some(slot) = known.health.get_mut(index) else { return };
        let before = std::mem::replace(slot, health);
        let down = health == ReplicaHealth::Down;
        if let (true, Some(good)) = (down, known.good_probes.get_mut(index)) {
            *good = 0;
        }
        if let Some(up) = self.up.get(index) {
            up.send_if_modified(|up| std::mem::replace(up, !down) == down);
        }
        if self.is_fit(before) == self.is_fit(health) && before != ReplicaHealth::Unknown {
            return;
        }
        let endpoint = self.replicas.get(index).map_or("", |replica| &replica.url);
        match health {
            ReplicaHealth::Behind(lag) if self.is_fit(health) => {
                tracing::info!(endpoint, lag_ms = lag.as_millis(), "replica is read");
            }
            ReplicaHealth::Behind(lag) => {
                tracing::warn!(endpoint, lag_ms = lag.as_millis(), "replica too far behind");
            }
            _ => tracing::warn!(endpoint, error = why, "replica is down"),
        }
    }

    fn is_fit(&self, health: ReplicaHealth) -> bool {
        matches!(health, ReplicaHealth::Behind(lag) if lag <= self.lag_max)
    }

    fn choose(&self, not: Option<usize>) -> Option<usize> {
        let mut known = self.lock();
        let chosen = choose(&known.health, known.current, not, self.lag_max);
        known.current = chosen;
        chosen
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> ReadStatus {
        let known = self.lock();
        let chosen = choose(&known.health, known.current, None, self.lag_max);
        let lag = match chosen.and_then(|index| known.health.get(index)) {
            Some(ReplicaHealth::Behind(lag)) if known.primary_answers => {
                *lag + known.probed_at.map_or(Duration::ZERO, |at| at.elapsed())
            }
            Some(ReplicaHealth::Behind(lag)) => *lag,
            _ => Duration::ZERO,
        };
        let replica = |(replica, health): (&Endpoint, &ReplicaHealth)| ReplicaStatus {
            endpoint: replica.url.clone(),
            health: *health,
            fit: self.is_fit(*health),
        };
        let endpoint = chosen.and_then(|index| self.replicas.get(index)).unwrap_or(&self.primary);
        ReadStatus {
            endpoint: endpoint.url.clone(),
            is_primary: chosen.is_none(),
            lag,
            lag_max: self.lag_max,
            primary_answers: known.primary_answers,
            replicas: self.replicas.iter().zip(&known.health).map(replica).collect(),
            failovers: self.failovers.load(Ordering::Relaxed),
            primary_reads: self.primary_reads.load(Ordering::Relaxed),
        }
    }
}

async fn probe(client: &Client) -> Result<Probe, String> {
    let asked = async {
        let watermarks = client.query(WATERMARKS_QUERY).fetch_one::<Watermarks>();
        let replication = client.query(REPLICATION_QUERY).fetch_one::<Replication>();
        tokio::join!(watermarks, replication)
    };
    let Ok((watermarks, replication)) = tokio::time::timeout(PROBE_TIME_MAX, asked).await else {
        return Err(format!("no answer within {} s", PROBE_TIME_MAX.as_secs()));
    };
    let watermarks = watermarks.map_err(|error| error.to_string())?;
    let replication = match replication {
        // The user may not see the table: the data tells the lag, only later.
        Err(clickhouse::error::Error::BadResponse(text)) if text.contains(ACCESS_DENIED) => {
            Replication::default()
        }
        other => other.map_err(|error| error.to_string())?,
    };
    let watermarks = [watermarks.received.unwrap_or(0), watermarks.stitched.unwrap_or(0)];
    Ok(Probe { watermarks, replication })
}
