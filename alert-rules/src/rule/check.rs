//! From the shape of a file to rules: what the values must be, with the line of each mistake.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::{
    Annotation, Group, INTERVAL_DEFAULT, INTERVAL_MAX, INTERVAL_MIN, Label, Place, Rule, RuleSet,
};
use crate::finding::Finding;
use crate::rule_file::{GroupShape, RuleFile, RuleShape};
use crate::template::Templates;

/// Labels that routing needs.
const LABELS_REQUIRED: [&str; 2] = ["severity", "team"];
/// Annotations that on-call needs.
const ANNOTATIONS_REQUIRED: [&str; 3] = ["summary", "description", "runbook_url"];
/// What `severity` may be: the routes of `alertmanager.yml` know these.
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];
/// Most bytes of a name.
const NAME_BYTES_MAX: usize = 128;

/// Why Prometheus's `for` has no place here.
const NO_PENDING: &str = "`for` is refused: how long a condition must hold is in the data \
    (`starts_at` is the moment the deadline passed), not in what an evaluator remembers";
const NO_KEEPING: &str = "`keep_firing_for` is refused: when an alert ended is in the data \
    (`ends_at`), not in what an evaluator remembers";
const NO_EXPRESSION: &str = "`expr` is PromQL; write `sql`, a query over the order views";

/// Adds the groups of a file to the set and gives the mistakes found.
pub(super) fn add(set: &mut RuleSet, file: &str, shape: RuleFile) -> Vec<Finding> {
    let mut check = Check { file, findings: Vec::new() };
    if shape.groups.value.is_empty() {
        check.say(&shape.groups, "`groups` is empty");
    }
    for group in shape.groups.value {
        check.group(set, group);
    }
    check.findings
}

struct Check<'a> {
    file: &'a str,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn say<T>(&mut self, at: &Spanned<T>, reason: impl Into<String>) {
        self.findings.push(Finding::new(self.file, line(at), reason));
    }

    fn group(&mut self, set: &mut RuleSet, shape: GroupShape) {
        let name = shape.name.value.clone();
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            self.say(&shape.name, format!("a group's name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if set.groups.iter().any(|group| group.name == name) {
            self.say(&shape.name, format!("group {name} stands twice; names are unique"));
        }
        if shape.rules.value.is_empty() {
            self.say(&shape.rules, "`rules` is empty");
        }
        let interval = shape.interval.map_or(INTERVAL_DEFAULT, |text| self.interval(&text));
        // The group joins the set before its rules, so that a rule finds its siblings' names.
        set.groups.push(Group { name, interval, rules: Vec::new() });
        for rule in shape.rules.value {
            let doubled = set.rules().any(|other| other.name == rule.alert.value);
            if doubled {
                let why = format!("alert {} stands twice; names are unique", rule.alert.value);
                self.say(&rule.alert, why);
            }
            let rule = self.rule(&mut set.templates, rule);
            if let Some(group) = set.groups.last_mut() {
                group.rules.push(rule);
            }
        }
    }

    fn interval(&mut self, text: &Spanned<String>) -> Duration {
        match daemon::settings::duration(&text.value) {
            Ok(interval) if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) => interval,
            Ok(_) => {
                let (min, max) = (INTERVAL_MIN.as_secs(), INTERVAL_MAX.as_secs());
                self.say(text, format!("`interval` is {min} s to {max} s, not {}", text.value));
                INTERVAL_DEFAULT
            }
            Err(why) => {
                self.say(text, format!("`interval`: {why}"));
                INTERVAL_DEFAULT
            }
        }
    }

    fn rule(&mut self, templates: &mut Templates, shape: RuleShape) -> Rule {
        let name = shape.alert.value.clone();
        if !is_name(&name) {
            self.say(&shape.alert, format!("{name:?} is no alert name: {NAME_RULE}"));
        }
        for (refused, why) in [
            (&shape.pending, NO_PENDING),
            (&shape.keep_firing_for, NO_KEEPING),
            (&shape.expr, NO_EXPRESSION),
        ] {
            if let Some(at) = refused {
                self.say(at, why);
            }
        }
        match &shape.sql {
            None if shape.expr.is_none() => self.say(&shape.alert, format!("{name} has no `sql`")),
            Some(sql) if sql.value.trim().is_empty() => self.say(sql, "`sql` is empty"),
            _ => {}
        }
        let sql_line = shape.sql.as_ref().map_or(line(&shape.alert), line);
        let labels = self.labels(&shape);
        let annotations = self.annotations(&shape, templates);
        let sql = shape.sql.map(|sql| sql.value).unwrap_or_default();
        let place = Place { file: self.file.to_owned(), sql_line };
        Rule { name, sql, labels, annotations, place }
    }

    fn labels(&mut self, shape: &RuleShape) -> BTreeMap<String, Label> {
        for required in LABELS_REQUIRED {
            if !shape.labels.contains_key(required) {
                let why = format!("{} has no label `{required}`", shape.alert.value);
                self.say(&shape.alert, why);
            }
        }
        let mut labels = BTreeMap::new();
        for (name, text) in &shape.labels {
            if name == "alertname" {
                self.say(text, "label `alertname` is set from `alert`; leave it out");
            } else if !is_name(name) || name.starts_with("__") {
                self.say(text, format!("{name:?} is no label name: {NAME_RULE}"));
            }
            if name == "severity" && !SEVERITIES.contains(&text.value.as_str()) {
                let severities = SEVERITIES.join(", ");
                self.say(text, format!("`severity` is one of {severities}, not {:?}", text.value));
            }
            match label(text) {
                Ok(label) => _ = labels.insert(name.clone(), label),
                Err(why) => self.say(text, format!("label `{name}`: {why}")),
            }
        }
        labels
    }

    fn annotations(
        &mut self,
        shape: &RuleShape,
        templates: &mut Templates,
    ) -> BTreeMap<String, Annotation> {
        for required in ANNOTATIONS_REQUIRED {
            if !shape.annotations.contains_key(required) {
                let why = format!("{} has no annotation `{required}`", shape.alert.value);
                self.say(&shape.alert, why);
            }
        }
        let mut annotations = BTreeMap::new();
        for (name, text) in &shape.annotations {
            if !is_name(name) {
                self.say(text, format!("{name:?} is no annotation name: {NAME_RULE}"));
            }
            let template = format!("{}/{name}", shape.alert.value);
            match templates.add(&template, &text.value) {
                Ok(columns) => {
                    let annotation = Annotation { template, columns, line: line(text) };
                    annotations.insert(name.clone(), annotation);
                }
                Err(why) => self.say(text, format!("annotation `{name}`: {why}")),
            }
        }
        annotations
    }
}

const NAME_RULE: &str = "letters, digits and underscores, no digit first, at most 128";

fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn line<T>(at: &Spanned<T>) -> u64 {
    at.referenced.line()
}

/// A label is fixed text, or one column and nothing else.
fn label(text: &Spanned<String>) -> Result<Label, &'static str> {
    let value = text.value.trim();
    if value.is_empty() {
        return Err("is empty");
    }
    let column = value.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
    match column {
        Some(column) if is_name(column) => {
            Ok(Label::Column { column: column.to_owned(), line: line(text) })
        }
        None if !value.contains(['{', '}']) => Ok(Label::Text(value.to_owned())),
        _ => Err("labels are identity: write fixed text, or one column as in \"{{ order }}\"; \
                  what changes while the alert lives is an annotation"),
    }
}
