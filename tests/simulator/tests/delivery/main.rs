//! The program as it runs: three services, a real receiver, and what arrives against the truth.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

mod receiver;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use receiver::{Answer, Arrived, Endpoints, Kept, Receiver, text};
use rustix::process::{Pid, Signal, kill_process};
use simulator::attributes::{MESSAGING_MESSAGE_ID, ORDER_STAGE};
use simulator::stage::{Channel, Stage};
use simulator::truth::Truth;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;
use tokio::process::Command;

/// The spellings of an order id, by the service that uses them.
const SPELLINGS: [(&str, &[&str]); 3] =
    [("shop", &["order.id", "app.order.id"]), ("crm", &["order_id"]), ("mes", &["orderId"])];

fn command(endpoints: &Endpoints, folder: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command
        .args(["run", "--otlp-http", &endpoints.http, "--otlp-grpc", &endpoints.grpc])
        .arg("--truth-file")
        .arg(folder.join("truth.json"))
        .arg("--examples-file")
        .arg(folder.join("examples.json"))
        .args(flags)
        .kill_on_drop(true);
    command
}

async fn simulate(endpoints: &Endpoints, folder: &Path, flags: &[&str]) -> Output {
    command(endpoints, folder, flags).output().await.expect("the simulator starts")
}

fn assert_success(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
}

fn truth_in(folder: &Path) -> Truth {
    let text = std::fs::read(folder.join("truth.json")).expect("a truth file");
    serde_json::from_slice(&text).expect("a truth")
}

/// The order an item names, in its service's own spelling.
fn names(service: &str, attributes: &[KeyValue]) -> Option<String> {
    let (_, spellings) = SPELLINGS.iter().find(|(name, _)| *name == service)?;
    spellings.iter().find_map(|key| text(attributes, key))
}

/// Which order each trace belongs to: by name, else by link.
fn orders_of_traces(kept: &Kept) -> HashMap<Vec<u8>, String> {
    let mut orders = HashMap::new();
    for span in &kept.spans {
        let events = span.item.events.iter().map(|event| &event.attributes);
        for attributes in std::iter::once(&span.item.attributes).chain(events) {
            if let Some(order) = names(&span.service, attributes) {
                let earlier = orders.insert(span.item.trace_id.clone(), order.clone());
                assert!(earlier.is_none_or(|earlier| earlier == order), "one order per trace");
            }
        }
    }
    for log in &kept.logs {
        if let Some(order) = names(&log.service, &log.item.attributes) {
            orders.insert(log.item.trace_id.clone(), order);
        }
    }
    for span in &kept.spans {
        for link in &span.item.links {
            let order = orders.get(&link.trace_id).expect("a link to a named trace").clone();
            let own = orders.entry(span.item.trace_id.clone()).or_insert_with(|| order.clone());
            assert_eq!(*own, order, "a link leads to the same order");
        }
    }
    orders
}

/// Spans and traces of each order, counted from what arrived.
fn counted(kept: &Kept) -> BTreeMap<String, (u64, u64)> {
    let orders = orders_of_traces(kept);
    let mut spans: BTreeMap<String, (u64, BTreeSet<Vec<u8>>)> = BTreeMap::new();
    for span in &kept.spans {
        let order = orders.get(&span.item.trace_id).expect("every trace has its order");
        let (count, traces) = spans.entry(order.clone()).or_default();
        *count += 1;
        traces.insert(span.item.trace_id.clone());
    }
    spans.into_iter().map(|(id, (count, traces))| (id, (count, traces.len() as u64))).collect()
}

fn expected(truth: &Truth) -> BTreeMap<String, (u64, u64)> {
    truth.orders.iter().map(|order| (order.id.clone(), (order.spans, order.traces))).collect()
}

