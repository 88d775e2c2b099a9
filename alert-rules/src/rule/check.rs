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
            let position = set.rules().count();
            let rule = Rule { position, ..self.rule(&mut set.templates, rule) };
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
        Rule { name, sql, labels, annotations, place, position: 0 }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule file without a mistake.
    const GOOD: &str = r#"groups:
  - name: calculation
    interval: 3s
    rules:
      - alert: Slow
        sql: SELECT 1
        labels:
          severity: critical
          team: on-call
          order: "{{ order }}"
        annotations:
          summary: It is slow
          description: Order {{ order }} is slow
          runbook_url: "{{ runbook_url }}#Slow"
"#;

    fn findings(text: &str) -> Vec<Finding> {
        let files = [("a.yaml".to_owned(), text.to_owned())];
        RuleSet::parse(&files).err().unwrap_or_default()
    }

    #[test]
    fn a_good_file_is_taken() {
        assert_eq!(findings(GOOD), []);
        let set = RuleSet::parse(&[("a.yaml".to_owned(), GOOD.to_owned())]).unwrap();
        let rule = &set.groups[0].rules[0];
        assert_eq!(set.groups[0].interval, Duration::from_secs(3));
        assert_eq!(rule.labels["team"], Label::Text("on-call".to_owned()));
        assert_eq!(rule.labels["order"], Label::Column { column: "order".to_owned(), line: 10 });
        assert_eq!((rule.place.file.as_str(), rule.place.sql_line), ("a.yaml", 6));
    }

    /// Each mistake: what is replaced in the good file, by what, and the line and reason given.
    #[test]
    fn every_mistake_has_its_line_and_reason() {
        let cases: &[(&str, &str, u64, &str)] = &[
            ("interval: 3s", "intervall: 3s", 3, "unknown field `intervall`"),
            (
                "        sql: SELECT 1\n",
                "        sql: SELECT 1\n        for: 5m\n",
                7,
                "`for` is refused: how",
            ),
            (
                "        sql: SELECT 1\n",
                "        sql: SELECT 1\n        keep_firing_for: 5m\n",
                7,
                "`keep_firing_for` is refused",
            ),
            ("sql: SELECT 1", "expr: up == 0", 6, "`expr` is PromQL"),
            ("        sql: SELECT 1\n", "", 5, "Slow has no `sql`"),
            ("sql: SELECT 1", "sql: \" \"", 6, "`sql` is empty"),
            (
                "        sql: SELECT 1\n",
                "        sql: SELECT 1\n        sql: SELECT 2\n",
                7,
                "duplicate",
            ),
            ("          severity: critical\n", "", 5, "no label `severity`"),
            ("          team: on-call\n", "", 5, "no label `team`"),
            ("severity: critical", "severity: urgent", 8, "one of critical, warning, info"),
            ("team: on-call", "alertname: X", 9, "set from `alert`"),
            ("team: on-call", "on-call: yes", 9, "no label name"),
            ("order: \"{{ order }}\"", "order: \"{{ order }}!\"", 10, "labels are identity"),
            ("order: \"{{ order }}\"", "order: \"{{ order | upper }}\"", 10, "labels are identity"),
            ("order: \"{{ order }}\"", "order: \"\"", 10, "is empty"),
            ("          summary: It is slow\n", "", 5, "no annotation `summary`"),
            ("{{ order }} is slow", "{{ order is slow", 13, "syntax error"),
            ("{{ order }} is slow", "{{ order | shout }} is slow", 13, "shout"),
            ("alert: Slow", "alert: so slow", 5, "no alert name"),
            ("alert: Slow", "record: slow", 5, "unknown field `record`"),
            ("interval: 3s", "interval: 3", 3, "write for example"),
            ("interval: 3s", "interval: 100ms", 3, "1 s to 3600 s"),
            ("name: calculation", "name: \"\"", 2, "a group's name"),
            ("groups:", "group:", 1, "unknown field `group`"),
        ];
        for (from, to, line, reason) in cases {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let found = findings(&text);
            let told = found.iter().any(|f| f.line == *line && f.reason.contains(reason));
            assert!(told, "{to}: expected line {line}, {reason:?}, got {found:#?}");
        }
    }

    #[test]
    fn names_are_unique_over_files_and_all_mistakes_are_told() {
        let files =
            [("a.yaml".to_owned(), GOOD.to_owned()), ("b.yaml".to_owned(), GOOD.to_owned())];
        let findings = RuleSet::parse(&files).unwrap_err();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "b.yaml:2: group calculation stands twice; names are unique",
                "b.yaml:5: alert Slow stands twice; names are unique",
            ]
        );
    }

    #[test]
    fn the_rules_of_the_product_are_in_order_and_in_the_runbook() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let set = RuleSet::read_folder(&root.join("rules")).unwrap();
        let runbook = std::fs::read_to_string(root.join("runbook.md")).unwrap();
        for rule in set.rules() {
            let heading = format!("\n## {}\n", rule.name);
            assert!(runbook.contains(&heading), "{} has no heading in runbook.md", rule.name);
        }
        assert!(set.rules().any(|rule| rule.name == "CalculationOverOneHour"));
    }

    #[test]
    fn a_folder_without_rules_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let found = RuleSet::read_folder(folder.path()).unwrap_err();
        assert!(found[0].reason.contains("holds no rule"), "{found:?}");
        let found = RuleSet::read_folder(&folder.path().join("nowhere")).unwrap_err();
        assert!(found[0].reason.contains("cannot be read"), "{found:?}");
    }
}
