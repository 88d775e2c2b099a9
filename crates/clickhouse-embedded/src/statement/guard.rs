//! What a user may not say, although the engine would do it.
//!
//! The engine has no users and trusts whoever holds it. So each statement is judged twice: by
//! the engine's parser, which counts statements and classes them, and by the words that stand in
//! it. Where a word could be read in two ways, the whole statement is refused, whoever asks.

mod engines;
mod names;

use std::collections::BTreeMap;

use super::lexer::{Kind, Lexer, Token};
use crate::auth::Role;
use crate::engine::catalogue::Catalogue;
use crate::exception::{Code, Exception};
use crate::ffi::Analysis;
use names::{
    FUNCTIONS_DENIED, READER_SETTING_PREFIXES, READER_SETTINGS, READER_SHOWS, READER_STATEMENTS,
    SETTINGS_DENIED, SYSTEM_TABLES, TABLE_FUNCTIONS, WRITER_TABLE_FUNCTIONS,
};

fn denied(what: impl std::fmt::Display) -> Exception {
    Exception::new(Code::AccessDenied, what)
}

/// Whether anybody may set these.
///
/// # Errors
/// 452 for a setting on the list of those that nobody may set.
pub(crate) fn check_settings(settings: &BTreeMap<String, String>) -> Result<(), Exception> {
    match settings.keys().find(|name| SETTINGS_DENIED.contains(&name.as_str())) {
        Some(name) => Err(denied_setting(name)),
        None => Ok(()),
    }
}

fn denied_setting(name: &str) -> Exception {
    Exception::new(
        Code::SettingConstraintViolation,
        format!("Setting {name} should not be changed"),
    )
}

/// Whether the reader may set these.
///
/// # Errors
/// 164 for a setting off the list, or `readonly=0`.
pub(crate) fn check_reader_settings(settings: &BTreeMap<String, String>) -> Result<(), Exception> {
    for (name, value) in settings {
        let listed = READER_SETTINGS.contains(&name.as_str())
            || READER_SETTING_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if !listed || (name == "readonly" && value == "0") {
            let message = format!("Cannot modify '{name}' setting in readonly mode");
            return Err(Exception::new(Code::Readonly, message));
        }
    }
    Ok(())
}

/// What is judged: the statement without its data, by whom, and what the engine said of it.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    /// The statement; of an INSERT with data, its head.
    pub(crate) sql: &'a [u8],
    /// The engine's word.
    pub(crate) analysis: Analysis,
    /// Who asks.
    pub(crate) role: Role,
    /// Whether the request may only read whoever asks (GET).
    pub(crate) only_reads: bool,
    /// Whether BACKUP and RESTORE have a folder.
    pub(crate) backups: bool,
    /// Values of server-side parameters; as `Identifier` they can name a table.
    pub(crate) parameters: &'a [(String, String)],
}

/// Judges a statement.
///
/// # Errors
/// 497 or 164 for what the user may not do, 62 for several statements.
pub(crate) fn check(case: &Case<'_>, catalogue: &Catalogue) -> Result<(), Exception> {
    let Analysis { statements, class } = case.analysis;
    if statements > 1 {
        let message = "Syntax error (Multi-statements are not allowed)";
        return Err(Exception::new(Code::SyntaxError, message));
    }
    let tokens: Vec<Token<'_>> = Lexer::new(case.sql).collect();
    let reads_only = case.role == Role::Reader || case.only_reads;
    if reads_only && class != 0 {
        let message = format!("{}: Cannot execute query in readonly mode", user(case.role));
        return Err(Exception::new(Code::Readonly, message));
    }
    check_readable(&tokens)?;
    match class {
        0 | 1 => {}
        2 => check_global(&tokens)?,
        3 => check_control(&tokens, case.backups)?,
        _ => return Err(denied("This statement is not served")),
    }
    let infile = |pair: &[Token<'_>]| match pair {
        [from, file] => from.is_word("FROM") && file.is_word("INFILE"),
        _ => false,
    };
    if tokens.windows(2).any(infile) {
        return Err(denied("Files of the host are not served"));
    }
    let setting =
        tokens.iter().filter_map(Token::name).find(|name| SETTINGS_DENIED.contains(&name.as_str()));
    if let Some(name) = setting {
        return Err(denied_setting(&name));
    }
    check_functions(&tokens, case.role, catalogue)?;
    engines::check(&tokens, catalogue)?;
    if case.role == Role::Reader { check_reader(&tokens, case.parameters) } else { Ok(()) }
}

