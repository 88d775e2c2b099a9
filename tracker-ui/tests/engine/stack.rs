//! A private engine and a private tracker-ui for one test: own folder, free ports, gone with the
//! test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use order_model::Lifecycle;
use order_store::rows::Batch;
use order_store::{Stitcher, Store, StoreSettings, Writer};
use reqwest::Response;
use tempfile::TempDir;

/// Stands for the address of the store among the flags.
pub(crate) const STORE_URL: &str = "{store-url}";
/// How long a program may take to start on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Stack {
    engine: Program,
    ui: Program,
    pub(crate) store: Store,
    pub(crate) client: reqwest::Client,
    folder: TempDir,
}

impl Stack {
    /// Starts both; the page server with these flags besides its own.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let engine = Program::start(
            "clickhouse-embedded",
            "clickhouse-http",
            folder.path(),
            &["--data", data.to_str().unwrap()],
        );
        let url = format!("http://{}", engine.address);
        let store = Store::connect(&StoreSettings {
            store_url: url.clone(),
            store_user: "writer".into(),
            store_password: String::new(),
            store_database: "waybill".into(),
        });
        store.migrate(&Lifecycle::default()).await.unwrap();
        let own = ["--store-url", &url, "--store-user", "reader"];
        let writer: &[&str] =
            if flags.contains(&"--writer-user") { &[] } else { &["--writer-user", "writer"] };
        let flags: Vec<_> =
            flags.iter().map(|flag| if *flag == STORE_URL { &*url } else { *flag }).collect();
        let flags = [&own[..], writer, &flags].concat();
        let ui = Program::start("tracker-ui", "tracker-ui", folder.path(), &flags);
        let no_redirects = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(no_redirects).build().unwrap();
        Self { engine, ui, store, client, folder }
    }

    /// Inserts the rows and derives what they touch, as a collector does.
    pub(crate) async fn insert(&self, batch: &Batch) {
        let touched = batch.touched();
        let token = format!("{:?}", touched.orders);
        Writer::new(self.store.clone()).insert(batch, &token).await.unwrap();
        let lifecycle = Arc::new(Lifecycle::default());
        Stitcher::new(self.store.clone(), lifecycle)
            .stitch(&touched, Duration::ZERO)
            .await
            .unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ui.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// The body of a page, which must be answered with `status`.
    pub(crate) async fn page(&self, path: &str, status: u16) -> String {
        let response = self.get(path).await;
        let got = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(got, status, "{path}: {text}");
        text
    }

    /// The JSON of an answer, which must have `status`.
    pub(crate) async fn json(&self, path: &str, status: u16) -> serde_json::Value {
        serde_json::from_str(&self.page(path, status).await).unwrap()
    }

    /// What the page server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("tracker-ui.log")).unwrap()
    }

    /// Asks the page server to stop and waits until it has.
    pub(crate) fn stop_ui(&mut self) -> Option<i32> {
        let process = self.ui.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        self.ui.child.wait().unwrap().code()
    }

    pub(crate) fn kill_engine(&mut self) {
        self.engine.kill();
    }
}

struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(name: &str, port: &str, folder: &Path, flags: &[&str]) -> Self {
        let ports = folder.join(format!("{name}.ports"));
        let log = folder.join(format!("{name}.log"));
        let child = Command::new(program(name))
            .args(["--listen", "127.0.0.1:0", "--ports-file", ports.to_str().unwrap()])
            .args(flags)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut started = Self { child, address: String::new() };
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            let address = text.lines().find_map(|line| line.strip_prefix(&format!("{port}=")));
            if let Some(address) = address {
                address.clone_into(&mut started.address);
                return started;
            }
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(begun.elapsed() < START_DEADLINE, "{name} did not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program beside the test executable.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join(name);
    assert!(program.exists(), "run `cargo build -p {name}` first: {program:?}");
    program
}
