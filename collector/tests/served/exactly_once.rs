//! Nothing is stored twice and nothing is lost: refusals of the store, repeats of clients, journals
//! of older programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;

use crate::http::post;
use crate::otlp::{AT, logs, span, text, traces};
use crate::process::run;
use crate::stack::{Stack, eventually};

const PROTOBUF: &str = "application/x-protobuf";

async fn send(stack: &Stack, path: &str, body: Vec<u8>) {
    let answer = post(stack.http(path), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn log_records(names: &[&str]) -> Vec<u8> {
    let record = |name: &&str| LogRecord {
        time_unix_nano: AT,
        event_name: (*name).to_owned(),
        ..LogRecord::default()
    };
    logs("mes", names.iter().map(record).collect()).encode_to_vec()
}

/// The files of what was set aside.
fn set_aside(stack: &Stack) -> Vec<PathBuf> {
    let folder = stack.journal().with_extension("refused");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "record")).collect()
}

fn resubmit(stack: &Stack, more: &[&str]) -> (Output, String) {
    let store = format!("http://{}", stack.engine.address("clickhouse-http"));
    let folder = stack.journal().to_str().unwrap().to_owned();
    let args = [&["--store-url", store.as_str(), "journal", "resubmit", &folder], more].concat();
    let output = run(&args);
    let told = [output.stdout.clone(), output.stderr.clone()].concat();
    (output, String::from_utf8(told).unwrap())
}

/// Four spans, of which the store refuses one, and six log records, in as few inserts as can be.
async fn send_with_a_bad_one(stack: &Stack) {
    stack.query("ALTER TABLE otel_traces ADD CONSTRAINT bad CHECK SpanName != 'poison'").await;
    stack.engine.freeze();
    for (id, name) in [(1, "good"), (2, "poison"), (3, "good"), (4, "good")] {
        let order = format!("A-{id}");
        let mut span = span(1, id, vec![text("order.id", &order), text("order.stage", "CLOSED")]);
        span.name = name.to_owned();
        send(stack, "/v1/traces", traces("shop", vec![span]).encode_to_vec()).await;
    }
    send(stack, "/v1/logs", log_records(&["a", "b", "a"])).await;
    send(stack, "/v1/logs", log_records(&["c", "d", "e"])).await;
    stack.engine.thaw();
}

#[tokio::test]
async fn what_the_store_refuses_doubles_nothing_and_is_sent_again_once_mended() {
    let stack = Stack::start(&[]).await;
    send_with_a_bad_one(&stack).await;
    // Not folded: tables that took the whole batch are not asked again for its parts.
    let count = "SELECT (SELECT count() FROM otel_traces), (SELECT count() FROM otel_logs), \
                 (SELECT sum(rows) FROM system.parts WHERE active AND table = 'order_events')";
    assert_eq!(stack.query(count).await, ["3\t6\t4"]);
    let metrics = stack.metrics().await;
    assert!(metrics.contains("waybill_collector_refused_records_total 1\n"), "{metrics}");
    assert!(!metrics.contains("waybill_collector_insert_splits_total 0\n"), "{metrics}");

    let kept = set_aside(&stack);
    assert_eq!(kept.len(), 1);
    let bytes = fs::read(&kept[0]).unwrap();
    let (listed, told) = resubmit(&stack, &["--list"]);
    assert!(listed.status.success());
    assert!(told.contains(": 1 otel_traces;") && told.contains("\n1 records in "), "{told}");
    // It runs beside collectors, and decides nothing of theirs.
    let other = stack.journal().with_file_name("other.toml");
    let skew = order_model::lifecycle::DEFAULT_TOML.replacen("skew = \"2s\"", "skew = \"3s\"", 1);
    fs::write(&other, skew).unwrap();
    let flags = ["--lifecycle", other.to_str().unwrap(), "--store-url", &stack.store_url()];
    for command in [&["journal", "resubmit", stack.journal().to_str().unwrap()][..], &["restitch"]]
    {
        let refused = run(&[&flags[..], command].concat());
        assert!(!refused.status.success());
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("the lifecycle in force is"), "{told}");
    }
    assert_eq!(stack.query("SELECT count() FROM lifecycles").await, ["1"]);
    // The cause is still there.
    let (refused, told) = resubmit(&stack, &[]);
    assert_eq!(refused.status.code(), Some(65), "{told}");
    assert!(told.contains(": stays: ") && told.contains("0 records are in the store, 1 stay"));
    assert_eq!(fs::read(&kept[0]).unwrap(), bytes);

    stack.query("ALTER TABLE otel_traces DROP CONSTRAINT bad").await;
    let lock = File::options().write(true).open(kept[0].with_file_name("lock")).unwrap();
    lock.try_lock().unwrap();
    let (locked, told) = resubmit(&stack, &[]);
    assert_eq!(locked.status.code(), Some(71), "{told}");
    assert!(told.contains("another `journal resubmit` runs"), "{told}");
    drop(lock);
    let (sent, told) = resubmit(&stack, &[]);
    assert!(sent.status.success() && told.contains(": 1 rows are in the store"), "{told}");
    assert_eq!(stack.query(count).await, ["4\t6\t4"]);
    assert_eq!(set_aside(&stack), Vec::<PathBuf>::new());
    // As after a kill before the file was gone.
    fs::write(&kept[0], &bytes).unwrap();
    assert!(resubmit(&stack, &[]).0.status.success());
    assert_eq!(stack.query(count).await, ["4\t6\t4"]);
    let (nothing, told) = resubmit(&stack, &[]);
    assert!(nothing.status.success() && told.contains("nothing is set aside in"), "{told}");
    assert_eq!(stack.query("SELECT count() FROM orders FINAL").await, ["4"]);
}