/// No text that this lexer and the engine's might cut in different places: behind a comment or a
/// quote that only one of them sees, anything could stand.
fn check_readable(tokens: &[Token<'_>]) -> Result<(), Exception> {
    if tokens.iter().any(|token| token.kind == Kind::Odd || token.is_escaped()) {
        return Err(denied(
            "Heredocs, `#` and `//` comments, escaped names and bytes beyond ASCII outside of \
             quotes are not served",
        ));
    }
    Ok(())
}

fn user(role: Role) -> &'static str {
    if role == Role::Reader { "reader" } else { "writer" }
}

fn starts(tokens: &[Token<'_>], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.is_word(word))
}

/// Of the statements that change something global, functions in SQL alone are served.
fn check_global(tokens: &[Token<'_>]) -> Result<(), Exception> {
    let served: [&[&str]; 3] =
        [&["CREATE", "FUNCTION"], &["CREATE", "OR", "REPLACE", "FUNCTION"], &["DROP", "FUNCTION"]];
    if served.iter().any(|words| starts(tokens, words)) {
        return Ok(());
    }
    Err(denied("Users, roles, named collections and writes into `system` are not served"))
}

fn check_control(tokens: &[Token<'_>], backups: bool) -> Result<(), Exception> {
    let served: [&[&str]; 14] = [
        &["SET"],
        &["USE"],
        &["KILL", "QUERY"],
        &["KILL", "MUTATION"],
        &["CREATE", "TEMPORARY"],
        &["CREATE", "OR", "REPLACE", "TEMPORARY"],
        &["DROP", "TEMPORARY"],
        &["SYSTEM", "REFRESH", "VIEW"],
        &["SYSTEM", "WAIT", "VIEW"],
        &["SYSTEM", "START"],
        &["SYSTEM", "STOP"],
        &["SYSTEM", "RELOAD", "DICTIONARY"],
        &["SYSTEM", "RELOAD", "DICTIONARIES"],
        &["SYSTEM", "FLUSH", "LOGS"],
    ];
    let into_function = tokens.iter().any(|token| token.is_word("FUNCTION"));
    let file = tokens.iter().any(|token| token.is_word("OUTFILE") || token.is_word("INFILE"));
    let served = served.iter().any(|words| starts(tokens, words)) || changes_with_settings(tokens);
    if served && !into_function && !file {
        return Ok(());
    }
    if backups && (starts(tokens, &["BACKUP"]) || starts(tokens, &["RESTORE"])) {
        return Ok(());
    }
    Err(denied("Control of the process, files of the host and transactions are not served"))
}

/// A SETTINGS clause puts statements that change a database into the class of control; so does
/// what writes beside the tables, which stays out.
fn changes_with_settings(tokens: &[Token<'_>]) -> bool {
    let changes =
        ["INSERT", "ALTER", "CREATE", "DROP", "TRUNCATE", "RENAME", "OPTIMIZE", "DELETE", "UPDATE"];
    let beside = ["FREEZE", "UNFREEZE", "FETCH", "EXPORT"];
    let objects = ["TABLE", "VIEW", "MATERIALIZED", "DATABASE", "DICTIONARY", "OR", "IF"];
    let first = tokens.first();
    let is = |token: Option<&Token<'_>>, words: &[&str]| {
        token.is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    };
    let made = is(first, &["CREATE", "DROP", "ALTER"]);
    is(first, &changes)
        && (!made || is(tokens.get(1), &objects))
        && tokens.iter().any(|token| token.is_word("SETTINGS"))
        && !tokens.iter().any(|token| beside.iter().any(|word| token.is_word(word)))
}

/// No function that reaches beyond the tables, wherever in the statement it stands.
fn check_functions(
    tokens: &[Token<'_>],
    role: Role,
    catalogue: &Catalogue,
) -> Result<(), Exception> {
    for pair in tokens.windows(2) {
        let [token, open] = pair else { continue };
        if !open.is(b'(') {
            continue;
        }
        let Some(name) = token.name() else { continue };
        let name = name.as_str();
        let writers = role == Role::Writer && WRITER_TABLE_FUNCTIONS.contains(&name);
        // A backup's File is a place below the operator's folder; the engine checks that.
        let backup = ["BACKUP", "RESTORE"].iter().any(|word| starts(tokens, &[word]));
        if backup && name == "file" {
            continue;
        }
        let reaches = catalogue.table_functions.contains(name) && !TABLE_FUNCTIONS.contains(&name);
        if (reaches && !writers) || FUNCTIONS_DENIED.contains(&name) || name == "disk" {
            return Err(denied(format!(
                "{}: Not enough privileges. Function `{name}` is not served",
                user(role)
            )));
        }
        if token.is_escaped() {
            return Err(denied("A function's name with escapes is not served"));
        }
    }
    Ok(())
}

fn check_reader(tokens: &[Token<'_>], parameters: &[(String, String)]) -> Result<(), Exception> {
    let first = tokens.iter().find(|token| !token.is(b'('));
    if !first.is_some_and(|first| READER_STATEMENTS.iter().any(|word| first.is_word(word))) {
        return Err(denied("reader: this statement is not served"));
    }
    if first.is_some_and(|first| first.is_word("SHOW")) {
        let shown = tokens.get(1);
        if !shown.is_some_and(|shown| READER_SHOWS.iter().any(|word| shown.is_word(word))) {
            return Err(denied("reader: this SHOW is not served"));
        }
    }
    for (position, token) in tokens.iter().enumerate() {
        if token.name().as_deref() != Some("system") || token.kind == Kind::Text {
            continue;
        }
        let dotted = tokens.get(position + 1).is_some_and(|next| next.is(b'.'));
        let table = tokens.get(position + 2).and_then(Token::name).unwrap_or_default();
        if dotted && !SYSTEM_TABLES.contains(&table.as_str()) {
            return Err(denied(format!("reader: Not enough privileges for system.{table}")));
        }
    }
    let named = tokens.iter().any(|token| token.is_word("Identifier"));
    let system = |value: &str| value.to_ascii_lowercase().contains("system");
    if named && parameters.iter().any(|(_, value)| system(value) || value.contains('\\')) {
        return Err(denied("reader: Not enough privileges for the named table"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(role: Role, class: u32, sql: &str) -> String {
        let catalogue = Catalogue::of(&["file", "url", "numbers", "merge"], &["file", "mergetree"]);
        let analysis = Analysis { statements: 1, class };
        let case = Case {
            sql: sql.as_bytes(),
            analysis,
            role,
            only_reads: false,
            backups: false,
            parameters: &[],
        };
        check(&case, &catalogue)
            .map_or_else(|exception| exception.to_string(), |()| "served".into())
    }

    #[test]
    fn verdicts() {
        let mut said = String::new();
        for (class, sql) in [
            (0, "SELECT 1"),
            (0, "SELECT file FROM t"),
            (0, "SELECT * FROM file('/etc/passwd')"),
            (0, "SELECT 'file('"),
            (0, "SELECT * FROM numbers(3)"),
            (0, "SELECT * FROM merge('d', 't')"),
            (0, "SELECT * FROM system.processes"),
            (0, "SELECT 1 # comment"),
            (0, "SELECT 'caf\u{e9} \u{201c}' AS \"\u{2116}\""),
            (0, "SHOW PROCESSLIST"),
            (1, "CREATE TABLE t (engine String) ENGINE = MergeTree ORDER BY engine"),
            (1, "CREATE TABLE t (a String) ENGINE = File('TSV')"),
            (1, "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV"),
            (2, "CREATE FUNCTION f AS (x) -> x"),
            (2, "CREATE USER u"),
            (3, "SET max_threads = 1"),
            (3, "SET format_schema = '/etc/passwd'"),
            (3, "SYSTEM SHUTDOWN"),
            (3, "ALTER TABLE t DELETE WHERE 1 SETTINGS mutations_sync = 1"),
            (3, "ALTER TABLE t FREEZE SETTINGS mutations_sync = 1"),
            (4, "WHAT IS THIS"),
        ] {
            for role in [Role::Writer, Role::Reader] {
                said += &format!("{role:?} {sql}\n  {}\n", verdict(role, class, sql));
            }
        }
        insta::assert_snapshot!(said);
    }

    proptest::proptest! {
        #[test]
        fn any_text_gets_a_verdict(sql in ".{0,200}", class in 0_u32..6) {
            let _ = verdict(Role::Reader, class, &sql);
            let _ = verdict(Role::Writer, class, &sql);
        }
    }
}
