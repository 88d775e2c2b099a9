//! The tokens file, from text to checked sources. Every mistake has its line.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use daemon::settings::duration;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_spanned::Spanned;

use crate::access::sources::{Source, Sources};
use crate::access::token::{self, TokenHash};
use crate::rates::Rate;

/// Sources of one file: each token that is shown is compared with all of them.
pub const SOURCES_MAX: usize = 1_000;
/// Bytes of a source's name: it is a label of metrics.
const NAME_BYTES_MAX: usize = 64;
/// What is saved up when the file does not say.
const BURST_DEFAULT: Duration = Duration::from_secs(10);

/// One mistake of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Every mistake of the file, in the order of lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mistake { line, reason }) in self.0.iter().enumerate() {
            let lead = if index == 0 { "" } else { "; " };
            write!(f, "{lead}line {line}: {reason}")?;
        }
        Ok(())
    }
}

/// Reads and checks the text of a file.
///
/// # Errors
/// [`Mistakes`], none of which repeats the value of a token.
pub fn parse(text: &str) -> Result<Sources, Mistakes> {
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        // Its display would show the line.
        let reason = without_secrets(error.message());
        Mistakes(vec![Mistake { line: line_of(text, start), reason }])
    })?;
    let mut checker = Checker { text, mistakes: Vec::new(), taken: HashMap::new() };
    if file.sources.is_empty() || file.sources.len() > SOURCES_MAX {
        let count = file.sources.len();
        let reason = format!("{count} times `[[source]]`; there must be 1 to {SOURCES_MAX}");
        checker.mistakes.push(Mistake { line: 1, reason });
    }
    let sources = file.sources.into_iter().map(|source| checker.source(source)).collect();
    let mut mistakes = checker.mistakes;
    if mistakes.is_empty() {
        return Ok(Sources::new(sources));
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    for mistake in &mut mistakes {
        mistake.reason = without_secrets(&mistake.reason);
    }
    Err(Mistakes(mistakes))
}

/// A reason without what may be a token that was put in the wrong place: texts that the parser
/// repeats, and whatever begins as tokens do.
fn without_secrets(reason: &str) -> String {
    let (before, after) = match (reason.find("string \""), reason.rfind('"')) {
        (Some(start), Some(end)) => (&reason[..start + "string".len()], &reason[end + 1..]),
        _ => (reason, ""),
    };
    let mut told = String::new();
    for part in [before, after] {
        for (index, piece) in part.split(token::PREFIX).enumerate() {
            let rest = match index {
                0 => piece,
                _ => {
                    told.push('…');
                    piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric())
                }
            };
            told.push_str(rest);
        }
    }
    told
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "source")]
    sources: Vec<FileSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSource {
    name: Spanned<String>,
    token_sha256: Option<Spanned<OneOrMore>>,
    client_cert: Option<Spanned<OneOrMore>>,
    services: Option<Spanned<Vec<Spanned<String>>>>,
    spans_per_second: Option<Spanned<u64>>,
    bytes_per_second: Option<Spanned<u64>>,
    burst: Option<Spanned<String>>,
}

/// A text, or a list of texts, each with its place.
enum OneOrMore {
    One(String),
    More(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        /// Written by hand, since serde's untagged enumerations forget places.
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMore::More(texts))
            }
        }
        from.deserialize_any(Texts)
    }
}

fn each(texts: Option<Spanned<OneOrMore>>) -> Vec<Spanned<String>> {
    let Some(texts) = texts else { return Vec::new() };
    let place = texts.span();
    match texts.into_inner() {
        OneOrMore::One(text) => vec![Spanned::new(place, text)],
        OneOrMore::More(texts) => texts,
    }
}

/// What must not stand twice in a file.
#[derive(PartialEq, Eq, Hash)]
enum Unique {
    Name(String),
    Token([u8; 32]),
    ClientCert(String),
}

struct Checker<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
    /// On which line each of them stands.
    taken: HashMap<Unique, usize>,
}

