//! What both transports share: bounds, decoding, mapping, the wait for the insert, refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use otlp_columns::{Coding, DecodeError, Encoding, Mapped, Mapper, Rejected, Signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};

use crate::access::{self, Denied, Grant};
use crate::insert::{Held, Job, Outcome};
use crate::metrics::{CollectorMetrics, Transport};
use crate::settings::IntakeSettings;

/// Plain bodies up to this are decoded where they arrive; others on a thread for blocking work.
const DECODE_INLINE_BYTES_MAX: usize = 16 << 10;

/// Takes requests in. Clones share everything.
#[derive(Debug, Clone)]
pub struct Intake {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Shared {
    mapper: Mapper,
    settings: IntakeSettings,
    metrics: CollectorMetrics,
    /// Closed until the store is migrated.
    open: AtomicBool,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// One body per core is uncompressed and decoded at a time, so that the memory this takes
    /// is bounded by the limits of as many bodies.
    decoders: Arc<Semaphore>,
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The body is no OTLP; sending it again is no use.
    Bad(String),
    /// The body is too large; sending it again is no use.
    TooLarge(String),
    /// The body did not arrive in time, or the client went away.
    Slow,
    /// Too much is in flight; come again.
    Busy,
    /// The store cannot be reached; come again.
    Unavailable,
    /// A fault of ours; sending it again is no use.
    Internal,
    /// Its sender may not send it, or not now.
    Denied(Denied),
}

/// What a request holds while it is in flight.
#[derive(Debug)]
pub struct Reservation {
    request: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
    pool: Arc<Semaphore>,
}

/// A body and how it is written.
#[derive(Debug)]
pub struct Body {
    /// As received.
    pub bytes: Bytes,
    /// Its compression.
    pub coding: Coding,
    /// Its encoding.
    pub encoding: Encoding,
}

impl Intake {
    /// An intake that sends jobs to `jobs`; closed until [`Intake::open`].
    #[must_use]
    pub fn new(
        mapper: Mapper,
        settings: IntakeSettings,
        metrics: CollectorMetrics,
        jobs: mpsc::Sender<Job>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let shared = Shared {
            requests: Arc::new(Semaphore::new(settings.in_flight_requests_max)),
            bytes: Arc::new(Semaphore::new(settings.in_flight_bytes_max)),
            decoders: Arc::new(Semaphore::new(cores)),
            open: AtomicBool::new(false),
            mapper,
            settings,
            metrics,
        };
        Self { shared: Arc::new(shared), jobs }
    }

    /// The store is ready: take requests.
    pub fn open(&self) {
        self.shared.open.store(true, Ordering::Release);
    }

    /// The bounds.
    #[must_use]
    pub fn settings(&self) -> &IntakeSettings {
        &self.shared.settings
    }

    /// Begins a request, before its body is read.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] before the store is ready, [`Refusal::Busy`] at the bound.
    pub fn begin(&self) -> Result<Reservation, Refusal> {
        if !self.shared.open.load(Ordering::Acquire) {
            return Err(Refusal::Unavailable);
        }
        let request = try_take(&self.shared.requests, 1)?;
        let bytes = try_take(&self.shared.bytes, 0)?;
        Ok(Reservation { request, bytes, pool: Arc::clone(&self.shared.bytes) })
    }

    /// Takes a request that was let in by `grant` and whose body has arrived; returns when its
    /// rows are in the store.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the request was taken, or it is not known to be.
    pub async fn take(
        &self,
        signal: Signal,
        transport: Transport,
        body: Body,
        held: Reservation,
        grant: &Grant,
    ) -> Result<Rejected, Refusal> {
        let metrics = &self.shared.metrics;
        grant.body_arrived(body.bytes.len());
        metrics.body(signal, transport, body.bytes.len());
        let Mapped { batch, rejected, tally, row_bytes } = {
            let mapped = self.map(signal, body, grant.clone()).await?;
            metrics.mapped(signal, transport, &mapped);
            mapped
        };
        if batch.rows() == 0 {
            return Ok(rejected);
        }
        let Reservation { request, bytes, pool } = held;
        drop(bytes);
        let bytes = try_take(&pool, row_bytes)?;
        self.show_in_flight();
        let (done, outcome) = oneshot::channel();
        let job = Job { batch, row_bytes, done, held: Held { request, bytes } };
        // The queue holds as many jobs as there may be requests: it cannot be full.
        self.jobs.try_send(job).map_err(|_| Refusal::Unavailable)?;
        let outcome = outcome.await;
        self.show_in_flight();
        match outcome {
            Ok(Outcome::Stored) => {
                metrics.accepted(signal, transport, &tally);
                Ok(rejected)
            }
            Ok(Outcome::Unavailable) | Err(_) => Err(Refusal::Unavailable),
        }
    }

