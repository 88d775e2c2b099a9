//! A statement as words, quoted names, texts and symbols, so that it can be edited in place.
//!
//! No grammar: it knows where quotes and comments end, and how deep in parentheses a token lies.
//! Whether the edited statement is SQL is for the engine's own parser to say.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, keyword or number as written.
    Word,
    /// A name in backticks or double quotes.
    Quoted,
    /// A text in single quotes.
    Text,
    /// One character of anything else.
    Symbol,
}

/// One token and its place in the statement.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) place: Range<usize>,
    /// Parentheses open around it; those of the token itself count on neither side.
    pub(super) depth: usize,
}

/// A statement and its tokens; white space and comments are in none.
pub(super) struct Statement<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Token>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut tokens = Vec::new();
        let (mut at, mut depth) = (0, 0_usize);
        while let Some(first) = text[at..].chars().next() {
            let rest = &text[at..];
            if first.is_whitespace() {
                at += first.len_utf8();
                continue;
            }
            if let Some(length) = comment_length(rest) {
                at += length;
                continue;
            }
            let (kind, length) = match first {
                '\'' => (Kind::Text, quoted_length(rest, '\'')),
                '`' | '"' => (Kind::Quoted, quoted_length(rest, first)),
                _ if is_word(first) => {
                    (Kind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len()))
                }
                _ => (Kind::Symbol, first.len_utf8()),
            };
            if first == ')' {
                depth = depth.saturating_sub(1);
            }
            tokens.push(Token { kind, place: at..at + length, depth });
            if first == '(' {
                depth += 1;
            }
            at += length;
        }
        Self { text, tokens }
    }

    /// The token as written; empty past the end.
    pub(super) fn at(&self, index: usize) -> &'a str {
        self.tokens.get(index).map_or("", |token| &self.text[token.place.clone()])
    }

    /// Whether the token is that keyword or symbol.
    pub(super) fn is(&self, index: usize, keyword: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind != Kind::Text)
            && self.at(index).eq_ignore_ascii_case(keyword)
    }

    /// Whether the tokens from `index` on are those keywords.
    pub(super) fn are(&self, index: usize, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(offset, keyword)| self.is(index + offset, keyword))
    }

    /// The name that the token is, without its quotes.
    pub(super) fn name(&self, index: usize) -> Option<&'a str> {
        let token = self.tokens.get(index)?;
        match token.kind {
            Kind::Word => Some(self.at(index)),
            Kind::Quoted => self.at(index).get(1..self.at(index).len() - 1),
            Kind::Text | Kind::Symbol => None,
        }
    }

    /// The first such keyword from `index` on that lies in no parentheses.
    pub(super) fn find_outside(&self, index: usize, keyword: &str) -> Option<usize> {
        (index..self.tokens.len()).find(|at| self.tokens[*at].depth == 0 && self.is(*at, keyword))
    }

    /// The parenthesis that closes the one at `index`.
    #[cfg(test)]
    pub(super) fn closing(&self, index: usize) -> Option<usize> {
        let depth = self.tokens.get(index)?.depth;
        (index + 1..self.tokens.len())
            .find(|at| self.tokens[*at].depth == depth && self.at(*at) == ")")
    }

    /// Where the token begins; the statement's end past the last one.
    pub(super) fn start(&self, index: usize) -> usize {
        self.tokens.get(index).map_or(self.text.len(), |token| token.place.start)
    }

    /// Where the token ends.
    pub(super) fn end(&self, index: usize) -> usize {
        self.tokens.get(index).map_or(self.text.len(), |token| token.place.end)
    }
}

/// Changes to a statement, applied together.
#[derive(Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts `text` in place of those bytes; an empty range inserts. Ranges do not overlap.
    pub(super) fn put(&mut self, place: Range<usize>, text: impl Into<String>) {
        self.0.push((place, text.into()));
    }

    /// The statement with the changes in it.
    pub(super) fn apply(mut self, statement: &str) -> String {
        self.0.sort_by_key(|(place, _)| (place.start, place.end));
        let mut edited = String::with_capacity(statement.len() + 256);
        let mut at = 0;
        for (place, text) in self.0 {
            edited.push_str(&statement[at..place.start]);
            edited.push_str(&text);
            at = place.end;
        }
        edited.push_str(&statement[at..]);
        edited
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("--") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

/// The length of a quoted piece: a backslash hides the next character, a doubled quote stands for
/// itself. One that never ends takes the rest.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + c.len_utf8();
            }
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_hide_what_looks_like_sql() {
        let cases: [(&str, &[&str]); 6] = [
            ("a.b1 -- c\n= 'd''e\\'f'", &["a", ".", "b1", "=", "'d''e\\'f'"]),
            ("/* FROM x */ `q``r` \"s\"", &["`q``r`", "\"s\""]),
            ("f(g(1), '(')", &["f", "(", "g", "(", "1", ")", ",", "'('", ")"]),
            ("'never ends", &["'never ends"]),
            ("дата = 'ё'", &["дата", "=", "'ё'"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let statement = Statement::new(text);
            let found: Vec<_> = (0..statement.tokens.len()).map(|at| statement.at(at)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn parentheses_are_matched_across_texts() {
        let statement = Statement::new("f(g(1), ')') AS h");
        assert_eq!(statement.closing(1), Some(8));
        assert_eq!(statement.find_outside(0, "as"), Some(9));
        assert_eq!(statement.find_outside(0, "g"), None);
    }
}
