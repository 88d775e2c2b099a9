//! Alertmanager's configuration: the one delivered, with the values of this stack in it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::parts::Part;

/// How long Alertmanager waits for further alerts of a group, and between two calls about it: in
/// the demo and in tests somebody is watching.
const GROUP_WAIT: &str = "1s";
/// Where `tracker-ui` takes Alertmanager's calls.
const WEBHOOK_PATH: &str = "/api/v1/alerts/webhook";

/// Writes the configuration that `alert-rules` prints for the webhook of these pages.
pub(super) fn write_configuration(path: &Path, pages_url: &str) -> Result<()> {
    let printed = Command::new(Part::AlertRules.executable()?)
        .args(["alertmanager-config", "--group-wait", GROUP_WAIT, "--group-interval", GROUP_WAIT])
        .args(["--webhook-url", &format!("{pages_url}{WEBHOOK_PATH}")])
        .output()
        .context("running `alert-rules alertmanager-config`")?;
    if !printed.status.success() {
        let why = String::from_utf8_lossy(&printed.stderr);
        bail!("`alert-rules alertmanager-config` failed: {why}");
    }
    std::fs::write(path, printed.stdout).with_context(|| format!("writing {}", path.display()))
}
