//! A private engine and collector for one test: own folder, free ports, gone with the test.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A running program; killed with the test.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
    ports: HashMap<String, String>,
}

/// A collector over an engine.
pub(crate) struct Stack {
    pub(crate) collector: Program,
    pub(crate) engine: Program,
    folder: TempDir,
}

impl Program {
    /// Starts a program and waits until its sockets are bound.
    pub(crate) fn start(folder: &Path, name: &str, command: &mut Command) -> Self {
        let (ports_file, log) =
            (folder.join(format!("{name}.ports")), folder.join(format!("{name}.log")));
        let _ = std::fs::remove_file(&ports_file);
        let child = command
            .arg("--ports-file")
            .arg(&ports_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let mut program = Self { child, log, ports: HashMap::new() };
        let begun = Instant::now();
        while !ports_file.exists() {
            assert!(begun.elapsed() < PATIENCE, "{name} did not start: {}", program.log());
            std::thread::sleep(PAUSE);
        }
        let text = std::fs::read_to_string(&ports_file).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        program.ports = pairs.map(|(name, at)| (name.to_owned(), at.to_owned())).collect();
        program
    }

    /// The address of a socket.
    pub(crate) fn address(&self, name: &str) -> &str {
        &self.ports[name]
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills the program without warning.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the program to stop.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Tells the program that its files may have changed.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Freezes the program: it keeps its sockets and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen program go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits for the program's end and gives its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// The most memory the program ever held, in MiB.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Stack {
    /// Starts both with these flags for the collector, and waits until it is ready.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = start_engine(folder.path(), "127.0.0.1:0");
        let store = format!("http://{}", engine.address("clickhouse-http"));
        let collector = start_collector(folder.path(), &store, flags);
        let stack = Self { collector, engine, folder };
        stack.ready().await;
        stack
    }

    /// Waits until the collector is ready and has nothing to remark: the store is there, too.
    pub(crate) async fn ready(&self) {
        eventually("all is well", async || self.readiness().await == (200, "ok\n".to_owned()))
            .await;
    }

    /// What the collector says of its readiness.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        let url = format!("http://{}/readyz", self.collector.address("admin"));
        let Ok(answer) = reqwest::get(&url).await else { return (0, String::new()) };
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    }

    /// Waits until everything that was answered is in the store.
    pub(crate) async fn stored(&self) {
        eventually("the journal is empty", async || {
            self.metrics().await.contains("waybill_collector_unsent_records 0\n")
        })
        .await;
    }

    /// Starts the engine again where it was, with what it held.
    pub(crate) fn restart_engine(&mut self) {
        let address = self.engine.address("clickhouse-http").to_owned();
        self.engine.kill();
        self.engine = start_engine(self.folder.path(), &address);
    }

    /// Starts the collector again, on new ports.
    pub(crate) fn restart_collector(&mut self, flags: &[&str]) {
        self.collector.kill();
        let store = format!("http://{}", self.engine.address("clickhouse-http"));
        self.collector = start_collector(self.folder.path(), &store, flags);
    }

    /// Where the store is.
    pub(crate) fn store_url(&self) -> String {
        format!("http://{}", self.engine.address("clickhouse-http"))
    }

    /// The folder of the collector's journal.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// A URL of OTLP/HTTP.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.collector.address("otlp-http"))
    }

    /// A URL of OTLP/gRPC.
    pub(crate) fn grpc(&self, path: &str) -> String {
        format!("http://{}{path}", self.collector.address("otlp-grpc"))
    }

    /// The metrics page.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.collector.address("admin"));
        reqwest::get(&url).await.unwrap().text().await.unwrap()
    }

    /// The answer to a query once everything that was answered is in the store, as lines of
    /// tab-separated values.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        self.stored().await;
        self.query_now(sql).await
    }

    /// The answer of this moment.
    pub(crate) async fn query_now(&self, sql: &str) -> Vec<String> {
        let url = format!("http://{}/?database=waybill", self.engine.address("clickhouse-http"));
        let answer = reqwest::Client::new().post(url).body(sql.to_owned()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{sql}: {text}");
        text.lines().map(str::to_owned).collect()
    }
}

/// Waits for a condition; fails loudly when it does not come true.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn start_engine(folder: &Path, address: &str) -> Program {
    let mut command = Command::new(beside_test("clickhouse-embedded"));
    command.args(["--listen", address, "--data"]).arg(folder.join("data"));
    Program::start(folder, "engine", &mut command)
}

/// Starts a collector on free ports over that store.
pub(crate) fn start_collector(folder: &Path, store: &str, flags: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    let any = "127.0.0.1:0";
    command
        .args(["--otlp-http", any, "--otlp-grpc", any, "--admin", any, "--store-url", store])
        .arg("--journal")
        .arg(folder.join("journal"))
        .args(flags);
    Program::start(folder, "collector", &mut command)
}

/// A program of the workspace, beside the test executable.
fn beside_test(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join(name);
    assert!(program.exists(), "run `cargo build -p {name}` first: {program:?}");
    program
}
