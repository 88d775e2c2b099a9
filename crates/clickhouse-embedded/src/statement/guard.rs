//! What a user may not say, although the engine would do it.
//!
//! The engine has no users and trusts whoever holds it. So each statement is judged twice: by
//! the engine's parser, which counts statements and classes them, and by the words that stand in
//! it. Where a word could be read in two ways, the reader is refused.

use std::collections::BTreeMap;

use super::lexer::{Kind, Lexer, Token};
use crate::auth::Role;
use crate::engine::catalogue::Catalogue;
use crate::exception::{Code, Exception};
use crate::ffi::Analysis;

/// Table functions that make rows out of nothing or of tables that the user names.
const TABLE_FUNCTIONS: [&str; 18] = [
    "numbers",
    "numbers_mt",
    "zeros",
    "zeros_mt",
    "primes",
    "generateseries",
    "generate_series",
    "generaterandom",
    "values",
    "null",
    "view",
    "format",
    "dictionary",
    "loop",
    "fuzzjson",
    "fuzzquery",
    "sqlstandardvalues",
    "viewexplain",
];
/// Table functions that show a table's parts or a part of a database: for the writer.
const WRITER_TABLE_FUNCTIONS: [&str; 5] =
    ["merge", "mergetreeindex", "mergetreeprojection", "mergetreetextindex", "input"];
/// Functions that reach the host or another host and are no table functions.
const FUNCTIONS_DENIED: [&str; 14] = [
    "file",
    "catboostevaluate",
    "executable",
    "showcertificate",
    "filesystemavailable",
    "filesystemcapacity",
    "filesystemunreserved",
    "aiclassify",
    "aigenerate",
    "aiextract",
    "aitranslate",
    "aiembed",
    "getclienthttpheader",
    "getserversetting",
];
/// Settings that nobody may set, in the URL or in a text: they read or write files of the host,
/// reach other hosts, run expressions that stand in a string, or change how a text is read.
const SETTINGS_DENIED: [&str; 24] = [
    "format_schema",
    "format_schema_source",
    "format_template_row",
    "format_template_row_format",
    "format_template_resultset",
    "format_template_resultset_format",
    "output_format_schema",
    "format_avro_schema_registry_url",
    "input_format_record_errors_file_path",
    "rename_files_after_processing",
    "additional_table_filters",
    "additional_result_filter",
    "parallel_replicas_custom_key",
    "url_base",
    "s3_allow_server_credentials_in_user_queries",
    "ai_function_text_default_credentials",
    "ai_function_embedding_default_credentials",
    "into_outfile_create_parent_directories",
    "dialect",
    "allow_introspection_functions",
    "allow_get_client_http_header",
    "jemalloc_enable_profiler",
    "schema_inference_hints",
    "column_names_for_schema_inference",
];
/// Tables of `system` that the reader may see: the schema and the engine's vocabulary.
const SYSTEM_TABLES: [&str; 33] = [
    "one",
    "numbers",
    "numbers_mt",
    "zeros",
    "zeros_mt",
    "tables",
    "columns",
    "databases",
    "settings",
    "merge_tree_settings",
    "functions",
    "table_functions",
    "table_engines",
    "database_engines",
    "formats",
    "data_type_families",
    "time_zones",
    "collations",
    "keywords",
    "aggregate_function_combinators",
    "contributors",
    "licenses",
    "parts",
    "parts_columns",
    "data_skipping_indices",
    "projections",
    "merges",
    "mutations",
    "metrics",
    "events",
    "asynchronous_metrics",
    "completions",
    "build_options",
];
/// First words of the reader's statements.
const READER_STATEMENTS: [&str; 9] =
    ["SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"];
/// What the reader may SHOW.
const READER_SHOWS: [&str; 16] = [
    "TABLES",
    "DATABASES",
    "CREATE",
    "COLUMNS",
    "FIELDS",
    "FULL",
    "EXTENDED",
    "FUNCTIONS",
    "SETTINGS",
    "CHANGED",
    "INDEX",
    "INDEXES",
    "INDICES",
    "KEYS",
    "DICTIONARIES",
    "ENGINES",
];
/// Engines of tables and databases that keep their data in the data folder or in memory.
const ENGINES: [&str; 18] = [
    "mergetree",
    "replacingmergetree",
    "summingmergetree",
    "aggregatingmergetree",
    "collapsingmergetree",
    "versionedcollapsingmergetree",
    "coalescingmergetree",
    "graphitemergetree",
    "memory",
    "log",
    "tinylog",
    "stripelog",
    "null",
    "set",
    "join",
    "buffer",
    "atomic",
    "view",
];
/// More of them.
const ENGINES_DERIVED: [&str; 5] =
    ["materializedview", "dictionary", "merge", "generaterandom", "alias"];
