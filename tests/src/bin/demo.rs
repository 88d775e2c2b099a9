//! The demo: every program on this machine, simulated orders, and a summary for a person.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use end_to_end::demo::{Demo, DemoSettings};
use tokio::signal::unix::{SignalKind, signal};

/// Waybill on this machine, with simulated orders.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Settings {
    #[command(flatten)]
    demo: DemoSettings,
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    match run(&settings.demo).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("\nerror: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &DemoSettings) -> Result<()> {
    let mut stop = stop_signal()?;
    say("Waybill starts:");
    let started = tokio::select! {
        started = Demo::start(settings, say) => started,
        // What was started so far is stopped as it is dropped.
        _ = stop.recv() => return Ok(()),
    };
    let (mut demo, summary) = started?;
    say(&summary.to_string());
    let ended = if settings.exit_when_ready {
        Ok(())
    } else {
        tokio::select! {
            ended = demo.look_after() => ended,
            _ = stop.recv() => Ok(()),
        }
    };
    say("stopping …");
    let stopped = demo.stop().await;
    ended?;
    stopped?;
    say("stopped");
    Ok(())
}

/// Ctrl-C, SIGTERM, and the end of the terminal.
fn stop_signal() -> Result<tokio::sync::mpsc::Receiver<()>> {
    let (given, stop) = tokio::sync::mpsc::channel(1);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signal = signal(kind).context("listening for signals")?;
        let given = given.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                // One is enough: the receiver may be gone already.
                let _ = given.try_send(());
            }
        });
    }
    Ok(stop)
}

/// Tells the person; a closed terminal is no reason to fail.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
