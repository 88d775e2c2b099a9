//! Starts the program, speaks plain HTTP to it, and ends it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use tempfile::TempDir;

/// How long a start, a stop or an awaited condition may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
    folder: Option<TempDir>,
    pub(crate) data: PathBuf,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// ClickHouse's code in the headers; 0 when all went well.
    pub(crate) fn code(&self) -> u16 {
        self.header("x-clickhouse-exception-code").parse().unwrap_or(0)
    }
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clickhouse-embedded"));
    command.arg("--data").arg(data).args(arguments);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command
}

/// Waits until `ready` gives something.
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Served {
    /// On a folder of its own.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut served = Self::on(folder.path(), arguments);
        served.folder = Some(folder);
        served
    }

    /// On a folder that outlives it.
    pub(crate) fn on(data: &Path, arguments: &[&str]) -> Self {
        let ports = data.join("ports");
        let _ = std::fs::remove_file(&ports);
        let mut child = command(data, arguments).arg("--ports-file").arg(&ports).spawn().unwrap();
        let address = until("the program is up", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the program ended: {ended:?}");
            let text = std::fs::read_to_string(&ports).ok()?;
            Some(text.trim().strip_prefix("clickhouse-http=")?.to_owned())
        });
        Self { child, url: format!("http://{address}"), folder: None, data: data.to_path_buf() }
    }

    /// Runs to its end without being waited for: what it said, and how it ended.
    pub(crate) fn fails(data: &Path, arguments: &[&str]) -> (ExitStatus, String) {
        let output = command(data, arguments).stderr(Stdio::piped()).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub(crate) async fn post(&self, query: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(reqwest::Client::new().post(format!("{}/{query}", self.url)).body(body)).await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        Answer { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Runs a statement that must succeed and gives its result.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        let answer = self.post("", sql.to_owned()).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text);
        answer.text.trim_end().to_owned()
    }

    /// Waits until a statement gives `wanted`.
    pub(crate) async fn becomes(&self, sql: &str, wanted: &str) {
        let started = Instant::now();
        while self.sql(sql).await != wanted {
            assert!(started.elapsed() < PATIENCE, "{sql} never became {wanted}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a query of this id runs (or until none does).
    pub(crate) async fn runs(&self, query_id: &str, wanted: &str) {
        let filter = format!("Settings['log_comment'] = '{query_id}'");
        self.becomes(&format!("SELECT count() FROM system.processes WHERE {filter}"), wanted).await;
    }

    /// Runs a statement as the reader.
    pub(crate) async fn reader(&self, sql: &str) -> Answer {
        self.post("?user=reader", sql.to_owned()).await
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the program has ended", || self.child.try_wait().unwrap())
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that the process holds now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
