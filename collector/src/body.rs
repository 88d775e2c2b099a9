//! Reading a body within bounds of size, time and bytes in flight.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http::header::{EXPECT, HeaderMap};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::access::Grant;
use crate::intake::{Intake, Refusal, Reservation};
use crate::shares::Sender;

/// Bytes of a refused body that are still read and thrown away, so that the sender hears the
/// refusal instead of a broken connection; past it the connection is cut.
pub const DISCARD_BYTES_MAX: usize = 256 << 20;

/// The same of the body of a request that nobody reads, and of whose sender nothing is known yet.
const UNWANTED_BYTES_MAX: usize = 64 << 10;
/// How long such a body may take.
const UNWANTED_TIME_MAX: Duration = Duration::from_secs(2);

/// Bounds on one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes_max: usize,
    /// Time from the head of the request to the last byte.
    pub read_timeout: Duration,
}

/// Reads a body; its bytes are held in `held`, and charged for as they arrive: a sender that breaks off
/// has sent them, too.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::Busy`], [`Refusal::Share`], [`Refusal::Slow`]. What is left of the body was
/// thrown away.
pub async fn read(
    mut body: Body,
    limits: BodyLimits,
    held: &mut Reservation,
    grant: &Grant,
) -> Result<Bytes, Refusal> {
    let deadline = Instant::now() + limits.read_timeout;
    let read = timeout_at(deadline, collect(&mut body, limits.bytes_max, held, grant)).await;
    let refusal = match read {
        Ok(Ok(bytes)) => return Ok(bytes),
        Ok(Err(refusal)) => refusal,
        Err(_) => return Err(Refusal::Slow),
    };
    discard(body, DISCARD_BYTES_MAX, deadline).await;
    Err(refusal)
}

/// Begins a request; the body of one that is refused is thrown away.
///
/// # Errors
/// As [`Intake::begin`].
pub async fn begin(
    intake: &Intake,
    sender: Sender,
    body: Body,
) -> Result<(Reservation, Body), Refusal> {
    match intake.begin(sender) {
        Ok(held) => Ok((held, body)),
        Err(refusal) => {
            discard_within(body, intake.settings().body_read_timeout).await;
            Err(refusal)
        }
    }
}

/// Throws away the little of a body that a client sends before it looks for an answer; of a larger
/// one the connection is cut.
pub async fn discard_unwanted(body: Body, read_timeout: Duration) {
    discard_at_most(body, UNWANTED_BYTES_MAX, read_timeout.min(UNWANTED_TIME_MAX)).await;
}

/// Throws a body away, within bounds.
pub async fn discard_within(body: Body, read_timeout: Duration) {
    discard_at_most(body, DISCARD_BYTES_MAX, read_timeout).await;
}

/// Throws a body away, within narrower bounds.
pub async fn discard_at_most(body: Body, bytes_max: usize, read_timeout: Duration) {
    discard(body, bytes_max, Instant::now() + read_timeout).await;
}

/// Whether the sender waits to be told that its body is wanted.
#[must_use]
pub fn waits_for_permission(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

async fn collect(
    body: &mut Body,
    bytes_max: usize,
    held: &mut Reservation,
    grant: &Grant,
) -> Result<Bytes, Refusal> {
    let too_large = || {
        let text = format!("the body is larger than {bytes_max} bytes; send smaller batches");
        Refusal::TooLarge(text)
    };
    let announced = HttpBody::size_hint(body).lower();
    if announced > bytes_max as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // A sender that breaks off gets no answer in any case.
        let Ok(frame) = frame else { return Err(Refusal::Slow) };
        let Ok(data) = frame.into_data() else { continue };
        grant.bytes_arrived(data.len());
        if first.len().max(rest.len()) + data.len() > bytes_max {
            return Err(too_large());
        }
        held.grow(data.len())?;
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            // Bounded by `bytes_max`, checked above.
            let announced = usize::try_from(announced).unwrap_or(0);
            rest.reserve(announced.max(first.len() + data.len()));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

async fn discard(mut body: Body, bytes_max: usize, deadline: Instant) {
    let thrown_away = async {
        let mut bytes = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > bytes_max {
                break;
            }
        }
    };
    // Past the deadline the connection is cut.
    let _ = timeout_at(deadline, thrown_away).await;
}
