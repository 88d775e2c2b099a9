//! A request's body, from the async side to the thread that reads it.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::mpsc;

use crate::exception::{Code, Exception};
use crate::settings::Limits;

/// Parts of a body that wait for the engine; past them the client waits.
const PARTS_WAITING_MAX: usize = 8;

/// A part, the end, or why it broke off.
type Part = io::Result<Option<Bytes>>;

/// Forwards `body` part by part, and tells its end apart from its breaking off.
pub(crate) fn forward(body: Body, idle_max: Duration) -> BodyReader {
    let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
    tokio::spawn(pump(body, sender, idle_max));
    BodyReader { parts: receiver, part: Bytes::new(), ended: false }
}

/// The whole body, held; in time and within its bound.
///
/// # Errors
/// 229 when it is larger than `reader_body_bytes_max`, 209 when it takes longer than
/// `text_time_max`, 33 when it breaks off.
pub(crate) async fn whole(body: Body, limits: &Limits) -> Result<Body, Exception> {
    let bytes_max = limits.reader_body_bytes_max;
    let bounded = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(limits.text_time_max, bounded).await {
        Ok(Ok(whole)) => Ok(Body::from(whole.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("Max query size exceeded: {bytes_max} bytes");
            Err(Exception::new(Code::QueryIsTooLarge, message))
        }
        Ok(Err(error)) => {
            let message = format!("Cannot read the body: {error}");
            Err(Exception::new(Code::CannotReadAllData, message))
        }
        Err(_) => Err(late(limits)),
    }
}

/// What a client is told whose text took too long to arrive.
pub(crate) fn late(limits: &Limits) -> Exception {
    let message = format!("The statement did not arrive in {:?}", limits.text_time_max);
    Exception::new(Code::SocketTimeout, message)
}

async fn pump(mut body: Body, parts: mpsc::Sender<Part>, idle_max: Duration) {
    loop {
        let next = match tokio::time::timeout(idle_max, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => Ok(Some(data)),
                _ => continue,
            },
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends nothing")),
        };
        let last = !matches!(next, Ok(Some(_)));
        if parts.send(next).await.is_err() || last {
            return;
        }
    }
}

/// Reads a forwarded body; blocks.
#[derive(Debug)]
pub(crate) struct BodyReader {
    parts: mpsc::Receiver<Part>,
    part: Bytes,
    ended: bool,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.parts.blocking_recv() {
                Some(Ok(Some(part))) => self.part = part,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = self.part.len().min(buffer.len());
        if let Some(to) = buffer.get_mut(..count) {
            self.part.copy_to_slice(to);
        }
        Ok(count)
    }
}
