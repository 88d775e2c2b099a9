//! Settings shared by every program, and the exit codes of `sysexits.h`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

/// Bad settings on the command line, in the environment or in a file: `EX_USAGE`.
pub const EXIT_USAGE: u8 = 64;
/// A server this program needs did not answer in time: `EX_UNAVAILABLE`.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// A fault of our own: `EX_SOFTWARE`.
pub const EXIT_SOFTWARE: u8 = 70;
/// A port is taken, a folder cannot be written: `EX_OSERR`.
pub const EXIT_OS: u8 = 71;
/// Something the program needs is not installed or not configured: `EX_CONFIG`.
pub const EXIT_CONFIG: u8 = 78;

/// Settings that every program takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// What to log: a level, or directives such as `info,collector=debug`.
    #[arg(long, env = "WAYBILL_LOG", default_value = "info", value_name = "DIRECTIVES")]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "WAYBILL_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Write `name=address` of every bound socket to this file once all are bound.
    #[arg(long, env = "WAYBILL_PORTS_FILE", value_name = "PATH")]
    pub ports_file: Option<PathBuf>,
    /// How long to finish work in hand after the stop signal; then what is left is cut off.
    #[arg(long, env = "WAYBILL_DRAIN_DEADLINE", default_value = "10s", value_parser = duration)]
    pub drain_deadline: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text for people.
    Text,
    /// One JSON object per line for machines.
    Json,
}

/// Parses a duration such as `10s`, `1h 30m`; for clap's `value_parser`.
///
/// # Errors
/// The text is not a duration; the message shows an example.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write for example `10s` or `1h 30m`"))
}

/// Parses the command line and environment, or prints what is wrong and exits with 64
/// (`--help` and `--version` exit with 0).
#[must_use]
pub fn parse<S: Parser>() -> S {
    S::try_parse().unwrap_or_else(|error| {
        let code = if error.use_stderr() { i32::from(EXIT_USAGE) } else { 0 };
        // A closed terminal is no reason to fail differently.
        let _ = error.print();
        std::process::exit(code)
    })
}

/// Says that a setting is bad and gives the exit code for it.
#[must_use]
pub fn refuse(setting: &str, why: &str) -> ExitCode {
    tracing::error!(setting, why, "bad setting");
    ExitCode::from(EXIT_USAGE)
}

/// Writes `name=address` lines to `path` atomically (a reader sees all or nothing).
///
/// # Errors
/// The file or its folder cannot be written.
pub fn write_ports_file(path: &Path, ports: &[(&str, SocketAddr)]) -> std::io::Result<()> {
    let text: String = ports.iter().map(|(name, addr)| format!("{name}={addr}\n")).collect();
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_duration_names_an_example() {
        assert!(duration("soon").unwrap_err().contains("10s"));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
    }

    #[test]
    fn ports_are_written_whole() {
        let path = std::env::temp_dir().join(format!("waybill-ports-{}", std::process::id()));
        let addr: SocketAddr = "127.0.0.1:4318".parse().unwrap();
        write_ports_file(&path, &[("otlp-http", addr)]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "otlp-http=127.0.0.1:4318\n");
        std::fs::remove_file(&path).unwrap();
    }
}
