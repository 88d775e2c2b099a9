//! The program; see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context;
use collector::journal_command::JournalCommandArgs;
use collector::program::to_the_end;
use collector::resubmit_command::ResubmitArgs;
use collector::schema_command::SchemaArgs;
use collector::settings::{Command, LifecycleError, RestitchArgs, built_in_lifecycle};
use collector::token_command::{TokenArgs, TokenError};
use collector::{RunError, Settings};
use daemon::settings::{EXIT_OS, EXIT_SOFTWARE, parse, refuse};
use daemon::{Stop, log};

fn main() -> ExitCode {
    let settings: Settings = parse();
    if settings.print_lifecycle {
        #[expect(clippy::print_stdout, reason = "a person or a file asked for it")]
        {
            print!("{}", built_in_lifecycle());
        }
        return ExitCode::SUCCESS;
    }
    if let Err(error) = log::init(&settings.common) {
        #[expect(clippy::print_stderr, reason = "there is no log yet")]
        {
            eprintln!("bad setting --log: {error}");
        }
        return ExitCode::from(daemon::settings::EXIT_USAGE);
    }
    if let Err((flag, why)) = settings.check() {
        return refuse(flag, &why);
    }
    let lifecycle = match settings.read_lifecycle() {
        Ok(lifecycle) => lifecycle,
        Err(error) => return refuse_lifecycle(&error),
    };
    let ran = match settings.command.clone() {
        Some(Command::Schema(args)) => return print_schema(&args),
        Some(Command::Journal(args)) => match args.resubmit() {
            Some(args) => return resubmit(&settings, args, lifecycle),
            None => return look_into_journal(&args),
        },
        Some(Command::Token(args)) => return make_token(&args),
        Some(Command::Restitch(args)) => restitch(&settings, &args, lifecycle),
        None => match settings.check_serving() {
            Ok(()) => serve(settings, lifecycle),
            Err((flag, why)) => return refuse(flag, &why),
        },
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// One line per mistake: a person mends them one by one.
fn refuse_lifecycle(error: &LifecycleError) -> ExitCode {
    if let LifecycleError::Mistakes { path, mistakes } = error {
        let file = path.display();
        for order_model::lifecycle::Mistake { line, reason } in &mistakes.0 {
            tracing::error!(%file, line, reason, "bad lifecycle");
        }
    }
    refuse("--lifecycle", &log::chain(error))
}

/// Exit code of damage found: `EX_DATAERR` of `sysexits.h`.
const EXIT_DATA: u8 = 65;
/// There is no such journal: `EX_NOINPUT`.
const EXIT_NO_INPUT: u8 = 66;

fn look_into_journal(args: &JournalCommandArgs) -> ExitCode {
    match collector::journal_command::run(args, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = log::chain(&error), "stopped");
            ExitCode::from(match () {
                () if error.is_damage() => EXIT_DATA,
                () if error.is_absence() => EXIT_NO_INPUT,
                () => EXIT_OS,
            })
        }
    }
}

fn print_schema(args: &SchemaArgs) -> ExitCode {
    match collector::schema_command::run(args, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_usage() => refuse("schema", &log::chain(&error)),
        Err(error) => {
            tracing::error!(error = log::chain(&error), "stopped");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

fn make_token(args: &TokenArgs) -> ExitCode {
    let made = collector::token_command::run(args, &mut std::io::stdout(), &mut std::io::stderr());
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ TokenError::Name { .. }) => refuse("token new", &log::chain(&error)),
        Err(error) => {
            tracing::error!(error = log::chain(&error), "stopped");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

#[tokio::main]
async fn resubmit(
    settings: &Settings,
    args: &ResubmitArgs,
    lifecycle: order_model::Lifecycle,
) -> ExitCode {
    let mut out = std::io::stdout();
    match collector::resubmit_command::run(settings, args, lifecycle, &mut out).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = log::chain(&error), "stopped");
            ExitCode::from(if error.is_of_the_data() { EXIT_DATA } else { EXIT_OS })
        }
    }
}

#[tokio::main]
async fn restitch(
    settings: &Settings,
    args: &RestitchArgs,
    lifecycle: order_model::Lifecycle,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    Ok(collector::restitch_command::run(settings, args, lifecycle, &mut out).await?)
}

fn serve(settings: Settings, lifecycle: order_model::Lifecycle) -> anyhow::Result<()> {
    let serving = async {
        let stop = Stop::on_signals().context("cannot handle signals")?;
        collector::run(settings, lifecycle, stop).await?;
        Ok(())
    };
    to_the_end(serving).context("cannot start threads")?
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Redaction(_) | RunError::Cluster(_) | RunError::Guard(_)) => {
            daemon::settings::EXIT_USAGE
        }
        Some(RunError::Serve(_) | RunError::PortsFile { .. } | RunError::Journal(_)) => EXIT_OS,
        Some(RunError::Migrate(_) | RunError::Insert(_) | RunError::Panicked { .. }) | None => {
            EXIT_SOFTWARE
        }
    }
}
