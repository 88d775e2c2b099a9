//! The program; see the library.

use std::process::ExitCode;

use clickhouse_embedded::settings::Settings;
use clickhouse_embedded::{StartError, start};
use daemon::settings::{EXIT_CONFIG, EXIT_OS, EXIT_USAGE};

fn main() -> ExitCode {
    let settings: Settings = daemon::settings::parse();
    if let Err(error) = daemon::log::init(&settings.common) {
        return daemon::settings::refuse("log", &error.to_string());
    }
    // Before there are threads: each inherits it from the one that starts it.
    if settings.nice > 0
        && let Err(error) = rustix::process::nice(settings.nice)
    {
        tracing::warn!(%error, "the engine does not stand back for others");
    }
    let code = match serve(settings) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(error = daemon::log::chain(&error), "cannot serve");
            exit_code(&error)
        }
    };
    clickhouse_embedded::exit(code)
}

fn serve(settings: Settings) -> Result<(), StartError> {
    let threads = settings.limits.queries_max * 2 + 64;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(threads)
        .build()
        .map_err(|source| StartError::Io { doing: "start the runtime", source })?;
    let served = runtime.block_on(async {
        let stop = daemon::Stop::on_signals()
            .map_err(|source| StartError::Io { doing: "listen for signals", source })?;
        start(settings, stop).await
    });
    // What outlived the drain deadline is left to the end of the process.
    runtime.shutdown_background();
    served
}

fn exit_code(error: &StartError) -> u8 {
    match error {
        StartError::Accounts(_) => EXIT_USAGE,
        StartError::Engine(clickhouse_embedded::OpenError::Missing(_)) => EXIT_CONFIG,
        _ => EXIT_OS,
    }
}
