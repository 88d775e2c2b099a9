//! What the engine knows by name, read once at the start.

use std::collections::{HashMap, HashSet};

use crate::exception::{Code, Exception};
use crate::ffi::Connection;

/// Names of settings, table functions and engines.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// Setting to its default value.
    settings: HashMap<String, String>,
    /// Table functions, in lower case.
    pub(crate) table_functions: HashSet<String>,
    /// Table and database engines, in lower case.
    pub(crate) engines: HashSet<String>,
}

impl Catalogue {
    /// Asks the engine.
    ///
    /// # Errors
    /// The engine's.
    pub(crate) fn read(connection: &mut Connection) -> Result<Self, Exception> {
        let settings = rows(connection, "SELECT name, value FROM system.settings")?;
        let functions = rows(connection, "SELECT lower(name), '' FROM system.table_functions")?;
        let engines = rows(
            connection,
            "SELECT lower(name), '' FROM system.table_engines \
             UNION ALL SELECT lower(name), '' FROM system.database_engines",
        )?;
        Ok(Self {
            settings: settings.into_iter().collect(),
            table_functions: functions.into_iter().map(|(name, _)| name).collect(),
            engines: engines.into_iter().map(|(name, _)| name).collect(),
        })
    }

    /// A small one for tests.
    #[cfg(test)]
    pub(crate) fn of(table_functions: &[&str], engines: &[&str]) -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (table_functions, engines) = (set(table_functions), set(engines));
        Self { settings: HashMap::new(), table_functions, engines }
    }

    /// A setting's value when nobody changes it.
    pub(crate) fn default_of(&self, setting: &str) -> Option<&str> {
        self.settings.get(setting).map(String::as_str)
    }

    /// Checks that a setting exists; the engine silently takes unknown ones.
    ///
    /// # Errors
    /// 115, as the server says it.
    pub(crate) fn check_setting(&self, name: &str) -> Result<(), Exception> {
        if self.settings.contains_key(name) {
            return Ok(());
        }
        let message = format!(
            "Setting {name} is neither a builtin setting nor started with the \
                               prefix 'SQL_' registered for user-defined settings"
        );
        Err(Exception::new(Code::UnknownSetting, message))
    }
}

fn rows(connection: &mut Connection, sql: &str) -> Result<Vec<(String, String)>, Exception> {
    let outcome = connection.query(sql.as_bytes(), "TSV", &[])?;
    let text = String::from_utf8_lossy(&outcome.data).into_owned();
    let pair = |line: &str| line.split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned()));
    Ok(text.lines().filter_map(pair).collect())
}
