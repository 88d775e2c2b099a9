//! A private stack: engine, Alertmanager, webhook, and as many evaluators as a test wants.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use order_model::Lifecycle;
use order_store::read::AlertRow;
use order_store::{Batch, Stitcher, Store, StoreSettings, Writer};
use tempfile::TempDir;

use crate::children::{Running, engine_program, program, until};
use crate::orders::{Moment, Order, minutes_ago};
use crate::receiver::{Heard, Receiver};

/// The rules of the product.
pub(crate) const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");

/// How long Alertmanager waits for company; what is older goes at once.
pub(crate) const GROUP_WAIT: &str = "200ms";

pub(crate) struct Stack {
    folder: TempDir,
    http: reqwest::Client,
    store_address: String,
    engine: Option<Running>,
    _alertmanager: Running,
    pub(crate) alertmanager_url: String,
    /// What tracker-ui hears: every alert that is not inhibited.
    pub(crate) receiver: Receiver,
    /// What on-call hears.
    pub(crate) pages: Receiver,
    started: AtomicU32,
}

/// A running evaluator.
pub(crate) struct Evaluator {
    running: Running,
    http: reqwest::Client,
    url: String,
}

impl Stack {
    /// Everything at work, the schema made.
    pub(crate) async fn start() -> Self {
        let mut stack = Self::without_store().await;
        stack.start_store().await;
        stack.migrate().await;
        stack
    }

