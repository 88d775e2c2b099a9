//! What both transports share: bounds, decoding, mapping, the wait for the journal, refusals.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::try_join_all;
use journal::{AppendError, Journal};
use order_store::{Names, record};
use otlp_columns::{Coding, DecodeError, Encoding, Mapped, Mapper, Rejected, Signal, Tally};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::access::{self, Denied, Grant};
use crate::journal::RECORD_BYTES;
use crate::metrics::{CollectorMetrics, Transport, Unserved};
use crate::settings::IntakeSettings;
use crate::shares::{Sender, Share, Shares};

/// Plain bodies up to this are decoded where they arrive; others on a thread for blocking work.
const DECODE_INLINE_BYTES_MAX: usize = 16 << 10;

/// What a complaint about bad data is about, as `google.rpc.BadRequest` names it.
pub const BODY_FIELD: &str = "body";

/// Takes requests in. Clones share everything.
#[derive(Debug, Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mapper: Mapper,
    settings: IntakeSettings,
    metrics: CollectorMetrics,
    /// Which orders' names are kept already.
    names: Names,
    /// Nothing is taken until it is open.
    journal: OnceLock<Journal>,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    shares: Shares,
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
    /// The body did not arrive in time, or the client went away; come again.
    Slow,
    /// Too much is in flight; come again.
    Busy,
    /// Its sender has too much in flight; come again.
    Share,
    /// The journal is full: the store has not taken what waits; come again.
    Full,
    /// The journal is not open yet, or no more; come again.
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
    share: Share,
}

/// A request as the journal takes it.
struct Written {
    records: Vec<Bytes>,
    bytes: usize,
    /// Orders whose names are among the rows.
    named: Vec<String>,
    rejected: Rejected,
    tally: Tally,
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
    /// An intake that takes nothing until [`Intake::open`].
    #[must_use]
    pub fn new(mapper: Mapper, settings: IntakeSettings, metrics: CollectorMetrics) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (requests_max, bytes_max) = settings.share();
        let shared = Shared {
            shares: Shares::new(requests_max, bytes_max),
            requests: Arc::new(Semaphore::new(settings.in_flight_requests_max)),
            bytes: Arc::new(Semaphore::new(settings.in_flight_bytes_max)),
            decoders: Arc::new(Semaphore::new(cores)),
            names: Names::default(),
            journal: OnceLock::new(),
            mapper,
            settings,
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The journal is open: take requests.
    pub fn open(&self, journal: Journal) {
        // It is opened once.
        let _ = self.shared.journal.set(journal);
    }

    /// The bounds.
    #[must_use]
    pub fn settings(&self) -> &IntakeSettings {
        &self.shared.settings
    }

    /// Begins a request of that sender, before its body is read.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] before the journal is open, [`Refusal::Full`] when it has no room,
    /// [`Refusal::Busy`] at the bound, [`Refusal::Share`] at that of the sender.
    pub fn begin(&self, sender: Sender) -> Result<Reservation, Refusal> {
        // Beyond the capacity most requests end here, before anything is spent on them.
        if self.journal()?.is_full() {
            return Err(Refusal::Full);
        }
        let share = self.shared.shares.begin(sender).ok_or(Refusal::Share)?;
        let request = try_take(&self.shared.requests, 1)?;
        let bytes = try_take(&self.shared.bytes, 0)?;
        Ok(Reservation { request, bytes, pool: Arc::clone(&self.shared.bytes), share })
    }

    fn journal(&self) -> Result<&Journal, Refusal> {
        self.shared.journal.get().ok_or(Refusal::Unavailable)
    }

    /// Takes a request that was let in by `grant` and whose body has arrived; returns when its
    /// rows are on disk.
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
        metrics.body(signal, transport, body.bytes.len());
        let Written { records, bytes: more, named, rejected, tally } =
            self.write(signal, transport, body, grant.clone()).await?;
        if records.is_empty() {
            return Ok(rejected);
        }
        let Reservation { request: _request, bytes, pool, mut share } = held;
        drop(bytes);
        // What it sends is its own; what becomes of it waits for the disk alone.
        share.release_bytes();
        let _bytes = try_take(&pool, more)?;
        self.show_in_flight();
        let journal = self.journal()?;
        // In one go: they become neighbours in the journal.
        let appended = try_join_all(records.into_iter().map(|record| journal.append(record))).await;
        self.show_in_flight();
        appended.map_err(|error| refusal_of(&error))?;
        self.shared.names.kept(named.iter().map(String::as_str));
        metrics.accepted(signal, transport, &tally);
        Ok(rejected)
    }