/// Stages that arrived as signals or by the rule for the old packing screen, per order:
/// (event time in ns, stage).
fn stages_heard(kept: &Kept) -> BTreeMap<String, Vec<(u64, String)>> {
    let mut heard: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    let mut hear = |service: &str, attributes: &[KeyValue], at_ns| {
        let order = names(service, attributes).expect("a signal names its order");
        let stage = text(attributes, ORDER_STAGE).expect("a signal names its stage");
        heard.entry(order).or_default().push((at_ns, stage));
    };
    for Arrived { service, item, .. } in &kept.spans {
        if item.name == ORDER_STAGE {
            assert_eq!(item.start_time_unix_nano, item.end_time_unix_nano, "no length");
            hear(service, &item.attributes, item.start_time_unix_nano);
        }
        for event in item.events.iter().filter(|event| event.name == ORDER_STAGE) {
            hear(service, &event.attributes, event.time_unix_nano);
        }
    }
    for Arrived { service, item, .. } in &kept.logs {
        assert_eq!(item.event_name, ORDER_STAGE);
        hear(service, &item.attributes, item.time_unix_nano);
    }
    for Arrived { service, item, .. } in &kept.spans {
        if item.name == "PUT /api/orders/{id}/packaging" {
            let order = names(service, &item.attributes).expect("the old screen names the order");
            let signal = (item.start_time_unix_nano, Stage::Packaging.name().to_owned());
            heard.entry(order).or_default().push(signal);
        }
    }
    for stages in heard.values_mut() {
        stages.sort();
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn the_population_arrives_as_the_truth_says() {
    for mes_protocol in ["grpc", "http"] {
        let (receiver, endpoints) = Receiver::start(Answer::Success).await;
        let folder = TempDir::new().expect("a folder");
        let flags = ["--seed", "7", "--orders", "150", "--mes-protocol", mes_protocol];
        assert_success(&simulate(&endpoints, folder.path(), &flags).await);
        let truth = truth_in(folder.path());
        let kept = receiver.kept();

        assert_eq!(counted(&kept), expected(&truth));
        let heard = stages_heard(&kept);
        for order in &truth.orders {
            let stages = &heard[&order.id];
            assert_eq!(stages.len() as u64, order.stage_signals, "{}", order.id);
            let (_, current) = stages.last().expect("at least one");
            assert_eq!(current, order.stage.name(), "{}", order.id);
        }
        let logs: u64 = truth.orders.iter().map(|order| order.log_records).sum();
        assert_eq!(kept.logs.len() as u64, logs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_shows_the_time_by_the_clock_of_its_system() {
    let (receiver, endpoints) = Receiver::start(Answer::Success).await;
    let folder = TempDir::new().expect("a folder");
    let flags = ["--orders", "0", "--clock-offset", "shop=1s", "--clock-offset", "crm=-1500ms"];
    assert_success(&simulate(&endpoints, folder.path(), &flags).await);
    let truth = truth_in(folder.path());
    let heard = stages_heard(&receiver.kept());
    for order in &truth.orders {
        let offset_ms = match order.stage {
            Stage::Initiated | Stage::FileUploaded => 1_000,
            Stage::Submitted if order.channel == Channel::B2c => 1_000,
            Stage::ManufacturingApproved | Stage::Closed | Stage::Cancelled => -1_500,
            _ => -700,
        };
        let at_ns = u64::try_from((order.since_ms + offset_ms) * 1_000_000).expect("after 1970");
        let signal = (at_ns, order.stage.name().to_owned());
        assert!(heard[&order.id].contains(&signal), "{signal:?} of {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_link_to_the_span_that_published_their_message() {
    let (receiver, endpoints) = Receiver::start(Answer::Success).await;
    let folder = TempDir::new().expect("a folder");
    assert_success(&simulate(&endpoints, folder.path(), &["--orders", "0"]).await);
    let kept = receiver.kept();
    let message = |span: &Arrived<_>| text_of_span(span, MESSAGING_MESSAGE_ID);
    let published: HashMap<String, (Vec<u8>, Vec<u8>)> = kept
        .spans
        .iter()
        .filter(|span| span.item.name.ends_with(" publish"))
        .map(|span| {
            let id = message(span).expect("a message id");
            (id, (span.item.trace_id.clone(), span.item.span_id.clone()))
        })
        .collect();
    let mut consumed: HashMap<String, usize> = HashMap::new();
    for span in kept.spans.iter().filter(|span| span.item.name.ends_with(" process")) {
        let id = message(span).expect("a message id");
        let [link] = span.item.links.as_slice() else { panic!("one link: {span:?}") };
        assert_eq!((link.trace_id.clone(), link.span_id.clone()), published[&id]);
        assert_ne!(span.item.trace_id, link.trace_id, "a trace of its own");
        *consumed.entry(id).or_default() += 1;
    }
    assert!(consumed.values().any(|times| *times == 2), "some messages come twice");
    assert!(published.keys().any(|id| !consumed.contains_key(id)), "some are lost");
}

fn text_of_span(
    span: &Arrived<opentelemetry_proto::tonic::trace::v1::Span>,
    key: &str,
) -> Option<String> {
    text(&span.item.attributes, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn some_traces_are_named_after_their_siblings_were_delivered_or_by_their_link_alone() {
    let (receiver, endpoints) = Receiver::start(Answer::Success).await;
    let folder = TempDir::new().expect("a folder");
    assert_success(&simulate(&endpoints, folder.path(), &["--orders", "0"]).await);
    let kept = receiver.kept();
    let named = |span: &&Arrived<opentelemetry_proto::tonic::trace::v1::Span>| {
        names(&span.service, &span.item.attributes).is_some()
    };
    for namer in ["ModelService.attach", "CallNote.save"] {
        let late = kept.spans.iter().filter(|span| span.item.name == namer).filter(|naming| {
            let trace = || kept.spans.iter().filter(|s| s.item.trace_id == naming.item.trace_id);
            assert!(trace().filter(named).all(|span| span.item.name == namer));
            trace().all(|span| span.item.name == namer || span.request < naming.request)
        });
        assert!(late.count() > 0, "{namer} names its trace last");
    }
    let of_traces = orders_of_traces(&kept);
    let by_name: BTreeSet<_> =
        kept.spans.iter().filter(named).map(|span| &span.item.trace_id).collect();
    assert!(of_traces.keys().any(|trace| !by_name.contains(trace)), "some have a link alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_says_who_it_is_and_spells_ids_its_own_way() {
    let (receiver, endpoints) = Receiver::start(Answer::Success).await;
    let folder = TempDir::new().expect("a folder");
    assert_success(&simulate(&endpoints, folder.path(), &["--orders", "0"]).await);
    let kept = receiver.kept();
    let services: BTreeSet<_> = kept.spans.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services, BTreeSet::from(["crm", "mes", "shop"]));
    for resource in &kept.resources {
        for key in ["service.version", "host.name", "telemetry.sdk.name", "telemetry.sdk.language"]
        {
            assert!(text(&resource.attributes, key).is_some(), "{key} in {resource:?}");
        }
    }
    for (service, spellings) in SPELLINGS {
        for key in spellings {
            let spans = || kept.spans.iter().filter(|span| span.service == service);
            assert!(spans().any(|span| text(&span.item.attributes, key).is_some()), "{key}");
        }
    }
}

/// Whether live orders have come as far as a linked consumer and a span that ends last.
fn far_enough(kept: &Kept) -> bool {
    let live = |id: String| id.contains(LIVE_IDS);
    let seen = |name: &str| {
        kept.spans.iter().any(|span| {
            span.item.name == name && names(&span.service, &span.item.attributes).is_some_and(live)
        })
    };
    seen("calc.requests process") && seen("ModelService.attach")
}

/// Live orders of seed 42 are numbered from 500000.
const LIVE_IDS: &str = "-425";

#[tokio::test(flavor = "multi_thread")]
async fn live_orders_arrive_as_the_truth_says_until_the_run_is_told_to_stop() {
    let (receiver, endpoints) = Receiver::start(Answer::Success).await;
    let folder = TempDir::new().expect("a folder");
    let flags = ["--orders", "0", "--rate", "600", "--stage-interval", "2100ms"];
    let clocks = ["--clock-offset", "mes=0s", "--clock-offset", "crm=0s"];
    let run = command(&endpoints, folder.path(), &[flags.as_slice(), clocks.as_slice()].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let process = i32::try_from(run.id().expect("it runs")).ok().and_then(Pid::from_raw);
    while !far_enough(&receiver.kept()) {
        receiver.more().await;
    }
    kill_process(process.expect("a process id"), Signal::TERM).expect("it still runs");
    let output = run.wait_with_output().await.expect("it ends");
    assert_success(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("truth at the end of the run"));

    let truth = truth_in(folder.path());
    let kept = receiver.kept();
    assert_eq!(counted(&kept), expected(&truth));
    let heard = stages_heard(&kept);
    let live: Vec<_> = truth.orders.iter().filter(|order| order.id.contains(LIVE_IDS)).collect();
    assert!(live.len() > 10, "{} live orders", live.len());
    for order in live {
        let (_, current) = heard[&order.id].last().expect("at least one");
        assert_eq!(current, order.stage.name(), "{}", order.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_traffic_ends_by_itself_after_its_duration() {
    let (_receiver, endpoints) = Receiver::start(Answer::Success).await;
    let folder = TempDir::new().expect("a folder");
    let flags = ["--orders", "0", "--rate", "60", "--duration", "100ms"];
    let output = simulate(&endpoints, folder.path(), &flags).await;
    assert_success(&output);
    assert!(truth_in(folder.path()).orders.iter().any(|order| order.id.contains(LIVE_IDS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_signals_were_not_all_taken_fails() {
    for answer in [Answer::Unavailable, Answer::Partial] {
        let (_receiver, endpoints) = Receiver::start(answer).await;
        let folder = TempDir::new().expect("a folder");
        let output = simulate(&endpoints, folder.path(), &["--orders", "0"]).await;
        assert_eq!(output.status.code(), Some(1), "{answer:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("did not deliver everything"), "{answer:?}: {errors}");
        assert!(!folder.path().join("truth.json").exists(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_named_and_exits_64() {
    let nowhere =
        Endpoints { http: "http://127.0.0.1:1".into(), grpc: "http://127.0.0.1:1".into() };
    let folder = TempDir::new().expect("a folder");
    let cases: [(&[&str], &str); 6] = [
        (&["--hang-share", "1.5"], "hang-share"),
        (&["--orders", "100001"], "--orders"),
        (&["--mix", "b2c=0"], "--mix"),
        (&["--mix", "b2x=1"], "--mix"),
        (&["--clock-offset", "mes=-1h"], "--clock-offset"),
        (&["--stage-interval", "3s"], "--stage-interval must be at least 3200 ms"),
    ];
    for (flags, said) in cases {
        let output = simulate(&nowhere, folder.path(), flags).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {errors}");
        assert!(errors.contains(said), "{flags:?}: {errors}");
    }
}
