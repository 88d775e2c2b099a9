//! What the settings say of redaction, and what may be wrong with it.

use std::sync::Arc;

use super::built_in::{BuiltIn, Rules};
use super::own::{OwnRules, RULES_MAX, ValueRule};
use super::{Redaction, TextRules};

/// Rules of the settings, beside the default ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedactionRules {
    /// Patterns of keys whose values are removed.
    pub keys: Vec<String>,
    /// Keys whose values the rules of texts leave alone.
    pub kept_keys: Vec<String>,
    /// Built-in rules of values that are switched off, by name.
    pub off: Vec<String>,
    /// Rules of values.
    pub values: Vec<ValueRule>,
}

/// A pattern of keys is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key pattern; write `key`, `prefix*` or `*suffix`")]
pub struct BadPattern(pub String);

/// A rule of the settings is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// A pattern of keys.
    #[error(transparent)]
    Key(#[from] BadPattern),
    /// A name that no built-in rule has.
    #[error("`{name}` is no built-in rule; there are {}", BuiltIn::NAMES.map(|(name, _)| name).join(", "))]
    Off {
        /// The name.
        name: String,
    },
    /// An expression; `index` is its place in [`RedactionRules::values`].
    #[error("the expression {reason}")]
    Value {
        /// Which.
        index: usize,
        /// Why, as the end of a sentence.
        reason: String,
    },
    /// More rules of values than [`RULES_MAX`].
    #[error("there may be at most {RULES_MAX} rules of values")]
    TooMany,
}

impl Redaction {
    /// The default rules and those of the settings.
    ///
    /// # Errors
    /// [`BadRule`]: the first that cannot be used.
    pub fn of(rules: &RedactionRules) -> Result<Self, BadRule> {
        let mut redaction = Self::with(&rules.keys)?;
        let mut built_in = Rules::ALL;
        for name in &rules.off {
            let known = BuiltIn::NAMES.iter().find(|(known, _)| known == name);
            let Some((_, rule)) = known else { return Err(BadRule::Off { name: name.clone() }) };
            built_in = built_in.without(Rules::only(*rule));
        }
        let own = OwnRules::compile(&rules.values)?;
        redaction.texts = Arc::new(TextRules { built_in, own });
        Ok(redaction.keeping(rules.kept_keys.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn rules_of_the_settings_count() {
        let redaction = Redaction::of(&RedactionRules {
            keys: texts(&["*.inn"]),
            kept_keys: texts(&["legacy.order"]),
            off: texts(&["phone", "url"]),
            values: vec![ValueRule { name: "inn".into(), pattern: r"INN \d+".into() }],
        })
        .unwrap();
        assert_eq!(redaction.verdict("a.inn"), Verdict::Remove);
        assert_eq!(redaction.verdict("legacy.order"), Verdict::Keep);
        for (text, expected) in [
            ("INN 77 a@b.ru +79000000000", Some("[redacted] [redacted] +79000000000")),
            ("https://h/?a=INN 77", Some("https://h/?a=[redacted]")),
            ("https://h/?a=1", None),
        ] {
            for verdict in [Verdict::Scrub, Verdict::ScrubValue, Verdict::ScrubNumber] {
                assert_eq!(redaction.mended(verdict, text).as_deref(), expected, "{text}");
            }
        }
        assert_eq!(redaction.mended(Verdict::Keep, "INN 77"), None);
        assert_eq!(redaction.texts().mended_name("of INN 77").as_deref(), Some("of [redacted]"));
    }

    #[test]
    fn a_rule_that_cannot_be_used_is_told() {
        let refused = |rules: RedactionRules| Redaction::of(&rules).unwrap_err().to_string();
        let off = refused(RedactionRules { off: texts(&["mail"]), ..Default::default() });
        assert!(off.starts_with("`mail` is no built-in rule; there are url, presigned"), "{off}");
        let keys = refused(RedactionRules { keys: texts(&["*"]), ..Default::default() });
        assert!(keys.contains("is no key pattern"), "{keys}");
        let values = vec![ValueRule { name: "x".into(), pattern: "(".into() }];
        let value = refused(RedactionRules { values, ..Default::default() });
        assert!(value.contains("unclosed group"), "{value}");
    }
}
