//! The official SDKs as clients: their scripts, run to their end.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::process::exit_text;
use crate::programs::workspace;

/// Names another Python.
const PYTHON_VARIABLE: &str = "WAYBILL_TEST_PYTHON";
/// How long a script may take.
const SCRIPT_DEADLINE: Duration = Duration::from_secs(90);

/// A script of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// `tests/clients/python/story.py`.
    Python,
    /// `tests/clients/javascript/story.mjs`.
    JavaScript,
    /// `tests/browser/walk.mjs`.
    Browser,
}

impl Script {
    fn path(self) -> PathBuf {
        workspace().join(match self {
            Self::Python => "tests/clients/python/story.py",
            Self::JavaScript => "tests/clients/javascript/story.mjs",
            Self::Browser => "tests/browser/walk.mjs",
        })
    }

    fn interpreter(self) -> Result<PathBuf> {
        if self == Self::Python {
            let python = std::env::var_os(PYTHON_VARIABLE)
                .map_or_else(|| workspace().join(".venv/bin/python"), PathBuf::from);
            if !python.is_file() {
                bail!(
                    "{} is missing; run `make clients`, or name a Python that has \
                     tests/clients/python/requirements.txt in {PYTHON_VARIABLE}",
                    python.display()
                );
            }
            return Ok(python);
        }
        let folder = self.path().with_file_name("node_modules");
        if !folder.is_dir() {
            bail!("{} is missing; run `make clients`", folder.display());
        }
        Ok("node".into())
    }

    /// Runs the script and reads the JSON document that it prints last.
    ///
    /// # Errors
    /// It is not installed, fails, or takes too long; with what it said.
    pub async fn run<T: DeserializeOwned>(self, arguments: &[&str]) -> Result<T> {
        let path = self.path();
        let running = Command::new(self.interpreter()?)
            .arg(&path)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(SCRIPT_DEADLINE, running)
            .await
            .with_context(|| format!("{} takes over {SCRIPT_DEADLINE:?}", path.display()))?
            .with_context(|| format!("running {}", path.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let how = exit_text(output.status);
            bail!("{} ended with {how}:\n{said}\n{complained}", path.display());
        }
        let document = said.lines().last().unwrap_or_default();
        serde_json::from_str(document)
            .with_context(|| format!("{} printed:\n{said}\n{complained}", path.display()))
    }
}
