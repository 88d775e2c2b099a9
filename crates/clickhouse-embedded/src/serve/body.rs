//! A request's body, from the async side to the thread that reads it.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

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
