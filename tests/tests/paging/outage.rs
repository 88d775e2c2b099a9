//! Two evaluators, and a store that is away longer than Alertmanager keeps an alert.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{TimeDelta, Utc};
use end_to_end::parts::{Arguments, Part};
use end_to_end::process::{Process, Program, STOP_DEADLINE};
use end_to_end::wait::{Look, until};
use end_to_end::{Stack, address, programs};

use crate::prometheus;
use crate::scene::{DEADLINE, RULE, STORM, Scene, assert_starts, assert_told};
use crate::watched::{Hangs, Watched};

/// The shortest that an evaluator takes.
const RESOLVE_WINDOW: &str = "--resolve-window=60s";
/// An outage is longer: until every alert has ended in Alertmanager.
const OUTAGE_MAX: Duration = Duration::from_secs(90);
/// Alertmanager looks at every group once a second here: a call about what has ended has come.
const CALLED_BY_THEN: Duration = Duration::from_secs(4);
/// The page about the outage itself.
const STORE_DOWN: &str = "StoreDown";
/// Orders that hang all the time.
const ORDERS: usize = 10;

/// On-call hears of the outage and of its end. The orders still hang: they neither end nor page
/// again, though no evaluator could say so for longer than Alertmanager remembers.
#[tokio::test]
async fn an_outage_longer_than_alerts_last_is_one_page_and_no_false_end() -> Result<()> {
    let mut scene = Scene::start(false, &[RESOLVE_WINDOW]).await?;
    let (mut second, second_address) = second_evaluator(&scene.stack).await?;
    let evaluators = [scene.stack.address(Part::AlertRules, "admin")?, second_address];
    let mut prometheus = prometheus::start(&scene.stack, &evaluators).await?;

    let long_ago = Utc::now() - TimeDelta::minutes(10);
    let order = |n| Watched::new(format!("O-{n}"), Hangs::ALL[n % 3], long_ago);
    let mut hanging: Vec<_> = (0..ORDERS).map(order).collect();
    scene.send(&hanging).await?;
    scene.on_call.hears(RULE, "firing", ORDERS, DEADLINE).await?;
    for evaluator in evaluators {
        pushed(&scene.stack, evaluator).await?;
    }
    assert_told(&scene.on_call, "firing", &hanging, 1);

    scene.stack.kill_part(Part::Engine).await?;
    scene.on_call.hears(STORE_DOWN, "firing", 1, DEADLINE).await?;
    let look = || async {
        let held = scene.held(RULE).await?;
        Ok(match held.first() {
            None => Look::Yes(()),
            Some(held) => Look::NotYet(format!("{held:?}")),
        })
    };
    let (_, took) = until("Alertmanager to forget every order", OUTAGE_MAX, look).await?;
    println!("Alertmanager forgot every order {took:?} after on-call knew of the outage");
    // The collector keeps the price of one for the store: nobody knows of it yet.
    let answered = hanging.remove(0);
    scene.price(std::slice::from_ref(&answered)).await?;
    tokio::time::sleep(CALLED_BY_THEN).await;
    assert!(scene.on_call.of(RULE, "resolved").is_empty(), "nothing is known to have ended");

    scene.stack.start_part(Part::Engine).await?;
    scene.on_call.hears(STORE_DOWN, "resolved", 1, DEADLINE).await?;
    scene.on_call.hears(RULE, "resolved", 1, DEADLINE).await?;
    hanging.push(scene.marker("O-MARK").await?);
    assert_eq!(scene.held(RULE).await?.len(), hanging.len(), "Alertmanager knows them again");
    tokio::time::sleep(CALLED_BY_THEN).await;
    assert_told(&scene.on_call, "resolved", std::slice::from_ref(&answered), 1);

    scene.price(&hanging).await?;
    hanging.push(answered);
    scene.on_call.hears(RULE, "resolved", hanging.len(), DEADLINE).await?;
    assert_told(&scene.on_call, "resolved", &hanging, 1);
    assert_told(&scene.on_call, "firing", &hanging, 1);
    assert_starts(&scene.on_call, &hanging);
    assert!(scene.on_call.of(STORM, "firing").is_empty(), "they were too few for a storm");
    let calls = scene.on_call.calls();
    assert_eq!(calls, 2 * hanging.len() + 2, "and nothing else: {:?}", scene.on_call.heard());
    for process in [&mut prometheus, &mut second] {
        process.stop(STOP_DEADLINE).await?;
    }
    scene.stack.finish().await
}

/// One more evaluator of the same rules, store and Alertmanager.
async fn second_evaluator(stack: &Stack) -> Result<(Process, SocketAddr)> {
    let ports_file = stack.folder().join("ports").join("alert-rules-2");
    let mut arguments = Arguments::default();
    arguments.0.extend(["run".into(), RESOLVE_WINDOW.into()]);
    arguments.flag("--ports-file", &ports_file).flag("--listen", address::ANY.to_string());
    arguments.flag("--store-url", stack.url(Part::Engine)?);
    arguments.flag("--rules", programs::workspace().join("alert-rules/rules"));
    arguments.flag("--alertmanager", stack.url(Part::Alertmanager)?);
    arguments.flag("--public-url", stack.url(Part::TrackerUi)?);
    let executable = Part::AlertRules.executable()?;
    let program = Program { name: "alert-rules-2", executable, arguments: arguments.0 };
    let mut process = Process::start(&program, &stack.logs())?;
    let look = || {
        let alive = process.must_run();
        let ports = address::read_ports_file(&ports_file);
        async move {
            alive?;
            Ok(ports?.map_or_else(|| Look::NotYet("no ports file".to_owned()), Look::Yes))
        }
    };
    let (ports, _) = until("the second evaluator to listen", DEADLINE, look).await?;
    let address = ports.get("admin").copied().context("it names its port")?;
    pushed(stack, address).await?;
    Ok((process, address))
}

/// Waits until that evaluator had three more pushes accepted: the latest one began after now.
async fn pushed(stack: &Stack, evaluator: SocketAddr) -> Result<()> {
    let url = format!("http://{evaluator}/metrics");
    let pushes = || async {
        let text = stack.client().get(&url).send().await?.error_for_status()?.text().await?;
        let line = text.lines().find(|line| {
            line.starts_with("waybill_alert_rules_pushes_total{") && line.contains("\"ok\"")
        });
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok::<_, anyhow::Error>(count.unwrap_or(0))
    };
    let before = pushes().await?;
    let look = || async {
        let now = pushes().await?;
        let is_enough = now >= before + 3;
        Ok(if is_enough { Look::Yes(()) } else { Look::NotYet(format!("{before}, then {now}")) })
    };
    until("three more pushes", DEADLINE, look).await?;
    Ok(())
}
