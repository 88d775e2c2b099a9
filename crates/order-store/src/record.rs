//! What one request adds to the store, as bytes that outlive the process: finished rows of every
//! table, and what they touch.
//!
//! A record is a version byte and sections: a kind (a table, or ids that were touched), the number
//! of rows or ids, the number of bytes, and these. Rows are `RowBinary` with the columns of that
//! version, so that a record is sent byte for byte as it was written, by whatever version of the
//! program; where it is worth it they are packed ([`packing`]). Integrity is the journal's business.

mod packing;
mod table;
mod identity;
mod writing;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::row_binary::take_text;
use crate::rows::Touched;
pub use packing::PACKED_RATIO_MAX;
pub(crate) use packing::{Part, blocks};
pub use table::{Table, Target};
pub use writing::write;

/// The version that is written. Version 1 had no ids of log records, and no packed rows.
const VERSION: u8 = 2;
/// The oldest version that is read.
const VERSION_MIN: u8 = 1;
/// Before the bytes of a section: its kind, rows and bytes.
const SECTION_HEAD_BYTES: usize = 1 + 4 + 4;
/// No row of any table is smaller: a link whose ids are all empty has four lengths and a time.
pub const ROW_BYTES_MIN: u64 = 4 + 8;

/// Sections of touched ids.
const TOUCHED_ORDERS: u8 = 64;
const TOUCHED_CARRIERS: u8 = 65;
const TOUCHED_NAMED: u8 = 66;
/// Added to the kind of a section of rows that are packed.
const PACKED: u8 = 128;

/// A record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It was written by a newer program.
    #[error("a record of version {found}; this program knows up to {VERSION}: run a newer one")]
    Version {
        /// Its version.
        found: u8,
    },
    /// It is no record.
    #[error("a record that ends or goes on where it should not")]
    Malformed,
    /// Rows that stand together and are more than a block of the store holds.
    #[error("rows of 4 GiB or more in one record: no block of the store holds them")]
    TooLarge,
}

/// Records that are inserted together: the rows of each table as they were written.
#[derive(Debug, Clone, Default)]
pub struct Block {
    rows: BTreeMap<Target, TableRows>,
    touched: Touched,
}

/// The rows of one insert.
#[derive(Debug, Clone, Default)]
struct TableRows {
    count: u64,
    parts: Vec<Part>,
}

impl Block {
    /// Takes records apart; nothing is copied.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn read(records: &[Bytes]) -> Result<Self, BadRecord> {
        let mut block = Self::default();
        for record in records {
            block.add(record)?;
        }
        Ok(block)
    }

    fn add(&mut self, record: &Bytes) -> Result<(), BadRecord> {
        let version = version_of(record)?;
        let mut at = 1;
        while at < record.len() {
            let (kind, count, body) = section(record, at).ok_or(BadRecord::Malformed)?;
            at += SECTION_HEAD_BYTES + body.len();
            let touched = match kind {
                TOUCHED_ORDERS => &mut self.touched.orders,
                TOUCHED_CARRIERS => &mut self.touched.carriers,
                TOUCHED_NAMED => &mut self.touched.named,
                _ => {
                    let table = Table::of_kind(kind & !PACKED).ok_or(BadRecord::Malformed)?;
                    let rows = self.rows.entry(Target::new(table, version)).or_default();
                    rows.count += u64::from(count);
                    rows.parts.push(Part { bytes: body, is_packed: kind & PACKED != 0 });
                    continue;
                }
            };
            take_ids(touched, count, &body).ok_or(BadRecord::Malformed)?;
        }
        Ok(())
    }

    /// The inserts that it takes to store it: one for each table, but for records of several
    /// versions.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        self.rows.keys().copied()
    }

    /// Rows of one of these.
    #[must_use]
    pub fn rows_for(&self, target: Target) -> u64 {
        self.rows.get(&target).map_or(0, |rows| rows.count)
    }

    /// Rows for a table.
    #[must_use]
    pub fn count(&self, table: Table) -> u64 {
        let of_table = self.rows.iter().filter(|(target, _)| target.table() == table);
        of_table.map(|(_, rows)| rows.count).sum()
    }

    /// Rows over all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.values().map(|rows| rows.count).sum()
    }

    /// What the rows touch, for the stitcher.
    #[must_use]
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    /// The bytes of the rows of one insert.
    pub(crate) fn parts_for(&self, target: Target) -> &[Part] {
        self.rows.get(&target).map_or(&[], |rows| &rows.parts)
    }
}

/// The record with the rows of these tables only, and all that it touches.
///
/// # Errors
/// [`BadRecord`].
pub fn only(record: &Bytes, tables: &BTreeSet<Table>) -> Result<Bytes, BadRecord> {
    let mut kept = vec![version_of(record)?];
    let mut at = 1;
    while at < record.len() {
        let (kind, _, body) = section(record, at).ok_or(BadRecord::Malformed)?;
        let end = at + SECTION_HEAD_BYTES + body.len();
        if Table::of_kind(kind & !PACKED).is_none_or(|table| tables.contains(&table)) {
            kept.extend_from_slice(&record[at..end]);
        }
        at = end;
    }
    Ok(kept.into())
}

/// The version of a record that can be read.
fn version_of(record: &Bytes) -> Result<u8, BadRecord> {
    match record.first() {
        Some(version) if (VERSION_MIN..=VERSION).contains(version) => Ok(*version),
        Some(found) if *found > VERSION => Err(BadRecord::Version { found: *found }),
        _ => Err(BadRecord::Malformed),
    }
}

/// The section that begins there: kind, rows, bytes.
fn section(record: &Bytes, at: usize) -> Option<(u8, u32, Bytes)> {
    let head = record.get(at..at + SECTION_HEAD_BYTES)?;
    let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (count, length) = (number(1)?, usize::try_from(number(5)?).ok()?);
    let begin = at + SECTION_HEAD_BYTES;
    let end = begin.checked_add(length).filter(|end| *end <= record.len())?;
    Some((head[0], count, record.slice(begin..end)))
}

fn take_ids(ids: &mut BTreeSet<String>, count: u32, mut bytes: &[u8]) -> Option<()> {
    for _ in 0..count {
        ids.insert(take_text(&mut bytes)?.to_owned());
    }
    bytes.is_empty().then_some(())
}
