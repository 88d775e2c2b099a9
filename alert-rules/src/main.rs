//! The program; see the library.

use std::process::ExitCode;

use alert_rules::finding::Finding;
use alert_rules::preview::{self, PreviewError};
use alert_rules::program::{self, RunError};
use alert_rules::routing::{self, RoutingSettings};
use alert_rules::settings::{
    CheckSettings, Cli, Command, PreviewSettings, RunSettings, TestSettings,
};
use alert_rules::testing::{self, TestError};
use daemon::settings::{EXIT_OS, EXIT_SOFTWARE, EXIT_UNAVAILABLE, EXIT_USAGE};

#[tokio::main]
async fn main() -> ExitCode {
    match daemon::settings::parse::<Cli>().command {
        Command::Run(settings) => run(*settings).await,
        Command::Check(settings) => check(&settings).await,
        Command::Test(settings) => test(&settings).await,
        Command::Preview(settings) => preview(&settings).await,
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

#[allow(clippy::print_stdout, reason = "what differs is this command's output")]
async fn test(settings: &TestSettings) -> ExitCode {
    match testing::test(settings).await {
        Ok(report) => {
            for failure in &report.failures {
                println!("{failure}");
            }
            println!("{} checks, {} failed", report.checks, report.failures.len());
            ExitCode::from(u8::from(!report.failures.is_empty()))
        }
        Err(TestError::Findings(findings)) => tell(&findings),
        Err(error) => unavailable(&error),
    }
}

#[allow(clippy::print_stdout, reason = "the preview is this command's output")]
async fn preview(settings: &PreviewSettings) -> ExitCode {
    match preview::preview(settings).await {
        Ok(preview) => {
            print!("{preview}");
            ExitCode::SUCCESS
        }
        Err(PreviewError::Findings(findings)) => tell(&findings),
        Err(error) => unavailable(&error),
    }
}

#[allow(clippy::print_stdout, reason = "findings are the output of these commands")]
fn tell(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    ExitCode::from(EXIT_USAGE)
}

#[allow(clippy::print_stderr, reason = "there is no log in these commands")]
fn unavailable(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("{}", daemon::log::chain(error));
    ExitCode::from(EXIT_UNAVAILABLE)
}

#[allow(clippy::print_stdout, reason = "the configuration is this command's output")]
fn config(settings: &RoutingSettings) -> ExitCode {
    print!("{}", routing::render(settings));
    ExitCode::SUCCESS
}
