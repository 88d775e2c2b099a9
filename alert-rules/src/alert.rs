//! From rows to alerts as Alertmanager takes them (API v2, `postableAlerts`).
//!
//! Pure: a row, the rule and `now` give the alert. The same row gives the same labels in every
//! evaluator. See
//! <https://github.com/prometheus/alertmanager/blob/v0.25.0/api/v2/openapi.yaml>.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::rule::{Label, Rule};
use crate::template::{Row, Templates};

/// Most bytes of an annotation; a longer one is cut, with `…` at its end, and counted.
const ANNOTATION_BYTES_MAX: usize = 4096;

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The identity.
    pub labels: BTreeMap<String, String>,
    /// Texts and evidence.
    pub annotations: BTreeMap<String, String>,
    /// When the condition began, from the data.
    #[serde(serialize_with = "rfc3339")]
    pub starts_at: DateTime<Utc>,
    /// When it ended, from the data; or, while it is open, until when Alertmanager keeps it
    /// should nobody say so again.
    #[serde(serialize_with = "rfc3339")]
    pub ends_at: DateTime<Utc>,
    /// Whether the condition still holds.
    #[serde(skip)]
    pub open: bool,
}

/// The alerts of one evaluation of a rule, and what was not as it should be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rendered {
    pub(crate) alerts: Vec<Alert>,
    /// Templates that failed, each with its reason.
    pub(crate) failures: BTreeMap<String, String>,
    /// Annotations that were cut.
    pub(crate) cut: u64,
    /// Rows that had the same labels as another.
    pub(crate) folded: u64,
}

/// Renders the rows of a rule. Rows of one label set are one alert: the open one, else the one
/// that began last. A template that fails leaves its reason as the text: the page goes out.
pub(crate) fn render(
    rule: &Rule,
    templates: &Templates,
    rows: &[Row],
    now: DateTime<Utc>,
    resolve_window: Duration,
) -> Rendered {
    let mut rendered = Rendered::default();
    let mut alerts: BTreeMap<BTreeMap<String, String>, Alert> = BTreeMap::new();
    for row in rows {
        let (Some(starts_at), ends_at) = (time(row, "starts_at"), time(row, "ends_at")) else {
            let why = "`starts_at` is no time".to_owned();
            rendered.failures.insert(rule.name.clone(), why);
            continue;
        };
        let labels = labels(rule, row);
        let annotations = annotations(rule, templates, row, &mut rendered);
        let open = ends_at.is_none();
        let ends_at = ends_at.unwrap_or(now + resolve_window);
        let alert = Alert { labels: labels.clone(), annotations, starts_at, ends_at, open };
        match alerts.entry(labels) {
            Entry::Vacant(place) => _ = place.insert(alert),
            Entry::Occupied(mut place) => {
                rendered.folded += 1;
                let other = place.get();
                if (alert.open, alert.starts_at) > (other.open, other.starts_at) {
                    place.insert(alert);
                }
            }
        }
    }
    rendered.alerts = alerts.into_values().collect();
    rendered
}

impl Alert {
    /// A number that stays the same while what the alert says does: an open alert's `ends_at`
    /// moves with every evaluation and says nothing.
    pub(crate) fn content_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let ended = (!self.open).then_some(self.ends_at);
        (&self.labels, &self.annotations, self.starts_at, ended).hash(&mut hasher);
        hasher.finish()
    }
}

fn labels(rule: &Rule, row: &Row) -> BTreeMap<String, String> {
    let value = |label: &Label| match label {
        Label::Text(text) => text.clone(),
        Label::Column { column, .. } => match row.get(column) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        },
    };
    let named = rule.labels.iter().map(|(name, label)| (name.clone(), value(label)));
    named.chain([("alertname".to_owned(), rule.name.clone())]).collect()
}

fn annotations(
    rule: &Rule,
    templates: &Templates,
    row: &Row,
    rendered: &mut Rendered,
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    for (name, annotation) in &rule.annotations {
        let mut text = templates.render(&annotation.template, row).unwrap_or_else(|why| {
            let text = format!("(this text could not be made: {why})");
            rendered.failures.insert(annotation.template.clone(), why);
            text
        });
        if text.len() > ANNOTATION_BYTES_MAX {
            rendered.cut += 1;
            text.truncate(text.floor_char_boundary(ANNOTATION_BYTES_MAX - '…'.len_utf8()));
            text.push('…');
        }
        annotations.insert(name.clone(), text);
    }
    annotations
}

fn time(row: &Row, column: &str) -> Option<DateTime<Utc>> {
    let text = row.get(column)?.as_str()?;
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc))
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
