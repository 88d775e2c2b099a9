//! One program as a child process: its log in a file, its end never left to chance.
//!
//! Each program leads a process group of its own, so that Ctrl-C in a terminal reaches whoever
//! started it and nobody else. `setpriv` asks the kernel to send SIGTERM when the thread that
//! started the program is gone, so that nothing outlives a killed test or demo.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

/// Runs a program with a death signal of its parent; part of every Debian (util-linux).
const SETPRIV: &str = "/usr/bin/setpriv";
/// Says to every process of a stack, also to those that programs start themselves, which stack
/// it belongs to, so that what is left over can be found.
pub const STACK_VARIABLE: &str = "WAYBILL_STACK_LOGS";
/// How long a program may take from SIGTERM to its end; then it is killed, and that is a fault.
pub const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// Log lines shown of a program that failed.
const TAIL_LINES: usize = 15;
/// Bytes looked at for them.
const TAIL_BYTES_MAX: u64 = 64 * 1024;

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// What people call it; the log is `<name>.log`.
    pub name: &'static str,
    /// The executable.
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// A running program. Dropped, it is killed with everything it started.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// How a program ended.
#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// Its exit status.
    pub status: ExitStatus,
    /// From the signal to the end.
    pub took: Duration,
    /// Whether the deadline passed and it was killed.
    pub killed: bool,
}

impl Process {
    /// Starts the program; its output is added to `<logs>/<name>.log`.
    ///
    /// # Errors
    /// The log cannot be written or the program cannot be run.
    pub fn start(program: &Program, logs: &Path) -> Result<Self> {
        let name = program.name;
        let log = logs.join(format!("{name}.log"));
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let err = out.try_clone().context("sharing a log")?;
        let mut command = if Path::new(SETPRIV).is_file() {
            let mut command = Command::new(SETPRIV);
            command.args(["--pdeathsig", "TERM", "--"]).arg(&program.executable);
            command
        } else {
            Command::new(&program.executable)
        };
        let child = command
            .args(&program.arguments)
            .env(STACK_VARIABLE, logs)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.executable.display()))?;
        Ok(Self { name, child, log })
    }

    /// What people call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking whether {} runs", self.name))
    }

    /// Fails if the program has ended, with its last log lines.
    ///
    /// # Errors
    /// It has ended.
    pub fn must_run(&mut self) -> Result<()> {
        let Some(status) = self.ended()? else { return Ok(()) };
        bail!("{} ended by itself with {}; {}", self.name, exit_text(status), self.tail())
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(status) => status.with_context(|| format!("waiting for {}", self.name)),
            Err(_) => {
                bail!("{} still runs after {} s; {}", self.name, deadline.as_secs(), self.tail())
            }
        }
    }

    /// SIGTERM, then SIGKILL at the deadline.
    ///
    /// # Errors
    /// The operating system refuses a signal or loses the process.
    pub async fn stop(&mut self, deadline: Duration) -> Result<Stopped> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        let waited = tokio::time::timeout(deadline, self.child.wait()).await;
        let killed = waited.is_err();
        let status = match waited {
            Ok(status) => status,
            Err(_) => {
                self.kill_group();
                self.child.wait().await
            }
        };
        let status = status.with_context(|| format!("waiting for the end of {}", self.name))?;
        Ok(Stopped { status, took: begun.elapsed(), killed })
    }

    /// SIGKILL, without a chance to finish anything.
    ///
    /// # Errors
    /// The operating system loses the process.
    pub async fn kill(&mut self) -> Result<()> {
        self.kill_group();
        self.child.wait().await.with_context(|| format!("waiting for {}", self.name))?;
        Ok(())
    }

    /// Sends a signal to the program alone; none if it has ended.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        kill_process(pid, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// The most memory it ever held, in bytes.
    ///
    /// # Errors
    /// It has ended, or the kernel does not say.
    pub fn memory_peak_bytes(&self) -> Result<u64> {
        let id = self.id().with_context(|| format!("{} has ended", self.name))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kilobytes: u64 = kilobytes.context("no VmHWM in /proc/<pid>/status")?.trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// Where its log is and what it last said, for messages.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = last_lines(&self.log).unwrap_or_else(|error| error.to_string());
        format!("log {}, last lines:\n{lines}", self.log.display())
    }

    /// Its whole log so far.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }

    /// Kills the program and what it started; a group that is gone already is as good.
    fn kill_group(&self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// An exit status in words.
#[must_use]
pub fn exit_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    }
}

fn last_lines(path: &Path) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<_> = text.lines().rev().take(TAIL_LINES).map(|l| format!("  {l}")).collect();
    lines.reverse();
    Ok(if lines.is_empty() { "  (nothing)".to_owned() } else { lines.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let arguments = vec!["-c".into(), script.into()];
        Program { name: "shell", executable: "/bin/sh".into(), arguments }
    }

    #[tokio::test]
    async fn a_program_that_ends_early_is_quoted() {
        let logs = tempfile::tempdir().unwrap();
        let program = shell("echo out of cheese >&2; exit 3");
        let mut process = Process::start(&program, logs.path()).unwrap();
        process.wait(STOP_DEADLINE).await.unwrap();
        let error = process.must_run().unwrap_err().to_string();
        assert!(error.contains("exit code 3") && error.contains("out of cheese"), "{error}");
    }

    #[tokio::test]
    async fn a_program_deaf_to_the_stop_signal_is_killed_with_its_children() {
        let logs = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; sleep 1000 & echo $!; echo ready; wait; wait; sleep 1000";
        let mut process = Process::start(&shell(script), logs.path()).unwrap();
        let log = logs.path().join("shell.log");
        let ready = || async {
            let text = std::fs::read_to_string(&log)?;
            Ok(if text.contains("ready") {
                crate::wait::Look::Yes(text)
            } else {
                crate::wait::Look::NotYet(text)
            })
        };
        let (text, _) = crate::wait::until("the shell", STOP_DEADLINE, ready).await.unwrap();
        let stopped = process.stop(Duration::from_millis(100)).await.unwrap();
        assert!(stopped.killed);
        assert_eq!(exit_text(stopped.status), "signal 9");
        let child: u32 = text.lines().next().unwrap().parse().unwrap();
        let gone = || async {
            // A killed child stays a zombie until its new parent looks.
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            Ok(if state.is_empty() || state.contains(") Z ") {
                crate::wait::Look::Yes(())
            } else {
                crate::wait::Look::NotYet(state)
            })
        };
        crate::wait::until("the end of the child", STOP_DEADLINE, gone).await.unwrap();
    }
}
