//! The journal between the answer and the store, as an operator meets it.

use std::fs;
use std::path::PathBuf;

use prost::Message;

use crate::http::post;
use crate::otlp::{span, traces};
use crate::process::run;
use crate::stack::{Stack, eventually};

const PROTOBUF: &str = "application/x-protobuf";

async fn send(stack: &Stack, name: &str, id: u64) {
    let mut span = span(1, id, vec![]);
    span.name = name.to_owned();
    let body = traces("shop", vec![span]).encode_to_vec();
    let answer = post(stack.http("/v1/traces"), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// The files of the journal, oldest first.
fn segments(stack: &Stack) -> Vec<PathBuf> {
    let files = fs::read_dir(stack.journal()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "segment")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_is_answered_outlives_a_kill_at_any_time_and_is_stored_once() {
    let mut stack = Stack::start(&[]).await;
    for round in 0..6_u64 {
        // Frozen, the store takes what is sent to it when it goes on, also from the dead.
        stack.engine.freeze();
        for id in 1..=5 {
            send(&stack, "step", 10 * round + id).await;
        }
        if round % 2 == 0 {
            stack.engine.thaw();
        }
        stack.restart_collector(&[]);
        stack.engine.thaw();
        eventually("it goes on", async || stack.readiness().await.0 == 200).await;
    }
    stack.ready().await;
    // Not folded: each once by the token of its batch.
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["30"]);
}

#[tokio::test]
async fn a_record_that_the_store_refuses_is_set_aside_and_holds_up_nobody() {
    let stack = Stack::start(&[]).await;
    stack.query("ALTER TABLE otel_traces ADD CONSTRAINT bad CHECK SpanName != 'poison'").await;
    stack.engine.freeze();
    for (id, name) in [(1, "good"), (2, "poison"), (3, "good"), (4, "good")] {
        send(&stack, name, id).await;
    }
    stack.engine.thaw();
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["3"]);
    let kept = fs::read_dir(stack.journal().with_extension("refused")).unwrap().count();
    assert_eq!(kept, 1);
    assert!(stack.metrics().await.contains("waybill_collector_refused_records_total 1\n"));
    let log = stack.collector.log();
    assert_eq!(log.matches("the store refuses a record; it is set aside").count(), 1, "{log}");
}

/// Turns a bit of the first record of the oldest file; gives the file and what it holds now.
fn damage_first_record(stack: &Stack) -> (PathBuf, Vec<u8>) {
    let oldest = segments(stack).remove(0);
    let mut bytes = fs::read(&oldest).unwrap();
    bytes[64 + 48 + 3] ^= 1;
    fs::write(&oldest, &bytes).unwrap();
    (oldest, bytes)
}

#[tokio::test]
async fn the_operator_looks_into_the_journal_and_salvages_what_is_whole() {
    let mut stack = Stack::start(&[]).await;
    stack.engine.kill();
    for id in 1..=4 {
        send(&stack, "step", id).await;
    }
    let folder = stack.journal().to_str().unwrap().to_owned();
    let inspected = run(&["journal", "inspect", &folder]);
    assert!(inspected.status.success());
    let told = String::from_utf8(inspected.stdout).unwrap();
    assert!(told.contains("not known to be in the store: 4 records"), "{told}");
    assert!(run(&["journal", "verify", &folder]).status.success());
    // While a collector has it there is nothing to salvage.
    let new = stack.journal().with_extension("new");
    let salvage = ["journal", "salvage", &folder, "--into", new.to_str().unwrap()];
    let salvaged = run(&salvage);
    assert_eq!(salvaged.status.code(), Some(71));
    let told = String::from_utf8(salvaged.stderr).unwrap();
    assert!(told.contains("is open elsewhere"), "{told}");

    // A bit turns while nobody looks.
    stack.collector.kill();
    let (oldest, bytes) = damage_first_record(&stack);
    let verified = run(&["journal", "verify", &folder]);
    assert_eq!(verified.status.code(), Some(65));
    let told = String::from_utf8(verified.stderr).unwrap();
    assert!(told.contains("is damaged at byte") && told.contains(".segment"), "{told}");
    let inspected = run(&["journal", "inspect", &folder]);
    assert!(String::from_utf8(inspected.stdout).unwrap().contains("DAMAGED at byte"));
    stack.restart_collector(&[]);
    assert_eq!(stack.collector.exit_code(), Some(71), "{}", stack.collector.log());
    assert!(stack.collector.log().contains("is damaged at byte"), "{}", stack.collector.log());

    let salvaged = run(&salvage);
    assert_eq!(salvaged.status.code(), Some(65));
    let told = String::from_utf8(salvaged.stdout).unwrap();
    let file = oldest.to_str().unwrap();
    assert!(told.contains(&format!("{file} at byte 64, ")), "{told}");
    assert!(told.contains("a record's payload is damaged; records 1 to 1 are LOST"), "{told}");
    assert!(told.contains("salvaged: 3 records of "), "{told}");
    assert_eq!(fs::read(&oldest).unwrap(), bytes, "nothing was changed");
    // A second time it would mix two journals.
    assert_eq!(run(&salvage).status.code(), Some(71));

    fs::rename(stack.journal(), stack.journal().with_extension("damaged")).unwrap();
    fs::rename(&new, stack.journal()).unwrap();
    stack.restart_engine();
    stack.restart_collector(&[]);
    stack.ready().await;
    let stored = stack.query("SELECT SpanId FROM otel_traces ORDER BY SpanId").await;
    assert_eq!(stored, [2, 3, 4].map(|id| format!("{id:016x}")));
}

#[tokio::test]
async fn damage_to_what_is_stored_blocks_no_start() {
    let mut stack = Stack::start(&[]).await;
    send(&stack, "step", 1).await;
    stack.stored().await;
    stack.engine.kill();
    for id in 2..=4 {
        send(&stack, "step", id).await;
    }
    stack.collector.kill();
    let (oldest, _) = damage_first_record(&stack);
    assert_eq!(
        run(&["journal", "verify", stack.journal().to_str().unwrap()]).status.code(),
        Some(65)
    );
    stack.restart_engine();
    stack.restart_collector(&[]);
    stack.ready().await;
    let log = stack.collector.log();
    assert!(log.contains("damage in the journal passed over"), "{log}");
    assert!(log.contains(oldest.to_str().unwrap()), "{log}");
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["4"]);
}

#[tokio::test]
async fn one_journal_has_one_collector() {
    let stack = Stack::start(&[]).await;
    let any = "127.0.0.1:0";
    let folder = stack.journal().to_str().unwrap().to_owned();
    let args =
        ["--otlp-http", any, "--otlp-grpc", any, "--admin", any, "--journal", folder.as_str()];
    let second = run(&args);
    assert_eq!(second.status.code(), Some(71));
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains("is open elsewhere"), "{told}");
}
