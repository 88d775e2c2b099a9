//! Runs one request on the engine. Everything here blocks; it has a thread of its own.

mod text;
mod select;
mod insert;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Sink;
use crate::auth::Role;
use crate::engine::{self, Engine, room};
use crate::exception::{Code, Exception};
use crate::ffi::{Connection, Statistics};
use crate::request::Request;
use crate::session::Lease;
use crate::settings::Limits;
use crate::statement::guard::{self, Case};
use crate::statement::insert::{Insert, Source};
use crate::statement::output::Output;
use crate::torn;

use text::Text;

/// The format of a result when nobody names one, as on the server.
const FORMAT_DEFAULT: &str = "TabSeparated";

/// What a run needs besides its request.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The engine.
    pub(crate) engine: Engine,
    /// The bounds.
    pub(crate) limits: Limits,
    /// Whether BACKUP and RESTORE have a folder.
    pub(crate) backups: bool,
}

/// What was run, for the log of queries.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The statement without its data.
    pub(crate) statement: Vec<u8>,
    /// The engine's class of it.
    pub(crate) class: Option<u32>,
}

/// Runs the request; the result goes into `sink`, which the caller ends.
///
/// # Errors
/// Whatever the client is to be told.
pub(crate) fn run(
    bench: &Arc<Bench>,
    request: &Request,
    body: Box<dyn Read + Send>,
    lease: Option<&mut Lease>,
    sink: &mut Sink,
    account: &mut Account,
) -> Result<Statistics, Exception> {
    let mut text = Text::read(&request.text, body, &bench.limits)?;
    let values = matches!(text.insert(), Some(Insert { source: Source::Values { .. }, .. }));
    if values && !request.parameters.is_empty() {
        // The engine binds parameters in a whole statement only.
        text.join(&bench.limits)?;
    }
    account.statement = text.statement().to_vec();
    let mut settings = settings(request, &bench.limits)?;
    match lease {
        Some(lease) if request.user.role == Role::Writer => {
            // The guard alone keeps a reading request of a session from writing: `readonly`
            // could not be taken back from the connection.
            settings.retain(|(name, _)| name != "readonly");
            if text.sets() {
                // What a request lays over the session must not hide what it SETs.
                settings.clear();
            }
            let connection = lease.connection(&bench.engine, &settings)?;
            execute(bench, request, text, connection, sink, account)
        }
        // A reader's session has nothing to keep: no SET, no temporary tables.
        _ => {
            let mut connection = bench.engine.connect(&settings)?;
            execute(bench, request, text, &mut connection, sink, account)
        }
    }
}

/// The engine's settings for this request, `readonly` last: it forbids what follows.
fn settings(request: &Request, limits: &Limits) -> Result<Vec<(String, String)>, Exception> {
    let reader = request.user.role == Role::Reader;
    let cap = if reader { limits.reader_time_max } else { limits.writer_time_max };
    let mut settings: Vec<(String, String)> = Vec::with_capacity(request.settings.len() + 3);
    let mut readonly = if reader { Some("1") } else { request.only_reads.then_some("2") };
    let mut time = None;
    let memory_max = limits.query_memory_bytes_max(request.user.role);
    if reader && memory_max > 0 {
        settings.push(("max_memory_usage".to_owned(), memory_max.to_string()));
    }
    for (name, value) in &request.settings {
        match name.as_str() {
            "readonly" if reader => {}
            "readonly" if value != "0" => readonly = Some(if value == "1" { "1" } else { "2" }),
            "log_comment" => {}
            "max_execution_time" => time = Some(value),
            "max_memory_usage" => {
                check_bound(name, value, memory_max)?;
                settings.retain(|(known, _)| known != name);
                settings.push((name.clone(), value.clone()));
            }
            "max_threads" if reader => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                let max = if limits.threads_max > 0 { limits.threads_max } else { cores };
                check_bound(name, value, max as u64)?;
                settings.push((name.clone(), value.clone()));
            }
            _ => settings.push((name.clone(), value.clone())),
        }
    }
    settings.push(("max_execution_time".to_owned(), execution_time(time, cap)?));
    settings.push(("log_comment".to_owned(), request.query_id.clone()));
    settings.extend(readonly.map(|value| ("readonly".to_owned(), value.to_owned())));
    Ok(settings)
}

