//! Alertmanager's configuration: the one delivered, with the values of this stack in it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Stack;
use crate::parts::Part;

/// How long Alertmanager waits for further alerts of a group, and between two calls about it: in
/// the demo and in most tests somebody is watching.
const GROUP_WAIT: &str = "1s";
/// Where `tracker-ui` takes Alertmanager's calls.
const WEBHOOK_PATH: &str = "/api/v1/alerts/webhook";

/// What differs from the delivered configuration, beside the address of `tracker-ui`.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// A webhook that pages on-call.
    pub on_call_url: Option<String>,
    /// Groups wait as long as they do in production.
    pub production_waits: bool,
}

impl Stack {
    /// Sets whom an Alertmanager calls that is not started yet.
    pub fn route_alerts(&mut self, routing: Routing) {
        self.routing = routing;
    }

    /// Writes the configuration that `alert-rules` prints for this stack.
    pub(super) fn write_alertmanager_configuration(&self, path: &Path) -> Result<()> {
        let mut command = Command::new(Part::AlertRules.executable()?);
        let pages_url = self.url(Part::TrackerUi)?;
        command.args(["alertmanager-config", "--webhook-url"]);
        command.arg(format!("{pages_url}{WEBHOOK_PATH}"));
        if !self.routing.production_waits {
            command.args(["--group-wait", GROUP_WAIT, "--group-interval", GROUP_WAIT]);
        }
        if let Some(url) = &self.routing.on_call_url {
            command.args(["--on-call-url", url]);
        }
        let printed = command.output().context("running `alert-rules alertmanager-config`")?;
        if !printed.status.success() {
            let why = String::from_utf8_lossy(&printed.stderr);
            bail!("`alert-rules alertmanager-config` failed: {why}");
        }
        std::fs::write(path, printed.stdout).with_context(|| format!("writing {}", path.display()))
    }
}
