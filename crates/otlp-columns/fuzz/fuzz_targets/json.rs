//! Any bytes as a JSON request: neither panic nor hang; what can be read is the same in protobuf,
//! on both ways.
#![no_main]

#[path = "../../tests/properties/both_ways.rs"]
mod both_ways;
mod rules;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use otlp_columns::{Encoding, Request, Signal};
use prost::Message;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for mapper in rules::mappers() {
        if let Ok(decoded) = Signal::Traces.decode(Encoding::Json, &body, mapper.limits())
            && let Request::Traces(request) = decoded.request
        {
            both_ways::check(mapper, &request.encode_to_vec().into());
        }
        let _ = mapper.map_body(Signal::Logs, Encoding::Json, &body, 7);
    }
});
