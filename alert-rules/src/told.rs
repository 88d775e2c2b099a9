//! What on-call was told and the rule gives no more: it has ended.
//!
//! Most rules say by themselves when an alert ended. Where the state of an order no longer tells (a
//! message that was taken after all, a system that is heard again, a fact that came too late), the
//! record of the webhook does: it is data in the store, the same for every evaluator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use order_store::Store;

use crate::alert::{Alert, time};
use crate::rows::{self, QueryError};
use crate::rule::Rule;
use crate::template::Row;

/// Most told alerts of one rule that are looked at, the latest; older ones end by themselves.
const TOLD_MAX: usize = 10_000;

/// The rows of `told_alerts_v1` of a rule, the latest first.
///
/// # Errors
/// [`QueryError`].
pub(crate) async fn ask(
    store: &Store,
    rule: &Rule,
    time_max: Duration,
) -> Result<Vec<Row>, QueryError> {
    // A rule's name has letters, digits and underscores: it needs no quoting.
    let sql = format!(
        "SELECT Labels, Annotations, StartsAt, ResolvedAt, AsOf FROM told_alerts_v1 \
         WHERE AlertName = '{}' ORDER BY StartsAt DESC LIMIT {TOLD_MAX}",
        rule.name
    );
    Ok(rows::ask(store, &sql, time_max).await?.rows)
}

/// The told alerts whose label sets are not among `given`, as ended ones: then, or as the record has
/// it. Of one label set only the latest.
pub(crate) fn ended(told: &[Row], given: &[Alert]) -> Vec<Alert> {
    let mut seen: BTreeSet<BTreeMap<String, String>> =
        given.iter().map(|alert| alert.labels.clone()).collect();
    let mut ended = Vec::new();
    for row in told {
        let (Some(labels), Some(annotations)) = (texts(row, "Labels"), texts(row, "Annotations"))
        else {
            continue;
        };
        let Some(starts_at) = time(row, "StartsAt") else { continue };
        let ends_at = time(row, "ResolvedAt").or_else(|| time(row, "AsOf"));
        if let (Some(ends_at), true) = (ends_at, seen.insert(labels.clone())) {
            let ends_at = ends_at.max(starts_at);
            ended.push(Alert { labels, annotations, starts_at, ends_at, open: false });
        }
    }
    ended
}

fn texts(row: &Row, column: &str) -> Option<BTreeMap<String, String>> {
    let map = row.get(column)?.as_object()?;
    Some(map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;

    use super::*;

    fn at(minute: u32) -> DateTime<Utc> {
        format!("2026-11-23T10:{minute:02}:00Z").parse().unwrap()
    }

    fn row(order: &str, starts: u32, resolved: Option<u32>) -> Row {
        serde_json::from_value(json!({
            "Labels": {"alertname": "A", "order": order},
            "Annotations": {"summary": "s"},
            "StartsAt": at(starts), "ResolvedAt": resolved.map(at), "AsOf": at(30),
        }))
        .unwrap()
    }

    #[test]
    fn what_the_rule_gives_no_more_has_ended() {
        let told = [
            row("gone", 20, None),
            row("gone", 5, None),
            row("told", 1, Some(9)),
            row("on", 2, None),
        ];
        let labels = [("alertname", "A"), ("order", "on")];
        let on = Alert {
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            annotations: BTreeMap::new(),
            starts_at: at(2),
            ends_at: at(59),
            open: true,
        };
        let ended: Vec<_> = ended(&told, &[on])
            .into_iter()
            .map(|alert| {
                (alert.labels["order"].clone(), alert.starts_at, alert.ends_at, alert.open)
            })
            .collect();
        let expected = [("gone", at(20), at(30)), ("told", at(1), at(9))];
        let expected = expected.map(|(order, from, to)| (order.to_owned(), from, to, false));
        assert_eq!(ended, expected);
    }
}
