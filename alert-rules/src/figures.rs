//! What `/metrics` says. Names begin with `waybill_alert_rules_`.

use daemon::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::rows::QueryError;
use crate::rule::{Rule, RuleSet};

/// Evaluations take 5 ms to 20 s.
const BUCKETS: (f64, f64, u16) = (0.005, 2.0, 13);

const REFUSED_HELP: &str = "1 while the rules on disk are bad and older ones are in force";

/// By rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByRule {
    pub(crate) rule: String,
}

/// By rule and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByRuleAnd {
    pub(crate) rule: String,
    /// `ok`, `unreachable`, `unanswered`, `refused` or `garbled`; of alerts `open` or `ended`.
    pub(crate) result: &'static str,
}

/// By rule group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByGroup {
    pub(crate) group: String,
}

/// By Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByTarget {
    pub(crate) alertmanager: String,
}

/// By Alertmanager and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByTargetAnd {
    pub(crate) alertmanager: String,
    /// `ok` or `unavailable`.
    pub(crate) result: &'static str,
}

/// By what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    /// `ok` or `refused`.
    pub(crate) result: &'static str,
}

/// Every metric of the evaluator. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) store_up: Gauge,
    pub(crate) evaluations: Family<ByRuleAnd, Counter>,
    pub(crate) evaluation_seconds: Family<ByRule, Histogram, fn() -> Histogram>,
    pub(crate) evaluated_at: Family<ByRule, Gauge>,
    pub(crate) ticks_missed: Family<ByGroup, Counter>,
    pub(crate) alerts: Family<ByRuleAnd, Gauge>,
    pub(crate) alerts_over_bound: Family<ByRule, Gauge>,
    pub(crate) rows_folded: Family<ByRule, Counter>,
    pub(crate) render_failures: Family<ByRule, Counter>,
    pub(crate) annotations_cut: Family<ByRule, Counter>,
    pub(crate) alertmanager_up: Family<ByTarget, Gauge>,
    pub(crate) pushes: Family<ByTargetAnd, Counter>,
    pub(crate) alerts_pushed: Family<ByTarget, Counter>,
    pub(crate) alerts_rejected: Family<ByTarget, Counter>,
    pub(crate) pushed_at: Family<ByTarget, Gauge>,
    pub(crate) reloads: Family<Outcome, Counter>,
    pub(crate) rules_refused: Gauge,
}