/// A client may ask for less than the operator's bound (0: none), not for more, nor for none.
fn check_bound(name: &str, asked: &str, max: u64) -> Result<(), Exception> {
    match asked.parse::<u64>() {
        Ok(value) if max > 0 && (value == 0 || value > max) => {
            let message = format!("Setting {name} shouldn't be greater than {max}");
            Err(Exception::new(Code::SettingConstraintViolation, message))
        }
        // What is no number gets the engine's own words.
        _ => Ok(()),
    }
}

fn execution_time(asked: Option<&String>, cap: Duration) -> Result<String, Exception> {
    let cap_s = cap.as_secs_f64();
    let Some(asked) = asked else { return Ok(cap_s.to_string()) };
    match asked.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= cap_s => Ok(asked.clone()),
        Ok(0.0) => Ok(cap_s.to_string()),
        Ok(_) => {
            let message = format!("Setting max_execution_time shouldn't be greater than {cap_s}");
            Err(Exception::new(Code::SettingConstraintViolation, message))
        }
        Err(_) => {
            let message = format!("Cannot parse '{asked}' as max_execution_time");
            Err(Exception::new(Code::CannotParseText, message))
        }
    }
}

fn execute(
    bench: &Arc<Bench>,
    request: &Request,
    text: Text,
    connection: &mut Connection,
    sink: &mut Sink,
    account: &mut Account,
) -> Result<Statistics, Exception> {
    if let Some(database) = &request.database {
        use_database(connection, database, request.user.role)?;
    }
    let analysis = connection.classify(text.statement())?;
    account.class = Some(analysis.class);
    if analysis.statements == 0 {
        return Err(syntax_error(bench, text.statement()));
    }
    let case = Case {
        sql: text.statement(),
        analysis,
        role: request.user.role,
        only_reads: request.only_reads,
        backups: bench.backups,
        parameters: &request.parameters,
    };
    guard::check(&case, &bench.engine.catalogue)?;
    room::check(text.statement(), bench.engine.data())?;
    if let Some(format) = text.insert().and_then(data_format) {
        return insert::run(connection, request, text, &format);
    }
    let output = Output::of(text.statement());
    let format = output.format.clone().or_else(|| request.format.clone());
    let format = format.unwrap_or_else(|| FORMAT_DEFAULT.to_owned());
    sink.labels.format.clone_from(&format);
    if analysis.class == 0 {
        return select::run(
            &bench.engine,
            connection,
            request,
            &output,
            text.statement(),
            &format,
            sink,
        );
    }
    let lost_before = torn::lost_backup_writes();
    let outcome = connection.query(text.statement(), &format, &request.parameters)?;
    if room::backs_up(text.statement()) && torn::lost_backup_writes() != lost_before {
        let message = "writes of a backup failed meanwhile, see the log; remove it, make room, \
                       and make it again";
        return Err(Exception::new(Code::NotEnoughSpace, message));
    }
    sink.write(&outcome.data)?;
    Ok(outcome.statistics)
}

/// The format of the data that follows an INSERT; `None` when the statement is whole.
fn data_format(insert: &Insert) -> Option<String> {
    match &insert.source {
        Source::Format { name, .. } => Some(name.clone()),
        Source::Values { .. } => Some("Values".to_owned()),
        // The engine's parser has something to say about the last one.
        Source::Select | Source::Infile | Source::Unsaid => None,
    }
}

fn use_database(connection: &mut Connection, database: &str, role: Role) -> Result<(), Exception> {
    if role == Role::Reader && database.eq_ignore_ascii_case("system") {
        let message = "reader: Not enough privileges. Name tables of `system` in full";
        return Err(Exception::new(Code::AccessDenied, message));
    }
    let quoted = database.replace('\\', "\\\\").replace('`', "\\`");
    connection.query(format!("USE `{quoted}`").as_bytes(), "Null", &[]).map(drop)
}

/// The engine's own words on a text that does not parse.
fn syntax_error(bench: &Bench, sql: &[u8]) -> Exception {
    let text = String::from_utf8_lossy(sql).into_owned();
    if text.trim().is_empty() {
        return Exception::new(Code::SyntaxError, "Syntax error: Empty query");
    }
    let parameters = [("sql".to_owned(), engine::escape_parameter(&text))];
    match bench.engine.ask("SELECT formatQuery({sql:String})", &parameters) {
        Err(exception) if exception.code == Code::SyntaxError as u16 => exception,
        _ => Exception::new(Code::SyntaxError, "Syntax error: the statement does not parse"),
    }
}
