//! The peer: Rotel, fetched by `pip download rotel==0.0.1a15` (the program is
//! `rotel/rotel-agent` in the package), with its ClickHouse exporter.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use end_to_end::address;
use end_to_end::folder::Folder;
use end_to_end::process::{Process, Program, STOP_DEADLINE};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::load::{Target, Transport};

/// How long it may take to listen.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// How often it is looked whether it listens.
const READY_POLL: Duration = Duration::from_millis(50);

/// A running Rotel.
pub(crate) struct Rotel {
    process: Process,
    http: SocketAddr,
    grpc: SocketAddr,
    folder: Folder,
}

impl Rotel {
    /// Starts it: it exports to the ClickHouse at that root URL, into the database `exporter`.
    pub(crate) async fn start(executable: &Path, store_url: &str) -> Result<Self> {
        let (http, grpc) = (address::free()?, address::free()?);
        let flags = [
            ("--otlp-http-endpoint", http.to_string()),
            ("--otlp-grpc-endpoint", grpc.to_string()),
            ("--clickhouse-exporter-endpoint", store_url.to_owned()),
            ("--clickhouse-exporter-database", "exporter".to_owned()),
            ("--clickhouse-exporter-compression", "lz4".to_owned()),
            // The embedded engine knows no asynchronous inserts; elsewhere it is the default.
            ("--clickhouse-exporter-async-insert", "false".to_owned()),
        ];
        let mut arguments = vec!["start".into(), "--exporter".into(), "clickhouse".into()];
        for (flag, value) in flags {
            arguments.extend([flag.into(), value.into()]);
        }
        let folder = Folder::private()?;
        let program = Program { name: "rotel", executable: executable.to_owned(), arguments };
        let mut process = Process::start(&program, &folder.logs())?;
        let begun = Instant::now();
        for address in [http, grpc] {
            while TcpStream::connect(address).await.is_err() {
                process.must_run()?;
                if begun.elapsed() > READY_DEADLINE {
                    bail!("Rotel does not listen; {}", process.tail());
                }
                sleep(READY_POLL).await;
            }
        }
        Ok(Self { process, http, grpc, folder })
    }

    pub(crate) fn target(&self, transport: Transport) -> Target {
        let address = match transport {
            Transport::Http => self.http,
            Transport::Grpc => self.grpc,
        };
        Target { transport, url: format!("http://{address}") }
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        match self.process.id() {
            Some(pid) => Ok(pid),
            None => bail!("Rotel has ended; {}", self.process.tail()),
        }
    }

    /// Its last words, for a failure.
    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }

    pub(crate) async fn finish(mut self) -> Result<()> {
        self.process.stop(STOP_DEADLINE).await?;
        self.folder.done();
        Ok(())
    }
}