    async fn map(&self, signal: Signal, body: Body, grant: Grant) -> Result<Mapped, Refusal> {
        // The semaphore is never closed.
        let slot = Arc::clone(&self.shared.decoders).acquire_owned().await;
        let slot = slot.map_err(|_| Refusal::Unavailable)?;
        let received_at_ms = now_ms();
        // A small compressed body may hold a large one.
        let is_small =
            body.bytes.len() <= DECODE_INLINE_BYTES_MAX && body.coding == Coding::Identity;
        let mapper = self.shared.mapper.clone();
        let decode = move || {
            let Body { bytes, coding, encoding } = body;
            let plain = coding.decode(bytes, mapper.limits().decoded_bytes_max);
            let plain = plain.map_err(DecodeError::from)?;
            let mut decoded = signal.decode(encoding, &plain, mapper.limits())?;
            let left_out = grant.decide(&mapper, &mut decoded)?;
            let mut mapped = mapper.map(decoded, received_at_ms);
            access::name_left_out(&left_out, &mut mapped.rejected);
            drop(slot);
            Ok(mapped)
        };
        if is_small {
            return decode();
        }
        tokio::task::spawn_blocking(decode).await.map_err(|error| {
            tracing::error!(%error, "decoding panicked");
            Refusal::Internal
        })?
    }

    /// Counts how a request ended, for both transports.
    pub fn count(&self, signal: Signal, transport: Transport, answer: Result<&Rejected, &Refusal>) {
        self.shared.metrics.request(signal, transport, outcome(answer));
    }

    fn show_in_flight(&self) {
        let max = self.shared.settings.in_flight_bytes_max;
        let used = max.saturating_sub(self.shared.bytes.available_permits());
        self.shared.metrics.in_flight_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
    }
}

impl Reservation {
    /// Holds `more` bytes in addition.
    ///
    /// # Errors
    /// [`Refusal::Busy`] at the bound.
    pub fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        self.bytes.merge(try_take(&self.pool, more)?);
        Ok(())
    }
}

impl Refusal {
    /// The value of a metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Bad(_) => "bad",
            Self::TooLarge(_) => "too_large",
            Self::Slow => "slow",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
            Self::Denied(denied) => denied.label(),
        }
    }

    /// The sentence for the sender.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Bad(text) | Self::TooLarge(text) => text,
            Self::Slow => "the body did not arrive in time",
            Self::Busy => "too many requests are in flight; come again later",
            Self::Unavailable => "the store cannot be reached; come again later",
            Self::Internal => "the collector failed on this request; see its log",
            Self::Denied(denied) => denied.message(),
        }
    }

    /// What the sender is asked to wait, if it should come again.
    #[must_use]
    pub fn retry_after(&self, settings: &IntakeSettings) -> Option<Duration> {
        match self {
            Self::Busy | Self::Unavailable => Some(settings.retry_after),
            Self::Denied(denied) => denied.retry_after(),
            Self::Bad(_) | Self::TooLarge(_) | Self::Slow | Self::Internal => None,
        }
    }
}

/// How a request ended: the value of a metric's label.
#[must_use]
pub fn outcome(answer: Result<&Rejected, &Refusal>) -> &'static str {
    match answer {
        Ok(rejected) if rejected.total() == 0 => "ok",
        Ok(_) => "partial",
        Err(refusal) => refusal.label(),
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let text = error.to_string();
        if error.is_too_large() { Self::TooLarge(text) } else { Self::Bad(text) }
    }
}

fn try_take(pool: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    let permits = u32::try_from(permits).map_err(|_| Refusal::Busy)?;
    Arc::clone(pool).try_acquire_many_owned(permits).map_err(|error| match error {
        TryAcquireError::NoPermits => Refusal::Busy,
        TryAcquireError::Closed => Refusal::Unavailable,
    })
}

/// Now, in milliseconds since 1970; the only clock that rows see.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
