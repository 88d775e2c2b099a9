//! Settings of the collector, checked before any port is bound.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use daemon::connections::Bounds;
use daemon::settings::{Common, duration};
use order_model::Lifecycle;
use order_model::lifecycle::{DEFAULT_TOML, Mistakes};
use order_store::connection::ClusterSettings;
use order_store::{INSERT_BYTES_MAX, RetentionSettings, StoreSettings};

use crate::access::settings::AccessSettings;
use crate::hygiene::HygieneSettings;
use crate::journal::JournalArgs;
use crate::journal_command::JournalCommandArgs;
use crate::schema_command::SchemaArgs;
use crate::token_command::TokenArgs;

/// Receives OTLP traces, logs and metrics, stores them and derives the state of every order they touch.
#[derive(Debug, Clone, Parser)]
#[command(name = "collector", version, args_conflicts_with_subcommands = false)]
pub struct Settings {
    /// What to do instead of receiving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Address of OTLP/HTTP.
    #[arg(long, env = "WAYBILL_OTLP_HTTP", default_value = "127.0.0.1:4318")]
    pub otlp_http: SocketAddr,
    /// Address of OTLP/gRPC.
    #[arg(long, env = "WAYBILL_OTLP_GRPC", default_value = "127.0.0.1:4317")]
    pub otlp_grpc: SocketAddr,
    /// Address of `/livez`, `/readyz` and `/metrics`.
    #[arg(long, env = "WAYBILL_COLLECTOR_ADMIN", default_value = "127.0.0.1:4320")]
    pub admin: SocketAddr,
    /// The lifecycle of orders; without it the built-in one.
    #[arg(long, env = "WAYBILL_LIFECYCLE", value_name = "FILE")]
    pub lifecycle: Option<PathBuf>,
    /// Print the built-in lifecycle and exit.
    #[arg(long)]
    pub print_lifecycle: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub hygiene: HygieneSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub store: StoreSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub cluster: ClusterSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub retention: RetentionSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub intake: IntakeSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub journal: JournalArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub insert: InsertSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub stitch: StitchSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub connections: ConnectionSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub access: AccessSettings,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags inside are documented")]
    pub common: Common,
}

/// What the program does instead of receiving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Derive every order again from all its facts, while collectors run or not. The tables end
    /// as they were, unless something was missed.
    Restitch(RestitchArgs),
    /// Print the schema of the store, for one server or for a cluster.
    Schema(SchemaArgs),
    /// Look into a journal's folder, while a collector runs or not.
    Journal(JournalCommandArgs),
    /// Make tokens for senders.
    Token(TokenArgs),
}

/// No count and no number of bytes in memory is larger: above it a bound bounds nothing.
const COUNT_MAX: usize = u32::MAX as usize;

/// What may stand before a body: the length of a gRPC message.
const PREFIX_BYTES_MAX: usize = 64;

/// What `collector restitch` takes.
#[derive(Debug, Clone, Args)]
pub struct RestitchArgs {
    /// Go on after this order id, where another run ended.
    #[arg(long, default_value = "", value_name = "ORDER")]
    pub after: String,
}

/// Bounds on what is taken in at once.
#[derive(Debug, Clone, Args)]
pub struct IntakeSettings {
    /// Bytes of one body as it travels; a larger one is refused (413, `RESOURCE_EXHAUSTED`).
    #[arg(long, env = "WAYBILL_BODY_BYTES_MAX", default_value_t = 16 << 20)]
    pub body_bytes_max: usize,
    /// Bytes of one body uncompressed; a larger one is refused likewise.
    #[arg(long, env = "WAYBILL_DECODED_BYTES_MAX", default_value_t = 32 << 20)]
    pub decoded_bytes_max: usize,
    /// Bytes of bodies and rows of all requests not yet answered; past it requests are told to
    /// come again (429, `RESOURCE_EXHAUSTED` with a delay).
    #[arg(long, env = "WAYBILL_IN_FLIGHT_BYTES_MAX", default_value_t = 32 << 20)]
    pub in_flight_bytes_max: usize,
    /// Requests not yet answered; past it requests are told to come again.
    #[arg(long, env = "WAYBILL_IN_FLIGHT_REQUESTS_MAX", default_value_t = 4_096)]
    pub in_flight_requests_max: usize,
    /// How much of both one source may have, percent; where nobody is asked for a token, one address.
    /// A whole body always fits. Past it this sender alone is told to come again. 100: no share.
    #[arg(long, env = "WAYBILL_IN_FLIGHT_SHARE_PERCENT", default_value_t = 50,
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub in_flight_share_percent: u8,
    /// How long one body may take to arrive; a slower one is refused (503, `DEADLINE_EXCEEDED`)
    /// and may come again.
    #[arg(long, env = "WAYBILL_BODY_READ_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub body_read_timeout: Duration,
    /// What a refused sender is asked to wait before it tries again.
    #[arg(long, env = "WAYBILL_RETRY_AFTER", default_value = "2s", value_parser = duration)]
    pub retry_after: Duration,
}

