//! Throws random requests, changed in every way, at both ways of mapping, and compares:
//! `cargo run --release -p otlp-columns --example soak -- SECONDS [SEED]`.
//!
//! What the fuzz targets do with the coverage to guide them, this does on any machine, by the
//! same functions as the property tests. It ends with a panic at the first difference; the seed
//! that is printed leads there again.

#![allow(clippy::print_stdout, reason = "it talks to a person")]
#![allow(clippy::unwrap_used, reason = "a soak that cannot go on stops")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a program that shares test modules")]

#[path = "../tests/properties/both_ways.rs"]
mod both_ways;
#[path = "../tests/properties/mutations.rs"]
mod mutations;
#[path = "../tests/properties/requests.rs"]
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use order_model::Lifecycle;
use otlp_columns::{Encoding, Limits, Mapper, Redaction, Request, Signal};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Changes tried on each request.
const MUTATIONS: usize = 50;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(60, |text| text.parse().unwrap());
    let seed = arguments.next().map_or_else(rand::random, |text| text.parse().unwrap());
    println!("seed {seed}, {seconds} s");
    let mut rng = StdRng::seed_from_u64(seed);
    let source = TestRng::from_seed(RngAlgorithm::ChaCha, &rng.random::<[u8; 32]>());
    let mut runner = TestRunner::new_with_rng(Config::default(), source);
    let requests = requests::traces_request();
    let narrow = Limits {
        items_max: 5,
        attributes_max: 3,
        key_bytes_max: 9,
        value_bytes_max: 11,
        events_max: 1,
        links_max: 1,
        depth_max: 1,
        order_ids_max: 1,
        row_bytes_max: 6_000,
        structures_bytes_max: 12_000,
        ..Limits::default()
    };
    let mappers = [Limits::default(), narrow].map(|limits| {
        let redaction = Redaction::with(&["plain.*".to_owned()]).unwrap();
        Mapper::new(Arc::new(Lifecycle::default()), redaction, limits)
    });
    let mut ways: BTreeMap<String, u64> = BTreeMap::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let request = requests.new_tree(&mut runner).unwrap().current();
        let body = request.encode_to_vec();
        let json = serde_json::to_vec(&request).unwrap();
        for round in 0..MUTATIONS {
            let changed =
                if round == 0 { body.clone() } else { mutations::mutated(&body, &mut rng) };
            let way = both_ways::check(&mappers[round % 2], &Bytes::from(changed));
            *ways.entry(format!("{way:?}")).or_default() += 1;
            *ways.entry(json_way(&mappers[round % 2], &json, round, &mut rng)).or_default() += 1;
        }
    }
    for (way, count) in ways {
        println!("{count:>12} {way}");
    }
}

/// Reads damaged JSON; what can be read is written as protobuf, which goes both ways.
fn json_way(mapper: &Mapper, json: &[u8], round: usize, rng: &mut StdRng) -> String {
    let mut json = json.to_vec();
    for _ in 0..round.min(3) {
        let at = rng.random_range(0..json.len());
        json[at] = rng.random();
    }
    match Signal::Traces.decode(Encoding::Json, &json.into(), mapper.limits()) {
        Ok(decoded) => {
            let Request::Traces(request) = decoded.request else { unreachable!() };
            let way = both_ways::check(mapper, &request.encode_to_vec().into());
            format!("JSON, then {way:?}")
        }
        Err(_) => "JSON refused".to_owned(),
    }
}
