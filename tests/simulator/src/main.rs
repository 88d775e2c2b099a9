//! Shop, CRM and MES as separate processes with the real OpenTelemetry SDK.
//! The program; see the library.

use clap::Parser;
use simulator::settings::{Cli, Command, RunSettings};
use simulator::trace_plan::System;
use simulator::{run, service};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// `EX_USAGE` of sysexits.h: a setting that cannot be.
const EXIT_USAGE: u8 = 64;

/// Ended by a second signal, before everything was delivered.
const EXIT_SECOND_SIGNAL: i32 = 130;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code =
                if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            return code;
        }
    };
    let (system, settings) = match cli.command {
        Command::Run(settings) => return orchestrate(&settings),
        Command::Shop(settings) => (System::Shop, settings),
        Command::Crm(settings) => (System::Crm, settings),
        Command::Mes(settings) => (System::Mes, settings),
    };
    finish(service::serve(system, &settings).map_err(anyhow::Error::from))
}

fn orchestrate(settings: &RunSettings) -> ExitCode {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    if let Err(error) = settings.check() {
        tracing::error!(%error, "a setting cannot be");
        return ExitCode::from(EXIT_USAGE);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    finish(runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let stop = stop_signal()?;
            Ok(run::run(settings, stop).await?)
        })
    }))
}

/// Completes at the first SIGTERM or SIGINT; the second ends the program at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            match first.take() {
                // Nobody waits for the first signal once the run is at its end.
                Some(first) => drop(first.send(())),
                None => std::process::exit(EXIT_SECOND_SIGNAL),
            }
        }
    });
    Ok(async move {
        // The sender lives in the task above until it has sent.
        let _ = stop.await;
    })
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the simulator failed");
            ExitCode::FAILURE
        }
    }
}
