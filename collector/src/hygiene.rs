//! What is stored of what comes in: rules of redaction, and bounds on attributes.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use otlp_columns::redact::{BadRule, RedactionRules, ValueRule};
use otlp_columns::{Limits, Redaction};
use serde::Deserialize;
use serde_spanned::Spanned;

/// Bytes of the rules file; a larger one is refused.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a rule's name.
const NAME_BYTES_MAX: usize = 64;

/// What is stored of what comes in.
#[derive(Debug, Clone, Args)]
pub struct HygieneSettings {
    /// Also remove the values of these attribute keys (`key`, `prefix*` or `*suffix`); repeatable.
    #[arg(long = "redact-key", env = "WAYBILL_REDACT_KEYS", value_delimiter = ',')]
    pub redact_keys: Vec<String>,
    /// More rules of redaction (TOML): keys, regular expressions of values, built-in rules that
    /// are switched off. `docs/otlp.md` shows one.
    #[arg(long, env = "WAYBILL_REDACT_RULES", value_name = "FILE")]
    pub redact_rules: Option<PathBuf>,
    /// Attributes of one span, event, link, resource, scope, log record or data point; those past
    /// it are cut and counted on the row.
    #[arg(long, env = "WAYBILL_ATTRIBUTES_MAX", default_value_t = Limits::default().attributes_max)]
    pub attributes_max: usize,
    /// Bytes of an attribute key; a longer one is cut.
    #[arg(long, env = "WAYBILL_ATTRIBUTE_KEY_BYTES_MAX",
          default_value_t = Limits::default().key_bytes_max)]
    pub attribute_key_bytes_max: usize,
    /// Bytes of an attribute value, name or status text; a longer one is cut.
    #[arg(long, env = "WAYBILL_ATTRIBUTE_VALUE_BYTES_MAX",
          default_value_t = Limits::default().value_bytes_max)]
    pub attribute_value_bytes_max: usize,
    /// Bytes of a log record's body; a longer one is cut.
    #[arg(long, env = "WAYBILL_LOG_BODY_BYTES_MAX",
          default_value_t = Limits::default().log_body_bytes_max)]
    pub log_body_bytes_max: usize,
    /// Events of one span; those past it are cut and counted on the row.
    #[arg(long, env = "WAYBILL_SPAN_EVENTS_MAX", default_value_t = Limits::default().events_max)]
    pub span_events_max: usize,
    /// Links of one span; those past it are cut and counted on the row.
    #[arg(long, env = "WAYBILL_SPAN_LINKS_MAX", default_value_t = Limits::default().links_max)]
    pub span_links_max: usize,
}

/// The rules of redaction cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedactionError {
    /// The file cannot be read.
    #[error("bad setting --redact-rules: cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than a list of rules can be.
    #[error("bad setting --redact-rules: {} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has a mistake.
    #[error("bad setting --redact-rules: {} {mistake}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Where and what.
        mistake: Mistake,
    },
    /// A pattern of a flag.
    #[error("bad setting --redact-key")]
    Key(#[source] BadRule),
}

