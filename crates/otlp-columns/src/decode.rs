//! A body to a request of OTLP messages, weighed before memory is spent on it.

use std::borrow::Cow;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::coding::CodingError;
use crate::limits::Limits;
use crate::{json, wire};

/// What a JSON object takes in memory at most, on average over the messages of OTLP.
const JSON_OBJECT_BYTES: usize = 320;
/// What a number of a list takes; of metrics each comma may part two of them.
const JSON_NUMBER_BYTES: usize = 16;

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Data points of metrics.
    Metrics,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Binary protobuf.
    Protobuf,
    /// JSON of protobuf, with OTLP's deviations.
    Json,
}

/// A decoded request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
    /// Data points of metrics.
    Metrics(ExportMetricsServiceRequest),
}

/// A decoded request and what had to be done to read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The request.
    pub request: Request,
    /// Strings that were not UTF-8; their broken bytes are U+FFFD now.
    pub repaired_strings: usize,
}

/// A body could not be read. The client must not send it again.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The compression is broken or the output too large.
    #[error(transparent)]
    Coding(#[from] CodingError),
    /// Decoding would take more memory than allowed.
    #[error(
        "the request has so many messages that decoding would take {bytes} bytes, \
         more than {bytes_max}; send smaller batches"
    )]
    TooManyMessages {
        /// Estimated memory.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The rows would be more, or larger, than those of one request may be.
    #[error(
        "the request holds more than one request may: {items_max} items, {row_bytes_max} bytes of \
         rows; send smaller batches"
    )]
    TooManyRows {
        /// The bound on items.
        items_max: usize,
        /// The bound on the memory of their rows.
        row_bytes_max: usize,
    },
    /// Not protobuf, or not of this message.
    #[error("the body is not a valid OTLP protobuf message: {0}")]
    Protobuf(String),
    /// Not JSON, or not of this message.
    #[error("the body is not a valid OTLP JSON message: {0}")]
    Json(#[from] serde_json::Error),
}

impl DecodeError {
    /// Whether the request is too large, rather than broken.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::TooManyMessages { .. }
                | Self::TooManyRows { .. }
                | Self::Coding(CodingError::TooLarge { .. })
        )
    }
}

impl Signal {
    /// Decodes an uncompressed body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(
        self,
        encoding: Encoding,
        body: &Bytes,
        limits: &Limits,
    ) -> Result<Decoded, DecodeError> {
        match encoding {
            Encoding::Protobuf => self.decode_protobuf(body, limits),
            Encoding::Json => self.decode_json(body, limits),
        }
    }

    fn decode_protobuf(self, body: &Bytes, limits: &Limits) -> Result<Decoded, DecodeError> {
        let root = match self {
            Self::Traces => &wire::TRACE_REQUEST,
            Self::Logs => &wire::LOGS_REQUEST,
            Self::Metrics => &wire::METRICS_REQUEST,
        };
        let malformed = |error: wire::Malformed| DecodeError::Protobuf(error.to_string());
        let weight = wire::weigh(root, body).map_err(malformed)?;
        check_weight(weight.structures_bytes, limits)?;
        let body = if weight.broken_strings == 0 {
            body.clone()
        } else {
            wire::repair(root, body).map_err(malformed)?.into()
        };
        let refused = |error: prost::DecodeError| DecodeError::Protobuf(error.to_string());
        let request = match self {
            Self::Traces => Request::Traces(Message::decode(body).map_err(refused)?),
            Self::Logs => Request::Logs(Message::decode(body).map_err(refused)?),
            Self::Metrics => Request::Metrics(Message::decode(body).map_err(refused)?),
        };
        Ok(Decoded { request, repaired_strings: weight.broken_strings })
    }

    fn decode_json(self, body: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
        let count = |wanted: u8| body.iter().filter(|byte| **byte == wanted).count();
        let mut bytes = count(b'{').saturating_mul(JSON_OBJECT_BYTES) + body.len();
        if self == Self::Metrics {
            bytes = bytes.saturating_add(count(b',').saturating_mul(JSON_NUMBER_BYTES));
        }
        check_weight(bytes, limits)?;
        let text = String::from_utf8_lossy(body);
        let not_utf8 = usize::from(matches!(text, Cow::Owned(_)));
        let (request, halves) = match self {
            Self::Traces => {
                let (request, repaired) = json::traces(&text)?;
                (Request::Traces(request), repaired)
            }
            Self::Logs => {
                let (request, repaired) = json::logs(&text)?;
                (Request::Logs(request), repaired)
            }
            Self::Metrics => {
                let (request, repaired) = json::metrics(&text)?;
                (Request::Metrics(request), repaired)
            }
        };
        Ok(Decoded { request, repaired_strings: not_utf8 + halves })
    }
}

fn check_weight(bytes: usize, limits: &Limits) -> Result<(), DecodeError> {
    let bytes_max = limits.structures_bytes_max;
    if bytes > bytes_max {
        return Err(DecodeError::TooManyMessages { bytes, bytes_max });
    }
    Ok(())
}
