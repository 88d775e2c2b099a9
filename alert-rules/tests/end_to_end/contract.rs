//! Whatever a rule or the runbook names exists: views, metrics, stages, pages, conditions, headings.
//! (That the SQL runs, and gives the columns that the rule uses, is `check --with-store`.)

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alert_rules::rule::RuleSet;
use order_model::{Condition, Lifecycle};

use crate::routing::tool;
use crate::stack::RULES;

/// What RabbitMQ's plugin calls its metrics of queues.
/// <https://github.com/rabbitmq/rabbitmq-server/blob/main/deps/rabbitmq_prometheus/metrics.md>
const RABBITMQ_METRICS: [&str; 3] =
    ["rabbitmq_queue_messages", "rabbitmq_queue_messages_ready", "rabbitmq_queue_consumers"];
/// Words of the documents in capitals that are no stages.
const NO_STAGES: [&str; 4] = ["CRM", "MES", "CPU", "API"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file of a folder and those below it, one after the other.
fn read_all(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => text.push_str(&read_all(&path)),
            false => text.push_str(&std::fs::read_to_string(&path).unwrap_or_default()),
        }
    }
    text
}

fn prometheus_rules() -> String {
    read("prometheus/waybill.yml") + &read("prometheus/rabbitmq.yml")
}

/// The names after a key such as `alert:`.
fn values<'a>(text: &'a str, key: &str) -> BTreeSet<&'a str> {
    let value = |line: &'a str| line.trim().trim_start_matches("- ").strip_prefix(key);
    text.lines().filter_map(value).map(str::trim).collect()
}

/// Words of these characters that begin so.
fn words<'a>(
    text: &'a str,
    beginning: &'a str,
    of: impl Fn(char) -> bool + Copy + 'a,
) -> BTreeSet<&'a str> {
    text.split(move |c: char| !of(c)).filter(|word| word.starts_with(beginning)).collect()
}

/// Whoever adds a rule says there that an outage of the store does not end its alerts.
#[test]
fn the_outage_of_the_store_holds_back_every_rule_over_it_but_the_watchdog() {
    let ours = RuleSet::read_folder(Path::new(RULES)).unwrap();
    let rules: BTreeSet<&str> =
        ours.rules().map(|rule| rule.name.as_str()).filter(|rule| *rule != "Watchdog").collect();
    let configuration = read("alertmanager.yml");
    let after = configuration.rsplit("alertname=\"StoreDown\"").next().unwrap();
    let (inhibited, _) = after.split_once("receivers:").unwrap();
    let is_name = |word: &&str| word.starts_with(char::is_uppercase);
    let inhibited = words(inhibited, "", char::is_alphanumeric);
    assert_eq!(inhibited.into_iter().filter(is_name).collect::<BTreeSet<_>>(), rules);
}

#[test]
fn every_alert_has_a_heading_and_every_heading_an_alert() {
    let ours = RuleSet::read_folder(Path::new(RULES)).unwrap();
    let theirs = prometheus_rules();
    let mut alerts: BTreeSet<&str> = ours.rules().map(|rule| rule.name.as_str()).collect();
    let theirs = values(&theirs, "alert:");
    assert!(alerts.is_disjoint(&theirs), "a name stands for one alert");
    alerts.extend(&theirs);
    let runbook = read("runbook.md");
    let headings: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings.iter().copied().collect::<BTreeSet<_>>(), alerts);
    assert_eq!(headings.len(), alerts.len(), "each once");
    for section in runbook.split("\n## ").skip(1) {
        for part in
            ["What it means for the customer.", "How to confirm.", "What to do.", "How to stop it."]
        {
            let name = section.lines().next().unwrap();
            assert!(section.contains(&format!("**{part}**")), "{name} does not say: {part}");
        }
    }
    // Alerts that the text, or the routes, name by their names.
    for text in [&runbook, &read("alertmanager.yml")] {
        let named = words(text, "", |c| c.is_ascii_alphanumeric());
        let camel = |word: &&&str| {
            let mut upper = word.chars().filter(char::is_ascii_uppercase);
            let lower = word.chars().any(|c| c.is_ascii_lowercase());
            word.starts_with(|c: char| c.is_ascii_uppercase()) && lower && upper.nth(1).is_some()
        };
        let products = ["RabbitMQ"];
        for name in named.iter().filter(camel).filter(|name| !products.contains(name)) {
            assert!(alerts.contains(*name), "{name} is no alert");
        }
    }
}

