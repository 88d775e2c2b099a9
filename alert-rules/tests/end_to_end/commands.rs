//! `test`, `preview`, and rules that change while the evaluator runs.

use std::path::{Path, PathBuf};

use crate::orders::{Order, minutes_ago};
use crate::stack::{RULES, Stack};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn fixtures() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FIXTURES).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_the_product_do_what_their_fixtures_say() {
    let stack = Stack::start().await;
    let files = fixtures();
    let mut arguments = vec!["test"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    let (code, text) = stack.command(&arguments).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with(" checks, 0 failed\n"), "{text}");
    assert_eq!(stack.databases("waybill_alerts_").await, [""; 0], "what was made is dropped");
}

#[test]
fn every_rule_has_a_fixture_in_which_it_fires_and_one_in_which_it_is_quiet() {
    let rules = alert_rules::rule::RuleSet::read_folder(Path::new(RULES)).unwrap();
    let texts: String =
        fixtures().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    for rule in rules.rules() {
        let lines: Vec<&str> = texts.lines().collect();
        let fires = lines.windows(2).any(|two| {
            two[0].trim() == format!("alert: {}", rule.name)
                && (two[1].trim() == "expected:" || two[1].contains("count: "))
        });
        let counts = texts.contains(&format!("alert: {}, count: ", rule.name));
        assert!(fires || counts, "{} fires in no fixture", rule.name);
        let quiet = texts.contains(&format!("alert: {}}}", rule.name));
        // It always fires: that is what it is for.
        assert!(quiet || rule.name == "Watchdog", "{} is quiet in no fixture", rule.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_says_what_differs_and_exits_with_1() {
    let stack = Stack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    let fixture = |line: &str| {
        format!(
            "rules: [{RULES}]
cases:
  - name: an hour
    facts:
      - {{at: 0m, order: W-1, stage: SUBMITTED, model: true}}
    checks:
      - as_of: 61m
        {line}
        expected:
          - {{labels: {{order: W-1, severity: critical, team: on-call}}, starts_at: 50m}}
"
        )
    };
    let path = file.to_str().unwrap();
    std::fs::write(&file, fixture("alert: CalculationOverOneHour")).unwrap();
    let (code, text) = stack.command(&["test", path]).await;
    assert_eq!(code, Some(1), "{text}");
    let differs = "an hour: CalculationOverOneHour as of 61m
  - {order=\"W-1\", severity=\"critical\", team=\"on-call\"} from 50m open
  + {order=\"W-1\", severity=\"critical\", team=\"on-call\"} from 60m open
1 checks, 1 failed
";
    assert!(text.ends_with(differs), "{text}");

    for (line, reason) in
        [("alert: Nothing", ":7: no rule is called Nothing"), ("alart: x", ":8: unknown field")]
    {
        std::fs::write(&file, fixture(line)).unwrap();
        let (code, text) = stack.command(&["test", path]).await;
        assert_eq!(code, Some(64), "{text}");
        assert!(text.contains(reason), "{reason}: {text}");
    }
    assert_eq!(stack.databases("waybill_alerts_").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_names_what_would_have_fired() {
    let stack = Stack::start().await;
    let hours = |hours: i64| minutes_ago(hours * 60);
    let orders = [
        Order::new("W-OPEN").submitted(hours(120)).priced(hours(100)),
        Order::new("W-ENDED").submitted(hours(220)).priced(hours(200)).approved(hours(20)),
        Order::new("W-FINE").submitted(hours(20)).priced(hours(10)),
        Order::new("W-OLD")
            .submitted(hours(24 * 60))
            .priced(hours(24 * 59))
            .cancelled(hours(24 * 40)),
    ];
    stack.write_all(&orders).await;
    let preview = async |rule: &str, since: &str| {
        stack.command(&["preview", rule, "--since", since, "--rules", RULES]).await
    };
    let (code, text) = preview("OrderStuck", "30d").await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(": 2 alerts, 1 open, 1 ended\n"), "{text}");
    for expected in ["– open                 order=W-OPEN stage=PRICE_CALCULATED", "order=W-ENDED"]
    {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("W-FINE") && !text.contains("W-OLD"), "{text}");
    // The calculations of all of them took longer than an hour, and all were heard of today.
    let (code, text) = preview("CalculationOverOneHour", "30d").await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(": 4 alerts, 0 open, 4 ended\n"), "{text}");
    let (code, text) = preview("Nothing", "30d").await;
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("no rule is called Nothing; there are CalculationStorm, "), "{text}");
    assert_eq!(stack.databases("waybill_alerts_").await, [""; 0], "what was made is dropped");
}

/// A rule that fires for one order.
fn rule(name: &str, order: &str, more: &str) -> String {
    format!(
        "groups:
- name: {name}
  interval: 1s
  rules:
  - alert: {name}
    sql: |
      SELECT '{order}' AS order, toDateTime64('2020-01-01 00:00:00', 3, 'UTC') AS starts_at,
          CAST(NULL, 'Nullable(DateTime64(3, \\'UTC\\'))') AS ends_at {more}
    labels: {{severity: critical, team: on-call, order: '{{{{ order }}}}'}}
    annotations: {{summary: s, description: d, runbook_url: r}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_read_again_and_bad_ones_refused_while_those_before_stay() {
    let stack = Stack::start().await;
    let folder = stack.rules_folder(&rule("First", "odd-first", ""));
    let evaluator = stack.evaluator(&folder, &[]).await;
    stack.receiver.heard("odd-first", "firing", 1).await;
    let evaluated = "waybill_alert_rules_evaluations_total";

    // Broken as YAML, by its shape, and for the store: each is said once, with its place.
    let bad = [
        (rule("Second", "odd-second", "").replace("    labels:", "    for: 5m\n    labels:"), 9),
        (rule("Second", "odd-second", ", nope AS nope"), 7),
    ];
    for (refused, (text, line)) in bad.into_iter().enumerate() {
        std::fs::write(folder.join("second.yaml"), text).unwrap();
        let many = refused as u64 + 1;
        evaluator.counts("waybill_alert_rules_rules_reloads_total", "refused", many).await;
        assert_eq!(evaluator.value("waybill_alert_rules_rules_refused", "").await, Some(1));
        let place = format!("second.yaml:{line}: ");
        evaluator.answers("/readyz", "ok").await;
        evaluator.answers("/readyz", "changed rules are refused, those before stay: ").await;
        evaluator.answers("/readyz", &place).await;
        let before = evaluator.value(evaluated, "rule=\"First\",result=\"ok\"").await.unwrap();
        evaluator.counts(evaluated, "rule=\"First\",result=\"ok\"", before + 2).await;
    }
    assert_eq!(evaluator.log().matches("changed rule refused").count(), 2, "{}", evaluator.log());
    assert_eq!(evaluator.value(evaluated, "rule=\"Second\"").await, None);

    std::fs::write(folder.join("second.yaml"), rule("Second", "odd-second", "")).unwrap();
    stack.receiver.heard("odd-second", "firing", 1).await;
    assert_eq!(evaluator.value("waybill_alert_rules_rules_refused", "").await, Some(0));
    evaluator.answers("/readyz", "ok\n").await;
    let ready = evaluator.get("/readyz").await;
    assert!(!ready.contains("refused"), "{ready}");

    // A rule that is taken away is evaluated no more, and the other pages nobody anew.
    std::fs::remove_file(folder.join("rules.yaml")).unwrap();
    evaluator.counts("waybill_alert_rules_rules_reloads_total", "ok", 2).await;
    evaluator.counts(evaluated, "rule=\"Second\",result=\"ok\"", 3).await;
    assert_eq!(evaluator.value(evaluated, "rule=\"First\"").await, None);
    assert_eq!(stack.receiver.count("odd-first", "firing"), 1);
    assert_eq!(stack.receiver.count("odd-second", "firing"), 1);
}
