//! Whom Alertmanager calls about what: the configuration by `amtool`, and storms by a real one.

use std::path::{Path, PathBuf};

use crate::children;
use crate::orders::{Order, minutes_ago};
use crate::stack::{RULES, Stack};

/// Runs a program of the Debian packages: whether it liked it, and what it said.
pub(crate) async fn tool(name: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = tokio::process::Command::new(name);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).kill_on_drop(true);
    let output = tokio::time::timeout(children::DEADLINE, command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}; see scripts/install"));
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

/// The configuration as it stands, and as it is printed with everything in it.
async fn configurations(folder: &Path) -> [PathBuf; 2] {
    let token = folder.join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let output = children::program()
        .args(["alertmanager-config", "--group-wait", "1s", "--warning-wait", "2s"])
        .args(["--on-call-url", "http://127.0.0.1:1/a", "--day-shift-url", "http://127.0.0.1:1/b"])
        .args(["--watchdog-url", "http://127.0.0.1:1/c", "--credentials-file"])
        .arg(&token)
        .output()
        .await
        .unwrap();
    let printed = folder.join("printed.yml");
    std::fs::write(&printed, &output.stdout).unwrap();
    [Path::new(env!("CARGO_MANIFEST_DIR")).join("alertmanager.yml"), printed]
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_accepts_the_configuration_as_it_stands_and_as_it_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    for file in configurations(folder.path()).await {
        let (accepted, text) = tool("amtool", &["check-config", file.to_str().unwrap()]).await;
        assert!(accepted, "{}: {text}", file.display());
        for part in ["4 receivers", "5 inhibit rules"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_severity_has_its_route() {
    let folder = tempfile::tempdir().unwrap();
    let [standing, printed] = configurations(folder.path()).await;
    let cases: &[(&[&str], &str)] = &[
        (&["alertname=Watchdog", "severity=info"], "watchdog"),
        (&["alertname=CalculationOverOneHour", "severity=critical"], "tracker-ui,on-call"),
        (&["alertname=CalculationStorm", "severity=critical"], "tracker-ui,on-call"),
        (&["alertname=StoreDown", "severity=critical", "team=on-call"], "tracker-ui,on-call"),
        (&["alertname=OrderStuck", "severity=warning", "stage=PACKAGING"], "tracker-ui,day-shift"),
        (&["alertname=SomethingNew"], "tracker-ui,on-call"),
    ];
    for file in [standing, printed] {
        let file = format!("--config.file={}", file.display());
        for (labels, receivers) in cases {
            let verify = format!("--verify.receivers={receivers}");
            let mut arguments = vec!["config", "routes", "test", &file, &verify];
            arguments.extend(*labels);
            let (routed, text) = tool("amtool", &arguments).await;
            assert!(routed, "{labels:?}: expected {receivers}, got {text}");
        }
    }
}

/// A thousand orders hang by one cause: on-call gets one page with the count, and not one of the
/// orders has a page of its own, though all of them passed their hour long ago, so that no waiting
/// of Alertmanager holds them back.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_orders_with_one_cause_are_one_page() {
    let stack = Stack::start().await;
    let stuck: Vec<Order> = (0..1_000)
        .map(|n| Order::new(&format!("S-{n}")).submitted(minutes_ago(90)).queued(minutes_ago(89)))
        .collect();
    stack.write_all(&stuck).await;
    let evaluator = stack.evaluator(Path::new(RULES), &[]).await;
    let page = stack.pages.heard_of("CalculationStorm", "firing").await;
    let told = "1000 orders have awaited a price for over an hour, 1000 of them hang at the same \
        place (queued)";
    assert!(page.annotation("description").starts_with(told), "{page:?}");
    assert_eq!(page.annotation("evidence"), "1000 queued, not picked up");

    // Every order is known to Alertmanager by then, many times over.
    evaluator.counts("waybill_alert_rules_pushes_total", "result=\"ok\"", 6).await;
    let over = evaluator.value("waybill_alert_rules_alerts", "CalculationOverOneHour").await;
    assert_eq!(over, Some(1_000));
    assert_eq!(stack.pages.calls(), 1, "{:?}", stack.pages.all());
    let recorded = stack.receiver.all();
    assert!(!recorded.iter().any(|heard| heard.is("CalculationOverOneHour", "firing")));
    assert!(!recorded.iter().any(|heard| heard.is("HandoverLost", "firing")));

    // The cause is mended, but for three orders. What on-call heard is written down, as tracker-ui
    // does: the storm is over, and these three page.
    stack.record(&page).await;
    let priced: Vec<Order> =
        stuck.into_iter().skip(3).map(|order| order.priced(minutes_ago(0))).collect();
    stack.write_all(&priced).await;
    let end = stack.pages.heard_of("CalculationStorm", "resolved").await;
    assert_eq!(end.starts_at(), page.starts_at());
    for number in 0..3 {
        stack.pages.heard(&format!("S-{number}"), "firing", 1).await;
    }
    let pages = stack.pages.all();
    let singles = pages.iter().filter(|page| page.is("CalculationOverOneHour", "firing")).count();
    assert_eq!(singles, 3, "{pages:?}");
    let storms = pages.iter().filter(|page| page.is("CalculationStorm", "firing")).count();
    assert_eq!(storms, 1, "{pages:?}");
}
