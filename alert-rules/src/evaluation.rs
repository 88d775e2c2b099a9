//! Evaluating a group: at each tick, every rule's query becomes alerts in every mailbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use daemon::Stop;
use order_store::Store;
use tokio::time::{Instant, MissedTickBehavior};

use crate::alert::{self, Rendered};
use crate::delivery::unix_seconds;
use crate::figures::{ByGroup, ByRule, ByRuleAnd, Figures};
use crate::group_health::GroupHealth;
use crate::mailbox::{Letter, Mailbox, Place};
use crate::rows::{self, QueryError};
use crate::rule::{Group, Label, Rule};
use crate::settings::Limits;
use crate::template::Templates;
use crate::told;

/// What the groups share. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Evaluator {
    pub(crate) store: Store,
    pub(crate) templates: Arc<Templates>,
    pub(crate) limits: Limits,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) figures: Figures,
    pub(crate) store_state: StoreState,
    pub(crate) health: GroupHealth,
}

/// Whether the store answers, so that a change is logged once and not by every rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreState {
    /// 0: not known, 1: it answers, 2: it does not.
    state: Arc<AtomicU8>,
}

impl StoreState {
    /// Notes what was seen, and logs when it changed.
    pub(crate) fn turned(&self, figures: &Figures, failure: Option<&QueryError>) {
        let now = if failure.is_none() { 1 } else { 2 };
        figures.store_up.set(i64::from(failure.is_none()));
        if self.state.swap(now, Ordering::Relaxed) == now {
            return;
        }
        match failure {
            None => tracing::info!("store answers"),
            Some(error) => tracing::error!(
                error = %error,
                "store does not answer; open alerts stay open until their end set before"
            ),
        }
    }
}

impl Evaluator {
    /// Evaluates a group until `stop`. A tick that comes while the one before still works is left
    /// out and counted: ticks neither drift nor pile up.
    pub(crate) async fn run(self, group: Group, stop: Stop) {
        let mut ticks = tokio::time::interval(group.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut troubles = BTreeMap::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.stopped() => return,
            }
            let begun = Instant::now();
            tokio::select! {
                () = self.evaluate(&group, &mut troubles) => {}
                () = stop.stopped() => return,
            }
            let by = ByGroup { group: group.name.clone() };
            let missed = begun.elapsed().as_nanos() / group.interval.as_nanos();
            let missed = u64::try_from(missed).unwrap_or(u64::MAX);
            self.figures.ticks_missed.get_or_create(&by).inc_by(missed);
        }
    }

    /// Evaluates every rule, and then puts all of them into the mailboxes together: an alert that
    /// inhibits others is there with them.
    async fn evaluate(&self, group: &Group, troubles: &mut BTreeMap<String, String>) {
        let mut failure = None;
        let mut evaluated: Vec<(Place, Letter)> = Vec::new();
        for rule in &group.rules {
            let begun = Instant::now();
            let outcome = self.evaluate_rule(rule).await;
            let by = ByRule { rule: rule.name.clone() };
            self.figures
                .evaluation_seconds
                .get_or_create(&by)
                .observe(begun.elapsed().as_secs_f64());
            let result = outcome.as_ref().map_or_else(QueryError::kind, |_| "ok");
            let by_result = ByRuleAnd { rule: rule.name.clone(), result };
            self.figures.evaluations.get_or_create(&by_result).inc();
            match outcome {
                Ok(rendered) => {
                    self.figures.evaluated_at.get_or_create(&by).set(unix_seconds());
                    self.store_state.turned(&self.figures, None);
                    self.count(rule, &rendered, troubles);
                    let place = (rule.position, rule.name.clone());
                    evaluated.push((place, Arc::new(rendered.alerts)));
                }
                Err(error) => {
                    failure = Some(format!("{}: {error}", rule.name));
                    self.complain(rule, &error, troubles);
                }
            }
        }
        for mailbox in &self.mailboxes {
            mailbox.put(&evaluated);
        }
        self.health.evaluated(&group.name, failure);
    }

    async fn evaluate_rule(&self, rule: &Rule) -> Result<Rendered, QueryError> {
        let time_max = self.limits.evaluation_time_max;
        let (rendered, is_over) =
            alerts(&self.store, rule, &self.templates, &self.limits, Utc::now()).await?;
        let over = if is_over { self.count_over(rule, time_max).await? } else { 0 };
        let by = ByRule { rule: rule.name.clone() };
        let gauge = self.figures.alerts_over_bound.get_or_create(&by);
        if over > 0 && gauge.get() == 0 {
            let max = self.limits.alerts_max;
            tracing::error!(rule = rule.name, over, max, "more alerts than the bound; oldest kept");
        }
        gauge.set(over);
        drop(gauge);
        Ok(rendered)
    }

    async fn count_over(&self, rule: &Rule, time_max: Duration) -> Result<i64, QueryError> {
        let sql = format!("SELECT toInt32(count()) AS total FROM (\n{}\n)", rule.sql);
        let answer = rows::ask(&self.store, &sql, time_max).await?;
        let total = answer.rows.first().and_then(|row| row.get("total")?.as_i64()).unwrap_or(0);
        let max = i64::try_from(self.limits.alerts_max).unwrap_or(i64::MAX);
        Ok((total - max).max(1))
    }

    /// Counts the alerts, and logs templates that newly fail.
    fn count(&self, rule: &Rule, rendered: &Rendered, troubles: &mut BTreeMap<String, String>) {
        let by = ByRule { rule: rule.name.clone() };
        let open = rendered.alerts.iter().filter(|alert| alert.open).count();
        for (result, count) in [("open", open), ("ended", rendered.alerts.len() - open)] {
            let by = ByRuleAnd { rule: rule.name.clone(), result };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.figures.alerts.get_or_create(&by).set(count);
        }
        self.figures.rows_folded.get_or_create(&by).inc_by(rendered.folded);
        self.figures.annotations_cut.get_or_create(&by).inc_by(rendered.cut);
        if !rendered.failures.is_empty() {
            self.figures.render_failures.get_or_create(&by).inc();
        }
        let kind = rendered.failures.keys().cloned().collect::<Vec<_>>().join(", ");
        let told = rendered.failures.iter().map(|(what, why)| format!("{what}: {why}"));
        self.tell_once(rule, &kind, &told.collect::<Vec<_>>().join("; "), troubles);
    }

    fn complain(&self, rule: &Rule, error: &QueryError, troubles: &mut BTreeMap<String, String>) {
        if matches!(error, QueryError::Unreachable(_)) {
            self.store_state.turned(&self.figures, Some(error));
        } else {
            self.tell_once(rule, error.kind(), &error.to_string(), troubles);
        }
    }

    /// Logs a rule's trouble when it is of another kind than the last time; empty: none.
    fn tell_once(
        &self,
        rule: &Rule,
        kind: &str,
        error: &str,
        troubles: &mut BTreeMap<String, String>,
    ) {
        let before = troubles.insert(rule.name.clone(), kind.to_owned()).unwrap_or_default();
        match (kind.is_empty(), before == kind) {
            (false, false) => tracing::error!(rule = rule.name, error, "rule in trouble"),
            (true, false) => tracing::info!(rule = rule.name, "rule in order again"),
            (_, true) => {}
        }
    }
}