impl Checker<'_> {
    fn mistake<T>(&mut self, at: &Spanned<T>, reason: impl Into<String>) {
        let line = line_of(self.text, at.span().start);
        self.mistakes.push(Mistake { line, reason: reason.into() });
    }

    fn source(&mut self, file: FileSource) -> Source {
        let name = file.name.get_ref().clone();
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || has_control(&name) {
            let reason = format!("`name` is a text of 1 to {NAME_BYTES_MAX} bytes");
            self.mistake(&file.name, reason);
        }
        self.unique(&file.name, Unique::Name(name.clone()), "`name`");
        let mut tokens = Vec::new();
        for text in each(file.token_sha256) {
            match TokenHash::parse(text.get_ref()) {
                Ok(hash) => {
                    self.unique(&text, Unique::Token(hash.0), "this token");
                    tokens.push(hash);
                }
                // Kept as one, so that its source is not said to have none.
                Err(why) => {
                    self.mistake(&text, format!("`token_sha256` {why}"));
                    tokens.push(TokenHash([0; 32]));
                }
            }
        }
        let mut client_certs = Vec::new();
        for text in each(file.client_cert) {
            self.filled(&text, "`client_cert`");
            let shown = Unique::ClientCert(text.get_ref().clone());
            self.unique(&text, shown, "this `client_cert`");
            client_certs.push(text.into_inner());
        }
        if tokens.is_empty() && client_certs.is_empty() {
            let reason = format!("source `{name}` needs `token_sha256` or `client_cert`");
            self.mistake(&file.name, reason);
        }
        let services = file.services.map(|services| self.services(services));
        let burst = file.burst.map_or(BURST_DEFAULT, |burst| self.burst(&burst));
        let spans = file.spans_per_second.map(|rate| self.rate(&rate, burst));
        let bytes = file.bytes_per_second.map(|rate| self.rate(&rate, burst));
        Source { name, tokens, client_certs, services, spans, bytes }
    }

    fn services(&mut self, services: Spanned<Vec<Spanned<String>>>) -> Vec<String> {
        if services.get_ref().is_empty() {
            let reason = "no service: nothing could be sent; leave `services` out to allow any";
            self.mistake(&services, reason);
        }
        let services = services.into_inner().into_iter();
        services
            .map(|service| {
                self.filled(&service, "a service");
                service.into_inner()
            })
            .collect()
    }

    fn rate(&mut self, rate: &Spanned<u64>, burst: Duration) -> Rate {
        if *rate.get_ref() == 0 {
            self.mistake(rate, "a rate is at least 1; leave it out for no bound");
        }
        Rate { per_second: *rate.get_ref() as f64, burst }
    }

    fn burst(&mut self, burst: &Spanned<String>) -> Duration {
        match duration(burst.get_ref()) {
            Ok(Duration::ZERO) => self.mistake(burst, "`burst` is longer than nothing"),
            Ok(length) => return length,
            Err(why) => self.mistake(burst, format!("`burst`: {why}")),
        }
        BURST_DEFAULT
    }

    fn filled(&mut self, text: &Spanned<String>, what: &str) {
        if text.get_ref().trim().is_empty() || has_control(text.get_ref()) {
            self.mistake(text, format!("{what} cannot be empty"));
        }
    }

    fn unique(&mut self, at: &Spanned<String>, what: Unique, called: &str) {
        let line = line_of(self.text, at.span().start);
        if let Some(first) = self.taken.get(&what) {
            let reason = format!("{called} stands on line {first} already");
            self.mistakes.push(Mistake { line, reason });
        } else {
            self.taken.insert(what, line);
        }
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn hash(token: &str) -> String {
        TokenHash::of(token.as_bytes()).to_string()
    }

    #[test]
    fn a_file_is_read() {
        let text = format!(
            "[[source]]\nname = \"shop\"\ntoken_sha256 = [\"{}\", \"{}\"]\n\
             services = [\"shop\", \"shop-*\"]\nspans_per_second = 500\n\
             bytes_per_second = 1_000_000\nburst = \"30s\"\n\
             [[source]]\nname = \"mes\"\nclient_cert = \"mes.internal\"\n",
            hash("old"),
            hash("new"),
        );
        let sources = parse(&text).unwrap();
        let name = |found: Option<&Arc<Source>>| found.map(|source| source.name.clone());
        for token in ["old", "new"] {
            assert_eq!(name(sources.by_token(token.as_bytes())), Some("shop".to_owned()));
        }
        assert_eq!(name(sources.by_token(b"older")), None);
        assert_eq!(name(sources.by_token(b"")), None);
        let names = ["x".to_owned(), "mes.internal".to_owned()];
        assert_eq!(name(sources.by_certificate(&names)), Some("mes".to_owned()));
        assert_eq!(name(sources.by_certificate(&names[..1])), None);
        let shop = sources.by_token(b"old").unwrap();
        let burst = Duration::from_secs(30);
        assert_eq!(shop.spans, Some(Rate { per_second: 500.0, burst }));
        assert_eq!(shop.bytes, Some(Rate { per_second: 1e6, burst }));
        let may: Vec<_> = ["shop", "shop-web", "shopping", "crm", ""]
            .into_iter()
            .filter(|service| shop.may_send(service))
            .collect();
        assert_eq!(may, ["shop", "shop-web"]);
        assert!(sources.by_certificate(&names).unwrap().may_send("anything"));
        assert_eq!(sources.needs_certificate(), Some("mes"));
    }

    /// Each mistake: what stands in the file, on which line it is told, and what is said.
    #[test]
    fn each_mistake_is_told_with_its_line() {
        let good = format!("token_sha256 = \"{}\"\n", hash("t"));
        let source = |rest: &str| format!("[[source]]\nname = \"shop\"\n{rest}");
        let cases: [(String, usize, &str); 22] = [
            (String::new(), 1, "0 times"),
            ("# nothing\n".to_owned(), 1, "0 times"),
            ("[[sources]]\n".to_owned(), 1, "sources"),
            (format!("[[source]]\n{good}"), 1, "name"),
            (format!("[[source]]\nname = \" \"\n{good}"), 2, "1 to 64"),
            (source(""), 2, "needs `token_sha256` or `client_cert`"),
            (source("token_sha256 = \"wbt_secret\"\n"), 3, "64 hexadecimal digits"),
            (source(&format!("token_sha256 = \"{}\"\n", hash(""))), 3, "SHA-256 of nothing"),
            (source("token_sha256 = wbt_secret\n"), 3, ""),
            (source("token_sha256 = 7\n"), 3, ""),
            (source("token = \"wbt_secret\"\n"), 3, "unknown field `token`"),
            (source(&format!("{good}spans_per_second = \"wbt_secret\"\n")), 4, "expected u64"),
            (source(&format!("{good}services = \"wbt_secret\"\n")), 4, "expected a sequence"),
            (source(&format!("{good}wbt_secret = 1\n")), 4, "unknown field"),
            ("[[source]]\nname = \"wbt_secret\"\n".to_owned(), 2, "source `…` needs"),
            (source("client_cert = \"\"\n"), 3, "cannot be empty"),
            (source(&format!("{good}services = []\n")), 4, "leave `services` out"),
            (source(&format!("{good}services = [\n\"shop\",\n\"\"]\n")), 6, "cannot be empty"),
            (source(&format!("{good}spans_per_second = 0\n")), 4, "at least 1"),
            (source(&format!("{good}bytes_per_second = -1\n")), 4, ""),
            (source(&format!("{good}burst = \"soon\"\n")), 4, "10s"),
            (source(&format!("{good}burst = \"0s\"\n")), 4, "longer than nothing"),
        ];
        for (text, line, says) in cases {
            let Mistakes(mistakes) = parse(&text).unwrap_err();
            assert_eq!(mistakes.len(), 1, "{text}\n{mistakes:?}");
            assert_eq!(mistakes[0].line, line, "{text}\n{mistakes:?}");
            assert!(mistakes[0].reason.contains(says), "{text}\n{mistakes:?}");
            assert!(!mistakes[0].reason.contains("wbt_secret"), "{mistakes:?}");
        }
    }

    #[test]
    fn what_is_unique_stands_once() {
        let text = format!(
            "[[source]]\nname = \"a\"\ntoken_sha256 = \"{0}\"\nclient_cert = \"c\"\n\
             [[source]]\nname = \"a\"\ntoken_sha256 = \"{0}\"\nclient_cert = [\"d\", \"c\"]\n",
            hash("t"),
        );
        let told = parse(&text).unwrap_err().to_string();
        assert_eq!(
            told,
            "line 6: `name` stands on line 2 already; line 7: this token stands on line 3 \
             already; line 8: this `client_cert` stands on line 4 already"
        );
    }
}
