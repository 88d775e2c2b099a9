//! How the bad bodies travel: OTLP over HTTP in protobuf and JSON, and over gRPC byte by byte.

use anyhow::{Context, Result};
use bytes::{Buf, BufMut, Bytes};
use end_to_end::Stack;
use end_to_end::otlp::{self, JSON, PROTOBUF};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::bodies::{Body, gzipped};

/// The path of the traces service.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// A path that nobody serves.
const NOWHERE: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Import";

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// OTLP/HTTP with protobuf.
    Protobuf,
    /// OTLP/HTTP with JSON.
    Json,
    /// OTLP/gRPC.
    Grpc,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Success, or partial success.
    Taken { rejected: i64, message: String },
    /// Another status of HTTP; the message is that of the status body.
    Http { status: u16, message: String },
    /// Another code of gRPC.
    Grpc { code: Code, message: String },
}

impl Wire {
    pub(crate) const ALL: [Self; 3] = [Self::Protobuf, Self::Json, Self::Grpc];
    pub(crate) const HTTP: [Self; 2] = [Self::Protobuf, Self::Json];
    pub(crate) const BINARY: [Self; 2] = [Self::Protobuf, Self::Grpc];

    /// Sends the body.
    pub(crate) async fn send(self, stack: &Stack, body: Body, order_id: &str) -> Result<Outcome> {
        let bytes = body.bytes(order_id, self == Self::Json)?;
        match self {
            Self::Grpc => grpc(&stack.otlp_grpc()?, body, bytes).await,
            Self::Protobuf | Self::Json => self.http(stack, body, bytes).await,
        }
    }

    async fn http(self, stack: &Stack, body: Body, bytes: Vec<u8>) -> Result<Outcome> {
        let own_type = if self == Self::Json { JSON } else { PROTOBUF };
        let content_type = if body == Body::OtherType { "text/plain" } else { own_type };
        let coding = match body {
            Body::GzipBomb | Body::BrokenGzip => "gzip",
            Body::OtherCoding => "br",
            _ => "identity",
        };
        let bytes = if body == Body::GzipBomb { gzipped(&bytes)? } else { bytes };
        let answer = stack
            .client()
            .post(format!("{}/v1/traces", stack.otlp_http()?))
            .header("content-type", content_type)
            .header("content-encoding", coding)
            .body(bytes)
            .send()
            .await
            .context("the collector answers")?;
        let status = answer.status().as_u16();
        let answer_type = answer.headers().get("content-type").cloned();
        let json = answer_type.as_ref().is_some_and(|value| value == JSON);
        let body = answer.bytes().await?;
        if status == 200 { taken(&body, json) } else { http_status(status, &body, json) }
    }
}

/// The success message, in the encoding of the request.
fn taken(body: &[u8], json: bool) -> Result<Outcome> {
    if !json {
        let partial = otlp::decode_answer(body)?.partial_success.unwrap_or_default();
        return Ok(Outcome::Taken {
            rejected: partial.rejected_spans,
            message: partial.error_message,
        });
    }
    let answer: serde_json::Value = serde_json::from_slice(body)?;
    let partial = &answer["partialSuccess"];
    let rejected = partial["rejectedSpans"].as_str().map_or(Ok(0), str::parse)?;
    let message = partial["errorMessage"].as_str().unwrap_or_default().to_owned();
    Ok(Outcome::Taken { rejected, message })
}

/// The message of a `google.rpc.Status` body.
fn http_status(status: u16, body: &[u8], json: bool) -> Result<Outcome> {
    let message = if json {
        let status: serde_json::Value = serde_json::from_slice(body)?;
        status["message"].as_str().context("a status says why")?.to_owned()
    } else {
        tonic_types::Status::decode(body).context("the body is a status")?.message
    };
    Ok(Outcome::Http { status, message })
}

async fn grpc(endpoint: &str, body: Body, bytes: Vec<u8>) -> Result<Outcome> {
    let channel = Channel::from_shared(endpoint.to_owned())?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel);
    if body == Body::GzipBomb {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    client.ready().await.context("the collector takes a connection")?;
    let path = if body == Body::OtherMethod { NOWHERE } else { EXPORT };
    let path = PathAndQuery::from_static(path);
    let answer = client.unary(Request::new(Bytes::from(bytes)), path, Verbatim).await;
    match answer {
        Ok(answer) => taken(&answer.into_inner(), false),
        Err(status) => {
            Ok(Outcome::Grpc { code: status.code(), message: status.message().to_owned() })
        }
    }
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
