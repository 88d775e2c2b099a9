//! The engine of this process: opened once on its folder, connections as cheap as a query.

pub(crate) mod folder;
pub(crate) mod deduplication;
pub(crate) mod room;
pub(crate) mod library;
pub(crate) mod catalogue;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;

use crate::exception::{self, Exception};
use crate::ffi::{Connection, Library, LoadError};
use crate::settings::Settings;
use crate::torn;

use catalogue::Catalogue;
use folder::{Folder, FolderError};

/// The database that the engine makes at its start and that this program drops at once: an
/// overlay through which any file of the host could be read as a table.
const BOOT_DATABASE: &str = "waybill_boot";

/// The engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The library is not where it should be.
    #[error(transparent)]
    Missing(#[from] library::MissingLibrary),
    /// The library is there and does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The data folder is taken or cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Failed writes could not be looked after.
    #[error("cannot look after what the engine writes")]
    Unwatched(#[source] std::io::Error),
    /// The engine refuses the folder; it does not say why.
    #[error("the engine does not open the data folder {}; it may be damaged", .0.display())]
    Refused(PathBuf),
    /// A statement of the start failed.
    #[error("the engine fails while starting: {0}")]
    Start(String),
}

/// The engine, open.
#[derive(Debug)]
pub(crate) struct Engine {
    library: &'static Library,
    /// Arguments of every connection.
    arguments: Vec<String>,
    /// What the engine knows by name.
    pub(crate) catalogue: Catalogue,
    /// SQL `version()`.
    pub(crate) version: String,
    /// SQL `timezone()`.
    pub(crate) timezone: String,
    /// Held open for our own questions.
    own: Mutex<Connection>,
    folder: Folder,
}

impl Engine {
    /// Loads the library at `path`, takes the folder, and starts the engine. Blocks for about a
    /// second.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(
        settings: &Settings,
        path: &Path,
        failed_writes: Counter,
    ) -> Result<Self, OpenError> {
        let folder = Folder::take(&settings.data)?;
        torn::watch(folder.path(), settings.backups.as_deref(), failed_writes)
            .map_err(OpenError::Unwatched)?;
        let library = Library::load(path)?;
        let arguments = arguments(settings, &folder);
        let mut boot = arguments.clone();
        boot.push(format!("--default_database={BOOT_DATABASE}"));
        if settings.limits.memory_bytes_max > 0 {
            let bytes = settings.limits.memory_bytes_max;
            boot.push(format!("--max_server_memory_usage={bytes}"));
        }
        if let Some(backups) = &settings.backups {
            boot.push(format!("--backups.allowed_path={}", backups.display()));
        }
        let refused = || OpenError::Refused(settings.data.clone());
        let mut own = library.connect(&boot).ok_or_else(refused)?;
        let start = |error: Exception| OpenError::Start(error.to_string());
        own.query(format!("DROP DATABASE {BOOT_DATABASE} SYNC").as_bytes(), "TSV", &[])
            .map_err(start)?;
        let version = text(&mut own, "SELECT version()").map_err(start)?;
        let timezone = text(&mut own, "SELECT timezone()").map_err(start)?;
        exception::set_engine_version(&version);
        let catalogue = Catalogue::read(&mut own).map_err(start)?;
        Ok(Self { library, arguments, catalogue, version, timezone, own: Mutex::new(own), folder })
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    /// A connection of its own with `settings`, whose names must be known.
    ///
    /// # Errors
    /// A value does not fit its setting: the engine's own words.
    pub(crate) fn connect(&self, settings: &[(String, String)]) -> Result<Connection, Exception> {
        let mut arguments = self.arguments.clone();
        arguments.extend(settings.iter().map(|(name, value)| format!("--{name}={value}")));
        if let Some(connection) = self.library.connect(&arguments) {
            return Ok(connection);
        }
        // The engine does not say which value it refuses; SET does.
        let mut bare = self
            .library
            .connect(&self.arguments)
            .ok_or_else(|| Exception::from_engine("the engine opens no connection"))?;
        for (name, value) in settings {
            bare.query(set(&[(name.clone(), value.clone())]).as_bytes(), "TSV", &[])?;
        }
        Ok(bare)
    }

    /// Runs a short statement of our own.
    ///
    /// # Errors
    /// The engine's.
    pub(crate) fn ask(
        &self,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<String, Exception> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = own.query(sql.as_bytes(), "TSVRaw", parameters)?;
        Ok(String::from_utf8_lossy(&outcome.data).trim_end().to_owned())
    }

    /// Cancels the query that carries `query_id` in its `log_comment`. Does not wait for its end:
    /// with SYNC the engine was seen to hang.
    ///
    /// # Errors
    /// The engine's.
    pub(crate) fn cancel(&self, query_id: &str) -> Result<(), Exception> {
        let sql = "KILL QUERY WHERE Settings['log_comment'] = {id:String} ASYNC";
        let parameters = [("id".to_owned(), escape_parameter(query_id))];
        self.connect(&[])?.query(sql.as_bytes(), "Null", &parameters).map(drop)
    }
}

fn arguments(settings: &Settings, folder: &Folder) -> Vec<String> {
    let limits = &settings.limits;
    let mut arguments = vec![
        format!("--path={}", folder.path().display()),
        format!("--user_files_path={}", folder.path().join("user_files").display()),
    ];
    if limits.threads_max > 0 {
        arguments.push(format!("--max_threads={}", limits.threads_max));
    }
    if limits.query_memory_bytes_max > 0 {
        arguments.push(format!("--max_memory_usage={}", limits.query_memory_bytes_max));
    }
    arguments
}

fn text(connection: &mut Connection, sql: &str) -> Result<String, Exception> {
    let outcome = connection.query(sql.as_bytes(), "TSVRaw", &[])?;
    Ok(String::from_utf8_lossy(&outcome.data).trim_end().to_owned())
}

/// `SET a = '…', b = '…'`.
pub(crate) fn set(settings: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name} = {}", quote(value))).collect();
    format!("SET {}", pairs.join(", "))
}

/// A string literal of SQL.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A value in the escaping that `{name:String}` parameters arrive in.
pub(crate) fn escape_parameter(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}
