//! OTLP bytes to ClickHouse rows and order facts, without IO.
//!
//! Data runs downhill: a body is uncompressed with a bound ([`coding`]), weighed and decoded
//! ([`decode`]), and mapped to rows ([`Mapper`]). Nothing here reads a clock or a socket: the time
//! of receipt is passed in. What is cut, redacted or rejected is counted in [`Tally`] and, where a
//! row was cut, visible on the row.
#![forbid(unsafe_code)]

pub mod limits;
pub mod coding;
mod wire;
mod json;
pub mod decode;
pub mod redact;
mod text;
mod attributes;
mod value;
mod found;
mod place;
mod evidence;
mod facts;
pub mod mapped;
mod span_facts;
mod spans;
mod logs;
mod metrics;
mod direct;
mod mapper;
mod shares;
#[cfg(test)]
mod sample;

pub use coding::Coding;
pub use decode::{DecodeError, Decoded, Encoding, Request, Signal};
pub use limits::Limits;
pub use mapped::{Mapped, Rejected, Rejection, Tally};
pub use mapper::Mapper;
pub use redact::Redaction;
pub use shares::Share;
