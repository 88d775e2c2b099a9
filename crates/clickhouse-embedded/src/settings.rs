//! What the operator sets: flags, and `WAYBILL_ENGINE_*` in the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use daemon::settings::{Common, duration};

use crate::auth::Role;

/// The ClickHouse engine in this process, behind the HTTP interface that its clients use.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Settings {
    /// Log, ports file, drain deadline.
    #[command(flatten)]
    pub common: Common,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "WAYBILL_ENGINE_LISTEN", default_value = "127.0.0.1:8123")]
    pub listen: SocketAddr,
    /// The data folder: made if missing, owned by one process.
    #[arg(long, env = "WAYBILL_ENGINE_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// `libchdb.so`; by default looked for beside the workspace, where `npm ci` puts it.
    #[arg(long, env = "WAYBILL_ENGINE_LIBRARY", value_name = "PATH")]
    pub engine_library: Option<PathBuf>,
    /// Let BACKUP and RESTORE use this folder; without it they are refused.
    #[arg(long, env = "WAYBILL_ENGINE_BACKUPS", value_name = "DIR")]
    pub backups: Option<PathBuf>,
    /// How far the engine stands back for other programs of the machine, 0 to 19: senders wait for
    /// the collector beside it, and nobody waits for merges.
    #[arg(long, env = "WAYBILL_ENGINE_NICE", default_value_t = 0, value_name = "LEVEL")]
    #[arg(value_parser = clap::value_parser!(i32).range(0..=19))]
    pub nice: i32,
    /// Who may come in.
    #[command(flatten)]
    pub users: UserSettings,
    /// What is bounded.
    #[command(flatten)]
    pub limits: Limits,
    /// Where the log of queries goes.
    #[command(flatten)]
    pub query_log: QueryLogSettings,
}

/// The two users. On a loopback address, and while the writer has no password, `default` is the
/// writer, too.
#[derive(Debug, Clone, Args)]
pub struct UserSettings {
    /// The user who may do everything but control the process or the host.
    #[arg(long, env = "WAYBILL_ENGINE_WRITER", default_value = "writer", value_name = "NAME")]
    pub writer: String,
    /// The writer's password; empty: none is asked.
    #[arg(
        long,
        env = "WAYBILL_ENGINE_WRITER_PASSWORD",
        default_value = "",
        hide_env_values = true
    )]
    pub writer_password: Secret,
    /// A file that holds the writer's password (its trailing line break does not count).
    #[arg(long, env = "WAYBILL_ENGINE_WRITER_PASSWORD_FILE", value_name = "PATH")]
    pub writer_password_file: Option<PathBuf>,
    /// The user who may only read tables.
    #[arg(long, env = "WAYBILL_ENGINE_READER", default_value = "reader", value_name = "NAME")]
    pub reader: String,
    /// The reader's password; empty: none is asked.
    #[arg(
        long,
        env = "WAYBILL_ENGINE_READER_PASSWORD",
        default_value = "",
        hide_env_values = true
    )]
    pub reader_password: Secret,
    /// A file that holds the reader's password (its trailing line break does not count).
    #[arg(long, env = "WAYBILL_ENGINE_READER_PASSWORD_FILE", value_name = "PATH")]
    pub reader_password_file: Option<PathBuf>,
    /// Listen beyond loopback although a user has no password. For closed networks only.
    #[arg(long, env = "WAYBILL_ENGINE_ALLOW_NO_PASSWORD")]
    pub allow_no_password: bool,
}

