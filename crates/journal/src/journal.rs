//! The handle: append, confirm, stop, close.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use uuid::Uuid;

use crate::batches::Batches;
use crate::disk::{Disk, RealDisk};
use crate::error::{AppendError, OpenError};
use crate::ledger::{BatchId, Confirmed};
use crate::read::FileReader;
use crate::recover::{Recovered, recover};
use crate::settings::JournalSettings;
use crate::state::State;
use crate::stats::{JournalObserver, JournalStats, NoObserver, nanoseconds, time};
use crate::writer::{Shared, Writer};

/// A journal that is open. Clones are the same journal; when the last one goes, the writer
/// finishes what waits and ends.
#[derive(Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    id: Uuid,
    disk_bytes_max: u64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Journal").field("id", &self.handle.id).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

impl Handle {
    fn end(&self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        state.closing = true;
        drop(state);
        self.shared.work.notify_one();
        self.shared.readable.notify_one();
    }
}

/// A journal before its writer runs: tests turn it by hand.
pub(crate) struct Parts {
    pub(crate) journal: Journal,
    pub(crate) batches: Batches,
    pub(crate) writer: Writer,
}

impl Journal {
    /// Opens the journal in `settings.folder`, or begins one there. It blocks: every file is read
    /// and checked.
    ///
    /// # Errors
    /// It is open elsewhere, it is damaged, or the operating system refuses.
    pub fn open(settings: JournalSettings) -> Result<(Self, Batches), OpenError> {
        Self::open_observed(settings, Arc::new(NoObserver))
    }

    /// [`Journal::open`], with somebody who is told about every sync.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_observed(
        settings: JournalSettings,
        observer: Arc<dyn JournalObserver>,
    ) -> Result<(Self, Batches), OpenError> {
        settings.check()?;
        let disk = RealDisk::lock(&settings.folder).map_err(|source| {
            let folder = settings.folder.clone();
            match source.kind() {
                io::ErrorKind::WouldBlock => OpenError::Locked { folder },
                _ => OpenError::Io { doing: "locking", path: folder, source },
            }
        })?;
        Self::start(Arc::new(disk), settings, observer)
    }

    /// Opens the journal on `disk` and lets its writer run.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        settings: JournalSettings,
        observer: Arc<dyn JournalObserver>,
    ) -> Result<(Self, Batches), OpenError> {
        let folder = settings.folder.clone();
        let Parts { journal, batches, writer } = Self::assemble(disk, settings, observer)?;
        let thread =
            thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run()).map_err(
                |source| OpenError::Io { doing: "starting the writer of", path: folder, source },
            )?;
        *journal.handle.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((journal, batches))
    }

    pub(crate) fn assemble(
        disk: Arc<dyn Disk>,
        settings: JournalSettings,
        observer: Arc<dyn JournalObserver>,
    ) -> Result<Parts, OpenError> {
        settings.check()?;
        let disk_bytes_max = settings.disk_bytes_max;
        let Recovered { mut segments, ledger, cursor } = recover(disk.clone())?;
        segments.bytes_max = settings.segment_bytes_max;
        let id = ledger.journal();
        let (records, bytes) = ledger.unconfirmed();
        tracing::info!(journal = %id, segments = segments.count(), records, bytes,
            "journal opened");
        let shared = Arc::new(Shared::new(State::new(settings, ledger)));
        let writer = Writer::new(shared.clone(), segments, observer);
        let batches = Batches::new(shared.clone(), cursor, FileReader::new(disk, id));
        let handle = Handle { shared, id, disk_bytes_max, writer: Mutex::new(None) };
        Ok(Parts { journal: Self { handle: Arc::new(handle) }, batches, writer })
    }

    /// The journal's name, given when its folder was first opened.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.handle.id
    }

    /// Appends a record and resolves when it is on disk, with its sequence.
    ///
    /// Cancel-safe: a future that is dropped may leave its record appended all the same.
    ///
    /// # Errors
    /// The record is not known to be kept; [`AppendError::is_passing`] says whether the same
    /// record may be taken later.
    pub async fn append(&self, record: impl Into<Bytes>) -> Result<u64, AppendError> {
        let answered = self.enqueue(record.into())?;
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(AppendError::Failed("the writer is gone".into())),
        }
    }

    /// Puts a record into the queue of those that wait for the disk.
    pub(crate) fn enqueue(
        &self,
        record: Bytes,
    ) -> Result<tokio::sync::oneshot::Receiver<Result<u64, AppendError>>, AppendError> {
        // Here and not by the one writer: every core checks its own records.
        let checksum = crc32fast::hash(&record);
        let now = nanoseconds(SystemTime::now());
        let answered = self.handle.shared.lock().admit(record, checksum, now)?;
        self.handle.shared.work.notify_one();
        Ok(answered)
    }

    /// The store has this batch durably. Its records leave the disk with their segment, when
    /// everything before them is confirmed, too; the position is written within a fraction of a
    /// second. Repeats change nothing.
    pub fn confirm(&self, batch: &BatchId) {
        let confirmed = self.handle.shared.lock().confirm(batch, Instant::now());
        match confirmed {
            Confirmed::Advanced => self.handle.shared.work.notify_one(),
            Confirmed::HeldBack => {}
            Confirmed::Unknown => tracing::debug!(%batch, "confirmed a batch that is not open"),
        }
    }

    /// Whether it was full when a record last came, and nothing has left it since: then what a
    /// record costs to make need not be spent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.handle.shared.lock().is_full()
    }

    /// The state of this moment. Cheap: no disk is asked.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        let state = self.handle.shared.lock();
        let (unconfirmed_records, unconfirmed_bytes) = state.ledger.unconfirmed();
        let counters = state.counters;
        JournalStats {
            disk_bytes: state.disk_bytes,
            used_bytes: state.used_bytes(),
            disk_bytes_max: self.handle.disk_bytes_max,
            segments: state.segments,
            unconfirmed_records,
            unconfirmed_bytes,
            unconfirmed_oldest_at: state.ledger.oldest_ns().map(time),
            open_batches: state.ledger.open_batches().count(),
            waiting_bytes: state.waiting_bytes,
            cache_bytes: state.cache.bytes(),
            appended_records: counters.appended_records,
            appended_bytes: counters.appended_bytes,
            syncs: counters.syncs,
            batches: counters.batches,
            refused_full: counters.refused_full,
            refused_busy: counters.refused_busy,
            no_space: counters.no_space,
            is_failed: state.failed.is_some(),
        }
    }

    /// Takes no more appends. The reader goes on until it has read everything.
    pub fn stop(&self) {
        self.handle.shared.lock().stopping = true;
        self.handle.shared.readable.notify_one();
    }

    /// Takes no more appends, makes durable what waits and the position, and ends the writer.
    /// What is not confirmed stays for the next open. The folder is free once the [`Batches`] are
    /// dropped, too.
    pub async fn close(self) {
        self.handle.end();
        let writer = self.handle.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic of the writer was reported by the panic hook.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}