/// A mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl HygieneSettings {
    /// The bounds of the mapping, beside that on the body.
    #[must_use]
    pub fn limits(&self, decoded_bytes_max: usize) -> Limits {
        Limits {
            decoded_bytes_max,
            attributes_max: self.attributes_max,
            key_bytes_max: self.attribute_key_bytes_max,
            value_bytes_max: self.attribute_value_bytes_max,
            log_body_bytes_max: self.log_body_bytes_max,
            events_max: self.span_events_max,
            links_max: self.span_links_max,
            ..Limits::default()
        }
    }

    /// What is wrong with the numbers, as (flag, reason).
    ///
    /// # Errors
    /// The first bad setting.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (flag, value, range) in [
            ("--attributes-max", self.attributes_max, 1..=10_000),
            ("--attribute-key-bytes-max", self.attribute_key_bytes_max, 16..=1_024),
            ("--attribute-value-bytes-max", self.attribute_value_bytes_max, 64..=1 << 20),
            ("--log-body-bytes-max", self.log_body_bytes_max, 64..=1 << 20),
            ("--span-events-max", self.span_events_max, 0..=10_000),
            ("--span-links-max", self.span_links_max, 0..=10_000),
        ] {
            if !range.contains(&value) {
                return Err((flag, format!("must be from {} to {}", range.start(), range.end())));
            }
        }
        Ok(())
    }

    /// Reads the rules of the file and of the flags.
    ///
    /// # Errors
    /// [`RedactionError`].
    pub fn redaction(&self) -> Result<Redaction, RedactionError> {
        let keys = self.redact_keys.clone();
        let of_flags = RedactionRules { keys, ..RedactionRules::default() };
        Redaction::of(&of_flags).map_err(RedactionError::Key)?;
        let Some(path) = &self.redact_rules else {
            return Redaction::of(&of_flags).map_err(RedactionError::Key);
        };
        let read = |source| RedactionError::Read { path: path.clone(), source };
        if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(RedactionError::TooLarge { path: path.clone() });
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        redaction_of(&text, of_flags.keys)
            .map_err(|mistake| RedactionError::File { path: path.clone(), mistake })
    }
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    keys: Vec<Spanned<String>>,
    keep: Vec<Spanned<String>>,
    off: Vec<Spanned<String>>,
    #[serde(rename = "value")]
    values: Vec<FileRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    name: Spanned<String>,
    pattern: Spanned<String>,
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The rules of a file and `keys` of the flags.
fn redaction_of(text: &str, keys: Vec<String>) -> Result<Redaction, Mistake> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        Mistake { line, reason: error.message().to_owned() }
    })?;
    let at = |place: &Spanned<String>, reason: String| {
        let line = line_of(text, place.span().start);
        Mistake { line, reason }
    };
    let mut rules = RedactionRules { keys, ..RedactionRules::default() };
    // One after the other, so that a mistake is told with its line.
    for pattern in &file.keys {
        rules.keys.push(pattern.get_ref().clone());
        let alone = RedactionRules { keys: vec![pattern.get_ref().clone()], ..Default::default() };
        Redaction::of(&alone).map_err(|error| at(pattern, error.to_string()))?;
    }
    for key in &file.keep {
        if key.get_ref().trim().is_empty() || key.get_ref().contains('*') {
            return Err(at(key, "`keep` takes whole keys".to_owned()));
        }
        rules.kept_keys.push(key.get_ref().clone());
    }
    for name in &file.off {
        rules.off.push(name.get_ref().clone());
        let alone = RedactionRules { off: vec![name.get_ref().clone()], ..Default::default() };
        Redaction::of(&alone).map_err(|error| at(name, error.to_string()))?;
    }
    for rule in &file.values {
        let name = rule.name.get_ref().clone();
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
            let reason = format!("`name` is a text of 1 to {NAME_BYTES_MAX} bytes");
            return Err(at(&rule.name, reason));
        }
        if rules.values.iter().any(|known| known.name == name) {
            return Err(at(&rule.name, format!("`{name}` stands twice")));
        }
        rules.values.push(ValueRule { name, pattern: rule.pattern.get_ref().clone() });
    }
    Redaction::of(&rules).map_err(|error| match &error {
        BadRule::Value { index, reason } => match file.values.get(*index) {
            Some(rule) => {
                at(&rule.pattern, format!("`pattern` of `{}` {reason}", rule.name.get_ref()))
            }
            None => Mistake { line: 1, reason: error.to_string() },
        },
        _ => Mistake { line: 1, reason: error.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use otlp_columns::redact::Verdict;

    use super::*;

    #[test]
    fn a_file_says_keys_expressions_and_what_is_off() {
        let text = r#"
            off = ["phone"]
            keys = ["*.inn"]
            keep = ["legacy.order"]

            [[value]]
            name = "inn"
            pattern = '\bINN \d{10}\b'
        "#;
        let redaction = redaction_of(text, vec!["my.*".to_owned()]).unwrap();
        for (key, verdict) in [
            ("a.inn", Verdict::Remove),
            ("my.key", Verdict::Remove),
            ("legacy.order", Verdict::Keep),
            ("other", Verdict::ScrubValue),
        ] {
            assert_eq!(redaction.verdict(key), verdict, "{key}");
        }
        assert!(redaction_of("", vec![]).is_ok());
    }

    #[test]
    fn a_mistake_in_the_file_is_told_with_its_line() {
        let rule = |name: &str, pattern: &str| {
            format!("[[value]]\nname = \"{name}\"\npattern = '{pattern}'\n")
        };
        let many: String = (0..70).map(|index| rule(&index.to_string(), "x")).collect();
        for (text, line, says) in [
            ("off = [\n  \"mail\"]", 2, "`mail` is no built-in rule; there are url"),
            ("keys = [\"a\",\n\"*\"]", 2, "is no key pattern"),
            ("keep = [\"a*\"]", 1, "takes whole keys"),
            ("offf = []", 1, "unknown field `offf`"),
            ("off = 7", 1, "invalid type"),
            (&rule("a", "("), 3, "`pattern` of `a` is no regular expression: unclosed group"),
            (&rule("a", "x*"), 3, "matches the empty text"),
            (&format!("{}{}", rule("a", "x"), rule("a", "y")), 5, "`a` stands twice"),
            (&rule("", "x"), 2, "1 to 64 bytes"),
            (&many, 1, "at most 64"),
        ] {
            let mistake = redaction_of(text, vec![]).unwrap_err();
            assert_eq!(mistake.line, line, "{text}: {mistake}");
            assert!(mistake.reason.contains(says), "{text}: {mistake}");
        }
    }
}
