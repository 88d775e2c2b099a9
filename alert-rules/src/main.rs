//! The program; see the library.

use std::process::ExitCode;

use alert_rules::finding::Finding;
use alert_rules::program::{self, RunError};
use alert_rules::routing::{self, RoutingSettings};
use alert_rules::settings::{CheckSettings, Cli, Command, RunSettings};
use daemon::settings::{EXIT_OS, EXIT_SOFTWARE, EXIT_USAGE};

#[tokio::main]
async fn main() -> ExitCode {
    match daemon::settings::parse::<Cli>().command {
        Command::Run(settings) => run(*settings).await,
        Command::Check(settings) => check(&settings).await,
        Command::AlertmanagerConfig(settings) => config(&settings),
    }
}

async fn run(settings: RunSettings) -> ExitCode {
    if let Err(error) = daemon::log::init(&settings.common) {
        return daemon::settings::refuse("log", &error.to_string());
    }
    let stop = match daemon::Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return ExitCode::from(EXIT_OS);
        }
    };
    match program::run(settings, stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(RunError::Rules(findings)) => {
            for Finding { file, line, reason } in &findings {
                tracing::error!(file, line, reason, "bad rule");
            }
            ExitCode::from(EXIT_USAGE)
        }
        Err(error) => {
            tracing::error!(error = daemon::log::chain(&error), "cannot run");
            let software = matches!(error, RunError::Client(_));
            ExitCode::from(if software { EXIT_SOFTWARE } else { EXIT_OS })
        }
    }
}

#[allow(clippy::print_stdout, reason = "findings are this command's output")]
async fn check(settings: &CheckSettings) -> ExitCode {
    let findings = program::check(settings).await;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) }
}

#[allow(clippy::print_stdout, reason = "the configuration is this command's output")]
fn config(settings: &RoutingSettings) -> ExitCode {
    print!("{}", routing::render(settings));
    ExitCode::SUCCESS
}
