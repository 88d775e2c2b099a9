//! The bytes of a file in pages, shared between what programs see and what the disk holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of a page, as the kernel writes them to a disk.
pub(super) const PAGE_BYTES: u64 = HELD_BYTES as u64;
const HELD_BYTES: usize = 4_096;

type Page = [u8; HELD_BYTES];

/// A file's bytes. A page that is not there is zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    length: u64,
    held: BTreeMap<u64, Arc<Page>>,
}

/// What was written to a file since it was last synced.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsynced {
    pages: BTreeSet<u64>,
    /// The shortest that the file was cut to since the last commit.
    cut: Option<u64>,
}

impl Pages {
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// How many pages take room.
    pub(super) fn count(&self) -> u64 {
        self.held.len() as u64
    }

    /// How many more a write would take.
    pub(super) fn more_for(&self, offset: u64, length: usize) -> u64 {
        let touched = touched(offset, length);
        touched.filter(|page| !self.held.contains_key(page)).count() as u64
    }

    pub(super) fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; size.min(left)];
        for (page, within, part) in parts(offset, bytes.len()) {
            if let Some(held) = self.held.get(&page) {
                bytes[part.clone()].copy_from_slice(&held[within..within + part.len()]);
            }
        }
        bytes
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], unsynced: &mut Unsynced) {
        for (page, within, part) in parts(offset, bytes.len()) {
            let held = self.held.entry(page).or_insert_with(|| Arc::new([0; HELD_BYTES]));
            Arc::make_mut(held)[within..within + part.len()].copy_from_slice(&bytes[part]);
            unsynced.pages.insert(page);
        }
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    /// Cuts the file, or makes it longer with zeros.
    pub(super) fn set_length(&mut self, length: u64, unsynced: &mut Unsynced) {
        if length < self.length {
            self.cut(length);
            let first_gone = length.div_ceil(PAGE_BYTES);
            unsynced.pages.retain(|page| *page < first_gone);
            unsynced.cut = Some(unsynced.cut.map_or(length, |cut| cut.min(length)));
        }
        self.length = length;
    }

    fn cut(&mut self, length: u64) {
        self.held.split_off(&length.div_ceil(PAGE_BYTES));
        let within = usize::try_from(length % PAGE_BYTES).unwrap_or(0);
        if within > 0
            && let Some(last) = self.held.get_mut(&(length / PAGE_BYTES))
        {
            Arc::make_mut(last)[within..].fill(0);
        }
        self.length = self.length.min(length);
    }

    /// The disk's copy takes over a cut that the file system's journal has committed.
    pub(super) fn commit(&mut self, unsynced: &mut Unsynced) {
        if let Some(length) = unsynced.cut.take() {
            self.cut(length);
        }
    }

    /// The disk's copy takes over everything.
    pub(super) fn sync(&mut self, seen: &Self, unsynced: &mut Unsynced) {
        self.commit(unsynced);
        for page in std::mem::take(&mut unsynced.pages) {
            self.take(seen, page);
        }
        self.length = seen.length;
    }

    /// The disk's copy takes over those pages that the kernel happened to write, in no order.
    pub(super) fn write_back(
        &mut self,
        seen: &Self,
        unsynced: &Unsynced,
        mut is_written: impl FnMut() -> bool,
    ) {
        for page in unsynced.pages.iter().copied().filter(|_| is_written()) {
            self.take(seen, page);
            self.length = self.length.max(seen.length.min((page + 1) * PAGE_BYTES));
        }
    }

    fn take(&mut self, seen: &Self, page: u64) {
        if let Some(held) = seen.held.get(&page) {
            self.held.insert(page, Arc::clone(held));
        }
    }
}

fn touched(offset: u64, length: usize) -> std::ops::Range<u64> {
    offset / PAGE_BYTES..(offset + length as u64).div_ceil(PAGE_BYTES)
}

/// The pages that a range of bytes lies in: number, first byte within it, and which of the bytes.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let end = offset + length as u64;
    touched(offset, length).map(move |page| {
        let from = offset.max(page * PAGE_BYTES);
        let to = end.min((page + 1) * PAGE_BYTES);
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        (page, index(from - page * PAGE_BYTES), index(from - offset)..index(to - offset))
    })
}
