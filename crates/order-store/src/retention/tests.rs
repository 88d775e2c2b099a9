//! Settings, the TTL read from the engine's own words, and the statements for a cluster.

use std::collections::BTreeSet;

use super::*;
use crate::cluster::{ClusterLayout, split, statements};
use crate::schema::migrations;

fn days(days: u64) -> Duration {
    Duration::from_secs(days * DAY_SECONDS)
}

#[test]
fn bad_settings_name_their_flag() {
    let good = RetentionSettings::default();
    assert_eq!(good.check(), Ok(()));
    let cases: [(RetentionSettings, &str, &str); 9] = [
        (RetentionSettings { retention_spans: days(0), ..good }, "--retention-spans", "1d"),
        (
            RetentionSettings { retention_logs: Duration::from_secs(86_399), ..good },
            "--retention-logs",
            "1d",
        ),
        (RetentionSettings { retention_metrics: days(0), ..good }, "--retention-metrics", "1d"),
        (
            RetentionSettings { retention_heartbeats: days(40_000), ..good },
            "--retention-heartbeats",
            "30y",
        ),
        (RetentionSettings { retention_facts: days(59), ..good }, "--retention-facts", "60d"),
        (RetentionSettings { retention_facts: days(20_000), ..good }, "--retention-facts", "30y"),
        (
            RetentionSettings { retention_spans: days(2_000), ..good },
            "--retention-facts",
            "shorter than --retention-spans",
        ),
        (
            RetentionSettings { retention_logs: days(2_000), ..good },
            "--retention-facts",
            "shorter than --retention-logs",
        ),
        (
            RetentionSettings { retention_facts: days(300), ..good },
            "--retention-facts",
            "shorter than --retention-heartbeats",
        ),
    ];
    for (settings, flag, why) in cases {
        let (named, reason) = settings.check().unwrap_err();
        assert_eq!(named, flag, "{settings:?}");
        assert!(reason.contains(why), "{reason}");
    }
    let equal = RetentionSettings { retention_spans: good.retention_facts, ..good };
    assert_eq!(equal.check(), Ok(()));
    // Nothing is derived from metrics.
    let long = RetentionSettings { retention_metrics: days(9_000), ..good };
    assert_eq!(long.check(), Ok(()));
}

#[test]
fn the_longest_retention_does_not_wrap_around_this_generation() {
    let last = u64::from(u32::MAX) - RETENTION_MAX.as_secs();
    // 2060-01-01.
    assert!(last > 2_840_140_800, "{last}");
}

#[test]
fn intervals_are_written_as_the_engine_writes_them() {
    let cases = [
        ("5y", "toIntervalYear(5)"),
        ("90d", "toIntervalDay(90)"),
        ("2w", "toIntervalDay(14)"),
        ("36h", "toIntervalSecond(129600)"),
    ];
    for (text, written) in cases {
        assert_eq!(interval(duration(text).unwrap()), written, "{text}");
    }
    assert!(duration("soon").unwrap_err().contains("90d"));
}

#[test]
fn a_table_is_changed_when_it_differs_and_keeps_what_moves_rows() {
    let engine = |ttl: &str, settings: &str| {
        format!("MergeTree PARTITION BY toDate(R) ORDER BY (A, B){ttl} SETTINGS {settings}")
    };
    let at = |engine: &str| change("otel_logs", "toDateTime(R)", days(30), engine);
    let same = " TTL toDateTime(R) + toIntervalDay(30)";
    let cold = "toDateTime(R) + toIntervalDay(7) TO VOLUME 'cold'";
    assert_eq!(at(&engine(same, "a = 1")), None);
    assert_eq!(at(&engine(&format!("{same}, {cold}"), "a = 1")), None);
    let done = at(&engine(" TTL toDateTime(R) + toIntervalDay(90)", RECALCULATE_ONLY)).unwrap();
    assert_eq!(done.ttl, "toDateTime(R) + toIntervalDay(30)");
    assert!(!done.recalculate);
    let first = at(&engine("", "a = 1")).unwrap();
    assert_eq!((first.ttl.as_str(), first.recalculate), (done.ttl.as_str(), true));
    let tiered = at(&engine(&format!(" TTL f(R, 1) + toIntervalDay(9), {cold}"), "a = 1")).unwrap();
    assert_eq!(tiered.ttl, format!("toDateTime(R) + toIntervalDay(30), {cold}"));
}

#[test]
fn a_cluster_changes_the_tables_that_hold_the_rows() {
    let layout = ClusterLayout::new("main", "waybill").unwrap();
    let mut made = Vec::new();
    for (table, _, since) in &TABLES {
        let change = change(table, since, days(30), "MergeTree").unwrap();
        made.extend(statements(&change.statements(), &layout).unwrap());
    }
    assert_eq!(made.len(), 2 * TABLES.len());
    insta::assert_snapshot!(made[..2].join(";\n"), @r"
    ALTER TABLE otel_traces_local ON CLUSTER 'main' MODIFY SETTING materialize_ttl_recalculate_only = 1;
    ALTER TABLE otel_traces_local ON CLUSTER 'main' MODIFY TTL toDateTime(ReceivedAt) + toIntervalDay(30) SETTINGS materialize_ttl_after_modify = 1, alter_sync = 0
    ");
}

/// A new table must say how long its rows are kept.
#[test]
fn every_table_has_a_retention_or_is_kept_on_purpose() {
    let elsewhere = ["sources", "stitchers", "conservation_checks", "settled_counts", "lifecycles"];
    let known: BTreeSet<&str> = TABLES.iter().map(|(table, ..)| *table).chain(elsewhere).collect();
    let mut made = BTreeSet::new();
    for statement in migrations().flat_map(|(_, _, text)| split(text)) {
        if let Some(rest) = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ") {
            made.insert(rest.split_whitespace().next().unwrap().to_owned());
        }
    }
    assert_eq!(made, known.into_iter().map(str::to_owned).collect());
}
