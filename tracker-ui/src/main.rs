//! The program; see the library.

use std::process::ExitCode;

use daemon::settings::{EXIT_OS, EXIT_SOFTWARE, refuse};
use daemon::{Stop, connections, serve, settings};
use tracker_ui::{App, Settings, urls};

fn main() -> ExitCode {
    let settings: Settings = settings::parse();
    if let Err(error) = daemon::log::init(&settings.common) {
        return refuse_before_log(&error);
    }
    let app = match App::new(&settings) {
        Ok(app) => app,
        Err(bad) => return refuse(bad.setting, &bad.why),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "runtime not started");
            return ExitCode::from(EXIT_OS);
        }
    };
    runtime.block_on(run(settings, app)).unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "stopped");
        let ours = error.downcast_ref::<serve::ServeError>().is_none();
        ExitCode::from(if ours { EXIT_SOFTWARE } else { EXIT_OS })
    })
}

/// There is no log yet: the terminal is told.
#[expect(clippy::print_stderr, reason = "the log could not be started")]
fn refuse_before_log(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("bad setting: --log: {error}");
    ExitCode::from(settings::EXIT_USAGE)
}

async fn run(settings: Settings, app: App) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_signals()?;
    let (listener, address) = serve::bind("tracker-ui", settings.listen).await?;
    if let Some(path) = &settings.common.ports_file {
        settings::write_ports_file(path, &[("tracker-ui", address)])?;
    }
    let watching = tokio::spawn(app.clone().watch_store(stop.clone()));
    let following = tokio::spawn(app.clone().watch_replicas(stop.clone()));
    let router = urls::router(app.clone());
    let (open, drain_deadline) = (app.open_connections(), settings.common.drain_deadline);
    connections::serve(listener, router, app.limits().connections(), open, stop, drain_deadline)
        .await;
    watching.abort();
    following.abort();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
