//! The way back to the client: small results whole, large ones as a stream with a bound.
//!
//! Up to `held_max` bytes are held, so that an error or the figures of the query still fit in
//! the headers. Past that the answer has begun with status 200, and an error is told in the body
//! as ClickHouse 25.11 and later do, behind a tag that the headers announce.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::coding::{Coding, Encoder};
use crate::exception::{Code, Exception};
use crate::ffi::Statistics;

/// Parts of a streamed body that wait for the client; past them the engine waits.
const PARTS_WAITING_MAX: usize = 4;
/// The name by which the server shows itself.
pub(crate) const DISPLAY_NAME: &str = "clickhouse-embedded";

/// What the headers of an answer say before its figures are known.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    /// The query's id, as the client gave it or made up.
    pub(crate) query_id: String,
    /// The engine's time zone.
    pub(crate) timezone: String,
    /// The format of the result.
    pub(crate) format: String,
    /// The coding of the body.
    pub(crate) coding: Coding,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it.
    Whole(Bytes),
    /// Part after part; its end is the channel's.
    Parts(mpsc::Receiver<Bytes>),
}

/// An answer that can be sent.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// ClickHouse's headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Body,
}

/// How much of a result may be held back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    /// Bytes.
    pub(crate) bytes_max: usize,
    /// Whether more of it is an error (`wait_end_of_query=1`) or begins the stream.
    pub(crate) waits_for_end: bool,
}

/// Takes a result as the engine makes it and answers the client.
pub(crate) struct Sink {
    reply: Option<oneshot::Sender<Answer>>,
    parts: Option<mpsc::Sender<Bytes>>,
    encoder: Option<Encoder>,
    held: Vec<u8>,
    holding: Holding,
    idle_max: Duration,
    tag: String,
    /// Figures and format for the headers; the format is settled when the text is read.
    pub(crate) labels: Labels,
    /// Bytes of the result before coding.
    pub(crate) bytes: u64,
}

impl Sink {
    /// A sink whose answer goes to `reply`.
    pub(crate) fn new(
        reply: oneshot::Sender<Answer>,
        labels: Labels,
        holding: Holding,
        idle_max: Duration,
    ) -> Self {
        let tag = uuid::Uuid::new_v4().simple().to_string().chars().take(16).collect();
        let held = Vec::new();
        let reply = Some(reply);
        Self { reply, parts: None, encoder: None, held, holding, idle_max, tag, labels, bytes: 0 }
    }

    /// Takes a part of the result.
    ///
    /// # Errors
    /// The client has left or takes nothing any more, or the result is larger than may be held.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Exception> {
        self.bytes += bytes.len() as u64;
        if self.encoder.is_some() {
            return self.send_coded(bytes);
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() <= self.holding.bytes_max {
            return Ok(());
        }
        if self.holding.waits_for_end {
            let max = self.holding.bytes_max;
            let message =
                format!("Limit for a result with wait_end_of_query exceeded: {max} bytes");
            return Err(Exception::new(Code::TooManyRowsOrBytes, message));
        }
        self.begin_stream()?;
        let held = std::mem::take(&mut self.held);
        self.send_coded(&held)
    }

    fn begin_stream(&mut self) -> Result<(), Exception> {
        let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
        self.encoder = Some(Encoder::new(self.labels.coding).map_err(cannot_encode)?);
        self.parts = Some(sender);
        let headers = self.headers(&Statistics::default(), true);
        let answer = Answer { status: StatusCode::OK, headers, body: Body::Parts(receiver) };
        let reply = self.reply.take().ok_or_else(gone)?;
        reply.send(answer).map_err(|_| gone())
    }

    fn send_coded(&mut self, bytes: &[u8]) -> Result<(), Exception> {
        let coded = match &mut self.encoder {
            Some(encoder) => encoder.write(bytes).map_err(cannot_encode)?,
            None => return Err(gone()),
        };
        self.send(coded)
    }

    fn send(&mut self, coded: Vec<u8>) -> Result<(), Exception> {
        if coded.is_empty() {
            return Ok(());
        }
        let Some(parts) = &self.parts else { return Err(gone()) };
        let sending = parts.send_timeout(Bytes::from(coded), self.idle_max);
        Handle::current().block_on(sending).map_err(|_| gone())
    }

    /// Ends the answer: the figures, or the error in whatever place is left for it.
    pub(crate) fn finish(mut self, result: Result<&Statistics, &Exception>) {
        // A client that has left needs no answer; whoever cares has noted the end already.
        let _ = match (self.encoder.is_some(), result) {
            (true, Ok(_)) => self.end_stream(),
            (true, Err(exception)) => self.end_stream_with(exception),
            (false, Ok(statistics)) => self.answer_whole(statistics),
            (false, Err(exception)) => {
                self.labels.coding = Coding::Identity;
                let mut headers = self.headers(&Statistics::default(), false);
                insert(&mut headers, "x-clickhouse-exception-code", &exception.code.to_string());
                insert(&mut headers, "content-type", "text/plain; charset=UTF-8");
                let body = Body::Whole(Bytes::from(format!("{exception}\n")));
                self.reply(Answer { status: exception.http_status(), headers, body })
            }
        };
    }