/// One evaluation of a rule: its alerts, what has ended since on-call was told of it, and whether
/// there were more than the bound.
///
/// # Errors
/// [`QueryError`].
pub(crate) async fn alerts(
    store: &Store,
    rule: &Rule,
    templates: &Templates,
    limits: &Limits,
    now: DateTime<Utc>,
) -> Result<(Rendered, bool), QueryError> {
    let time_max = limits.evaluation_time_max;
    // Asked first: what is told in between is among the rows below.
    let told = told::ask(store, rule, time_max).await?;
    let mut answer = rows::ask(store, &bounded(rule, limits.alerts_max), time_max).await?;
    let is_over = answer.rows.len() > limits.alerts_max;
    answer.rows.truncate(limits.alerts_max);
    let mut rendered = alert::render(rule, templates, &answer.rows, now, limits.resolve_window);
    // Of what is beyond the bound nothing is known.
    if !is_over {
        let ended = told::ended(&told, &rendered.alerts);
        rendered.alerts.extend(ended);
    }
    Ok((rendered, is_over))
}

/// The rule's query, the oldest rows first, one more than the bound: two evaluators keep the
/// same ones.
fn bounded(rule: &Rule, alerts_max: usize) -> String {
    let mut order = String::from("starts_at");
    for label in rule.labels.values() {
        if let Label::Column { column, .. } = label {
            order.push_str(&format!(", `{column}`"));
        }
    }
    format!("SELECT * FROM (\n{}\n) ORDER BY {order} LIMIT {}", rule.sql, alerts_max + 1)
}

#[cfg(test)]
mod tests {
    use crate::rule::RuleSet;

    use super::*;

    #[test]
    fn the_oldest_rows_come_first_in_every_evaluator() {
        let text = "groups: [{name: g, rules: [{alert: A, sql: SELECT 1 -- one, \
            labels: {severity: info, team: t, order: '{{ order }}', host: '{{ host }}'}, \
            annotations: {summary: s, description: d, runbook_url: r}}]}]";
        let set = RuleSet::parse(&[("a.yaml".to_owned(), text.to_owned())]).unwrap();
        assert_eq!(
            bounded(&set.groups[0].rules[0], 10),
            "SELECT * FROM (\nSELECT 1 -- one\n) ORDER BY starts_at, `host`, `order` LIMIT 11"
        );
    }
}