    /// Alertmanager and webhook at work, and an address for a store that is not there yet.
    pub(crate) async fn without_store() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let receiver = Receiver::start().await;
        let pages = Receiver::start().await;
        let (alertmanager, alertmanager_url) = alertmanager(folder.path(), &receiver, &pages).await;
        let stack = Self {
            folder,
            http,
            store_address: free_address(),
            engine: None,
            _alertmanager: alertmanager,
            alertmanager_url,
            receiver,
            pages,
            started: AtomicU32::new(0),
        };
        let ready = format!("{}/-/ready", stack.alertmanager_url);
        until("Alertmanager", || async { stack.http.get(&ready).send().await.ok() }).await;
        stack
    }

    /// Makes the schema, as the collector does.
    pub(crate) async fn migrate(&self) {
        self.store().migrate(&Lifecycle::default()).await.unwrap();
    }

    fn number(&self) -> u32 {
        self.started.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts the engine on the stack's address.
    pub(crate) async fn start_store(&mut self) {
        self.start_store_with(&[]).await;
    }

    /// The same with these flags for the engine.
    pub(crate) async fn start_store_with(&mut self, flags: &[&str]) {
        let name = format!("engine-{}", self.number());
        let ports = self.folder.path().join(format!("{name}.ports"));
        let mut command = engine_program();
        command.args(flags).args(["--listen", &self.store_address, "--data"]);
        command.arg(self.folder.path().join("data")).arg("--ports-file").arg(&ports);
        let mut engine = Running::start(command, self.folder.path(), &name);
        engine.address(&ports, "clickhouse-http").await;
        self.engine = Some(engine);
        until("the engine", || async { self.store().ping().await.ok() }).await;
    }

    pub(crate) async fn stop_store(&mut self) {
        self.engine.take().unwrap().child.kill().await.unwrap();
    }

    /// The engine keeps its connections and does nothing any more.
    pub(crate) fn hang_store(&self) {
        let id = self.engine.as_ref().and_then(|engine| engine.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id.cast_signed()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    }

    fn store_url(&self) -> String {
        format!("http://{}", self.store_address)
    }

    fn store(&self) -> Store {
        Store::connect(&StoreSettings {
            store_url: self.store_url(),
            store_user: "default".to_owned(),
            store_password: String::new(),
            store_database: "waybill".to_owned(),
        })
    }

    /// Writes the facts of an order and derives it, as the collector does.
    pub(crate) async fn write(&self, order: &Order) {
        self.write_all(std::slice::from_ref(order)).await;
    }

    /// Writes the facts of many orders together.
    pub(crate) async fn write_all(&self, orders: &[Order]) {
        let mut batch = Batch::default();
        orders.iter().for_each(|order| batch.append(order.batch()));
        let token = format!("batch-{}", self.number());
        Writer::new(self.store()).insert(&batch, &token).await.unwrap();
        let stitcher = Stitcher::new(self.store(), Arc::new(Lifecycle::default()));
        let stitched = stitcher.stitch(&batch.touched(), Duration::ZERO).await.unwrap();
        assert_eq!(stitched.orders, orders.len());
    }

    /// Writes down what the webhook heard, as tracker-ui does.
    pub(crate) async fn record(&self, heard: &Heard) {
        let texts = |of: &str| -> Vec<(String, String)> {
            let map = heard.0[of].as_object().unwrap();
            map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
        };
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let row = AlertRow {
            order_id: text(&heard.0["labels"]["order"]),
            fingerprint: text(&heard.0["fingerprint"]),
            starts_at: Moment::parse(heard.starts_at()).millis(),
            status: text(&heard.0["status"]),
            alert_name: text(&heard.0["labels"]["alertname"]),
            severity: text(&heard.0["labels"]["severity"]),
            ends_at: 0,
            labels: texts("labels"),
            annotations: texts("annotations"),
            first_received_at: minutes_ago(0).millis(),
        };
        Writer::new(self.store()).record_alerts(&[row]).await.unwrap();
    }

    /// A folder with one rule file, `rules.yaml`.
    pub(crate) fn rules_folder(&self, text: &str) -> PathBuf {
        let folder = self.folder.path().join(format!("rules-{}", self.number()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("rules.yaml"), text).unwrap();
        folder
    }

    fn evaluator_command(&self, rules: &Path) -> tokio::process::Command {
        let mut command = program();
        command.args(["run", "--listen", "127.0.0.1:0", "--public-url", "http://tracker.test/"]);
        command.args(["--store-url", &self.store_url(), "--store-user", "reader"]);
        command.args(["--alertmanager", &self.alertmanager_url, "--ready-age-max", "60s"]);
        command.arg("--rules").arg(rules);
        command
    }

    /// An evaluator at work.
    pub(crate) async fn evaluator(&self, rules: &Path, flags: &[&str]) -> Evaluator {
        let name = format!("evaluator-{}", self.number());
        let ports = self.folder.path().join(format!("{name}.ports"));
        let mut command = self.evaluator_command(rules);
        command.arg("--ports-file").arg(&ports).args(flags);
        let mut running = Running::start(command, self.folder.path(), &name);
        let url = format!("http://{}", running.address(&ports, "admin").await);
        Evaluator { running, http: self.http.clone(), url }
    }

    /// An evaluator that is expected to end by itself: exit code and log.
    pub(crate) async fn evaluator_that_ends(&self, rules: &Path) -> (Option<i32>, String) {
        let output = self.evaluator_command(rules).output();
        let output =
            tokio::time::timeout(crate::children::DEADLINE, output).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// `alert-rules check`: exit code and output.
    pub(crate) async fn check(&self, rules: &Path, flags: &[&str]) -> (Option<i32>, String) {
        let mut command = program();
        command.arg("check").arg("--rules").arg(rules).args(flags);
        command.args(["--store-url", &self.store_url()]);
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// A command of the program that ends by itself: exit code, and what it printed.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = program();
        command.args(arguments).args(["--store-url", &self.store_url()]);
        let output = tokio::time::timeout(crate::children::DEADLINE * 5, command.output());
        let output = output.await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// The databases of the store that begin so.
    pub(crate) async fn databases(&self, beginning: &str) -> Vec<String> {
        let sql =
            format!("SELECT name FROM system.databases WHERE startsWith(name, '{beginning}')");
        self.store().client().query(&sql).fetch_all::<String>().await.unwrap()
    }

    /// The alert about an order, as Alertmanager holds it.
    pub(crate) async fn alert(&self, order: &str) -> serde_json::Value {
        let url = format!("{}/api/v2/alerts", self.alertmanager_url);
        let alerts: Vec<serde_json::Value> =
            self.http.get(url).send().await.unwrap().json().await.unwrap();
        alerts.into_iter().find(|alert| alert["labels"]["order"] == order).unwrap()
    }
}

impl Evaluator {
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }

    /// Waits until the log says this.
    pub(crate) async fn logs(&self, expected: &str) {
        let what = format!("the log to say {expected:?}");
        until(&what, || async { self.log().contains(expected).then_some(()) }).await;
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        response.text().await.unwrap()
    }

    /// Waits until a path answers with this text somewhere in it.
    pub(crate) async fn answers(&self, path: &str, expected: &str) {
        until(&format!("{path} to say {expected:?}: {}", self.log()), || async {
            self.get(path).await.contains(expected).then_some(())
        })
        .await;
    }

    /// The sum of the samples of a metric whose labels contain `labels`; none without a sample.
    pub(crate) async fn value(&self, metric: &str, labels: &str) -> Option<u64> {
        let page = self.get("/metrics").await;
        page.lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(metric) && line.contains(labels))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .reduce(|sum, value| sum + value)
    }

    /// Waits until a metric has come to at least this much.
    pub(crate) async fn counts(&self, metric: &str, labels: &str, at_least: u64) {
        until(&format!("{metric}{{{labels}}} to reach {at_least}: {}", self.log()), || async {
            self.value(metric, labels).await.filter(|value| *value >= at_least)
        })
        .await;
    }
}

/// Alertmanager with the product's configuration and quick groups, on a free port.
async fn alertmanager(folder: &Path, receiver: &Receiver, pages: &Receiver) -> (Running, String) {
    let config = program()
        .args(["alertmanager-config", "--webhook-url", &receiver.url])
        .args(["--on-call-url", &pages.url])
        .args(["--group-wait", GROUP_WAIT, "--group-interval", "1s"])
        .output()
        .await
        .unwrap();
    assert!(config.status.success());
    let path = folder.join("alertmanager.yml");
    std::fs::write(&path, config.stdout).unwrap();
    let address = free_address();
    let mut command = tokio::process::Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .current_dir(folder);
    (Running::start(command, folder, "alertmanager"), format!("http://{address}"))
}

/// For those who cannot take a free port by themselves: found first, and free again when they
/// bind it.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
