//! Real engine, real Alertmanager, real evaluators: what on-call's webhook hears, and how often.
//!
//! Needs `target/debug/clickhouse-embedded` (`cargo build -p clickhouse-embedded`), its engine
//! (`npm ci --prefix crates/clickhouse-embedded/engine`) and the Debian package
//! `prometheus-alertmanager`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod children;
mod receiver;
mod orders;
mod stack;
mod commands;
mod routing;
mod contract;

use std::path::Path;
use std::time::Duration;

use crate::orders::{Moment, Order, minutes_ago};
use crate::stack::{RULES, Stack};

const ALERT: &str = "CalculationOverOneHour";

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_calculation_pages_once_and_resolves() {
    let stack = Stack::start().await;
    let (requested, alive) = (minutes_ago(70), minutes_ago(50));
    let stuck = Order::new("W-70/1").submitted(requested).running(requested, 2).alive(alive);
    let finished = Order::new("W-OK").submitted(minutes_ago(90)).priced(minutes_ago(60));
    let young = Order::new("W-NEW").submitted(minutes_ago(59)).running(minutes_ago(58), 1);
    let ready_made = Order::new("W-RM").ready_made(minutes_ago(300));
    for order in [&stuck, &finished, &young, &ready_made] {
        stack.write(order).await;
    }

    let first = stack.evaluator(Path::new(RULES), &[]).await;
    let page = stack.receiver.heard("W-70/1", "firing", 1).await.remove(0);
    assert_eq!(page.starts_at(), requested.plus_minutes(60).to_string());
    let labels =
        [("alertname", ALERT), ("order", "W-70/1"), ("severity", "critical"), ("team", "on-call")];
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    assert_eq!(page.0["labels"], serde_json::Value::Object(labels));
    let (at, alive) = (requested.on_the_minute(), alive.on_the_minute());
    assert_eq!(
        page.annotation("evidence"),
        format!("running on worker calc-7 since {at}, attempt 2, last sign of life at {alive}")
    );
    assert_eq!(page.annotation("order_url"), "http://tracker.test/orders/W-70%2F1");
    assert!(page.annotation("runbook_url").ends_with("/runbook#CalculationOverOneHour"));
    first.answers("/readyz", "ok\n").await;
    assert!(first.get("/runbook").await.contains("## CalculationOverOneHour"));

    // A second evaluator, and the first one killed and started again, say the same.
    let second = stack.evaluator(Path::new(RULES), &[]).await;
    drop(first);
    let third = stack.evaluator(Path::new(RULES), &[]).await;
    for evaluator in [&second, &third] {
        evaluator.counts("waybill_alert_rules_pushes_total", "result=\"ok\"", 2).await;
    }
    // Another page, sent after all those repeats: none of them came before it.
    stack.write(&Order::new("W-B2B").partner(minutes_ago(61))).await;
    let page = stack.receiver.heard("W-B2B", "firing", 1).await.remove(0);
    assert_eq!(
        page.annotation("evidence"),
        "never queued: the request for a price was not published"
    );
    assert!(page.annotation("description").contains("Order W-B2B (partner API) asked for a price"));
    assert_eq!(stack.receiver.count("W-70/1", "firing"), 1, "one page");

    // The price arrives: the page resolves at the time of the data.
    let answered = minutes_ago(1);
    stack.write(&stuck.priced(answered)).await;
    let end = stack.receiver.heard("W-70/1", "resolved", 1).await.remove(0);
    assert_eq!(end.0["endsAt"].as_str().unwrap(), answered.to_string());
    assert_eq!(end.starts_at(), page_start(requested));

    // The end is said again at every evaluation, and heard once.
    for evaluator in [&second, &third] {
        evaluator.counts("waybill_alert_rules_pushes_total", "result=\"ok\"", 5).await;
    }
    let cancelled = Order::new("W-B2B").partner(minutes_ago(61)).cancelled(minutes_ago(0));
    stack.write(&cancelled).await;
    stack.receiver.heard("W-B2B", "resolved", 1).await;
    assert_eq!(stack.receiver.count("W-70/1", "resolved"), 1, "one end");
    assert_eq!(stack.receiver.count("W-70/1", "firing"), 1, "one page");
    for order in ["W-OK", "W-NEW", "W-RM"] {
        let heard = stack.receiver.count(order, "firing") + stack.receiver.count(order, "resolved");
        assert_eq!(heard, 0, "{order} never pages");
    }
}

