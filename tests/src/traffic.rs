//! The simulator as a part of a stack: its processes, its truth, its examples.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use simulator::truth::Truth;

use crate::parts::Arguments;
use crate::process::{Process, Program, STOP_DEADLINE, exit_text};
use crate::programs;
use crate::wait::{Look, until};

/// How long a population may take to be sent. It takes seconds; a busy machine gets more.
const POPULATION_DEADLINE: Duration = Duration::from_secs(120);

/// What the simulator is told.
#[derive(Debug, Clone)]
pub struct TrafficSettings {
    /// Where shop and, if set so, MES send to.
    pub otlp_http: String,
    /// Where the CRM sends to.
    pub otlp_grpc: String,
    /// Everything random follows from it.
    pub seed: u32,
    /// Back-dated orders.
    pub orders: u64,
    /// Live orders per minute after them; 0: the run ends.
    pub rate: f64,
    /// Further flags.
    pub extra: Vec<String>,
}

/// A running simulator.
#[derive(Debug)]
pub struct Traffic {
    process: Process,
    truth_file: PathBuf,
    examples_file: PathBuf,
    begun: Instant,
    begun_ms: i64,
    /// Whether the run ends by itself.
    ends: bool,
}

impl Traffic {
    /// Starts the simulator; its files and log go into `folder`.
    ///
    /// # Errors
    /// It is not built or cannot be run.
    pub fn start(settings: &TrafficSettings, folder: &Path, logs: &Path) -> Result<Self> {
        let truth_file = folder.join("truth.json");
        let examples_file = folder.join("examples.json");
        for file in [&truth_file, &examples_file] {
            if file.exists() {
                std::fs::remove_file(file)
                    .with_context(|| format!("removing {}", file.display()))?;
            }
        }
        let mut arguments = Arguments(vec!["run".into()]);
        arguments
            .flag("--otlp-http", &settings.otlp_http)
            .flag("--otlp-grpc", &settings.otlp_grpc)
            .flag("--seed", settings.seed.to_string())
            .flag("--orders", settings.orders.to_string())
            .flag("--rate", settings.rate.to_string())
            .flag("--truth-file", &truth_file)
            .flag("--examples-file", &examples_file);
        arguments.0.extend(settings.extra.iter().map(Into::into));
        let executable = programs::ours("simulator")?;
        let program = Program { name: "simulator", executable, arguments: arguments.0 };
        let begun_ms = chrono::Utc::now().timestamp_millis();
        let process = Process::start(&program, logs)?;
        let ends = settings.rate == 0.0;
        Ok(Self { process, truth_file, examples_file, begun: Instant::now(), begun_ms, ends })
    }

    /// Since when there is traffic.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The moment at which traffic began, milliseconds since 1970.
    #[must_use]
    pub const fn begun_ms(&self) -> i64 {
        self.begun_ms
    }

    /// Fails if the simulator ended although its traffic should go on, or ended badly.
    ///
    /// # Errors
    /// It did; with its last log lines.
    pub fn must_go_on(&mut self) -> Result<()> {
        match self.process.ended()? {
            Some(status) if self.ends => self.must_succeed(status),
            _ => self.process.must_run(),
        }
    }

    /// Waits until the population is sent and acknowledged, and gives the truth about it.
    ///
    /// # Errors
    /// The simulator ends without, or takes too long.
    pub async fn population(&mut self) -> Result<(Truth, BTreeMap<String, String>)> {
        let (truth_file, examples_file) = (self.truth_file.clone(), self.examples_file.clone());
        let process = &mut self.process;
        let look = || {
            // Both files are written before the process ends: look at the files last.
            let ended = process.ended();
            let quote = process.tail();
            let found = read_both(&truth_file, &examples_file);
            async move {
                match (found?, ended?) {
                    (Some(found), _) => Ok(Look::Yes(found)),
                    (None, None) => Ok(Look::NotYet("no truth file".to_owned())),
                    (None, Some(status)) => {
                        bail!("the simulator ended with {}; {quote}", exit_text(status))
                    }
                }
            }
        };
        Ok(until("the simulator's population", POPULATION_DEADLINE, look).await?.0)
    }

    /// Waits for the simulator to end by itself with code 0.
    ///
    /// # Errors
    /// It does not, or says that something was not delivered.
    pub async fn finished(&mut self) -> Result<()> {
        let status = self.process.wait(POPULATION_DEADLINE).await?;
        self.must_succeed(status)
    }

    /// Ends the live traffic and waits until everything is delivered.
    ///
    /// # Errors
    /// The simulator ends with another code than 0.
    pub async fn stop(&mut self) -> Result<()> {
        let stopped = self.process.stop(STOP_DEADLINE).await?;
        self.must_succeed(stopped.status)
    }

    /// The truth as it was last written.
    ///
    /// # Errors
    /// There is none, or it cannot be understood.
    pub fn truth(&self) -> Result<Truth> {
        let truth = read_json(&self.truth_file)?;
        truth.with_context(|| format!("{} is missing", self.truth_file.display()))
    }

    fn must_succeed(&self, status: std::process::ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        bail!("the simulator ended with {}; {}", exit_text(status), self.process.tail())
    }
}

type Population = (Truth, BTreeMap<String, String>);

fn read_both(truth_file: &Path, examples_file: &Path) -> Result<Option<Population>> {
    Ok(read_json(truth_file)?.zip(read_json(examples_file)?))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).with_context(|| format!("understanding {}", path.display()))
}