impl Figures {
    /// Registers all of them.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let histogram: fn() -> Histogram =
            || Histogram::new(exponential_buckets(BUCKETS.0, BUCKETS.1, BUCKETS.2));
        let seconds = Family::<ByRule, Histogram, _>::new_with_constructor(histogram);
        Self {
            store_up: metrics.add("store_up", "1 while the store can be reached", Gauge::default()),
            evaluations: metrics.add("evaluations", "Evaluations of rules", Family::default()),
            evaluation_seconds: metrics.add(
                "evaluation_seconds",
                "Time of one evaluation, query and rendering",
                seconds,
            ),
            evaluated_at: metrics.add(
                "evaluated_timestamp_seconds",
                "When the rule was last evaluated with success",
                Family::default(),
            ),
            ticks_missed: metrics.add(
                "ticks_missed",
                "Evaluations left out because the one before took longer than the interval",
                Family::default(),
            ),
            alerts: metrics.add("alerts", "Alerts of the last evaluation", Family::default()),
            alerts_over_bound: metrics.add(
                "alerts_over_bound",
                "Alerts of the last evaluation beyond --alerts-max, which were not sent",
                Family::default(),
            ),
            rows_folded: metrics.add(
                "rows_folded",
                "Rows with the labels of another row of the same evaluation",
                Family::default(),
            ),
            render_failures: metrics.add(
                "render_failures",
                "Evaluations in which a template of the rule failed",
                Family::default(),
            ),
            annotations_cut: metrics.add(
                "annotations_cut",
                "Annotations cut at 4096 bytes",
                Family::default(),
            ),
            alertmanager_up: metrics.add(
                "alertmanager_up",
                "1 while the Alertmanager accepts alerts",
                Family::default(),
            ),
            pushes: metrics.add("pushes", "Pushes to an Alertmanager", Family::default()),
            alerts_pushed: metrics.add(
                "alerts_pushed",
                "Alerts that an Alertmanager accepted, repeats included",
                Family::default(),
            ),
            alerts_rejected: metrics.add(
                "alerts_rejected",
                "Alerts that an Alertmanager refused, repeats included",
                Family::default(),
            ),
            pushed_at: metrics.add(
                "pushed_timestamp_seconds",
                "When the Alertmanager last accepted a push",
                Family::default(),
            ),
            reloads: metrics.add("rules_reloads", "Changed rules by outcome", Family::default()),
            rules_refused: metrics.add("rules_refused", REFUSED_HELP, Gauge::default()),
        }
    }

    /// Shows every metric from the start, at zero: what appears only with its first event has no
    /// rate at that event. A time of 0 means never.
    pub(crate) fn begin(&self, set: &RuleSet, alertmanagers: &[String]) {
        for group in &set.groups {
            drop(self.ticks_missed.get_or_create(&ByGroup { group: group.name.clone() }));
        }
        for rule in set.rules() {
            let by = ByRule { rule: rule.name.clone() };
            for result in ["ok"].into_iter().chain(QueryError::KINDS) {
                let by = ByRuleAnd { rule: rule.name.clone(), result };
                drop(self.evaluations.get_or_create(&by));
            }
            for result in ["open", "ended"] {
                drop(self.alerts.get_or_create(&ByRuleAnd { rule: rule.name.clone(), result }));
            }
            drop(self.evaluation_seconds.get_or_create(&by));
            drop(self.evaluated_at.get_or_create(&by));
            drop(self.alerts_over_bound.get_or_create(&by));
            drop(self.rows_folded.get_or_create(&by));
            drop(self.render_failures.get_or_create(&by));
            drop(self.annotations_cut.get_or_create(&by));
        }
        for result in ["ok", "refused"] {
            drop(self.reloads.get_or_create(&Outcome { result }));
        }
        for alertmanager in alertmanagers {
            let by = ByTarget { alertmanager: alertmanager.clone() };
            for result in ["ok", "unavailable"] {
                let by = ByTargetAnd { alertmanager: alertmanager.clone(), result };
                drop(self.pushes.get_or_create(&by));
            }
            drop(self.alertmanager_up.get_or_create(&by));
            drop(self.alerts_pushed.get_or_create(&by));
            drop(self.alerts_rejected.get_or_create(&by));
            drop(self.pushed_at.get_or_create(&by));
        }
    }

    /// Takes away what belongs to rules that are no more: their last figures would be read as today's.
    pub(crate) fn forget(&self, before: &RuleSet, now: &RuleSet) {
        let gone = |rule: &&Rule| !now.rules().any(|other| other.name == rule.name);
        for rule in before.rules().filter(gone) {
            let by = ByRule { rule: rule.name.clone() };
            for result in ["ok", "open", "ended"].into_iter().chain(QueryError::KINDS) {
                let by = ByRuleAnd { rule: rule.name.clone(), result };
                self.evaluations.remove(&by);
                self.alerts.remove(&by);
            }
            self.evaluation_seconds.remove(&by);
            self.evaluated_at.remove(&by);
            self.alerts_over_bound.remove(&by);
            self.rows_folded.remove(&by);
            self.render_failures.remove(&by);
            self.annotations_cut.remove(&by);
        }
        for group in &before.groups {
            if !now.groups.iter().any(|other| other.name == group.name) {
                self.ticks_missed.remove(&ByGroup { group: group.name.clone() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_in_the_readme() {
        let metrics = Metrics::new("alert-rules", "0");
        let figures = Figures::new(&metrics);
        let text = "groups: [{name: g, rules: [{alert: A, sql: SELECT 1, \
            labels: {severity: info, team: t}, \
            annotations: {summary: s, description: d, runbook_url: r}}]}]";
        let set = RuleSet::parse(&[("a.yaml".to_owned(), text.to_owned())]).unwrap();
        figures.begin(&set, &["http://am:9093".to_owned()]);
        let page = metrics.page();
        let names: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP waybill_alert_rules_"))
            .filter_map(|rest| rest.split(' ').next())
            .filter(|name| *name != "build")
            .collect();
        assert_eq!(names.len(), 17, "{page}");
        let readme = include_str!("../README.md");
        for name in names {
            let told = [format!("`{name}`"), format!("`{name}_total`")];
            assert!(told.iter().any(|name| readme.contains(name)), "{name} is not in README.md");
        }
    }
}
