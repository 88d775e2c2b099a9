//! From a mailbox to its Alertmanager, with patience: each Alertmanager has a loop of its own, so
//! one that hangs holds up nobody.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daemon::{Stop, Watch};
use tokio::time::Instant;

use crate::alert::Alert;
use crate::alertmanager::Alertmanager;
use crate::figures::{ByTarget, ByTargetAnd, Figures};
use crate::mailbox::{Letter, Mailbox, Place};

/// First pause after a push that was not answered; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause: an Alertmanager that comes back hears from us within it.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// An alert that was refused is left out of pushes this long, unless what it says changes.
const REFUSED_REST: Duration = Duration::from_secs(300);
/// Most refused alerts remembered; at the bound all are forgotten, and tried and logged again.
const REFUSED_MAX: usize = 10_000;

/// Sends what comes into a mailbox.
#[derive(Debug)]
pub(crate) struct Delivery {
    alertmanager: Alertmanager,
    mailbox: Mailbox,
    figures: Figures,
    watch: Watch,
    /// What the last push showed; none before the first.
    up: Option<bool>,
    /// Refused alerts by label set: the content that was refused, and when.
    refused: HashMap<BTreeMap<String, String>, (u64, Instant)>,
}

impl Delivery {
    pub(crate) fn new(
        alertmanager: Alertmanager,
        mailbox: Mailbox,
        figures: Figures,
        watch: Watch,
    ) -> Self {
        Self { alertmanager, mailbox, figures, watch, up: None, refused: HashMap::new() }
    }

    /// Sends until `stop`, and then once more what is left.
    pub(crate) async fn run(mut self, stop: Stop) {
        let mut pause = PAUSE_MIN;
        loop {
            tokio::select! {
                () = self.mailbox.filled() => {}
                () = stop.stopped() => break,
            }
            let letters = self.mailbox.take();
            if letters.is_empty() {
                continue;
            }
            if self.send(&letters).await {
                pause = PAUSE_MIN;
                continue;
            }
            self.mailbox.put_back(letters);
            if !stop.sleep(pause).await {
                break;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        let letters = self.mailbox.take();
        if !letters.is_empty() {
            self.send(&letters).await;
        }
    }

    /// One push of everything; whether it was answered.
    ///
    /// Rule by rule, each in requests of its own.
    async fn send(&mut self, letters: &BTreeMap<Place, Letter>) -> bool {
        self.refused.retain(|_, (_, at)| at.elapsed() < REFUSED_REST);
        let mut outcome = Ok(());
        let mut empty = true;
        for told in in_order(letters) {
            let told = told.into_iter();
            let alerts: Vec<&Alert> = told.filter(|alert| !self.is_refused(alert)).collect();
            empty &= alerts.is_empty();
            if outcome.is_ok() && !alerts.is_empty() {
                outcome = self.send_rule(&alerts).await;
            }
        }
        if empty {
            outcome = self.send_rule(&[]).await;
        }
        self.turned(outcome.as_ref().err());
        let alertmanager = self.alertmanager.name.clone();
        let result = if outcome.is_ok() { "ok" } else { "unavailable" };
        let by = ByTargetAnd { alertmanager: alertmanager.clone(), result };
        self.figures.pushes.get_or_create(&by).inc();
        if outcome.is_err() {
            return false;
        }
        let target = ByTarget { alertmanager };
        self.figures.pushed_at.get_or_create(&target).set(unix_seconds());
        self.watch.progressed();
        true
    }

    /// Pushes the alerts of one rule.
    async fn send_rule(&mut self, alerts: &[&Alert]) -> Result<(), String> {
        let pushed = self.alertmanager.push(alerts).await?;
        let target = ByTarget { alertmanager: self.alertmanager.name.clone() };
        self.figures.alerts_pushed.get_or_create(&target).inc_by(pushed.accepted);
        self.figures.alerts_rejected.get_or_create(&target).inc_by(pushed.refused.len() as u64);
        for (nth, why) in pushed.refused {
            if let Some(alert) = alerts.get(nth) {
                self.remember_refused((*alert).clone(), &why);
            }
        }
        Ok(())
    }

    /// Whether exactly this was refused a short while ago.
    fn is_refused(&self, alert: &Alert) -> bool {
        let refused = self.refused.get(&alert.labels);
        refused.is_some_and(|(content, _)| *content == alert.content_hash())
    }

    /// Notes whether the Alertmanager answers, and logs when that changed.
    fn turned(&mut self, failure: Option<&String>) {
        let alertmanager = self.alertmanager.name.as_str();
        let up = failure.is_none();
        let by = ByTarget { alertmanager: alertmanager.to_owned() };
        self.figures.alertmanager_up.get_or_create(&by).set(i64::from(up));
        if self.up.replace(up) == Some(up) {
            return;
        }
        match failure {
            None => tracing::info!(alertmanager, "alertmanager accepts alerts"),
            Some(why) => {
                tracing::error!(alertmanager, error = why, "alertmanager does not answer");
            }
        }
    }

    /// Remembers a refused alert, and logs it unless it was refused a short while ago.
    fn remember_refused(&mut self, alert: Alert, why: &str) {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        let content = alert.content_hash();
        let alertmanager = self.alertmanager.name.as_str();
        if !self.refused.contains_key(&alert.labels) {
            tracing::error!(alertmanager, labels = ?alert.labels, error = why, "alert refused");
        }
        self.refused.insert(alert.labels, (content, Instant::now()));
    }
}

/// What is told of each rule, one after the other. First what is open, in the order in which the rules
/// stand: Alertmanager knows an alert that inhibits others before it hears of these. Then what has
/// ended, the other way round: others have ended when the alert that held them back does.
fn in_order(letters: &BTreeMap<Place, Letter>) -> impl Iterator<Item = Vec<&Alert>> {
    let open = letters.values().map(|letter| (letter, true));
    let ended = letters.values().rev().map(|letter| (letter, false));
    open.chain(ended)
        .map(|(letter, open)| letter.iter().filter(|alert| alert.open == open).collect())
}

/// The wall clock, in seconds since 1970.
pub(crate) fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn alert(name: &str, open: bool) -> Alert {
        let at = chrono::DateTime::UNIX_EPOCH;
        let labels = BTreeMap::from([("alertname".to_owned(), name.to_owned())]);
        Alert { labels, annotations: BTreeMap::new(), starts_at: at, ends_at: at, open }
    }

    #[test]
    fn who_inhibits_begins_before_and_ends_after_the_others() {
        let letter = |alerts: &[(&str, bool)]| -> Letter {
            Arc::new(alerts.iter().map(|(name, open)| alert(name, *open)).collect())
        };
        let letters = BTreeMap::from([
            ((0, "storm".to_owned()), letter(&[("old storm", false), ("storm", true)])),
            ((1, "single".to_owned()), letter(&[("s1", true), ("s2", false), ("s3", true)])),
        ]);
        let told: Vec<String> = in_order(&letters)
            .map(|alerts| {
                alerts.iter().map(|alert| &*alert.labels["alertname"]).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(told, ["storm", "s1 s3", "s2", "old storm"]);
    }
}
