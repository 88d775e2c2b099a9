//! The parts of a stack: their programs, sockets and command lines, in one table.

use std::ffi::OsString;
use std::net::SocketAddr;

use anyhow::Result;

use crate::programs;

/// A program of the stack, in the order in which they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `clickhouse-embedded`.
    Engine,
    /// `collector`.
    Collector,
    /// `tracker-ui`.
    TrackerUi,
    /// Debian's Alertmanager.
    Alertmanager,
    /// `alert-rules`.
    AlertRules,
}

/// A socket of a part.
#[derive(Debug, Clone, Copy)]
pub struct Socket {
    /// As the ports file names it.
    pub name: &'static str,
    /// The flag that takes its address.
    pub flag: &'static str,
    /// Its port unless told otherwise.
    pub default_port: u16,
}

impl Socket {
    const fn new(name: &'static str, flag: &'static str, default_port: u16) -> Self {
        Self { name, flag, default_port }
    }
}

/// The OTLP/gRPC socket of the collector.
pub const OTLP_GRPC: &str = "otlp-grpc";
/// The OTLP/HTTP socket of the collector.
pub const OTLP_HTTP: &str = "otlp-http";

const ENGINE: [Socket; 1] = [Socket::new("clickhouse-http", "--listen", 8123)];
const COLLECTOR: [Socket; 3] = [
    Socket::new(OTLP_GRPC, "--otlp-grpc", 4317),
    Socket::new(OTLP_HTTP, "--otlp-http", 4318),
    Socket::new("admin", "--admin", 4320),
];
const TRACKER_UI: [Socket; 1] = [Socket::new("tracker-ui", "--listen", 8080)];
const ALERTMANAGER: [Socket; 1] = [Socket::new("http", "--web.listen-address", 9093)];
const ALERT_RULES: [Socket; 1] = [Socket::new("admin", "--listen", 9095)];

impl Part {
    /// Every part, in the order in which they are started.
    pub const ALL: [Self; 5] =
        [Self::Engine, Self::Collector, Self::TrackerUi, Self::Alertmanager, Self::AlertRules];

    /// The name of its program.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "clickhouse-embedded",
            Self::Collector => "collector",
            Self::TrackerUi => "tracker-ui",
            Self::Alertmanager => "alertmanager",
            Self::AlertRules => "alert-rules",
        }
    }

    /// Its sockets; the last one answers whether it is ready.
    #[must_use]
    pub const fn sockets(self) -> &'static [Socket] {
        match self {
            Self::Engine => &ENGINE,
            Self::Collector => &COLLECTOR,
            Self::TrackerUi => &TRACKER_UI,
            Self::Alertmanager => &ALERTMANAGER,
            Self::AlertRules => &ALERT_RULES,
        }
    }

    /// The path that answers 200 once it is ready.
    #[must_use]
    pub const fn ready_path(self) -> &'static str {
        match self {
            Self::Engine => "/waybill/readyz",
            Self::Alertmanager => "/-/ready",
            Self::Collector | Self::TrackerUi | Self::AlertRules => "/readyz",
        }
    }

    /// The path of its metrics.
    #[must_use]
    pub const fn metrics_path(self) -> &'static str {
        if matches!(self, Self::Engine) { "/waybill/metrics" } else { "/metrics" }
    }

    /// Whether it is a program of ours, which picks free ports and writes them down.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        !matches!(self, Self::Alertmanager)
    }

    /// Its executable.
    ///
    /// # Errors
    /// It is missing; the message says what to run.
    pub fn executable(self) -> Result<std::path::PathBuf> {
        if self.is_ours() { programs::ours(self.name()) } else { programs::alertmanager() }
    }
}

/// A command line in the making.
#[derive(Debug, Default)]
pub struct Arguments(pub Vec<OsString>);

impl Arguments {
    /// Adds a flag and its value.
    pub fn flag(&mut self, flag: &str, value: impl Into<OsString>) -> &mut Self {
        let mut argument = OsString::from(format!("{flag}="));
        argument.push(value.into());
        self.0.push(argument);
        self
    }

    /// Adds the address of a socket.
    pub fn listen(&mut self, socket: &Socket, address: SocketAddr) -> &mut Self {
        self.flag(socket.flag, address.to_string())
    }
}