fn page_start(requested: Moment) -> String {
    requested.plus_minutes(60).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_given_in_time_and_heard_late_ends_the_page() {
    let stack = Stack::start().await;
    let requested = minutes_ago(65);
    let order = Order::new("W-LATE").submitted(requested);
    stack.write(&order).await;
    let _evaluator = stack.evaluator(Path::new(RULES), &[]).await;
    stack.receiver.heard("W-LATE", "firing", 1).await;

    let heard = minutes_ago(0);
    stack.write(&order.priced(minutes_ago(10))).await;
    // Long before the resolve window is over: the end is told, not waited for.
    let end = stack.receiver.heard("W-LATE", "resolved", 1).await.remove(0);
    assert_eq!(end.starts_at(), page_start(requested));
    let ended = Moment::parse(end.0["endsAt"].as_str().unwrap());
    assert!(heard <= ended && ended <= minutes_ago(0), "ended when it was heard: {ended}");
    assert_eq!(stack.receiver.count("W-LATE", "firing"), 1, "one page");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_store_resolves_nothing() {
    let mut stack = Stack::start().await;
    stack.write(&Order::new("W-1").submitted(minutes_ago(75))).await;
    let evaluator = stack.evaluator(Path::new(RULES), &["--evaluation-time-max", "2s"]).await;
    stack.receiver.heard("W-1", "firing", 1).await;
    evaluator.answers("/readyz", "ok\n").await;

    // First it takes queries and answers none, then it is gone.
    stack.hang_store();
    evaluator.counts("waybill_alert_rules_evaluations_total", "result=\"unanswered\"", 2).await;
    evaluator.answers("/readyz", "the store did not answer the query").await;
    stack.stop_store().await;
    evaluator.counts("waybill_alert_rules_evaluations_total", "result=\"unreachable\"", 3).await;
    evaluator.answers("/readyz", "the store cannot be reached").await;
    assert_eq!(evaluator.value("waybill_alert_rules_store_up", "").await, Some(0));
    let alert = stack.alert("W-1").await;
    assert_eq!(alert["status"]["state"], "active");
    let kept_until = Moment::parse(alert["endsAt"].as_str().unwrap());
    assert!(kept_until > minutes_ago(-55), "kept for about the resolve window: {kept_until}");
    assert_eq!(stack.receiver.count("W-1", "resolved"), 0);

    stack.start_store().await;
    evaluator.answers("/readyz", "ok\n").await;
    assert_eq!(evaluator.value("waybill_alert_rules_store_up", "").await, Some(1));
    assert_eq!(stack.receiver.count("W-1", "firing"), 1, "the outage repeats no page");
    let log = evaluator.log();
    for once in [
        "rule in trouble rule=\"CalculationOverOneHour\"",
        "store does not answer",
        "rule in order again rule=\"CalculationOverOneHour\"",
    ] {
        assert_eq!(log.matches(once).count(), 1, "{once}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluator_waits_for_the_store_and_its_schema() {
    let mut stack = Stack::without_store().await;
    let evaluator = stack.evaluator(Path::new(RULES), &[]).await;
    evaluator.logs("store does not answer").await;
    evaluator.answers("/livez", "ok\n").await;
    evaluator.answers("/readyz", "evaluation: the store cannot be reached").await;
    stack.start_store().await;
    evaluator.logs("the store holds no schema yet").await;
    evaluator.answers("/readyz", "evaluation: the store holds no schema yet").await;
    stack.migrate().await;
    evaluator.answers("/readyz", "ok\n").await;
    stack.write(&Order::new("W-1").submitted(minutes_ago(75))).await;
    stack.receiver.heard("W-1", "firing", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_as_what_it_is() {
    let mut stack = Stack::without_store().await;
    stack.start_store_with(&["--reader-password", "old-s3cret"]).await;
    let evaluator = stack.evaluator(Path::new(RULES), &["--store-password", "new-s3cret"]).await;
    evaluator.logs("rules cannot be checked").await;
    evaluator.answers("/readyz", "AUTHENTICATION_FAILED").await;
    // The schema changes nothing about it, and makes it asked a few times more.
    stack.migrate().await;
    evaluator.answers("/readyz", "AUTHENTICATION_FAILED").await;
    let log = evaluator.log();
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    for never in ["no schema", "store answers", "s3cret"] {
        assert!(!log.contains(never), "{never}: {log}");
    }

    // The store is set right, and the evaluator begins by itself.
    stack.stop_store().await;
    stack.start_store_with(&["--reader-password", "new-s3cret"]).await;
    evaluator.answers("/readyz", "ok\n").await;
    stack.write(&Order::new("W-1").submitted(minutes_ago(75))).await;
    stack.receiver.heard("W-1", "firing", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_refused_alert_nor_a_hanging_alertmanager_holds_up_a_page() {
    let stack = Stack::start().await;
    // It accepts connections and never answers.
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging_url = format!("http://{}", hanging.local_addr().unwrap());
    let rules = stack.rules_folder(&odd_rule(
        "toDateTime64('2020-01-01 00:00:00', 3, 'UTC')",
        "if(number = 7, starts_at - INTERVAL 1 HOUR, NULL)",
    ));
    let evaluator = stack.evaluator(&rules, &["--alertmanager", &hanging_url]).await;
    stack.receiver.heard("odd-0", "firing", 1).await;
    stack.receiver.heard("odd-19", "firing", 1).await;
    let ours = format!("alertmanager=\"{}\"", stack.alertmanager_url);
    evaluator.counts("waybill_alert_rules_alerts_rejected_total", &ours, 1).await;
    evaluator.counts("waybill_alert_rules_pushes_total", &format!("{ours},result=\"ok\""), 4).await;
    assert_eq!(stack.receiver.count("odd-7", "firing"), 0);
    let rejected = evaluator.value("waybill_alert_rules_alerts_rejected_total", &ours).await;
    assert_eq!(rejected, Some(1), "what was refused rests");
    let text = evaluator.log();
    assert_eq!(text.matches("alert refused").count(), 1, "logged once: {text}");
    drop(hanging);
}

/// A rule with an alert for each of twenty orders, `odd-0` to `odd-19`.
fn odd_rule(starts_at: &str, ends_at: &str) -> String {
    format!(
        "groups:
- name: odd
  interval: 1s
  rules:
  - alert: Odd
    sql: |
      SELECT
          'odd-' || toString(number) AS order,
          {starts_at} AS starts_at,
          {ends_at} AS ends_at
      FROM numbers(20)
    labels: {{severity: warning, team: on-call, order: '{{{{ order }}}}'}}
    annotations: {{summary: s, description: d, runbook_url: r}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_the_oldest_alerts_are_sent_and_the_rest_counted() {
    let stack = Stack::start().await;
    let rules = stack.rules_folder(&odd_rule(
        "toDateTime64('2020-01-01 00:00:00', 3, 'UTC') + toIntervalHour(20 - number)",
        "CAST(NULL, 'Nullable(DateTime64(3, \\'UTC\\'))')",
    ));
    let flags = ["--alerts-max", "5", "--batch-max", "2"];
    let evaluator = stack.evaluator(&rules, &flags).await;
    evaluator.counts("waybill_alert_rules_pushes_total", "result=\"ok\"", 2).await;
    for number in 15..20 {
        stack.receiver.heard(&format!("odd-{number}"), "firing", 1).await;
    }
    assert_eq!(stack.receiver.count("odd-14", "firing"), 0);
    let over = evaluator.value("waybill_alert_rules_alerts_over_bound", "rule=\"Odd\"").await;
    assert_eq!(over, Some(15));
    assert_eq!(evaluator.log().matches("more alerts than the bound").count(), 1);
}

#[tokio::test]
async fn bad_rule_files_end_the_program_with_64_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        odd_rule("now64(3, 'UTC')", "NULL").replace("    labels:", "    for: 5m\n    labels:");
    std::fs::write(folder.path().join("bad.yaml"), text).unwrap();
    for command in ["run", "check"] {
        let mut program = children::program();
        program.arg(command).arg("--rules").arg(folder.path());
        let output = tokio::time::timeout(Duration::from_secs(30), program.output());
        let output = output.await.unwrap().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(64), "{command}: {told}");
        assert!(told.contains("bad.yaml") && told.contains("12"), "{command}: {told}");
        assert!(told.contains("`for` is refused"), "{command}: {told}");
        assert!(!told.contains("listening"), "{command}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_the_store_refuses_end_the_program_with_64() {
    let stack = Stack::start().await;
    let open = "CAST(NULL, 'Nullable(DateTime(\\'UTC\\'))') AS ends_at";
    let cases = [
        ("SELECT nope FROM orders_v1".to_owned(), 6, "nope"),
        (
            "SELECT OrderId AS order, StageSince AS ends_at FROM orders_v1".to_owned(),
            6,
            "starts_at",
        ),
        (
            format!("SELECT 1 AS order, now64(3, 'UTC') AS starts_at, {open}"),
            7,
            "labels are identity",
        ),
        (
            format!("SELECT 'x' AS order, now64(3) AS starts_at, {open}"),
            6,
            "toTimeZone(starts_at, 'UTC')",
        ),
        (
            format!("SELECT 'x' AS order, now64(3, 'UTC') AS starts_at, {open}; SELECT 1"),
            6,
            "SYNTAX_ERROR",
        ),
    ];
    for (sql, line, reason) in cases {
        let folder = stack.rules_folder(&format!(
            "groups:\n- name: g\n  rules:\n  - alert: A\n    sql: >-\n      {sql}\n    \
             labels: {{severity: info, team: t, order: '{{{{ order }}}}'}}\n    \
             annotations: {{summary: s, description: d, runbook_url: r}}\n"
        ));
        let (code, log) = stack.evaluator_that_ends(&folder).await;
        assert_eq!(code, Some(64), "{sql}: {log}");
        let place = format!("rules.yaml\" line={line} ");
        assert!(log.contains(&place), "{sql}: {log}");
        assert!(log.contains(reason), "{sql}: {log}");
        let (code, printed) = stack.check(&folder, &["--with-store"]).await;
        assert_eq!(code, Some(64), "{sql}: {printed}");
        assert!(printed.contains(reason), "{sql}: {printed}");
    }
    let (code, printed) = stack.check(Path::new(RULES), &["--with-store"]).await;
    assert_eq!((code, printed.as_str()), (Some(0), ""));
}
