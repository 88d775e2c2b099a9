//! The folder of rules, read again while the program runs. A bad new set changes nothing: the rules
//! that are in force stay, and that is logged once, counted and shown.

use std::path::PathBuf;
use std::time::Duration;

use daemon::Note;
use order_store::Store;

use crate::columns;
use crate::figures::{Figures, Outcome};
use crate::finding::Finding;
use crate::rule::{RuleSet, Texts};

/// How often the folder is looked at; a change is in force this much later at the latest.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A folder whose rules are in force.
#[derive(Debug)]
pub(crate) struct WatchedRules {
    folder: PathBuf,
    in_force: Texts,
    /// What was read last, good or bad: it is judged once.
    seen: Result<Texts, Vec<Finding>>,
    note: Note,
    figures: Figures,
}

impl WatchedRules {
    /// Watches a folder whose `texts` are in force.
    pub(crate) fn new(folder: PathBuf, texts: Texts, note: Note, figures: Figures) -> Self {
        Self { folder, in_force: texts.clone(), seen: Ok(texts), note, figures }
    }

    /// Waits for another set of good rules.
    pub(crate) async fn changed(&mut self, store: &Store) -> RuleSet {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let read = RuleSet::texts(&self.folder);
            if read == self.seen {
                continue;
            }
            if let Some(rules) = self.judge(read, store).await {
                return rules;
            }
        }
    }

    async fn judge(&mut self, read: Result<Texts, Vec<Finding>>, store: &Store) -> Option<RuleSet> {
        let parsed = read.clone().and_then(|texts| RuleSet::parse(&texts));
        let findings = match &parsed {
            Err(findings) => findings.clone(),
            Ok(rules) => match columns::check(store, rules).await {
                Ok(findings) => findings,
                Err(error) => {
                    // Not judged: it is looked at again.
                    self.note.set(format!("changed, and cannot be checked: {error}"));
                    return None;
                }
            },
        };
        self.seen.clone_from(&read);
        let (Ok(rules), Ok(texts), true) = (parsed, read, findings.is_empty()) else {
            self.refuse(&findings);
            return None;
        };
        self.note.clear();
        self.figures.rules_refused.set(0);
        if texts == self.in_force {
            tracing::info!("rules are again those in force");
            return None;
        }
        self.in_force = texts;
        self.figures.reloads.get_or_create(&Outcome { result: "ok" }).inc();
        tracing::info!(rules = rules.rules().count(), "changed rules are in force");
        Some(rules)
    }

    fn refuse(&self, findings: &[Finding]) {
        for Finding { file, line, reason } in findings {
            tracing::error!(file, line, reason, "changed rule refused; the rules before stay");
        }
        self.figures.reloads.get_or_create(&Outcome { result: "refused" }).inc();
        self.figures.rules_refused.set(1);
        let first = findings.first().map(ToString::to_string).unwrap_or_default();
        let more = match findings.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        self.note.set(format!("changed rules are refused, those before stay: {first}{more}"));
    }
}
