//! The durable queue on disk: records go in, an answer comes after their fsync, batches go out,
//! and what the store has durably is deleted. It knows nothing of OTLP or SQL: a record is bytes.
//!
//! ```text
//! append ─► waiting ─► the writer: one write, one fdatasync ─► answers
//!                                     │        ▲ boundaries and positions ride along
//!                     segments ◄──────┘        │
//!                         └─► cache or files ─► Batches::next ─► the store ─► confirm
//! ```
//!
//! What it promises:
//! - **A record whose append resolved is kept** until a batch with it was confirmed, through
//!   `kill -9`, power loss and a full disk. One that was not answered may be kept as well.
//! - **A batch is a batch for ever**: its boundary is on disk before it is handed out, so that the
//!   same records in the same order have the same [`BatchId`] after any crash. The store is told
//!   of every batch at least once, and recognises a repeat by the id.
//! - **Nothing is skipped silently.** Only the end of the last segment may be half written; it is
//!   cut off with a warning. Anything else that is not as written refuses the open, with the file
//!   and the offset, unless a position proves that the store has all that stood there.
//!   [`salvage`] takes what is whole to a new journal and tells what is lost.
//! - **Everything has a bound**: see [`JournalSettings`].
//!
//! There is no timer between an append and its sync: an idle journal writes a record at once, and
//! what arrives while a sync runs is the next group.
//!
//! The format and the roads not taken stand in `docs/adr/0008-journal.md`.

#![forbid(unsafe_code)]

mod settings;
mod error;
mod format;
mod disk;
mod scan;
mod extent;
mod segments;
mod gather;
mod ledger;
mod recover;
mod stats;
mod state;
mod writer;
mod read;
mod batches;
mod journal;
mod inspect;
mod salvage;

#[cfg(test)]
mod tests;

pub use batches::{Batch, Batches};
pub use error::{AppendError, Damage, OpenError, ReadError};
pub use format::Flaw;
pub use gather::BatchLimits;
pub use inspect::{Inspection, SegmentInspection, inspect, verify};
pub use journal::Journal;
pub use ledger::BatchId;
pub use salvage::{Loss, SalvageError, Salvaged, salvage};
pub use settings::{JournalSettings, SettingsError};
pub use stats::{JournalObserver, JournalStats, NoObserver};
