//! What a rule gave beside what a check expects.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::alert::Alert;
use crate::alert::Rendered;
use crate::fixture::{Check, Expected, Times};

/// Most alerts that a difference names; of more, the rest are counted.
const NAMED_MAX: usize = 20;

/// The differences, a line each, `-` for what was expected and `+` for what was given; empty when
/// there are none.
///
/// # Errors
/// A time of the check that cannot be read.
pub(super) fn differences(
    check: &Check,
    rendered: &Rendered,
    times: Times,
    base: DateTime<Utc>,
) -> Result<String, String> {
    let mut lines: Vec<String> =
        rendered.failures.iter().map(|(what, why)| format!("  ! {what}: {why}")).collect();
    if let Some(count) = check.count {
        if rendered.alerts.len() != count {
            lines.push(format!("  - {count} alerts"));
            lines.push(format!("  + {} alerts", rendered.alerts.len()));
        }
        return Ok(lines.join("\n"));
    }
    let mut given: BTreeMap<BTreeMap<String, String>, &Alert> =
        rendered.alerts.iter().map(|alert| (identity(&alert.labels), alert)).collect();
    for expected in &check.expected {
        let labels = identity(&expected.labels);
        let from = times.offset(&expected.starts_at)?;
        let until = expected.ends_at.as_ref().map(|at| times.offset(at)).transpose()?;
        let expects = line(&labels, from, until);
        match given.remove(&labels) {
            None => lines.push(format!("  - {expects}")),
            Some(alert) => {
                let gives = of_alert(alert, base);
                if gives != expects {
                    lines.extend([format!("  - {expects}"), format!("  + {gives}")]);
                }
                lines.extend(annotations(expected, alert));
            }
        }
    }
    let more = given.len().saturating_sub(NAMED_MAX);
    lines.extend(
        given.values().take(NAMED_MAX).map(|alert| format!("  + {}", of_alert(alert, base))),
    );
    if more > 0 {
        lines.push(format!("  + and {more} more"));
    }
    Ok(lines.join("\n"))
}

/// The labels but for the one that every alert of the rule has.
fn identity(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = labels.clone();
    labels.remove("alertname");
    labels
}

fn of_alert(alert: &Alert, base: DateTime<Utc>) -> String {
    let until = (!alert.open).then(|| alert.ends_at - base);
    line(&identity(&alert.labels), alert.starts_at - base, until)
}

fn line(labels: &BTreeMap<String, String>, from: TimeDelta, until: Option<TimeDelta>) -> String {
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    let until = until.map_or_else(|| "open".to_owned(), |at| format!("until {}", offset(at)));
    format!("{{{}}} from {} {until}", labels.join(", "), offset(from))
}

/// As a fixture writes it.
fn offset(length: TimeDelta) -> String {
    let sign = if length < TimeDelta::zero() { "-" } else { "" };
    let length = length.abs();
    let (minutes, rest) = (length.num_minutes(), length.num_milliseconds() % 60_000);
    match (minutes, rest) {
        (_, 0) => format!("{sign}{minutes}m"),
        (0, _) => format!("{sign}{rest}ms"),
        _ => format!("{sign}{minutes}m {rest}ms"),
    }
}

fn annotations(expected: &Expected, alert: &Alert) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, text) in &expected.annotations {
        let given = alert.annotations.get(name).map_or("(none)", String::as_str);
        if given != text {
            lines.push(format!("  annotation {name}:"));
            lines.extend([format!("  - {text}"), format!("  + {given}")]);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const CHECK: &str = "cases:
  - name: one
    checks:
      - as_of: 61m
        alert: A
        expected:
          - {labels: {order: W-1}, starts_at: 60m, annotations: {evidence: queued}}
";

    fn alert(order: &str, from: i64, evidence: &str) -> Alert {
        let base = DateTime::<Utc>::UNIX_EPOCH;
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        Alert {
            labels: texts(&[("alertname", "A"), ("order", order)]),
            annotations: texts(&[("evidence", evidence)]),
            starts_at: base + TimeDelta::minutes(from),
            ends_at: base + TimeDelta::minutes(99),
            open: true,
        }
    }

    fn compared(check: &str, alerts: Vec<Alert>) -> String {
        let file = fixture::parse("f.yaml", check).unwrap();
        let rendered = Rendered { alerts, ..Rendered::default() };
        let check = &file.cases[0].checks[0].value;
        differences(check, &rendered, Times::default(), DateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn what_differs_is_said_line_by_line() {
        assert_eq!(compared(CHECK, vec![alert("W-1", 60, "queued")]), "");
        insta::assert_snapshot!(compared(CHECK, vec![alert("W-1", 61, "running"), alert("W-2", 0, "")]), @r#"
          - {order="W-1"} from 60m open
          + {order="W-1"} from 61m open
          annotation evidence:
          - queued
          + running
          + {order="W-2"} from 0m open
        "#);
        assert_eq!(compared(CHECK, vec![]), "  - {order=\"W-1\"} from 60m open");
        let counted = CHECK.replacen("alert: A\n", "alert: A\n        count: 2\n", 1);
        assert_eq!(compared(&counted, vec![]), "  - 2 alerts\n  + 0 alerts");
    }
}