    fn reply(&mut self, answer: Answer) -> Result<(), Exception> {
        self.reply.take().ok_or_else(gone)?.send(answer).map_err(|_| gone())
    }

    fn answer_whole(&mut self, statistics: &Statistics) -> Result<(), Exception> {
        let mut encoder = Encoder::new(self.labels.coding).map_err(cannot_encode)?;
        let mut coded = encoder.write(&self.held).map_err(cannot_encode)?;
        coded.extend(encoder.finish().map_err(cannot_encode)?);
        let headers = self.headers(statistics, false);
        let body = Body::Whole(Bytes::from(coded));
        self.reply(Answer { status: StatusCode::OK, headers, body })
    }

    fn end_stream(&mut self) -> Result<(), Exception> {
        let encoder = self.encoder.take().ok_or_else(gone)?;
        self.send(encoder.finish().map_err(cannot_encode)?)
    }

    /// `WriteBufferFromHTTPServerResponse::cancelWithException`: marker, tag, text, the text's
    /// length with its line break, tag, marker. Sent as a part of its own: clients look at the
    /// end of each part.
    fn end_stream_with(&mut self, exception: &Exception) -> Result<(), Exception> {
        let (tag, text) = (&self.tag, exception.to_string());
        let length = text.len() + 1;
        let block =
            format!("\r\n__exception__\r\n{tag}\r\n{text}\n{length} {tag}\r\n__exception__\r\n");
        let Some(encoder) = &mut self.encoder else { return Err(gone()) };
        let before = encoder.flush().map_err(cannot_encode)?;
        self.send(before)?;
        self.send_coded(block.as_bytes())?;
        self.end_stream()
    }

    fn headers(&self, statistics: &Statistics, streams: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let labels = &self.labels;
        insert(&mut headers, "content-type", content_type(&labels.format));
        insert(&mut headers, "x-clickhouse-server-display-name", DISPLAY_NAME);
        insert(&mut headers, "x-clickhouse-query-id", &labels.query_id);
        insert(&mut headers, "x-clickhouse-timezone", &labels.timezone);
        insert(&mut headers, "x-clickhouse-format", &labels.format);
        insert(&mut headers, "x-clickhouse-summary", &summary(statistics));
        if let Some(coding) = labels.coding.name() {
            insert(&mut headers, "content-encoding", coding);
        }
        if streams {
            insert(&mut headers, "x-clickhouse-exception-tag", &self.tag);
        }
        headers
    }
}

/// Sets a header; a value that HTTP cannot carry is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn gone() -> Exception {
    Exception::new(Code::Aborted, "The client has left or takes nothing any more")
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn cannot_encode(error: std::io::Error) -> Exception {
    Exception::new(Code::Aborted, format!("Cannot compress the answer: {error}"))
}

/// The figures as the server writes them: JSON, every number a string.
pub(crate) fn summary(statistics: &Statistics) -> String {
    let Statistics { read_rows, read_bytes, written_rows, written_bytes, .. } = statistics;
    let Statistics { result_rows, result_bytes, .. } = statistics;
    let elapsed_ns =
        Duration::try_from_secs_f64(statistics.elapsed_s).unwrap_or_default().as_nanos();
    format!(
        "{{\"read_rows\":\"{read_rows}\",\"read_bytes\":\"{read_bytes}\",\
         \"written_rows\":\"{written_rows}\",\"written_bytes\":\"{written_bytes}\",\
         \"total_rows_to_read\":\"0\",\"result_rows\":\"{result_rows}\",\
         \"result_bytes\":\"{result_bytes}\",\"elapsed_ns\":\"{elapsed_ns}\"}}"
    )
}

fn content_type(format: &str) -> &'static str {
    match format {
        "TabSeparated" | "TSV" | "TabSeparatedRaw" | "TSVRaw" => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "Native" | "Parquet" | "Arrow" | "ArrowStream" | "Avro" | "ORC" | "MsgPack" => {
            "application/octet-stream"
        }
        "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONCompactEachRow" => {
            "application/x-ndjson; charset=UTF-8"
        }
        name if name.starts_with("RowBinary") => "application/octet-stream",
        name if name.starts_with("JSON") => "application/json; charset=UTF-8",
        "XML" => "application/xml; charset=UTF-8",
        _ => "text/plain; charset=UTF-8",
    }
}
