//! Fixtures of `alert-rules test`: facts in, points in time, alerts out; as YAML.
//!
//! Times are offsets from the start of the case (`61m`, `-5m`), or absolute when it names its start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::finding::Finding;

/// Most orders that one fact stands for; more are refused.
pub(crate) const ORDERS_MAX: u32 = 10_000;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FixtureFile {
    /// Rule files or folders, seen from this file; without it those of `--rules`.
    #[serde(default)]
    pub(crate) rules: Vec<PathBuf>,
    pub(crate) cases: Vec<Case>,
}

/// One story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: Spanned<String>,
    /// Where time begins. Without it, so that the point in time looked at is now.
    pub(crate) start: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) facts: Vec<Spanned<Fact>>,
    pub(crate) checks: Vec<Spanned<Check>>,
}

/// What a system says, or what on-call was told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fact {
    /// When, by the clock of the system.
    pub(crate) at: String,
    /// When the collector heard of it; without it, then.
    pub(crate) heard: Option<String>,
    /// The order; none: the system was heard of, and that is all.
    pub(crate) order: Option<String>,
    /// That many orders, `order-1`, `order-2`, …, in place of the one.
    pub(crate) times: Option<u32>,
    /// The system that says it.
    #[serde(default = "shop")]
    pub(crate) by: String,
    pub(crate) stage: Option<String>,
    #[serde(default)]
    pub(crate) price_requested: bool,
    /// A message was published there.
    pub(crate) published: Option<String>,
    /// A message was taken from there.
    pub(crate) taken: Option<String>,
    /// The worker that is alive.
    pub(crate) heartbeat: Option<String>,
    #[serde(default)]
    pub(crate) attempt: u32,
    #[serde(default)]
    pub(crate) worker: String,
    #[serde(default)]
    pub(crate) error: String,
    /// Whether it names a model.
    #[serde(default)]
    pub(crate) model: bool,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) channel: String,
    /// The labels of an alert that on-call was told of, with `alertname`.
    pub(crate) told: Option<BTreeMap<String, String>>,
}

fn shop() -> String {
    "shop".to_owned()
}

/// What a rule must give at a point in time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    pub(crate) as_of: String,
    pub(crate) alert: String,
    /// All of them. Empty: none.
    #[serde(default)]
    pub(crate) expected: Vec<Expected>,
    /// How many of them, in place of naming each.
    pub(crate) count: Option<usize>,
}

/// One alert.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// All labels; `alertname` may be left out.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) starts_at: String,
    /// None while it is open.
    pub(crate) ends_at: Option<String>,
    /// Those that are looked at.
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Parses the text of a file.
///
/// # Errors
/// The YAML is broken, a key is unknown, doubled or missing, or a value cannot be.
pub(crate) fn parse(file: &str, text: &str) -> Result<FixtureFile, Vec<Finding>> {
    let fixture: FixtureFile = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let plain = serde_saphyr::UserMessageFormatter;
        vec![Finding::new(file, line, error.without_snippet().render_with_formatter(&plain))]
    })?;
    let mut findings = Vec::new();
    for case in &fixture.cases {
        let mut say = |line: u64, why: Result<(), String>| {
            if let Err(why) = why {
                findings.push(Finding::new(file, line, why));
            }
        };
        let line = case.name.referenced.line();
        say(line, case.times().map(drop));
        if case.checks.is_empty() {
            say(line, Err("a case without `checks` shows nothing".to_owned()));
        }
        let times = case.times().unwrap_or_default();
        for fact in &case.facts {
            let line = fact.referenced.line();
            say(line, times.offset(&fact.value.at).map(drop));
            let heard = fact.value.heard.as_ref();
            say(line, heard.map_or(Ok(()), |heard| times.offset(heard).map(drop)));
            say(line, fact.value.check());
        }
        for check in &case.checks {
            let line = check.referenced.line();
            say(line, times.offset(&check.value.as_of).map(drop));
            for expected in &check.value.expected {
                say(line, times.offset(&expected.starts_at).map(drop));
                let ends_at = expected.ends_at.as_ref();
                say(line, ends_at.map_or(Ok(()), |at| times.offset(at).map(drop)));
            }
        }
    }
    findings.sort();
    if findings.is_empty() { Ok(fixture) } else { Err(findings) }
}

