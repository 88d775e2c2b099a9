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
        // An end that is still to come is until when Alertmanager keeps it.
        let open = ends_at.is_none_or(|at| at > now);
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

/// A time of a row.
pub(crate) fn time(row: &Row, column: &str) -> Option<DateTime<Utc>> {
    let text = row.get(column)?.as_str()?;
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc))
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rule::RuleSet;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-23T10:00:00Z").unwrap().with_timezone(&Utc)
    }

    fn calculation() -> RuleSet {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let mut set = RuleSet::read_folder(&folder).unwrap();
        set.set_urls("https://orders.example", "https://wiki.example/runbook");
        set
    }

    /// A row of `CalculationOverOneHour`, with some columns replaced.
    fn row(changes: serde_json::Value) -> Row {
        let mut row: Row = serde_json::from_value(json!({
            "order": "W-1001",
            "channel": "b2c",
            "part": "running",
            "requested_at": "2026-11-23T08:50:00.000Z",
            "started_at": "2026-11-23T08:55:00.000Z",
            "as_of": "2026-11-23T10:00:00.000Z",
            "failed_at": null,
            "retrying_since": null,
            "attempt": 3,
            "worker": "calc-7",
            "error": "",
            "last_sign_of_life_at": "2026-11-23T09:58:00.000Z",
            "sign_of_life_worker": "calc-7",
            "starts_at": "2026-11-23T09:50:00.000Z",
            "ends_at": null,
        }))
        .unwrap();
        row.extend(serde_json::from_value::<Row>(changes).unwrap());
        row
    }

    fn rendered(rows: &[Row], now: DateTime<Utc>) -> Rendered {
        let set = calculation();
        let rule = set.rules().find(|rule| rule.name == "CalculationOverOneHour").unwrap();
        render(rule, &set.templates, rows, now, HOUR)
    }

    #[test]
    fn an_open_alert_is_posted_so() {
        let rendered = rendered(&[row(json!({}))], now());
        assert_eq!(rendered.failures, BTreeMap::new());
        insta::assert_json_snapshot!(rendered.alerts);
    }

    #[test]
    fn an_ended_alert_is_posted_so() {
        let changes = json!({
            "order": "П 7/№1", "channel": "b2b", "part": "answered",
            "ends_at": "2026-11-23T09:59:30.250Z",
        });
        let rendered = rendered(&[row(changes)], now());
        assert_eq!(rendered.failures, BTreeMap::new());
        insta::assert_json_snapshot!(rendered.alerts);
    }

    #[test]
    fn the_evidence_says_which_part_hangs() {
        let none = json!(null);
        let cases = [
            (
                json!({"part": "never_queued", "started_at": none, "attempt": 0, "worker": ""}),
                "never queued: the request for a price was not published",
            ),
            (
                json!({"part": "queued", "started_at": none, "attempt": 0, "worker": ""}),
                "queued, not picked up since 2026-11-23 08:50 UTC",
            ),
            (
                json!({"part": "queued", "error": "mesh is open",
                    "retrying_since": "2026-11-23T09:20:00Z"}),
                "queued, not picked up since 2026-11-23 08:50 UTC, after a failed attempt \
                 (mesh is open)",
            ),
            (
                json!({}),
                "running on worker calc-7 since 2026-11-23 08:55 UTC, attempt 3, last sign of life \
                 at 2026-11-23 09:58 UTC",
            ),
            (
                json!({"sign_of_life_worker": "calc-8", "error": "out of memory",
                    "retrying_since": "2026-11-23T08:55:00Z"}),
                "running on worker calc-7 since 2026-11-23 08:55 UTC, attempt 3, last sign of life \
                 at 2026-11-23 09:58 UTC from worker calc-8, the attempt before failed: out of \
                 memory",
            ),
            (
                json!({"attempt": 0, "worker": "", "last_sign_of_life_at": none}),
                "running since 2026-11-23 08:55 UTC, no sign of life",
            ),
            (
                json!({"part": "failed", "failed_at": "2026-11-23T09:10:00Z",
                    "error": "mesh is open"}),
                "failed at 2026-11-23 09:10 UTC, attempt 3, worker calc-7, with error: mesh is \
                 open; nothing has begun since",
            ),
            (
                json!({"part": "failed", "failed_at": "2026-11-23T09:10:00Z", "attempt": 0,
                    "worker": ""}),
                "failed at 2026-11-23 09:10 UTC; nothing has begun since",
            ),
            (
                json!({"part": "answered", "ends_at": "2026-11-23T09:59:30Z"}),
                "answered at 2026-11-23 09:59 UTC",
            ),
        ];
        for (changes, expected) in cases {
            let rendered = rendered(&[row(changes)], now());
            assert_eq!(rendered.failures, BTreeMap::new());
            assert_eq!(rendered.alerts[0].annotations["evidence"], expected);
        }
    }

    /// Whatever happens to the order while the alert lives, and whenever it is looked at, the
    /// labels and the start are the same: for Alertmanager it is one alert.
    #[test]
    fn the_identity_never_changes_while_the_alert_lives() {
        let identity = |changes, minutes: u64| {
            let now = now() + Duration::from_secs(60 * minutes);
            let alert = rendered(&[row(changes)], now).alerts.remove(0);
            (alert.labels, alert.starts_at)
        };
        let first = identity(json!({"part": "never_queued", "started_at": null}), 0);
        for (changes, minutes) in [
            (json!({"part": "queued", "channel": ""}), 1),
            (json!({"part": "running", "attempt": 1}), 20),
            (json!({"part": "failed", "failed_at": "2026-11-23T10:00:00Z", "error": "e"}), 45),
            (json!({"part": "running", "attempt": 2, "started_at": "2026-11-23T10:50:00Z"}), 60),
            (json!({"part": "answered", "ends_at": "2026-11-23T11:10:00Z"}), 75),
        ] {
            assert_eq!(identity(changes, minutes), first);
        }
        assert_eq!(first.0["alertname"], "CalculationOverOneHour");
        assert_eq!(first.0.len(), 4, "alertname, order, severity, team: {:?}", first.0);
    }

    #[test]
    fn content_stays_the_same_until_the_alert_says_something_else() {
        let hash = |changes, now| rendered(&[row(changes)], now).alerts[0].content_hash();
        let later = now() + HOUR;
        let before = hash(json!({}), now());
        assert_eq!(before, hash(json!({}), later), "an open alert's end moves and says nothing");
        assert_ne!(before, hash(json!({"attempt": 4}), later));
        assert_ne!(before, hash(json!({"ends_at": "2026-11-23T09:59:30Z"}), now()));
    }

    #[test]
    fn rows_of_one_label_set_are_one_alert() {
        let ended = row(json!({"ends_at": "2026-11-23T09:55:00Z"}));
        let open = row(json!({"starts_at": "2026-11-23T09:58:00Z"}));
        for rows in [[ended.clone(), open.clone()], [open, ended]] {
            let rendered = rendered(&rows, now());
            assert_eq!((rendered.alerts.len(), rendered.folded), (1, 1));
            assert!(rendered.alerts[0].open, "the open one stands");
        }
    }

    #[test]
    fn a_template_that_fails_does_not_hold_up_the_page() {
        let rendered = rendered(&[row(json!({"requested_at": "noon"}))], now());
        let text = &rendered.alerts[0].annotations["description"];
        assert!(text.starts_with("(this text could not be made: "), "{text}");
        assert!(rendered.failures.contains_key("CalculationOverOneHour/description"));
    }

    #[test]
    fn a_long_annotation_is_cut_between_characters() {
        let rendered = rendered(&[row(json!({"worker": "ж".repeat(5000)}))], now());
        let text = &rendered.alerts[0].annotations["evidence"];
        assert!(text.len() <= ANNOTATION_BYTES_MAX && text.ends_with('…'), "{}", text.len());
        assert_eq!(rendered.cut, 1);
    }
}