impl IntakeSettings {
    /// Requests and bytes of bodies that one sender may have in flight; a whole body, with the few bytes
    /// before it, always fits.
    #[must_use]
    pub fn share(&self) -> (usize, usize) {
        let of = |all: usize| all.saturating_mul(usize::from(self.in_flight_share_percent)) / 100;
        let body_bytes = self.body_bytes_max.saturating_add(PREFIX_BYTES_MAX);
        (of(self.in_flight_requests_max).max(1), of(self.in_flight_bytes_max).max(body_bytes))
    }
}

/// Bounds on inserts.
#[derive(Debug, Clone, Args)]
pub struct InsertSettings {
    /// Bytes of one insert, packed as the journal holds them; what is past it waits for the next one.
    #[arg(long, env = "WAYBILL_INSERT_BYTES_MAX", default_value_t = 3 << 20)]
    pub insert_bytes_max: u64,
    /// Requests of one insert, likewise.
    #[arg(long, env = "WAYBILL_INSERT_RECORDS_MAX", default_value_t = 20_000)]
    pub insert_records_max: usize,
    /// Inserts at the same time; what arrives meanwhile forms the next ones. The fewer, the larger
    /// they are, and the less they cost the store.
    #[arg(long, env = "WAYBILL_INSERTS_AT_ONCE", default_value_t = 1)]
    pub inserts_at_once: usize,
}

/// Bounds on the stitcher.
#[derive(Debug, Clone, Args)]
pub struct StitchSettings {
    /// Orders and traces that wait to be derived again; past it a sweep over everything replaces
    /// the list.
    #[arg(long, env = "WAYBILL_STITCH_PENDING_MAX", default_value_t = 200_000)]
    pub stitch_pending_max: usize,
    /// Orders and traces that are looked at together. An order that is touched by name and through
    /// its traces is derived once for all that stand in one chunk, so when there is a backlog large
    /// chunks save whole derivations.
    #[arg(long, env = "WAYBILL_STITCH_CHUNK_MAX", default_value_t = 50_000)]
    pub stitch_chunk_max: usize,
    /// How often to look for orders that were missed or whose future event has come.
    #[arg(long, env = "WAYBILL_SWEEP_INTERVAL", default_value = "5s", value_parser = duration)]
    pub sweep_interval: Duration,
}

/// Bounds on connections.
#[derive(Debug, Clone, Args)]
pub struct ConnectionSettings {
    /// Connections per port; past it new ones wait to be accepted.
    #[arg(long, env = "WAYBILL_CONNECTIONS_MAX", default_value_t = 1_024)]
    pub connections_max: usize,
    /// Connections of one address per port; past it new ones are closed at once. A proxy in front
    /// of the collector is one address. Without it a quarter of --connections-max.
    #[arg(long, env = "WAYBILL_CONNECTIONS_PER_PEER_MAX")]
    pub connections_per_peer_max: Option<usize>,
    /// How long a client may take to send the head of a request, and how long an HTTP/1
    /// connection may be idle; then it is closed.
    #[arg(long, env = "WAYBILL_HEADER_READ_TIMEOUT", default_value = "60s",
          value_parser = duration)]
    pub header_read_timeout: Duration,
    /// How often an HTTP/2 peer is asked whether it is there; one that does not answer within
    /// the same time again is closed.
    #[arg(long, env = "WAYBILL_KEEP_ALIVE", default_value = "30s", value_parser = duration)]
    pub keep_alive: Duration,
    /// How long a connection may be without a request, or its peer take nothing of an answer,
    /// whatever pings it sends; then it is told to go (GOAWAY) and closed.
    #[arg(long, env = "WAYBILL_IDLE_TIMEOUT", default_value = "5m", value_parser = duration)]
    pub idle_timeout: Duration,
    /// Requests at the same time on one HTTP/2 connection; further ones wait.
    #[arg(long, env = "WAYBILL_STREAMS_MAX", default_value_t = 128)]
    pub streams_max: u32,
}

