//! The bad bodies, in protobuf and in JSON.

use std::io::Write;

use anyhow::{Context, Result};
use end_to_end::otlp::{self, StageSignal};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A stage of the lifecycle that never alerts.
const STAGE: &str = "MANUFACTURING_STARTED";
/// One second after the beginning of 1970, nanoseconds.
const IN_1970_NS: u64 = 1_000_000_000;
/// The beginning of 2200, nanoseconds.
const IN_2200_NS: u64 = 7_258_118_400_000_000_000;
/// Stands where bytes that are no UTF-8 go.
const PLACEHOLDER: &str = "PLACEHOLDER";
/// What a bomb unpacks to.
const BOMB_BYTES: usize = 256 << 20;

/// A bad body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Bytes of no meaning.
    Garbage,
    /// A good body without its end.
    Truncated,
    /// A good body of a content type that is none of OTLP's.
    OtherType,
    /// A good body in a coding that nobody reads.
    OtherCoding,
    /// A good body to a method that is not there.
    OtherMethod,
    /// 100 MB.
    HundredMegabytes,
    /// A small body that is large once unpacked.
    GzipBomb,
    /// A body that says gzip and is none.
    BrokenGzip,
    /// A trace id of zeros, beside a good span.
    ZeroTraceId,
    /// Ids that are too short, beside a good span.
    ShortIds,
    /// An event in 1970.
    In1970,
    /// An event in 2200.
    In2200,
    /// 10,000 attributes.
    TenThousandAttributes,
    /// A text that is no UTF-8.
    InvalidText,
}

impl Body {
    /// The bytes before any coding.
    pub(crate) fn bytes(self, order_id: &str, json: bool) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Garbage => (0..4_096_u32).map(|n| (n * 31 % 251) as u8 | 0x80).collect(),
            Self::Truncated => {
                let mut bytes = encoded(&good(order_id), json)?;
                bytes.truncate(bytes.len() * 2 / 3);
                bytes
            }
            Self::HundredMegabytes => vec![b' '; 100 << 20],
            Self::GzipBomb => vec![0; BOMB_BYTES],
            Self::InvalidText => {
                let mut signal = StageSignal::now(order_id, STAGE, "mes");
                signal = signal.with("note", PLACEHOLDER);
                let bytes = encoded(&signal.request(), json)?;
                replaced(&bytes, PLACEHOLDER.as_bytes(), &[0xff; PLACEHOLDER.len()])?
            }
            _ => encoded(&self.request(order_id), json)?,
        })
    }

    fn request(self, order_id: &str) -> ExportTraceServiceRequest {
        let mut signal = StageSignal::now(order_id, STAGE, "mes");
        let mut beside = None;
        match self {
            Self::ZeroTraceId => {
                beside = Some(Span { trace_id: vec![0; 16], ..another(order_id) });
            }
            Self::ShortIds => {
                let (trace_id, span_id) = (vec![7; 3], vec![7; 2]);
                beside = Some(Span { trace_id, span_id, ..another(order_id) });
            }
            Self::In1970 => signal.at_ns = IN_1970_NS,
            Self::In2200 => signal.at_ns = IN_2200_NS,
            Self::TenThousandAttributes => {
                let pair = |n| (format!("key.{n}"), format!("value {n}"));
                signal.attributes = (0..10_000).map(pair).collect();
            }
            _ => {}
        }
        let spans = beside.into_iter().chain([signal.span()]).collect();
        otlp::request(&signal.service, spans)
    }
}

fn good(order_id: &str) -> ExportTraceServiceRequest {
    StageSignal::now(order_id, STAGE, "mes").request()
}

fn another(order_id: &str) -> Span {
    StageSignal::now(order_id, STAGE, "mes").span()
}

fn encoded(request: &ExportTraceServiceRequest, json: bool) -> Result<Vec<u8>> {
    Ok(if json { serde_json::to_vec(request)? } else { request.encode_to_vec() })
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>> {
    let at = bytes.windows(from.len()).position(|window| window == from);
    let at = at.context("the placeholder is not in the body")?;
    Ok([&bytes[..at], to, &bytes[at + from.len()..]].concat())
}

/// The bytes as gzip.
pub(crate) fn gzipped(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
