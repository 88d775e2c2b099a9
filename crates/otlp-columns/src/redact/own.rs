//! Rules of values that the settings bring: regular expressions.
//!
//! They run in time that grows with the length of the text, whatever they look like; one automaton
//! of all of them tells whether any applies.

use regex::{NoExpand, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::{BadRule, REDACTED};

/// Rules at most: each text is compared with all of them.
pub const RULES_MAX: usize = 64;
/// Bytes of one expression.
const PATTERN_BYTES_MAX: usize = 1_000;
/// Memory of one compiled expression, and of the automaton of all of them.
const COMPILED_BYTES_MAX: usize = 2 << 20;
/// Memory of the states that are worked out as texts come, likewise.
const STATES_BYTES_MAX: usize = 2 << 20;

/// A rule of the settings: what its expression matches in a text is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRule {
    /// What it is called in complaints.
    pub name: String,
    /// A regular expression in the syntax of the crate `regex`.
    pub pattern: String,
}

/// The compiled rules.
#[derive(Debug, Clone)]
pub(super) struct OwnRules {
    any: RegexSet,
    each: Vec<Regex>,
}

impl OwnRules {
    /// Compiles rules; `None` when there are none.
    ///
    /// # Errors
    /// [`BadRule`]: the first that cannot be used, by its place in `rules`.
    pub(super) fn compile(rules: &[ValueRule]) -> Result<Option<Self>, BadRule> {
        if rules.is_empty() {
            return Ok(None);
        }
        if rules.len() > RULES_MAX {
            return Err(BadRule::TooMany);
        }
        let mut each = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            each.push(compiled(rule).map_err(|reason| BadRule::Value { index, reason })?);
        }
        let any = RegexSetBuilder::new(rules.iter().map(|rule| &rule.pattern))
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(STATES_BYTES_MAX)
            .build()
            .map_err(|error| {
                let reason = format!("together with the others: {error}");
                BadRule::Value { index: rules.len() - 1, reason }
            })?;
        Ok(Some(Self { any, each }))
    }

    /// Replaces what the rules match; `None` when there is nothing.
    pub(super) fn scrub(&self, text: &str) -> Option<String> {
        let mut scrubbed: Option<String> = None;
        for index in &self.any.matches(text) {
            let current = scrubbed.as_deref().unwrap_or(text);
            let replaced = self.each[index].replace_all(current, NoExpand(REDACTED));
            if let std::borrow::Cow::Owned(replaced) = replaced {
                scrubbed = Some(replaced);
            }
        }
        scrubbed
    }
}

fn compiled(rule: &ValueRule) -> Result<Regex, String> {
    if rule.pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("is longer than {PATTERN_BYTES_MAX} bytes"));
    }
    let regex = RegexBuilder::new(&rule.pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(STATES_BYTES_MAX)
        .build()
        .map_err(|error| format!("is no regular expression: {}", in_one_line(&error)))?;
    // It would stand between all letters of all texts.
    if regex.is_match("") {
        return Err("matches the empty text, so it would match everywhere".to_owned());
    }
    Ok(regex)
}

/// The reason alone: the whole text shows the expression over several lines.
fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &[&str]) -> Vec<ValueRule> {
        let rule = |pattern: &&str| ValueRule { name: "r".into(), pattern: (*pattern).to_owned() };
        patterns.iter().map(rule).collect()
    }

    #[test]
    fn what_own_rules_match_is_replaced() {
        let own = OwnRules::compile(&rules(&[r"\bINN \d{10}\b", "(?i)secret-[a-z]+"])).unwrap();
        let own = own.unwrap();
        for (text, expected) in [
            ("of INN 7707083893.", Some("of [redacted].")),
            ("Secret-abc and INN 7707083893", Some("[redacted] and [redacted]")),
            ("INN 77", None),
            ("", None),
        ] {
            assert_eq!(own.scrub(text).as_deref(), expected, "{text}");
        }
        assert!(OwnRules::compile(&[]).unwrap().is_none());
    }

    #[test]
    fn rules_that_cannot_be_used_are_refused_with_the_reason() {
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        for (pattern, expected) in [
            ("(", "unclosed group"),
            (r"(a)\1", "backreferences are not supported"),
            ("a*", "matches the empty text"),
            ("", "matches the empty text"),
            (r"\w{900}{900}", "size limit"),
            (&long, "longer than 1000 bytes"),
        ] {
            match OwnRules::compile(&rules(&["fine", pattern])) {
                Err(BadRule::Value { index: 1, reason }) => {
                    assert!(reason.contains(expected), "{pattern}: {reason}");
                }
                other => panic!("{pattern}: {other:?}"),
            }
        }
        let many = vec!["x"; RULES_MAX + 1];
        assert_eq!(OwnRules::compile(&rules(&many)).unwrap_err(), BadRule::TooMany);
    }
}
