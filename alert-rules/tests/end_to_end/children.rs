//! Child processes in private folders: they end with the test.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long anything may take before the test gives up. Generous: machines differ.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Waits until `look` gives something, or fails the test with `what`.
pub(crate) async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "still waiting after {DEADLINE:?}: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The program under test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alert-rules"));
    command.kill_on_drop(true).env_clear();
    command
}

/// The program that serves the engine, built beside the one under test.
pub(crate) fn engine_program() -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_alert-rules")).with_file_name("clickhouse-embedded");
    let why = "run `cargo build -p clickhouse-embedded` first";
    assert!(path.exists(), "{} is missing: {why}", path.display());
    let mut command = Command::new(path);
    command.kill_on_drop(true).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// A running program and its log.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it with its log in `folder`.
    pub(crate) fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.kill_on_drop(true).spawn().unwrap(), log }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The address that a ports file gives for `name`, once it is there.
    pub(crate) async fn address(&mut self, ports: &Path, name: &str) -> String {
        let what = format!("{} to write its ports", self.log.display());
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(ports).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
            if let Some(address) = found {
                return address.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended early with {ended:?}: {}", self.log());
            assert!(begun.elapsed() < DEADLINE, "waiting for {what}: {}", self.log());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
