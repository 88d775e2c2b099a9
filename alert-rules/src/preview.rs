//! `alert-rules preview`: how often a rule would have fired, and for which orders, by what is stored.
//!
//! The rule is asked once, over views whose clock is now, that tell of everything that ended since,
//! and that look at every order with its whole history in place of the open ones. What the state of
//! an order does not keep (an earlier calculation, a message that was taken after all), only the
//! record of what on-call was told knows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::alert::Alert;
use crate::evaluation;
use crate::finding::Finding;
use crate::program::check;
use crate::rows::QueryError;
use crate::rule::RuleSet;
use crate::scratch::{Scratch, ScratchError};
use crate::settings::{CheckSettings, Limits, PreviewSettings};
use crate::testing::URLS;

/// Most alerts that are counted, the oldest; of more, the preview says so.
const ALERTS_MAX: usize = 100_000;
/// Most alerts that are printed, the latest; the rest are counted.
const SHOWN_MAX: usize = 100;
/// How long the question may take: it reads every order.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(600);

/// There is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// Mistakes in the rules, or no such rule.
    #[error("{} mistakes", .0.len())]
    Findings(Vec<Finding>),
    /// The database of views.
    #[error("cannot use a database for the preview")]
    Scratch(#[from] ScratchError),
    /// The rule could not be asked.
    #[error("the rule cannot be asked: {0}")]
    Query(String),
    /// The cluster has a name that cannot be used.
    #[error("bad setting: --store-cluster")]
    Cluster(#[from] order_store::cluster::ClusterError),
}

/// What a rule would have told.
#[derive(Debug)]
pub struct Preview {
    rule: String,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    alerts: Vec<Alert>,
    is_over: bool,
}

/// `preview`.
///
/// # Errors
/// [`PreviewError`].
pub async fn preview(settings: &PreviewSettings) -> Result<Preview, PreviewError> {
    let files = CheckSettings {
        files: Vec::new(),
        rules: settings.rules.clone(),
        with_store: true,
        store: settings.store.clone(),
    };
    let findings = check(&files).await;
    if !findings.is_empty() {
        return Err(PreviewError::Findings(findings));
    }
    let mut rules = RuleSet::read_folder(&settings.rules).map_err(PreviewError::Findings)?;
    rules.set_urls(URLS[0], URLS[1]);
    let Some(rule) = rules.rules().find(|rule| rule.name == settings.rule) else {
        let known: Vec<&str> = rules.rules().map(|rule| rule.name.as_str()).collect();
        let why = format!("no rule is called {}; there are {}", settings.rule, known.join(", "));
        let folder = settings.rules.display().to_string();
        return Err(PreviewError::Findings(vec![Finding::new(&folder, 0, why)]));
    };
    let until = Utc::now();
    let since = until - TimeDelta::from_std(settings.since).unwrap_or(TimeDelta::zero());
    let real = settings.store.connect()?;
    let scratch = Scratch::over_real_tables(&settings.store.server, &real, until, since).await?;
    let limits = Limits {
        alerts_max: ALERTS_MAX,
        batch_max: 1,
        evaluation_time_max: QUESTION_TIME_MAX,
        push_time_max: QUESTION_TIME_MAX,
        resolve_window: QUESTION_TIME_MAX,
        ready_age_max: QUESTION_TIME_MAX,
    };
    let asked = tokio::select! {
        asked = evaluation::alerts(&scratch.store, rule, &rules.templates, &limits, until) => asked,
        _ = tokio::signal::ctrl_c() => Err(QueryError::Unanswered("interrupted".to_owned())),
    };
    scratch.remove().await?;
    let (rendered, is_over) = asked.map_err(|error| PreviewError::Query(error.to_string()))?;
    let mut alerts = rendered.alerts;
    alerts.sort_by(|a, b| (b.starts_at, &b.labels).cmp(&(a.starts_at, &a.labels)));
    Ok(Preview { rule: rule.name.clone(), since, until, alerts, is_over })
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.alerts.iter().filter(|alert| alert.open).count();
        let (all, ended) = (self.alerts.len(), self.alerts.len() - open);
        let (since, until) = (minute(self.since), minute(self.until));
        writeln!(f, "{}, {since} to {until}: {all} alerts, {open} open, {ended} ended", self.rule)?;
        if self.is_over {
            writeln!(f, "(there are more: the oldest {ALERTS_MAX} are counted)")?;
        }
        let mut days: BTreeMap<NaiveDate, usize> = BTreeMap::new();
        for alert in &self.alerts {
            *days.entry(alert.starts_at.max(self.since).date_naive()).or_default() += 1;
        }
        for (day, alerts) in days {
            writeln!(f, "{day} {alerts:>7}")?;
        }
        for alert in self.alerts.iter().take(SHOWN_MAX) {
            let end = if alert.open { "open".to_owned() } else { minute(alert.ends_at) };
            let labels: Vec<String> = alert
                .labels
                .iter()
                .filter(|(name, _)| !["alertname", "severity", "team"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            writeln!(f, "{} – {end:<20} {}", minute(alert.starts_at), labels.join(" "))?;
        }
        match all.saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => writeln!(f, "and {more} earlier ones (the latest {SHOWN_MAX} are shown)"),
        }
    }
}

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}
