//! Tokens of ClickHouse SQL, lazily, from bytes that may end in binary data.
//!
//! Follows `src/Parsers/Lexer.cpp`. Where a text could be read in two ways (heredocs, `#` and
//! `//` comments, typographic quotes, other bytes beyond ASCII), the token is [`Kind::Odd`], and
//! the guard refuses the whole statement rather than guess.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare identifier or keyword.
    Word,
    /// `"…"` or `` `…` ``.
    Quoted,
    /// `'…'`.
    Text,
    /// Digits and what follows them.
    Number,
    /// One byte of punctuation.
    Symbol(u8),
    /// Something that this lexer will not vouch for; one byte, or a heredoc as a whole.
    Odd,
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Offset after its last byte.
    pub(crate) end: usize,
    bytes: &'a [u8],
}

impl Token<'_> {
    /// Whether it is this bare word, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.bytes.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether it is this byte of punctuation.
    pub(crate) fn is(&self, symbol: u8) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// The name of a bare or quoted identifier, in lower case; `None` for other tokens.
    pub(crate) fn name(&self) -> Option<String> {
        let text = match self.kind {
            Kind::Word => String::from_utf8_lossy(self.bytes).into_owned(),
            Kind::Quoted => {
                let inner = self.bytes.get(1..self.bytes.len().saturating_sub(1))?;
                let quote = char::from(*self.bytes.first()?);
                let doubled = [quote, quote].iter().collect::<String>();
                String::from_utf8_lossy(inner).replace(&doubled, &quote.to_string())
            }
            _ => return None,
        };
        Some(text.to_ascii_lowercase())
    }

    /// Whether a quoted token holds a backslash escape.
    pub(crate) fn is_escaped(&self) -> bool {
        self.kind == Kind::Quoted && self.bytes.contains(&b'\\')
    }

    /// The bytes as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes).into_owned()
    }
}

/// The tokens of a text, comments and white space left out.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// From the beginning.
    pub(crate) fn new(sql: &'a [u8]) -> Self {
        Self { sql, at: 0 }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    fn skip_blanks_and_comments(&mut self) {
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => self.at += 1,
                (b'-', Some(b'-')) => self.skip_past(b"\n"),
                (b'/', Some(b'*')) => {
                    self.at += 2;
                    self.skip_past(b"*/");
                }
                _ => return,
            }
        }
    }

    fn skip_past(&mut self, end: &[u8]) {
        let rest = self.sql.get(self.at..).unwrap_or_default();
        let found = rest.windows(end.len()).position(|window| window == end);
        self.at = found.map_or(self.sql.len(), |position| self.at + position + end.len());
    }

    /// The end of a quoted token: the quote doubles or a backslash escapes.
    fn quoted_end(&self, quote: u8) -> usize {
        let mut at = self.at + 1;
        while let Some(&byte) = self.sql.get(at) {
            if byte == b'\\' || (byte == quote && self.sql.get(at + 1) == Some(&quote)) {
                at += 2;
            } else if byte == quote {
                return at + 1;
            } else {
                at += 1;
            }
        }
        self.sql.len()
    }

    /// The end of `$tag$ … $tag$`, if here stands one.
    fn heredoc_end(&self) -> Option<usize> {
        let rest = self.sql.get(self.at..)?;
        let tag_length = 2 + rest.get(1..)?.iter().position(|&byte| byte == b'$')?;
        let tag = rest.get(..tag_length)?;
        let body = rest.get(tag_length..)?;
        let inner = tag.get(1..tag_length - 1)?;
        if !inner.iter().all(|&byte| is_word(byte)) {
            return None;
        }
        let end = body.windows(tag_length).position(|window| window == tag)?;
        Some(self.at + tag_length + end + tag_length)
    }

    fn run_end(&self, belongs: fn(u8) -> bool) -> usize {
        let rest = self.sql.get(self.at..).unwrap_or_default();
        self.at + rest.iter().position(|&byte| !belongs(byte)).unwrap_or(rest.len())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word_or_dollar(byte: u8) -> bool {
    is_word(byte) || byte == b'$'
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks_and_comments();
        let start = self.at;
        let (kind, end) = match self.peek(0)? {
            b'\'' => (Kind::Text, self.quoted_end(b'\'')),
            quote @ (b'"' | b'`') => (Kind::Quoted, self.quoted_end(quote)),
            byte if byte.is_ascii_digit() => (Kind::Number, self.run_end(is_word)),
            byte if is_word(byte) => (Kind::Word, self.run_end(is_word_or_dollar)),
            b'$' => (Kind::Odd, self.heredoc_end().unwrap_or(start + 1)),
            b'/' if self.peek(1) == Some(b'/') => (Kind::Odd, start + 1),
            b'#' => (Kind::Odd, start + 1),
            byte if byte.is_ascii_graphic() => (Kind::Symbol(byte), start + 1),
            _ => (Kind::Odd, start + 1),
        };
        self.at = end;
        Some(Token { kind, start, end, bytes: self.sql.get(start..end)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, String)> {
        Lexer::new(sql.as_bytes()).map(|token| (token.kind, token.text())).collect()
    }

    #[test]
    fn quotes_comments_and_heredocs() {
        let word = |text: &str| (Kind::Word, text.to_owned());
        assert_eq!(kinds("a -- b\n/* c ' */ d"), [word("a"), word("d")]);
        assert_eq!(kinds(r"'it''s \' x'"), [(Kind::Text, r"'it''s \' x'".to_owned())]);
        assert_eq!(kinds("$t$ file( $t$"), [(Kind::Odd, "$t$ file( $t$".to_owned())]);
        assert_eq!(kinds("`a``b`"), [(Kind::Quoted, "`a``b`".to_owned())]);
        assert_eq!(Lexer::new(b"`a``B`").next().unwrap().name().unwrap(), "a`b");
        assert_eq!(kinds("1e5"), [(Kind::Number, "1e5".to_owned())]);
        assert_eq!(kinds("'open"), [(Kind::Text, "'open".to_owned())]);
    }

    proptest::proptest! {
        #[test]
        fn tokens_stand_in_order_and_end(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let mut last = 0;
            for token in Lexer::new(&bytes) {
                assert!(token.start >= last && token.end > token.start);
                assert!(token.end <= bytes.len());
                last = token.end;
            }
        }
    }
}
