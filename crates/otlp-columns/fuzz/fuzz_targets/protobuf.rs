//! Any bytes as a protobuf request: the straight way and the tree of messages agree; a request of
//! log records neither panics nor hangs.
#![no_main]

#[path = "../../tests/properties/both_ways.rs"]
mod both_ways;
mod rules;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use otlp_columns::{Encoding, Signal};

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for mapper in rules::mappers() {
        both_ways::check(mapper, &body);
        let _ = mapper.map_body(Signal::Logs, Encoding::Protobuf, &body, 7);
    }
});
