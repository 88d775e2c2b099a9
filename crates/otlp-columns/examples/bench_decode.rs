//! Measures what a span costs from body to record:
//! `PAYLOADS=FOLDER cargo run --release -p otlp-columns --example bench_decode [ROUNDS]`.
//!
//! The folder holds protobuf bodies of `ExportTraceServiceRequest`, one per file. Every way is run
//! over all of them, round by round; CPU is that of the one thread, the least of all rounds counts.
//! A second argument runs only the ways whose name it begins, for a profiler.

#![allow(clippy::print_stdout, reason = "it talks to a person")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on stops")]
#![allow(missing_docs, reason = "a program")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use order_model::Lifecycle;
use order_store::record;
use order_store::rows::Batch;
use otlp_columns::{Encoding, Limits, Mapped, Mapper, Redaction, Signal};

const RECEIVED_AT_MS: i64 = 1_795_400_000_000;
/// Bytes of a record, as the collector writes them.
const RECORD_BYTES_MAX: usize = 1 << 20;

fn main() {
    let folder = std::env::var("PAYLOADS").expect("PAYLOADS names a folder of bodies");
    let rounds = std::env::args().nth(1).map_or(20, |text| text.parse().unwrap());
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let bodies: Vec<Bytes> =
        files.iter().map(|file| Bytes::from(std::fs::read(file).unwrap())).collect();
    let redaction = Redaction::with(&[]).unwrap();
    let mapper = Mapper::new(Arc::new(Lifecycle::default()), redaction, Limits::default());

    let tree = |body: &Bytes| {
        let decoded = Signal::Traces.decode(Encoding::Protobuf, body, mapper.limits()).unwrap();
        mapper.map(decoded, RECEIVED_AT_MS)
    };
    let direct = |body: &Bytes| {
        mapper.map_body(Signal::Traces, Encoding::Protobuf, body, RECEIVED_AT_MS).unwrap()
    };
    let records = |batch: &Batch| record::write(batch, RECORD_BYTES_MAX);
    let compressed = |batch: &Batch| -> usize {
        records(batch).iter().map(|record| lz4_flex::compress(record).len()).sum()
    };

    let spans: u64 = bodies.iter().map(|body| direct(body).tally.spans).sum();
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    let row_bytes: usize =
        bodies.iter().map(|body| direct(body).batch.span_rows.bytes().len()).sum();
    let facts: usize = bodies
        .iter()
        .map(|body| direct(body).batch)
        .map(|batch| batch.rows() - batch.span_rows.len() - batch.spans.len())
        .sum();
    let per_span = |n: usize| n as f64 / spans as f64;
    println!(
        "{} bodies, {spans} spans; per span {:.0} bytes in, {:.0} in its row, {:.2} facts",
        bodies.len(),
        per_span(bytes),
        per_span(row_bytes),
        per_span(facts),
    );

    let only = std::env::args().nth(2).unwrap_or_default();
    let report = |name: &str, way: &dyn Fn(&Bytes)| {
        if !name.starts_with(&only) {
            return;
        }
        let seconds = (0..rounds).map(|_| {
            let before = cpu_nanos();
            bodies.iter().for_each(way);
            cpu_nanos() - before
        });
        let best = seconds.min().unwrap();
        println!("{:>8.3} µs a span  {name}", best as f64 / 1e3 / spans as f64);
    };
    let mapped = |way: &dyn Fn(&Bytes) -> Mapped, body: &Bytes| drop(black_box(way(body)));
    report("tree: decode, redact, facts, rows", &|body| mapped(&tree, body));
    report("tree, and record", &|body| drop(black_box(records(&tree(body).batch))));
    report("straight: decode, redact, facts, rows", &|body| mapped(&direct, body));
    report("straight, and record", &|body| drop(black_box(records(&direct(body).batch))));
    report("straight, and record, and LZ4", &|body| {
        black_box(compressed(&direct(body).batch));
    });
}

/// CPU time of this thread.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}
