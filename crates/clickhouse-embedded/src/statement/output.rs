//! Where a reading statement names its output format, so that its result can go to a pipe.

use super::lexer::{Kind, Lexer, Token};

/// The output clause of a reading statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// The format named in the text, if any.
    pub(crate) format: Option<String>,
    /// Length of the statement before its FORMAT clause and closing semicolons.
    body_end: usize,
    /// What followed the FORMAT clause: ` SETTINGS …`.
    tail: (usize, usize),
}

impl Output {
    /// Finds the clause.
    pub(crate) fn of(sql: &[u8]) -> Self {
        let tokens: Vec<Token<'_>> = Lexer::new(sql).collect();
        let last = tokens.iter().rposition(|token| !token.is(b';'));
        let count = last.map_or(0, |position| position + 1);
        let tokens = tokens.get(..count).unwrap_or_default();
        let end = tokens.last().map_or(0, |token| token.end);
        let whole = Self { format: None, body_end: end, tail: (end, end) };
        for (position, pair) in tokens.windows(2).enumerate().rev() {
            let [format, name] = pair else { continue };
            let after = tokens.get(position + 2);
            let closes = after.is_none_or(|token| token.is_word("SETTINGS"));
            if format.is_word("FORMAT") && name.kind == Kind::Word && closes && position > 0 {
                return Self {
                    format: Some(name.text()),
                    body_end: format.start,
                    tail: (name.end, end),
                };
            }
        }
        whole
    }

    /// The statement, its result sent to the open file descriptor `descriptor` in `format`.
    pub(crate) fn to_descriptor(&self, sql: &[u8], descriptor: i32, format: &str) -> Vec<u8> {
        let mut text = sql.get(..self.body_end).unwrap_or_default().to_vec();
        let clause = format!(
            "\nINTO OUTFILE '/dev/fd/{descriptor}' TRUNCATE COMPRESSION 'none' FORMAT {format} "
        );
        text.extend_from_slice(clause.as_bytes());
        text.extend_from_slice(sql.get(self.tail.0..self.tail.1).unwrap_or_default());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_moves_behind_the_pipe() {
        let pipe = "\nINTO OUTFILE '/dev/fd/7' TRUNCATE COMPRESSION 'none' FORMAT ";
        for (sql, format, expected) in [
            ("SELECT 1", None, format!("SELECT 1{pipe}X ")),
            ("SELECT 1 -- c", None, format!("SELECT 1{pipe}X ")),
            ("SELECT 1 FORMAT JSON;", Some("JSON"), format!("SELECT 1 {pipe}X ")),
            (
                "SELECT 1 FORMAT JSON SETTINGS max_threads = 1 ; ",
                Some("JSON"),
                format!("SELECT 1 {pipe}X  SETTINGS max_threads = 1"),
            ),
            ("SELECT 'a FORMAT b'", None, format!("SELECT 'a FORMAT b'{pipe}X ")),
            ("SELECT format x FROM t", None, format!("SELECT format x FROM t{pipe}X ")),
        ] {
            let output = Output::of(sql.as_bytes());
            assert_eq!(output.format.as_deref(), format, "{sql}");
            let sent = output.to_descriptor(sql.as_bytes(), 7, "X");
            assert_eq!(String::from_utf8(sent).unwrap(), expected);
        }
    }
}