    /// Decodes a body and writes the rows of it.
    async fn write(
        &self,
        signal: Signal,
        transport: Transport,
        body: Body,
        grant: Grant,
    ) -> Result<Written, Refusal> {
        // The semaphore is never closed.
        let slot = Arc::clone(&self.shared.decoders).acquire_owned().await;
        let slot = slot.map_err(|_| Refusal::Unavailable)?;
        let received_at_ms = now_ms();
        // A small compressed body may hold a large one.
        let is_small =
            body.bytes.len() <= DECODE_INLINE_BYTES_MAX && body.coding == Coding::Identity;
        let shared = Arc::clone(&self.shared);
        let decode = move || {
            let Body { bytes, coding, encoding } = body;
            let mapper = &shared.mapper;
            let plain = coding.decode(bytes, mapper.limits().decoded_bytes_max);
            let plain = plain.map_err(DecodeError::from)?;
            let mapped = if grant.asks_for_services() {
                let mut decoded = signal.decode(encoding, &plain, mapper.limits())?;
                let left_out = grant.decide(mapper, &mut decoded)?;
                let mapped = mapper.map(decoded, received_at_ms);
                let mut mapped = mapped.whole(mapper.limits())?;
                access::name_left_out(&left_out, &mut mapped.rejected);
                mapped
            } else {
                let mapped = mapper.map_body(signal, encoding, &plain, received_at_ms)?;
                let mapped = mapped.whole(mapper.limits())?;
                grant.charge(&mapped)?;
                mapped
            };
            drop(plain);
            shared.metrics.mapped(signal, transport, &mapped);
            let written = shared.written(mapped);
            drop(slot);
            Ok(written)
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

    /// Counts a request that is not read.
    pub fn count_unserved(&self, transport: Transport, why: Unserved) {
        self.shared.metrics.unserved(transport, why);
    }

    fn show_in_flight(&self) {
        let max = self.shared.settings.in_flight_bytes_max;
        let used = max.saturating_sub(self.shared.bytes.available_permits());
        self.shared.metrics.in_flight_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
    }
}

impl Shared {
    fn written(&self, mapped: Mapped) -> Written {
        let Mapped { mut batch, rejected, tally, row_bytes: _ } = mapped;
        let names = self.names.missing(&batch);
        let named = names.iter().map(|name| name.order_id.clone()).collect();
        batch.order_aliases.extend(names);
        let records = record::write(&batch, RECORD_BYTES);
        let bytes = records.iter().map(Bytes::len).sum();
        Written { records, bytes, named, rejected, tally }
    }
}

impl Reservation {
    /// Holds `more` bytes in addition.
    ///
    /// # Errors
    /// [`Refusal::Busy`] at the bound, [`Refusal::Share`] at that of the sender.
    pub fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        if !self.share.grow(more) {
            return Err(Refusal::Share);
        }
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
            Self::Share => "share",
            Self::Full => "full",
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
            Self::Share => "too many requests of yours are in flight; come again later",
            Self::Full => {
                "the journal is full, the store does not take what waits; come again later"
            }
            Self::Unavailable => "the collector is starting or stopping; come again later",
            Self::Internal => "the collector failed on this request; see its log",
            Self::Denied(denied) => denied.message(),
        }
    }

    /// What the sender is asked to wait, if it should come again.
    #[must_use]
    pub fn retry_after(&self, settings: &IntakeSettings) -> Option<Duration> {
        match self {
            Self::Busy | Self::Share | Self::Full | Self::Unavailable | Self::Slow => {
                Some(settings.retry_after)
            }
            Self::Denied(denied) => denied.retry_after(),
            Self::Bad(_) | Self::TooLarge(_) | Self::Internal => None,
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

fn refusal_of(error: &AppendError) -> Refusal {
    match error {
        AppendError::Full { .. } | AppendError::NoSpace(_) => Refusal::Full,
        AppendError::Busy { .. } => Refusal::Busy,
        AppendError::TooLarge { bytes, max } => Refusal::TooLarge(format!(
            "the rows of one span or log record take {bytes} bytes, more than {max}"
        )),
        AppendError::Closed | AppendError::Failed(_) => Refusal::Unavailable,
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
