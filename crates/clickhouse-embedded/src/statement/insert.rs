//! Where an INSERT ends and its data begins.

use super::lexer::{Kind, Lexer, Token};

/// What an INSERT takes its rows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `FORMAT name`: data follows at `data_start`.
    Format {
        /// The format's name as written.
        name: String,
        /// Length of the statement without the FORMAT clause.
        head_end: usize,
        /// Offset of the first byte of data.
        data_start: usize,
    },
    /// `VALUES`: rows as text from `data_start`.
    Values {
        /// Length of the statement without VALUES.
        head_end: usize,
        /// Offset of the first byte of data.
        data_start: usize,
    },
    /// `SELECT`: the statement is whole.
    Select,
    /// `FROM INFILE`: a file of the host.
    Infile,
    /// Nothing was said; the format comes from elsewhere.
    Unsaid,
}

/// An INSERT, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insert {
    /// `INSERT INTO FUNCTION`: not into a table.
    pub(crate) into_function: bool,
    /// Where the rows come from.
    pub(crate) source: Source,
}

/// Takes `sql` apart if it is an INSERT; data may follow the statement.
pub(crate) fn parse(sql: &[u8]) -> Option<Insert> {
    let mut tokens = Lexer::new(sql).peekable();
    if !tokens.next()?.is_word("INSERT") {
        return None;
    }
    let mut into_function = false;
    while let Some(token) = tokens.peek() {
        match token {
            t if t.is_word("INTO") || t.is_word("TABLE") => {}
            t if t.is_word("FUNCTION") => into_function = true,
            _ => break,
        }
        tokens.next();
    }
    // The table's name comes first, whatever word it is.
    tokens.next();
    while tokens.next_if(|token| token.is(b'.')).is_some() {
        tokens.next();
    }
    let source = source(sql, &mut tokens);
    Some(Insert { into_function, source })
}

fn source<'a>(
    sql: &[u8],
    tokens: &mut std::iter::Peekable<impl Iterator<Item = Token<'a>>>,
) -> Source {
    let mut depth = 0_usize;
    let mut opened = false;
    while let Some(token) = tokens.next() {
        match token.kind {
            Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
            Kind::Symbol(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            Kind::Word if (depth == 0 || opened) && begins_select(&token) => return Source::Select,
            Kind::Word if depth == 0 && token.is_word("VALUES") => {
                return Source::Values { head_end: token.start, data_start: token.end };
            }
            Kind::Word if depth == 0 && token.is_word("FROM") => return Source::Infile,
            Kind::Word if depth == 0 && token.is_word("FORMAT") => {
                let Some(name) = tokens.next().filter(|next| next.kind == Kind::Word) else {
                    return Source::Unsaid;
                };
                let data_start = data_start(sql, name.end);
                return Source::Format { name: name.text(), head_end: token.start, data_start };
            }
            _ => {}
        }
        opened = token.is(b'(');
    }
    Source::Unsaid
}

fn begins_select(token: &Token<'_>) -> bool {
    token.is_word("SELECT") || token.is_word("WITH")
}

/// Data begins after the blanks behind the format's name and one line break, as
/// `ParserInsertQuery.cpp` has it.
fn data_start(sql: &[u8], name_end: usize) -> usize {
    let mut at = name_end;
    let is = |at: usize, wanted: &[u8]| sql.get(at).is_some_and(|byte| wanted.contains(byte));
    if is(at, b";") {
        at += 1;
    }
    while is(at, b" \t\x0c") {
        at += 1;
    }
    if is(at, b"\r") && is(at + 1, b"\n") {
        return at + 2;
    }
    if is(at, b"\n") { at + 1 } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(name: &str, head_end: usize, data_start: usize) -> Source {
        Source::Format { name: name.to_owned(), head_end, data_start }
    }

    #[test]
    fn sources() {
        for (sql, expected) in [
            ("INSERT INTO t FORMAT RowBinary", format("RowBinary", 14, 30)),
            ("INSERT INTO t FORMAT TSV\n1\n", format("TSV", 14, 25)),
            ("INSERT INTO t FORMAT TSV \r\n1\n", format("TSV", 14, 27)),
            ("insert into t (a, b) settings x=1 format Native", format("Native", 34, 47)),
            ("INSERT INTO t(`format`) VALUES (1)", Source::Values { head_end: 24, data_start: 30 }),
            ("INSERT INTO values SELECT 1", Source::Select),
            ("INSERT INTO TABLE db.format (a) (SELECT 1)", Source::Select),
            ("INSERT INTO t WITH 1 AS x SELECT x", Source::Select),
            ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV", Source::Infile),
            ("INSERT INTO t (a)", Source::Unsaid),
            ("/* x */ INSERT t VALUES", Source::Values { head_end: 17, data_start: 23 }),
        ] {
            assert_eq!(parse(sql.as_bytes()).unwrap().source, expected, "{sql}");
        }
        assert_eq!(parse(b"SELECT 1"), None);
        let function = parse(b"INSERT INTO FUNCTION file('x') SELECT 1").unwrap();
        assert!(function.into_function);
    }
}
