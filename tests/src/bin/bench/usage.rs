//! What processes use, from `/proc`, and what machine this is.

use anyhow::{Context, Result};

/// Clock ticks per second of `/proc/<pid>/stat`: 100 on every Linux that Debian builds.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds that a process has used so far, in user and kernel mode.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th after it.
    let (_, after) = text.rsplit_once(')').with_context(|| format!("no name in {path}"))?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> {
        let field = fields.get(index).with_context(|| format!("{path} is too short"))?;
        field.parse().with_context(|| format!("`{field}` in {path}"))
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The most memory that a process ever held, in MiB.
pub(crate) fn peak_mib(pid: u32) -> Result<u64> {
    memory_mib(pid, "VmHWM:")
}

/// The memory that a process holds, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<u64> {
    memory_mib(pid, "VmRSS:")
}

fn memory_mib(pid: u32, name: &'static str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).context(name)?;
    Ok(kib.parse::<u64>().context(name)? / 1024)
}

/// One line on the machine.
pub(crate) fn machine() -> Result<String> {
    let cpus = std::thread::available_parallelism().context("counting processors")?;
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| rest.trim_start_matches([':', '\t', ' ']));
    let date = chrono::Utc::now().format("%Y-%m-%d");
    Ok(format!("{date}: {cpus} × {model}, load generator and all servers on the same machine"))
}