/// Settings that the reader may set: by prefix.
const READER_SETTING_PREFIXES: [&str; 4] =
    ["output_format_", "format_csv_", "format_custom_", "date_time_"];
/// Settings that the reader may set: by name.
const READER_SETTINGS: [&str; 36] = [
    "readonly",
    "log_comment",
    "max_threads",
    "max_block_size",
    "max_execution_time",
    "max_result_rows",
    "max_result_bytes",
    "result_overflow_mode",
    "max_rows_to_read",
    "max_bytes_to_read",
    "read_overflow_mode",
    "timeout_overflow_mode",
    "max_memory_usage",
    "join_use_nulls",
    "session_timezone",
    "extremes",
    "limit",
    "offset",
    "final",
    "enable_http_compression",
    "http_zlib_compression_level",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close",
    "wait_end_of_query",
    "use_query_cache",
    "query_cache_ttl",
    "optimize_read_in_order",
    "use_skip_indexes",
    "prefer_column_name_to_alias",
    "max_ast_depth",
    "max_query_size",
    "group_by_overflow_mode",
    "max_rows_to_group_by",
    "cast_string_to_dynamic_use_inference",
    "enable_analyzer",
];

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
    match class {
        0 | 1 => {}
        2 => check_global(&tokens)?,
        3 => check_control(&tokens, case.backups)?,
        _ => return Err(denied("This statement is not served")),
    }
    let infile = |pair: &[Token<'_>]| matches!(pair, [from, file] if from.is_word("FROM") && file.is_word("INFILE"));
    if tokens.windows(2).any(infile) {
        return Err(denied("Files of the host are not served"));
    }
    let setting =
        tokens.iter().filter_map(Token::name).find(|name| SETTINGS_DENIED.contains(&name.as_str()));
    if let Some(name) = setting {
        return Err(denied_setting(&name));
    }
    check_functions(&tokens, case.role, catalogue)?;
    check_engines(&tokens, catalogue)?;
    if case.role == Role::Reader { check_reader(&tokens, case.parameters) } else { Ok(()) }
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

/// No engine, and no dictionary source, that reaches beyond the data folder.
fn check_engines(tokens: &[Token<'_>], catalogue: &Catalogue) -> Result<(), Exception> {
    let makes = ["CREATE", "ATTACH", "REPLACE", "ALTER"];
    if !tokens.first().is_some_and(|first| makes.iter().any(|word| first.is_word(word))) {
        return Ok(());
    }
    for (position, token) in tokens.iter().enumerate() {
        let after = |ahead: usize| tokens.get(position + ahead);
        if token.is_word("ENGINE") {
            let ahead = if after(1).is_some_and(|next| next.is(b'=')) { 2 } else { 1 };
            let name = after(ahead).and_then(Token::name).unwrap_or_default();
            let kept = ENGINES.contains(&name.as_str()) || ENGINES_DERIVED.contains(&name.as_str());
            if catalogue.engines.contains(&name) && !kept {
                return Err(denied(format!("Engine `{name}` is not served")));
            }
        }
        if token.is_word("SOURCE") && after(1).is_some_and(|next| next.is(b'(')) {
            check_source(tokens.get(position + 2..).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// A dictionary takes its rows from a table here: from no other host, and by no query, since
/// that stands in a string, where no guard looks.
fn check_source(tokens: &[Token<'_>]) -> Result<(), Exception> {
    let source = tokens.first().and_then(Token::name).unwrap_or_default();
    let denied_words = ["HOST", "PORT", "SECURE", "QUERY", "INVALIDATE_QUERY", "WHERE", "NAME"];
    let denied_word =
        tokens.iter().any(|token| denied_words.iter().any(|word| token.is_word(word)));
    if !["clickhouse", "null"].contains(&source.as_str()) || denied_word {
        return Err(denied(format!(
            "A dictionary from `{source}` but by TABLE and DB is not served"
        )));
    }
    Ok(())
}

fn check_reader(tokens: &[Token<'_>], parameters: &[(String, String)]) -> Result<(), Exception> {
    if tokens.iter().any(|token| token.kind == Kind::Odd || token.is_escaped()) {
        return Err(denied("reader: heredocs, `#` comments and escaped names are not served"));
    }
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
