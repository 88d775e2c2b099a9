//! SQL without its literals and comments.
//!
//! The dialect is not known, so what could be a literal in one of them is taken for one.

use memchr::memchr;

/// Words after which a double-quoted text is a value and no name (MySQL, SQLite).
const BEFORE_VALUES: &[&str] = &["values", "value", "like", "ilike", "in", "limit", "regexp"];

/// Replaces string and number literals of SQL by `?` and drops comments; `None` when there are
/// none.
pub(crate) fn cut_sql(sql: &str) -> Option<String> {
    let mut plain = plain_bytes(sql);
    if plain == sql.len() {
        return None;
    }
    let mut out = String::with_capacity(sql.len());
    let mut changed = false;
    let mut rest = sql;
    loop {
        out.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let Some(first) = rest.chars().next() else { break };
        let in_word = ends_in_word(&out);
        let literal = match first {
            '\'' => Some(quoted_bytes(rest, b'\'')),
            '"' => double_quoted_bytes(rest, &out),
            '$' if !in_word => dollar_quoted_bytes(rest),
            '0'..='9' if !in_word => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '.').or(Some(rest.len()))
            }
            _ => None,
        };
        if let Some(bytes) = literal {
            if first == '\'' {
                drop_prefix(&mut out);
            }
            out.push('?');
            changed = true;
            rest = &rest[bytes..];
        } else if let Some(bytes) = comment_bytes(rest) {
            out.push(' ');
            changed = true;
            rest = &rest[bytes..];
        } else {
            // A name in double quotes is taken as a whole: digits in it are no numbers.
            let bytes = if first == '"' { quoted_bytes(rest, b'"') } else { first.len_utf8() };
            out.push_str(&rest[..bytes]);
            rest = &rest[bytes..];
        }
        plain = plain_bytes(rest);
    }
    changed.then_some(out)
}

/// What SQL begins with, in lower case, and what follows in it.
const STATEMENTS: [(&str, &str); 6] = [
    ("insert into ", ""),
    ("delete from ", ""),
    ("merge into ", ""),
    ("update ", " set "),
    ("select ", " from "),
    ("values", "("),
];
/// What SQL in a text ends before: the frames of a stack.
const FRAMES: [&str; 3] = ["\n\tat ", "\n    at ", "\n  file "];

/// Replaces the literals of SQL that stands within a free text, from where it begins to where frames
/// of a stack follow; `None` when there are none. Without a quote it holds nothing of a person.
pub(crate) fn cut_sql_within(text: &str) -> Option<String> {
    memchr(b'\'', text.as_bytes())?;
    let lower = text.to_ascii_lowercase();
    let mut statements = STATEMENTS.map(|(begin, then)| (Sought::of(begin), Sought::of(then)));
    let mut frames = FRAMES.map(Sought::of);
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    loop {
        let begins = statements.iter_mut().filter_map(|(begin, then)| {
            let begun = begin.next(&lower, at)?;
            then.next(&lower, begun + begin.what.len()).map(|_| begun)
        });
        let Some(begin) = begins.min() else { break };
        let ends = frames.iter_mut().filter_map(|frame| frame.next(&lower, begin));
        let end = ends.min().unwrap_or(text.len());
        let statement = &text[begin..end];
        if let Some(cut) = cut_sql(statement).filter(|_| statement.contains('\'')) {
            out.push_str(&text[copied..begin]);
            out.push_str(&cut);
            copied = end;
        }
        at = end;
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// A word that is looked for again and again, ever farther on: what was found once is kept, so that
/// all searches together go through the text once.
struct Sought {
    what: &'static str,
    /// Where it stands next, as far as is known; behind every text when nowhere.
    at: usize,
    is_known: bool,
}

impl Sought {
    const fn of(what: &'static str) -> Self {
        Self { what, at: 0, is_known: false }
    }

    /// Where it stands from `from` on, which never lies before where it was asked for last.
    fn next(&mut self, text: &str, from: usize) -> Option<usize> {
        if !self.is_known || self.at < from {
            let found = text.get(from..).and_then(|rest| rest.find(self.what));
            self.at = found.map_or(usize::MAX, |at| from + at);
            self.is_known = true;
        }
        (self.at < usize::MAX).then_some(self.at)
    }
}

/// Length of what can neither be nor begin a literal or a comment.
fn plain_bytes(sql: &str) -> usize {
    let is_plain = |byte: &u8| !matches!(byte, b'\'' | b'"' | b'$' | b'0'..=b'9' | b'-' | b'/');
    sql.bytes().position(|byte| !is_plain(&byte)).unwrap_or(sql.len())
}

/// Whether a word or a number goes on where the text ends.
fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// Length of the literal that `text` begins with; a doubled quote does not end it.
///
/// Whether `\'` ends a literal depends on the dialect (and, in PostgreSQL, on a setting), and to
/// guess wrong would turn all that follows inside out: a literal with a backslash takes the rest.
pub(super) fn quoted_bytes(text: &str, quote: u8) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => return bytes.len(),
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Length of the double-quoted text, unless it is a name.
pub(super) fn double_quoted_bytes(text: &str, before: &str) -> Option<usize> {
    let bytes = quoted_bytes(text, b'"');
    let inner = text[1..bytes].strip_suffix('"').unwrap_or_default();
    let is_name = inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && inner.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ' ' | '.'));
    (!is_name || awaits_value(before)).then_some(bytes)
}

