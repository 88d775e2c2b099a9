//! The shape of a rule file: Prometheus's, with `sql` where that has `expr`.
//!
//! Shape only; what the values must be is checked in [`crate::rule`]. See
//! <https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use crate::finding::Finding;

/// Texts by name, each with its line.
pub(crate) type Texts = BTreeMap<String, Spanned<String>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleFile {
    pub(crate) groups: Spanned<Vec<GroupShape>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupShape {
    pub(crate) name: Spanned<String>,
    pub(crate) interval: Option<Spanned<String>>,
    pub(crate) rules: Spanned<Vec<RuleShape>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleShape {
    pub(crate) alert: Spanned<String>,
    pub(crate) sql: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) labels: Texts,
    #[serde(default)]
    pub(crate) annotations: Texts,
    // Prometheus's keys that mean nothing here: taken so that they can be refused with a reason.
    pub(crate) expr: Option<Spanned<IgnoredAny>>,
    #[serde(rename = "for")]
    pub(crate) pending: Option<Spanned<IgnoredAny>>,
    pub(crate) keep_firing_for: Option<Spanned<IgnoredAny>>,
}

/// Parses the text of a file.
///
/// # Errors
/// The YAML is broken, a key is unknown, doubled or missing.
pub(crate) fn parse(file: &str, text: &str) -> Result<RuleFile, Finding> {
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let plain = serde_saphyr::UserMessageFormatter;
        let reason = error.without_snippet().render_with_formatter(&plain);
        Finding::new(file, line, reason)
    })
}
