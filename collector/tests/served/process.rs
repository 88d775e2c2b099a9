//! The program as its operator meets it: settings, exit codes, stop.

use std::process::{Command, Output};

use prost::Message;

use crate::http::post;
use crate::otlp::{span, text, traces};
use crate::stack::{Stack, start_collector};

pub(crate) fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_collector")).args(args).output().unwrap()
}

#[test]
fn the_lifecycle_is_printed_and_read_back() {
    let printed = run(&["--print-lifecycle"]);
    assert!(printed.status.success());
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(order_model::Lifecycle::parse(&text).is_ok());
}

#[test]
fn every_mistake_of_a_lifecycle_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lifecycle.toml");
    let text = order_model::lifecycle::DEFAULT_TOML
        .replacen("waiting_for = \"customer\"", "waiting_for = \"nobody we know\"", 1)
        .replacen("skew = \"2s\"", "skew = \"soon\"", 1);
    std::fs::write(&path, text).unwrap();
    let refused = run(&["--lifecycle", path.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(64));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("nobody we know") && told.contains("soon"), "{told}");
    // A line of the log for each, and one that names the setting.
    assert_eq!(told.lines().count(), 3, "{told}");
    assert_eq!(told.lines().filter(|told| told.contains(" line=")).count(), 2, "{told}");
    assert!(told.lines().any(|told| told.contains("--lifecycle")), "{told}");
    assert!(!told.contains("\\n"), "{told}");
}

#[test]
fn a_folder_without_a_journal_is_not_called_whole() {
    let folder = tempfile::tempdir().unwrap();
    let verified = run(&["journal", "verify", folder.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(66));
    assert!(String::from_utf8(verified.stderr).unwrap().contains("no journal in"));
}

#[test]
fn a_bad_setting_names_itself() {
    for (args, says) in [
        (&["--inserts-at-once", "0"][..], "--inserts-at-once"),
        (&["--in-flight-bytes-max", "9"], "--in-flight-bytes-max"),
        (&["--sweep-interval", "soon"], "--sweep-interval"),
        (&["--connections-max", "18446744073709551615"], "--connections-max"),
        (&["--in-flight-requests-max", "18446744073709551615"], "--in-flight-requests-max"),
        (&["--streams-max", "0"], "--streams-max"),
        (&["--connections-per-peer-max", "0"], "--connections-per-peer-max"),
        (&["--idle-timeout", "0s"], "--idle-timeout"),
        (&["--keep-alive", "0s"], "--keep-alive"),
        (&["--decoded-bytes-max", "0"], "--decoded-bytes-max"),
        (&["--insert-bytes-max", "0"], "--insert-bytes-max"),
        (&[], "--journal"),
        (&["--journal", "j", "--journal-bytes-max", "1"], "--journal-bytes-max"),
        (&["--otlp-http", "nowhere"], "--otlp-http"),
        (&["--journal", "j", "--redact-key", "a*b"], "a*b"),
        (&["--journal", "j", "--redact-rules", "/dev/null/none"], "--redact-rules"),
        (&["--journal", "j", "--redact-rules", "Cargo.toml"], "unknown field `"),
        (&["--attributes-max", "0"], "--attributes-max"),
        (&["--attribute-key-bytes-max", "1025"], "--attribute-key-bytes-max"),
        (&["--attribute-value-bytes-max", "63"], "--attribute-value-bytes-max"),
        (&["--log-body-bytes-max", "1048577"], "--log-body-bytes-max"),
        (&["--span-events-max", "10001"], "--span-events-max"),
        (&["--span-links-max", "10001"], "--span-links-max"),
    ] {
        let refused = run(args);
        assert_eq!(refused.status.code(), Some(64), "{args:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains(says), "{args:?}: {told}");
    }
}

#[tokio::test]
async fn a_stop_answers_and_stitches_what_is_in_hand() {
    let mut stack = Stack::start(&["--sweep-interval", "1h"]).await;
    let url = stack.http("/v1/traces");
    let mut sending = tokio::task::JoinSet::new();
    for id in 1..=20_u64 {
        let order = format!("S-{id}");
        let attributes = vec![text("order.id", &order), text("order.stage", "SUBMITTED")];
        let body = traces("shop", vec![span(7, id, attributes)]).encode_to_vec();
        sending.spawn(post(url.clone(), "application/x-protobuf", "", body).send());
    }
    let first = sending.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(first.status(), 200);
    stack.collector.terminate();
    // Each of the others is answered, or its connection was never taken.
    let mut kept = 1;
    while let Some(sent) = sending.join_next().await {
        if let Ok(answer) = sent.unwrap() {
            assert_eq!(answer.status(), 200);
            kept += 1;
        }
    }
    assert_eq!(stack.collector.exit_code(), Some(0), "{}", stack.collector.log());
    // Spans answered are spans kept, and their orders are derived.
    let count = async |sql: &str| stack.query_now(sql).await[0].parse::<u64>().unwrap();
    assert!(count("SELECT count() FROM otel_traces").await >= kept);
    let spans = count("SELECT count() FROM otel_traces").await;
    assert_eq!(count("SELECT count() FROM orders FINAL").await, spans);
}

#[test]
fn a_stop_while_the_journal_is_being_opened_does_not_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    // To open a pipe for writing waits for somebody who reads it: a disk that hangs.
    let made = Command::new("mkfifo").arg(journal.join("lock")).status().unwrap();
    assert!(made.success());
    let mut collector = start_collector(folder.path(), "http://127.0.0.1:1", &[]);
    assert!(collector.is_running());
    collector.terminate();
    assert_eq!(collector.exit_code(), Some(0), "{}", collector.log());
    assert!(!collector.log().contains("journal open"), "{}", collector.log());
}