/// Whether a value follows: after an operator, another value, or a word such as `VALUES`.
fn awaits_value(before: &str) -> bool {
    let said = before.trim_end_matches(|c: char| c.is_whitespace() || "(),".contains(c));
    if said.ends_with(['=', '<', '>', '~', '?']) {
        return true;
    }
    let word_start = said.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    said.get(word_start..)
        .is_some_and(|word| BEFORE_VALUES.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

/// Length of `$tag$…$tag$`; a parameter such as `$1` is none.
pub(super) fn dollar_quoted_bytes(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[1..tag_end - 1];
    let is_tag = !tag.starts_with(|c: char| c.is_ascii_digit())
        && tag.chars().all(|c| c.is_alphanumeric() || c == '_');
    let fence = &text[..tag_end];
    is_tag.then(|| text[tag_end..].find(fence).map_or(text.len(), |at| at + 2 * tag_end))
}

/// Length of the comment that `text` begins with; PostgreSQL nests them.
pub(super) fn comment_bytes(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let bytes = text.as_bytes();
    let mut open = 0_usize;
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => open += 1,
            b"*/" => open -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if open == 0 {
            return Some(at);
        }
    }
    Some(bytes.len())
}

/// Drops the `E` of `E'…'` (and `N`, `B`, `X`), which belongs to the literal.
pub(super) fn drop_prefix(out: &mut String) {
    let mut last = out.chars().rev();
    let is_prefix = last.next().is_some_and(|c| "eEnNbBxX".contains(c));
    if is_prefix && !last.next().is_some_and(|c| c.is_alphanumeric() || c == '_') {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_within_a_text_loses_its_literals() {
        for (text, expected) in [
            (
                "could not execute statement [insert into p (n) values ('Иван', 7)]\n\tat A.b(A.java:42)",
                Some(
                    "could not execute statement [insert into p (n) values (?, ?)]\n\tat A.b(A.java:42)",
                ),
            ),
            ("ERROR in UPDATE p SET n = 'x' where", Some("ERROR in UPDATE p SET n = ? where")),
            ("select a from b where c = 'x'", Some("select a from b where c = ?")),
            (
                "delete from a where b = 'x'\n    at f\nselect 1 from 'y'",
                Some("delete from a where b = ?\n    at f\nselect ? from ?"),
            ),
            ("select a from b where c = 5", None),
            ("please update the order's status", None),
            ("it's 5", None),
            ("", None),
        ] {
            assert_eq!(cut_sql_within(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn sql_loses_its_literals() {
        for (sql, expected) in [
            ("select a1 from t2 where n = 'O''Brien'", Some("select a1 from t2 where n = ?")),
            ("values ('it''s', 42, 1.5)", Some("values (?, ?, ?)")),
            ("where id = $1", None),
            ("where id = $1 and b = $2", None),
            ("select \"1 a\" from t", Some("select ? from t")),
            ("x = 'open", Some("x = ?")),
            ("x = 'я'", Some("x = ?")),
            ("x = 'я\\", Some("x = ?")),
        ] {
            assert_eq!(cut_sql(sql).as_deref(), expected, "{sql}");
        }
    }

    #[test]
    fn a_backslash_never_turns_literals_inside_out() {
        for (sql, expected) in [
            (r"p = 'a\' and n = 'Anna'", Some("p = ?")),
            (r"p = 'it\'s' and n = 'Anna'", Some("p = ?")),
            (r"p = E'it\'s Anna'", Some("p = ?")),
            (r"n = 'Anna' and p = 'C:\x'", Some("n = ? and p = ?")),
        ] {
            assert_eq!(cut_sql(sql).as_deref(), expected, "{sql}");
        }
    }

    #[test]
    fn every_spelling_of_a_literal_is_known() {
        for (sql, expected) in [
            ("n = N'Anna' or e = E'x'", Some("n = ? or e = ?")),
            ("name'x'", Some("name?")),
            ("n = $$Anna$$ and b", Some("n = ? and b")),
            ("n = $t$An$$na$t$ and b", Some("n = ? and b")),
            ("n = $t$Anna", Some("n = ?")),
            ("n = \"Anna\"", Some("n = ?")),
            (
                "insert into t values (\"Anna\", \"Bob\"), (\"C\")",
                Some("insert into t values (?, ?), (?)"),
            ),
            ("n in (\"Anna\")", Some("n in (?)")),
            ("n like \"An%\"", Some("n like ?")),
            ("select \"a 1\", o.\"b\" from \"Orders\"", None),
            ("select \"a\"\"b\" from t", Some("select ? from t")),
            ("select 1 /* Anna /* x */ y */ , a", Some("select ?   , a")),
            ("select a -- Anna\nfrom t", Some("select a  \nfrom t")),
            ("select a /* Anna", Some("select a  ")),
            ("select a -- Anna", Some("select a  ")),
            ("select a - b / c", None),
        ] {
            assert_eq!(cut_sql(sql).as_deref(), expected, "{sql}");
        }
    }
}