/// A password: never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Every bound, and what happens at it.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Open connections; at the bound, new ones wait in the kernel's backlog.
    #[arg(long, env = "WAYBILL_ENGINE_CONNECTIONS_MAX", default_value_t = 1024)]
    pub connections_max: usize,
    /// How long a client may take to send the head of a request, and how long a connection may
    /// be idle between requests; then it is closed.
    #[arg(long, env = "WAYBILL_ENGINE_HEADER_READ_TIMEOUT", value_parser = duration)]
    #[arg(default_value = "30s")]
    pub header_read_timeout: Duration,
    /// Queries that run at once; more of them queue.
    #[arg(long, env = "WAYBILL_ENGINE_QUERIES_MAX", default_value_t = 32)]
    pub queries_max: usize,
    /// Queries of the reader that run at once; more of them queue. By default three quarters of
    /// `queries-max`, at least one: the writer finds a place whatever readers do.
    #[arg(long, env = "WAYBILL_ENGINE_READER_QUERIES_MAX", value_name = "COUNT")]
    pub reader_queries_max: Option<usize>,
    /// Queries that queue, the reader's counted apart; at the bound, and after `queue-wait-max`, 503 with code 202.
    #[arg(long, env = "WAYBILL_ENGINE_QUEUED_MAX", default_value_t = 256)]
    pub queued_max: usize,
    /// How long a query queues.
    #[arg(long, env = "WAYBILL_ENGINE_QUEUE_WAIT_MAX", value_parser = duration)]
    #[arg(default_value = "10s")]
    pub queue_wait_max: Duration,
    /// Bytes of a statement's text, parameters included; more is 413 with code 229.
    #[arg(long, env = "WAYBILL_ENGINE_QUERY_BYTES_MAX", default_value_t = 16 << 20)]
    pub query_bytes_max: usize,
    /// Bytes of the body of a reader's request as sent, held before the query gets a place; more
    /// is 413 with code 229.
    #[arg(long, env = "WAYBILL_ENGINE_READER_BODY_BYTES_MAX", default_value_t = 1 << 20)]
    pub reader_body_bytes_max: usize,
    /// How long the whole body of a reader's request, or a form, may take to arrive; then code
    /// 209. The query has no place until then.
    #[arg(long, env = "WAYBILL_ENGINE_TEXT_TIME_MAX", value_parser = duration)]
    #[arg(default_value = "30s")]
    pub text_time_max: Duration,
    /// Bytes of one decoded request body; more fails the insert with code 229.
    #[arg(long, env = "WAYBILL_ENGINE_BODY_BYTES_MAX", default_value_t = 4 << 30)]
    pub body_bytes_max: u64,
    /// Bytes of a result held back so that its errors and figures stand in the headers; a larger
    /// result streams.
    #[arg(long, env = "WAYBILL_ENGINE_HELD_RESULT_BYTES_MAX", default_value_t = 1 << 20)]
    pub held_result_bytes_max: usize,
    /// Bytes of a result with `wait_end_of_query=1`, held whole; more is code 396.
    #[arg(long, env = "WAYBILL_ENGINE_WAITED_RESULT_BYTES_MAX", default_value_t = 64 << 20)]
    pub waited_result_bytes_max: usize,
    /// Sessions held; at the bound a new one is refused with code 202.
    #[arg(long, env = "WAYBILL_ENGINE_SESSIONS_MAX", default_value_t = 256)]
    pub sessions_max: usize,
    /// The longest `session_timeout` a client may ask for; more is code 374.
    #[arg(long, env = "WAYBILL_ENGINE_SESSION_TIMEOUT_MAX", value_parser = duration)]
    #[arg(default_value = "1h")]
    pub session_timeout_max: Duration,
    /// How long a client may neither send nor take anything; then its query is cancelled.
    #[arg(long, env = "WAYBILL_ENGINE_CLIENT_IDLE_MAX", value_parser = duration)]
    #[arg(default_value = "5m")]
    pub client_idle_max: Duration,
    /// The longest query of the reader; then code 159. A client may ask for less.
    #[arg(long, env = "WAYBILL_ENGINE_READER_TIME_MAX", value_parser = duration)]
    #[arg(default_value = "60s")]
    pub reader_time_max: Duration,
    /// The longest statement of the writer; then code 159. A client may ask for less.
    #[arg(long, env = "WAYBILL_ENGINE_WRITER_TIME_MAX", value_parser = duration)]
    #[arg(default_value = "1h")]
    pub writer_time_max: Duration,
    /// Bytes of memory of the whole engine; beyond them queries fail with code 241. 0: the
    /// engine's own 90 % of the machine.
    #[arg(long, env = "WAYBILL_ENGINE_MEMORY_BYTES_MAX", default_value_t = 0)]
    pub memory_bytes_max: u64,
    /// Bytes of memory of one query; beyond them it fails with code 241. 0: no bound of its own.
    #[arg(long, env = "WAYBILL_ENGINE_QUERY_MEMORY_BYTES_MAX", default_value_t = 4 << 30)]
    pub query_memory_bytes_max: u64,
    /// The same for a query of the reader, within `query-memory-bytes-max`. 0: that alone.
    #[arg(long, env = "WAYBILL_ENGINE_READER_QUERY_MEMORY_BYTES_MAX", default_value_t = 2 << 30)]
    pub reader_query_memory_bytes_max: u64,
    /// Threads of one query. 0: as many as cores.
    #[arg(long, env = "WAYBILL_ENGINE_THREADS_MAX", default_value_t = 0)]
    pub threads_max: usize,
    /// By how much merges step back behind queries, as `nice` counts. 0: not at all.
    #[arg(long, env = "WAYBILL_ENGINE_MERGES_NICE", default_value_t = 5, value_name = "NICE")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=19))]
    pub merges_nice: u8,
}

impl Limits {
    /// Queries of the reader that run at once.
    pub(crate) fn reader_queries_max(&self) -> usize {
        self.reader_queries_max.unwrap_or((self.queries_max * 3 / 4).max(1))
    }

    /// Bytes of memory of a query; 0: no bound.
    pub(crate) fn query_memory_bytes_max(&self, role: Role) -> u64 {
        let (all, reader) = (self.query_memory_bytes_max, self.reader_query_memory_bytes_max);
        match role {
            Role::Reader if all == 0 => reader,
            Role::Reader if reader > 0 => reader.min(all),
            _ => all,
        }
    }
}

/// The log of queries: one JSON object per line, rotated.
#[derive(Debug, Clone, Args)]
pub struct QueryLogSettings {
    /// The file; by default `query-log.jsonl` in the data folder.
    #[arg(long, env = "WAYBILL_ENGINE_QUERY_LOG", value_name = "PATH")]
    pub query_log: Option<PathBuf>,
    /// Bytes of the file; then it becomes `.1`, the old `.1` goes.
    #[arg(long, env = "WAYBILL_ENGINE_QUERY_LOG_BYTES_MAX", default_value_t = 64 << 20)]
    pub query_log_bytes_max: u64,
}
