//! Where a table, a database or a dictionary may keep its rows, or take them from.

use super::denied;
use super::names::{ENGINES, ENGINES_DERIVED};
use crate::engine::catalogue::Catalogue;
use crate::exception::Exception;
use crate::statement::lexer::{Kind, Token};

/// What a dictionary may say of its source. Each value is a name; `QUERY`, `WHERE` and
/// `UPDATE_FIELD` would be SQL in a string, where no guard looks.
const SOURCE_KEYS: [&str; 4] = ["table", "db", "user", "password"];

/// No engine, and no dictionary source, that reaches beyond the data folder.
pub(super) fn check(tokens: &[Token<'_>], catalogue: &Catalogue) -> Result<(), Exception> {
    let makes = ["CREATE", "ATTACH", "REPLACE", "ALTER"];
    if !tokens.first().is_some_and(|first| makes.iter().any(|word| first.is_word(word))) {
        return Ok(());
    }
    check_dictionary(tokens)?;
    let alters = tokens.first().is_some_and(|first| first.is_word("ALTER"));
    let (mut depth, mut selects) = (0_usize, false);
    for (position, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => selects |= token.is_word("SELECT") || token.is_word("WITH"),
        }
        if !token.is_word("ENGINE") {
            continue;
        }
        let by = position.checked_sub(1).and_then(|before| tokens.get(before));
        let is_key = by.is_some_and(|by| by.is_word("BY") || by.is_word("KEY"));
        let is_clause = depth == 0 && !alters && !selects && !is_key;
        check_engine(tokens.get(position + 1..).unwrap_or_default(), is_clause, catalogue)?;
    }
    Ok(())
}

/// The engine named after the word ENGINE. In a clause, what is not kept is refused; elsewhere
/// the word may be a column, and only what may be an engine is.
fn check_engine(
    after: &[Token<'_>],
    is_clause: bool,
    catalogue: &Catalogue,
) -> Result<(), Exception> {
    let named = match after {
        [equals, named, ..] if equals.is(b'=') => Some(named),
        [named, ..] => Some(named),
        [] => None,
    };
    let name = named.and_then(Token::name).unwrap_or_default();
    let kept = ENGINES.contains(&name.as_str()) || ENGINES_DERIVED.contains(&name.as_str());
    if !kept && (is_clause || catalogue.engines.contains(&name)) {
        return Err(denied(format!("Engine `{name}` is not served")));
    }
    Ok(())
}

/// A dictionary takes its rows from a table here: from no other host, and by no query, since
/// that stands in a string. So may the expression of an attribute.
fn check_dictionary(tokens: &[Token<'_>]) -> Result<(), Exception> {
    for (position, token) in tokens.iter().enumerate() {
        let after = tokens.get(position + 1..).unwrap_or_default();
        match after {
            [open, source @ ..] if token.is_word("SOURCE") && open.is(b'(') => {
                check_source(source)?;
            }
            _ => {}
        }
    }
    let head = tokens.get(..4).unwrap_or(tokens);
    let makes_dictionary = head.iter().any(|token| token.is_word("DICTIONARY"));
    if makes_dictionary && tokens.iter().any(|token| token.is_word("EXPRESSION")) {
        return Err(denied("A dictionary with an EXPRESSION is not served"));
    }
    Ok(())
}

/// `CLICKHOUSE(KEY value …))` or `NULL())`, and nothing else.
fn check_source(tokens: &[Token<'_>]) -> Result<(), Exception> {
    let source = tokens.first().and_then(Token::name).unwrap_or_default();
    let refused =
        || denied(format!("A dictionary from `{source}` but by TABLE and DB is not served"));
    let known = ["clickhouse", "null"].contains(&source.as_str());
    if !known || !tokens.get(1).is_some_and(|open| open.is(b'(')) {
        return Err(refused());
    }
    let mut rest = tokens.get(2..).unwrap_or_default();
    loop {
        match rest {
            [close, end, ..] if close.is(b')') && end.is(b')') => return Ok(()),
            [key, value, after @ ..] => {
                let key = key.name().unwrap_or_default();
                let plain = matches!(value.kind, Kind::Word | Kind::Quoted | Kind::Text);
                if !SOURCE_KEYS.contains(&key.as_str()) || !plain {
                    return Err(refused());
                }
                rest = after;
            }
            _ => return Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::lexer::Lexer;

    #[test]
    fn only_what_is_kept_is_served() {
        let catalogue = Catalogue::of(&[], &["file", "mergetree", "filesystem"]);
        for (sql, served) in [
            ("CREATE TABLE t (engine String) ENGINE = MergeTree ORDER BY engine", true),
            ("CREATE TABLE t (a Int8) ENGINE MergeTree PARTITION BY engine ORDER BY a", true),
            ("CREATE TABLE t (a Int8) ENGINE = ReplacingMergeTree(a) ORDER BY a", true),
            ("CREATE VIEW v AS SELECT engine FROM system.tables", true),
            ("CREATE VIEW v AS SELECT 1 FROM system.tables WHERE engine = 'File'", true),
            ("ALTER TABLE t ADD COLUMN engine String", true),
            ("CREATE TABLE t (a Int8) ENGINE = Unheard", false),
            ("CREATE TABLE t (a Int8) ENGINE Unheard(1)", false),
            ("CREATE TABLE t (a Int8) ENGINE = {e:Identifier}", false),
            ("CREATE TABLE t (a Int8) ENGINE = `Fil``e`", false),
            ("CREATE DATABASE d ENGINE = `Filesyste\\x6d`('/')", false),
            ("CREATE DATABASE d ENGINE = Filesystem", false),
            ("CREATE DATABASE d ENGINE = Atomic", true),
            ("CREATE DICTIONARY d (k Int8) SOURCE(CLICKHOUSE(TABLE 't' DB 'd'))", true),
            ("CREATE DICTIONARY d (k Int8) SOURCE(CLICKHOUSE(`table` t USER 'u'))", true),
            ("CREATE DICTIONARY d (k Int8) SOURCE(NULL()) LAYOUT(FLAT())", true),
            ("CREATE DICTIONARY d (k Int8) SOURCE(CLICKHOUSE(`QUERY` 'SELECT 1'))", false),
            ("CREATE DICTIONARY d (k Int8) SOURCE(CLICKHOUSE(`Host` 'h' TABLE 't'))", false),
            ("CREATE DICTIONARY d (k Int8) SOURCE(CLICKHOUSE(TABLE 't' `port` 1))", false),
            ("CREATE DICTIONARY d (k Int8) SOURCE(CLICKHOUSE(TABLE 't' UPDATE_FIELD 'x'))", false),
            ("CREATE DICTIONARY d (k Int8) SOURCE(CLICKHOUSE(TABLE f(1)))", false),
            ("CREATE DICTIONARY d (k Int8) SOURCE(`file`(PATH 'x'))", false),
            ("CREATE DICTIONARY d (k Int8 EXPRESSION 'x') SOURCE(NULL())", false),
            ("CREATE OR REPLACE DICTIONARY d (k Int8 EXPRESSION ('x')) SOURCE(NULL())", false),
        ] {
            let tokens: Vec<Token<'_>> = Lexer::new(sql.as_bytes()).collect();
            assert_eq!(check(&tokens, &catalogue).is_ok(), served, "{sql}");
        }
    }
}