#[tokio::test]
async fn what_is_no_record_and_a_store_that_is_away_leave_all_where_it_is() {
    let mut stack = Stack::start(&[]).await;
    send_with_a_bad_one(&stack).await;
    stack.query("ALTER TABLE otel_traces DROP CONSTRAINT bad").await;
    let kept = set_aside(&stack);
    let torn = kept[0].with_file_name("torn.record");
    fs::write(&torn, b"\x01\x0d").unwrap();
    stack.engine.kill();
    let (away, told) = resubmit(&stack, &[]);
    assert_eq!(away.status.code(), Some(71), "{told}");
    assert_eq!(set_aside(&stack).len(), 2);
    stack.restart_engine();
    let (left, told) = resubmit(&stack, &[]);
    assert_eq!(left.status.code(), Some(65), "{told}");
    assert!(told.contains("torn: stays: a record that ends"), "{told}");
    assert_eq!(set_aside(&stack), [torn]);
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["4"]);
}

#[tokio::test]
async fn a_client_s_repeat_of_log_records_counts_once_also_through_another_collector() {
    let mut stack = Stack::start(&[]).await;
    for _ in 0..2 {
        send(&stack, "/v1/logs", log_records(&["a", "b", "a"])).await;
        stack.stored().await;
        // Another process with a journal of its own.
        stack.collector.kill();
        fs::remove_dir_all(stack.journal()).unwrap();
        stack.restart_collector(&[]);
        stack.ready().await;
    }
    let sql = "SELECT EventName, count() FROM otel_logs_v1 GROUP BY 1 ORDER BY 1";
    assert_eq!(stack.query(sql).await, ["a\t2", "b\t1"]);
}

/// Rows of a journal that a collector wrote whose records have version 1, with the requests of
/// `crates/otlp-columns/tests`: one batch was under way when its store went away and it was killed,
/// two more requests were answered.
const OF_VERSION_1: [(&str, &str); 12] = [
    ("otel_traces", "2"),
    ("otel_logs", "3"),
    ("order_events", "4"),
    ("order_heartbeats", "1"),
    ("order_traces", "4"),
    ("trace_links", "2"),
    ("order_aliases", "6"),
    ("otel_metrics_gauge", "2"),
    ("otel_metrics_sum", "1"),
    ("otel_metrics_histogram", "2"),
    ("otel_metrics_exponential_histogram", "1"),
    ("otel_metrics_summary", "1"),
];

#[tokio::test]
async fn a_journal_of_an_older_program_is_read_and_stored_once() {
    let mut stack = Stack::start(&[]).await;
    stack.collector.kill();
    let journal = stack.journal();
    fs::remove_dir_all(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal_version_1");
    for file in fs::read_dir(golden).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), journal.join(file.file_name())).unwrap();
    }
    let inspected = run(&["journal", "inspect", journal.to_str().unwrap()]);
    let told = String::from_utf8(inspected.stdout).unwrap();
    assert!(told.ends_with("not known to be in the store: 3 records\n"), "{told}");
    // The rows are of November 2026: they are not to be past their time on arrival.
    let kept = ["spans", "logs", "metrics", "heartbeats", "facts"];
    let kept = kept.map(|kind| [format!("--retention-{kind}"), "30y".to_owned()]).concat();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    // The second start finds an empty journal and adds nothing.
    for _ in 0..2 {
        stack.restart_collector(&kept);
        eventually("the journal is open", async || stack.readiness().await.0 == 200).await;
        stack.ready().await;
        for (table, rows) in OF_VERSION_1 {
            let counted = stack.query(&format!("SELECT count() FROM {table} FINAL")).await;
            assert_eq!(counted, [rows], "{table}");
        }
    }
}
