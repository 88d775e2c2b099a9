//! Where the programs are: the binaries built beside the running one, and Debian's Alertmanager.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where Debian's package `prometheus-alertmanager` puts the program.
const ALERTMANAGER: &str = "/usr/bin/prometheus-alertmanager";
/// Names another Alertmanager.
const ALERTMANAGER_VARIABLE: &str = "WAYBILL_ALERTMANAGER";

/// One of our programs, built with the same profile as the running executable.
///
/// # Errors
/// It is not built; the message says what to run.
pub fn ours(name: &str) -> Result<PathBuf> {
    let executable = std::env::current_exe().context("asking where this program is")?;
    let folder = executable
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .with_context(|| format!("{} is in no folder", executable.display()))?;
    let program = folder.join(name);
    if !program.is_file() {
        let release = if folder.ends_with("release") { " --release" } else { "" };
        bail!("{} is missing; run `cargo build{release} --workspace --bins`", program.display());
    }
    Ok(program)
}

/// Alertmanager.
///
/// # Errors
/// It is not installed; the message says what to run.
pub fn alertmanager() -> Result<PathBuf> {
    let program = std::env::var_os(ALERTMANAGER_VARIABLE)
        .map_or_else(|| PathBuf::from(ALERTMANAGER), PathBuf::from);
    if !program.is_file() {
        bail!(
            "{} is missing; run `scripts/install prometheus-alertmanager`, or name another in \
             {ALERTMANAGER_VARIABLE}",
            program.display()
        );
    }
    Ok(program)
}

/// The root of the checkout.
#[must_use]
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