impl Case {
    /// How times are read.
    pub(crate) fn times(&self) -> Result<Times, String> {
        let Some(start) = &self.start else { return Ok(Times { start: None }) };
        let start = DateTime::parse_from_rfc3339(&start.value)
            .map_err(|_| "`start` is a time such as 2026-10-25T01:00:00+02:00".to_owned())?;
        Ok(Times { start: Some(start.with_timezone(&Utc)) })
    }
}

/// How the times of a case are read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// Where time begins, if the case says so.
    pub(crate) start: Option<DateTime<Utc>>,
}

impl Times {
    /// The time, seen from the start.
    pub(crate) fn offset(self, text: &str) -> Result<TimeDelta, String> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            let start = self.start.ok_or_else(|| {
                format!("{text} needs the `start` of its case; write an offset such as 61m")
            })?;
            return Ok(time.with_timezone(&Utc) - start);
        }
        let (sign, length) = match text.strip_prefix('-') {
            Some(length) => (-1, length),
            None => (1, text),
        };
        let given =
            daemon::settings::duration(length.trim()).map_err(|why| format!("{text}: {why}"));
        let length = TimeDelta::from_std(given?).map_err(|_| format!("{text} is too long"))?;
        Ok(length * sign)
    }
}

impl Fact {
    fn check(&self) -> Result<(), String> {
        let signals = [
            self.stage.is_some(),
            self.price_requested,
            self.published.is_some(),
            self.taken.is_some(),
            self.heartbeat.is_some(),
        ];
        let signals = signals.iter().filter(|given| **given).count();
        match (&self.order, &self.told, signals) {
            (None, _, 1..) => Err("a signal needs an `order`".to_owned()),
            (_, _, 2..) => {
                Err("a fact is one of stage, price_requested, published, taken, heartbeat"
                    .to_owned())
            }
            _ if self.times.is_some_and(|times| !(1..=ORDERS_MAX).contains(&times)) => {
                Err(format!("`times` is 1 to {ORDERS_MAX}"))
            }
            _ => Ok(()),
        }
    }

    /// The orders that it stands for.
    pub(crate) fn orders(&self) -> Vec<String> {
        match (&self.order, self.times) {
            (None, _) => Vec::new(),
            (Some(order), None) => vec![order.clone()],
            (Some(order), Some(times)) => (1..=times).map(|n| format!("{order}-{n}")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "cases:
  - name: one
    facts:
      - {at: 0m, order: W-1, stage: SUBMITTED}
    checks:
      - {as_of: 61m, alert: A}
";

    #[test]
    fn every_mistake_has_its_line_and_reason() {
        assert!(parse("f.yaml", GOOD).is_ok());
        let cases = [
            ("stage: SUBMITTED", "stag: SUBMITTED", 4, "unknown field `stag`"),
            ("at: 0m", "at: soon", 4, "soon"),
            ("at: 0m", "at: 2026-10-25T01:00:00Z", 4, "needs the `start`"),
            ("order: W-1, stage", "stage", 4, "needs an `order`"),
            ("stage: SUBMITTED", "stage: SUBMITTED, taken: q", 4, "a fact is one of"),
            ("stage: SUBMITTED", "stage: SUBMITTED, times: 0", 4, "`times` is 1 to"),
            ("as_of: 61m", "as_of: 61", 6, "61"),
            ("    facts:", "    start: noon\n    facts:", 2, "`start` is a time"),
        ];
        for (from, to, line, reason) in cases {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let findings = parse("f.yaml", &text).unwrap_err();
            let told = findings.iter().any(|f| f.line == line && f.reason.contains(reason));
            assert!(told, "{to}: expected line {line}, {reason:?}, got {findings:#?}");
        }
    }

    #[test]
    fn times_are_offsets_or_absolute() {
        let start = "2026-10-25T00:00:00Z".parse().unwrap();
        let times = Times { start: Some(start) };
        // The hour that comes twice in Berlin.
        let summer = times.offset("2026-10-25T02:30:00+02:00").unwrap();
        let winter = times.offset("2026-10-25T02:30:00+01:00").unwrap();
        assert_eq!((summer.num_minutes(), winter.num_minutes()), (30, 90));
        assert_eq!(times.offset("-1h 5m").unwrap().num_minutes(), -65);
    }
}