#[test]
fn every_link_of_a_rule_leads_somewhere() {
    let routes = read("../tracker-ui/src/urls.rs");
    let texts = read_all(Path::new(RULES)) + &prometheus_rules();
    let lifecycle = Lifecycle::default();
    let mut links = 0;
    for key in ["order_url:", "dashboard_url:", "list_url:"] {
        for url in values(&texts, key) {
            let url = url.trim_matches('"');
            let path = url
                .strip_prefix("{{ public_url }}")
                .or_else(|| url.strip_prefix("http://127.0.0.1:8080"))
                .unwrap_or_else(|| panic!("{url} is no page of ours"));
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let route = match path.split('/').collect::<Vec<_>>()[..] {
                ["", folder @ ("orders" | "stages"), name] => {
                    let known = lifecycle.stage(name).is_some();
                    assert!(name.starts_with("{{ ") || known, "{name} is no stage: {url}");
                    format!("\"/{folder}/{{")
                }
                _ => format!("\"{path}\""),
            };
            assert!(routes.contains(&route), "{url}: tracker-ui has no {route}");
            if !query.is_empty() {
                let condition = query.strip_prefix("condition=").unwrap();
                assert!(Condition::parse(condition).is_some(), "{url}");
            }
            links += 1;
        }
    }
    assert!(links > 10, "{links}");
    for rules in [read_all(Path::new(RULES)), prometheus_rules()] {
        let anchors: BTreeSet<&str> = values(&rules, "runbook_url:")
            .into_iter()
            .map(|url| url.trim_matches('"').rsplit('#').next().unwrap())
            .collect();
        assert_eq!(anchors, values(&rules, "alert:"), "each rule leads to its own heading");
        for key in ["summary:", "summary_ru:", "dashboard_url:", "severity:", "team:"] {
            let alerts = rules.matches("alert: ").count();
            assert_eq!(rules.matches(&format!(" {key} ")).count(), alerts, "{key}");
        }
    }
}

#[test]
fn rules_ask_published_views_and_no_tables() {
    let texts = read_all(Path::new(RULES));
    let views = read_all(&root().join("../crates/order-store/sql"));
    let mut asked = BTreeSet::new();
    for word in ["FROM ", "JOIN "] {
        for after in texts.split(word).skip(1) {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &after[..end.unwrap_or(after.len())];
            if !name.is_empty() {
                asked.insert(name);
            }
        }
    }
    assert!(asked.len() > 5, "{asked:?}");
    for name in asked {
        let made = format!("CREATE VIEW IF NOT EXISTS {name} ");
        assert!(name.ends_with("_v1") && views.contains(&made), "{name} is no published view");
    }
}

#[test]
fn every_metric_that_is_named_is_told() {
    let metric = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let texts = prometheus_rules() + &read("runbook.md");
    let mut seen = 0;
    for (program, folder) in [
        ("alert_rules", "src"),
        ("collector", "../collector/src"),
        ("clickhouse_embedded", "../crates/clickhouse-embedded/src"),
    ] {
        let source = read_all(&root().join(folder));
        let prefix = format!("waybill_{program}_");
        for name in words(&texts, &prefix, metric) {
            let bare = name.strip_prefix(&prefix).unwrap();
            let names = [bare, bare.strip_suffix("_total").unwrap_or(bare)];
            let told = names.iter().any(|name| source.contains(&format!("\"{name}\"")));
            assert!(told, "{name} is told by nobody");
            seen += 1;
        }
    }
    let all = words(&texts, "waybill_", metric).len();
    assert_eq!(seen, all, "a metric of another program than these");
    let queues = words(&texts, "rabbitmq_queue_", metric);
    assert_eq!(queues, BTreeSet::from(RABBITMQ_METRICS));
}

#[test]
fn every_stage_that_is_named_is_in_the_lifecycle() {
    let lifecycle = Lifecycle::default();
    let fixtures = read_all(&root().join("tests/fixtures"));
    for stage in fixtures.split("stage: ").skip(1) {
        let end = stage.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap();
        assert!(lifecycle.stage(&stage[..end]).is_some(), "{}", &stage[..end]);
    }
    let runbook = read("runbook.md");
    let quoted: Vec<&str> = runbook.split('`').skip(1).step_by(2).collect();
    let capitals =
        |word: &&&str| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let named: Vec<&&str> = quoted.iter().filter(capitals).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named.into_iter().filter(|name| !NO_STAGES.contains(name)) {
        assert!(lifecycle.stage(name).is_some(), "{name} is no stage");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_for_prometheus_fire_and_are_quiet_as_their_tests_say() {
    let rules = ["prometheus/waybill.yml", "prometheus/rabbitmq.yml"];
    let (good, text) = tool("promtool", &[&["check", "rules"][..], &rules[..]].concat()).await;
    assert!(good, "{text}");
    let tests = ["prometheus/tests/waybill.yml", "prometheus/tests/rabbitmq.yml"];
    let (good, text) = tool("promtool", &[&["test", "rules"][..], &tests[..]].concat()).await;
    assert!(good, "{text}");
    for (rules, tests) in rules.into_iter().zip(tests) {
        let (rules, tests) = (read(rules), read(tests));
        for alert in values(&rules, "alert:") {
            for what in ["fires", "is quiet"] {
                let name = format!("- name: {alert} {what}\n");
                assert!(tests.contains(&name), "no test says when {alert} {what}");
            }
        }
    }
}
