//! A private `clickhouse-embedded` for one test: own folder, free port, gone with the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use order_store::{Store, StoreSettings};
use tempfile::TempDir;

/// How long the engine may take to open an empty folder on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    pub(crate) settings: StoreSettings,
    pub(crate) store: Store,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, settings) = spawn(&folder, "127.0.0.1:0");
        let store = Store::connect(&settings);
        Self { child, folder, settings, store }
    }

    /// Kills the server without warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a killed server on the same folder and at the same address.
    pub(crate) fn restart(&mut self) {
        let address = self.settings.store_url.trim_start_matches("http://").to_owned();
        (self.child, self.settings) = spawn(&self.folder, &address);
    }

    /// Kills the server without warning and starts it on the same folder.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        (self.child, self.settings) = spawn(&self.folder, "127.0.0.1:0");
        self.store = Store::connect(&self.settings);
    }

    /// Holds the server: it neither answers nor refuses, until [`Server::resume`].
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, listen: &str) -> (Child, StoreSettings) {
    let ports = folder.path().join("ports");
    let _ = std::fs::remove_file(&ports);
    let child = Command::new(program())
        .args(["--listen", listen, "--data"])
        .arg(folder.path().join("data"))
        .arg("--ports-file")
        .arg(&ports)
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let address = loop {
        if let Ok(text) = std::fs::read_to_string(&ports)
            && let Some(address) = text.lines().find_map(|l| l.strip_prefix("clickhouse-http="))
        {
            break address.to_owned();
        }
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        assert!(begun.elapsed() < START_DEADLINE, "the engine did not start: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    };
    let settings = StoreSettings {
        store_url: format!("http://{address}"),
        store_user: "default".into(),
        store_password: String::new(),
        store_database: "waybill".into(),
    };
    (child, settings)
}

/// The program beside the test executable.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("clickhouse-embedded");
    assert!(program.exists(), "run `cargo build -p clickhouse-embedded` first: {program:?}");
    program
}
