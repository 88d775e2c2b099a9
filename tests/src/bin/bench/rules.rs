//! Every rule of the alerts over what is stored, as the evaluator does it and counts it itself: the
//! query, what on-call was told before, and the rendering.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::parts::Part;
use end_to_end::{Stack, programs};

/// Evaluations of each rule that are waited for: the first one, and some with warm caches.
const EVALUATIONS: usize = 3;
/// How long: the rules that are evaluated most seldom are so every fifteen seconds.
const DEADLINE: Duration = Duration::from_secs(180);
/// How often the evaluator is asked what it counted: much oftener than it evaluates a rule.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The sum of the times of a rule.
const SUM: &str = "waybill_alert_rules_evaluation_seconds_sum{rule=\"";
/// Their number.
const COUNT: &str = "waybill_alert_rules_evaluation_seconds_count{rule=\"";
/// How many alerts the last one gave, open and ended ones apart.
const ALERTS: &str = "waybill_alert_rules_alerts{rule=\"";
/// What became of them.
const RESULTS: &str = "waybill_alert_rules_evaluations_total{rule=\"";

/// The evaluations of a rule.
#[derive(Debug, Default)]
struct Seen {
    count: f64,
    seconds: f64,
    times_ms: Vec<f64>,
    not_ok: f64,
    alerts: f64,
}

/// Prints the time of an evaluation for each rule.
pub(crate) async fn evaluate(stack: &mut Stack) -> Result<()> {
    if let Err(why) = programs::alertmanager() {
        println!("| rules of the alerts | not measured: {why} |");
        return Ok(());
    }
    for part in [Part::TrackerUi, Part::Alertmanager] {
        if stack.process(part).is_err() {
            stack.start_part(part).await?;
        }
    }
    // A rule that takes too long keeps it from being ready, and is a figure all the same.
    stack.launch(Part::AlertRules).await?;
    let (url, begun) = (format!("{}/metrics", stack.url(Part::AlertRules)?), Instant::now());
    let mut rules: BTreeMap<String, Seen> = BTreeMap::new();
    loop {
        stack.process(Part::AlertRules)?.must_run()?;
        look(&stack.client().get(&url).send().await?.text().await?, &mut rules);
        let is_enough = |seen: &Seen| seen.times_ms.len() >= EVALUATIONS;
        if !rules.is_empty() && rules.values().all(is_enough) {
            break;
        }
        if begun.elapsed() > DEADLINE {
            bail!("the rules were not evaluated in {} s: {rules:?}", DEADLINE.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for (rule, seen) in &rules {
        println!("| rule {rule} | {} |", seen.line()?);
    }
    stack.stop_part(Part::AlertRules).await?;
    Ok(())
}

/// Adds what was counted since the last look: one evaluation, or the mean of several.
fn look(metrics: &str, rules: &mut BTreeMap<String, Seen>) {
    let mut totals: BTreeMap<&str, Seen> = BTreeMap::new();
    for line in metrics.lines() {
        let value = || line.rsplit(' ').next()?.parse::<f64>().ok();
        let rule = |prefix| line.strip_prefix(prefix)?.split('"').next();
        if let (Some(rule), Some(value)) = (rule(SUM), value()) {
            totals.entry(rule).or_default().seconds = value;
        } else if let (Some(rule), Some(value)) = (rule(COUNT), value()) {
            totals.entry(rule).or_default().count = value;
        } else if let (Some(rule), Some(value)) = (rule(ALERTS), value()) {
            totals.entry(rule).or_default().alerts += value;
        } else if let (Some(rule), Some(value)) = (rule(RESULTS), value())
            && !line.contains("result=\"ok\"")
        {
            totals.entry(rule).or_default().not_ok += value;
        }
    }
    for (rule, total) in totals {
        let seen = rules.entry(rule.to_owned()).or_default();
        (seen.not_ok, seen.alerts) = (total.not_ok, total.alerts);
        if total.count > seen.count {
            let seconds = total.seconds - seen.seconds;
            seen.times_ms.push(seconds * 1e3 / (total.count - seen.count));
            (seen.seconds, seen.count) = (total.seconds, total.count);
        }
    }
}

impl Seen {
    /// `first 12.3 ms, then at most 4.5 ms (3 times); 17 alerts`.
    fn line(&self) -> Result<String> {
        let (first, later) = self.times_ms.split_first().context("it was never evaluated")?;
        let most = later.iter().copied().fold(0.0, f64::max);
        let (times, alerts) = (self.count, self.alerts);
        let failed = match self.not_ok {
            0.0 => String::new(),
            failed => format!(", {failed} of them without an answer"),
        };
        Ok(format!(
            "first {first:.1} ms, then at most {most:.1} ms ({times} times{failed}); {alerts} alerts"
        ))
    }
}