impl ConnectionSettings {
    const fn per_peer_max(&self) -> usize {
        match self.connections_per_peer_max {
            Some(most) => most,
            None => self.connections_max.div_ceil(4),
        }
    }

    /// What each OTLP port grants.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            peer_connections_max: Some(self.per_peer_max()),
            header_read_timeout: self.header_read_timeout,
            keep_alive: self.keep_alive,
            idle_timeout: self.idle_timeout,
            streams_max: self.streams_max,
        }
    }
}

/// The lifecycle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has mistakes, each with its line.
    #[error("{} mistakes in {}", mistakes.0.len(), path.display())]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// All of them.
        mistakes: Mistakes,
    },
}

impl Settings {
    /// Reads and checks the lifecycle.
    ///
    /// # Errors
    /// [`LifecycleError`].
    pub fn read_lifecycle(&self) -> Result<Lifecycle, LifecycleError> {
        let Some(path) = &self.lifecycle else { return Ok(Lifecycle::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| LifecycleError::Read { path: path.clone(), source })?;
        Lifecycle::parse(&text)
            .map_err(|mistakes| LifecycleError::Mistakes { path: path.clone(), mistakes })
    }

    /// What is wrong with the settings of a collector that takes data in, as (flag, reason).
    ///
    /// # Errors
    /// The first bad one.
    pub fn check_serving(&self) -> Result<(), (&'static str, String)> {
        self.journal.check()
    }

    /// What is wrong with the numbers, as (flag, reason).
    ///
    /// # Errors
    /// The first bad setting.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let at_least_one = [
            ("--insert-records-max", self.insert.insert_records_max),
            ("--inserts-at-once", self.insert.inserts_at_once),
            ("--stitch-pending-max", self.stitch.stitch_pending_max),
            ("--stitch-chunk-max", self.stitch.stitch_chunk_max),
            ("--connections-max", self.connections.connections_max),
            ("--connections-per-peer-max", self.connections.per_peer_max()),
            ("--in-flight-requests-max", self.intake.in_flight_requests_max),
            ("--body-bytes-max", self.intake.body_bytes_max),
            ("--decoded-bytes-max", self.intake.decoded_bytes_max),
            ("--streams-max", self.connections.streams_max as usize),
        ];
        for (flag, value) in at_least_one {
            if !(1..=COUNT_MAX).contains(&value) {
                return Err((flag, format!("must be from 1 to {COUNT_MAX}")));
            }
        }
        for (flag, duration) in [
            ("--body-read-timeout", self.intake.body_read_timeout),
            ("--header-read-timeout", self.connections.header_read_timeout),
            ("--keep-alive", self.connections.keep_alive),
            ("--idle-timeout", self.connections.idle_timeout),
            ("--sweep-interval", self.stitch.sweep_interval),
        ] {
            if duration.is_zero() {
                return Err((flag, "must be longer than nothing".to_owned()));
            }
        }
        let most = u32::MAX as usize;
        let bytes_max = self.intake.in_flight_bytes_max;
        if bytes_max > most || bytes_max < self.intake.body_bytes_max {
            let why = format!("must be from --body-bytes-max to {most}");
            return Err(("--in-flight-bytes-max", why));
        }
        // An insert is one block.
        let (least, most) = (1, INSERT_BYTES_MAX);
        if !(least..=most).contains(&self.insert.insert_bytes_max) {
            return Err(("--insert-bytes-max", format!("must be from {least} to {most}")));
        }
        self.hygiene.check()?;
        self.retention.check()
    }
}

/// The built-in lifecycle as text.
#[must_use]
pub fn built_in_lifecycle() -> &'static str {
    DEFAULT_TOML
}
