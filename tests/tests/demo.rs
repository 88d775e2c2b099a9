//! The demo as a person runs it: it shows that all works, stops whole, and says who died.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::folder::Folder;
use end_to_end::process::{Process, Program, STACK_VARIABLE, STOP_DEADLINE};
use end_to_end::programs;
use end_to_end::wait::{Look, until};
use rustix::process::{Pid, Signal, kill_process};

/// How long the demo may take to be ready; the real figure is printed.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// How long the programs of a killed demo may take: all are told to stop at once, so that each
/// of them waits in vain for the others, for as long as it drains.
const ORPHANS_DEADLINE: Duration = Duration::from_secs(60);
/// The last line of its summary.
const READY: &str = "Ctrl-C stops everything.";

#[tokio::test]
async fn the_demo_shows_that_all_works_and_stops_whole() -> Result<()> {
    let folder = Folder::private()?;
    let mut demo = start(&folder, &["--exit-when-ready"])?;
    let status = demo.wait(READY_DEADLINE).await?;
    let said = demo.log()?;
    assert!(status.success(), "{said}");
    for expected in ["fine ", "late ", "stuck ", "/orders/ORD-", "webhook", "openapi.json", READY] {
        assert!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
    println!("{}", said.lines().find(|line| line.contains("ready after")).unwrap_or_default());
    assert_eq!(left_over(folder.path())?, Vec::<String>::new(), "nothing is left running");
    folder.done();
    Ok(())
}

#[tokio::test]
async fn the_demo_says_which_program_died_and_ends() -> Result<()> {
    let folder = Folder::private()?;
    let mut demo = start(&folder, &[])?;
    ready(&mut demo).await?;
    let victim = process_ids(folder.path(), "tracker-ui")?;
    let victim = Pid::from_raw(*victim.first().context("tracker-ui runs")?).context("an id")?;
    kill_process(victim, Signal::KILL)?;
    let status = demo.wait(STOP_DEADLINE).await?;
    let said = demo.log()?;
    assert!(!status.success(), "a dead program is a failure:\n{said}");
    assert!(said.contains("tracker-ui ended by itself with signal 9"), "{said}");
    assert!(said.contains("listening"), "its last log lines are shown:\n{said}");
    assert_eq!(left_over(folder.path())?, Vec::<String>::new(), "nothing is left running");
    folder.done();
    Ok(())
}

#[tokio::test]
async fn a_killed_demo_leaves_nothing_running() -> Result<()> {
    let folder = Folder::private()?;
    let mut demo = start(&folder, &[])?;
    ready(&mut demo).await?;
    let running = left_over(folder.path())?.join("\n");
    for program in ["clickhouse-embedded", "alertmanager", "simulator run", "simulator shop"] {
        assert!(running.contains(program), "{program} runs:\n{running}");
    }
    demo.signal(Signal::KILL)?;
    demo.wait(STOP_DEADLINE).await?;
    until("the programs of a killed demo to end", ORPHANS_DEADLINE, || async {
        let left = left_over(folder.path())?;
        Ok(if left.is_empty() { Look::Yes(()) } else { Look::NotYet(left.join("\n")) })
    })
    .await?;
    folder.done();
    Ok(())
}

fn start(folder: &Folder, more: &[&str]) -> Result<Process> {
    let data = folder.path().join("demo");
    let mut arguments = vec!["--free-ports".into(), "--orders=120".into(), "--folder".into()];
    arguments.push(data.into());
    arguments.extend(more.iter().map(Into::into));
    let program = Program { name: "demo", executable: programs::ours("demo")?, arguments };
    Process::start(&program, &folder.logs())
}

async fn ready(demo: &mut Process) -> Result<()> {
    until("the demo to be ready", READY_DEADLINE, || {
        let said = demo.must_run().and_then(|()| demo.log());
        async move {
            let said = said?;
            Ok(if said.contains(READY) { Look::Yes(()) } else { Look::NotYet(said) })
        }
    })
    .await?;
    Ok(())
}

/// The command lines of the demo's programs that still run, and of what they started.
fn left_over(folder: &Path) -> Result<Vec<String>> {
    Ok(running(folder)?.into_iter().map(|(_, command)| command).collect())
}

fn process_ids(folder: &Path, program: &str) -> Result<Vec<i32>> {
    let wanted = |command: &str| command.split(' ').next().is_some_and(|p| p.ends_with(program));
    let running = running(folder)?.into_iter().filter(|(_, command)| wanted(command));
    Ok(running.map(|(id, _)| id).collect())
}

fn running(folder: &Path) -> Result<Vec<(i32, String)>> {
    let folder = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(id) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        // A process may end while we look; what is gone is not left over.
        let read = |file: &str| {
            let bytes = std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let of_folder = |entry: &str| {
            entry.strip_prefix(STACK_VARIABLE).is_some_and(|rest| rest.contains(&folder))
        };
        if read("environ").split('\0').any(of_folder) {
            found.push((id, read("cmdline").replace('\0', " ")));
        }
    }
    Ok(found)
}
