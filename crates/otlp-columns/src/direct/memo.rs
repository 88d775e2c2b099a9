//! What was written before for the same bytes: most attributes of most spans are the same again,
//! key and value, and so are most names.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Bytes of what is looked up; what is longer is written anew each time.
const SOURCE_BYTES_MAX: usize = 256;
/// Entries that are kept; when there are more, all are forgotten.
const ENTRIES_MAX: usize = 4_096;
/// Bytes that are kept, likewise.
const BYTES_MAX: usize = 512 << 10;
/// Places in which it is noted that something was seen once.
const SEEN_PLACES: usize = 4_096;

/// Bytes that were written, by what they were written for. Only what is seen a second time is
/// kept, so that values that never come again cost no memory; and nothing from which redaction
/// took something, so that no secret outlives its request.
#[derive(Debug, Default)]
pub(super) struct Memo {
    entries: HashTable<Entry>,
    /// Sources, each followed by what was written for it.
    bytes: Vec<u8>,
    /// Upper halves of hashes of what was seen once, placed by the lower.
    seen: Vec<u32>,
    /// The same of what must not be kept.
    barred: Vec<u32>,
    hashing: DefaultHashBuilder,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    source_at: usize,
    source_bytes: usize,
    written: Written,
}

/// What was written once, and what it counts each time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    at: usize,
    bytes: usize,
    pub(super) counts: Counts,
}

/// What a piece of a row counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Bytes of text, as the bound on rows counts them.
    pub(super) text_bytes: usize,
    /// Memory that decoding it to objects takes.
    pub(super) weight: usize,
    /// Not zero only before it is kept.
    pub(super) redacted: u64,
    pub(super) cut: u64,
}

/// The outcome of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    /// It is known.
    Known(Written),
    /// It was seen before: now it is worth keeping.
    Again(u64),
    /// It is new, or too long.
    New,
}

impl Memo {
    /// Looks for what was written for `source`.
    #[inline]
    pub(super) fn seek(&mut self, source: &[u8]) -> Sought {
        if source.len() > SOURCE_BYTES_MAX {
            return Sought::New;
        }
        let hash = self.hashing.hash_one(source);
        let known = self.entries.find(hash, |entry| {
            entry.source_bytes == source.len()
                && self.bytes[entry.source_at..entry.source_at + entry.source_bytes] == *source
        });
        match known {
            Some(entry) => Sought::Known(entry.written),
            None => self.note(hash),
        }
    }

    #[cold]
    fn note(&mut self, hash: u64) -> Sought {
        self.seen.resize(SEEN_PLACES, 0);
        self.barred.resize(SEEN_PLACES, 0);
        let (place, mark) = place(hash);
        if self.seen[place] != mark {
            self.seen[place] = mark;
            return Sought::New;
        }
        let is_barred = self.barred[place] == mark || self.is_full();
        if is_barred { Sought::New } else { Sought::Again(hash) }
    }

    /// Keeps what `put` writes for `source`, which was sought and has that hash; `None` when it
    /// must not be kept.
    pub(super) fn keep(
        &mut self,
        (source, hash): (&[u8], u64),
        put: impl FnOnce(&mut Vec<u8>) -> Counts,
    ) -> Option<Written> {
        let source_at = self.bytes.len();
        self.bytes.extend_from_slice(source);
        let at = self.bytes.len();
        let counts = put(&mut self.bytes);
        if counts.redacted > 0 {
            self.bytes.truncate(source_at);
            let (place, mark) = place(hash);
            self.barred[place] = mark;
            return None;
        }
        let written = Written { at, bytes: self.bytes.len() - at, counts };
        let entry = Entry { hash, source_at, source_bytes: source.len(), written };
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
        Some(written)
    }

    /// What was written. It stays until room is made.
    #[inline]
    pub(super) fn bytes(&self, written: &Written) -> &[u8] {
        &self.bytes[written.at..written.at + written.bytes]
    }

    /// Forgets everything if there is too much of it.
    #[inline]
    pub(super) fn make_room(&mut self) {
        if self.is_full() {
            self.entries.clear();
            self.bytes.clear();
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX || self.bytes.len() >= BYTES_MAX
    }
}

/// Where a hash is noted, and as what.
#[expect(clippy::cast_possible_truncation, reason = "any part of a hash does")]
fn place(hash: u64) -> (usize, u32) {
    (hash as usize % SEEN_PLACES, (hash >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(memo: &mut Memo, source: &str) -> String {
        match memo.seek(source.as_bytes()) {
            Sought::Known(written) => String::from_utf8(memo.bytes(&written).to_vec()).unwrap(),
            Sought::Again(hash) => {
                let redacted = u64::from(source == "secret");
                let kept = memo.keep((source.as_bytes(), hash), |out| {
                    out.extend(source.to_uppercase().as_bytes());
                    Counts { text_bytes: source.len(), redacted, cut: 0, weight: 0 }
                });
                if kept.is_some() { "kept" } else { "barred" }.to_owned()
            }
            Sought::New => "new".to_owned(),
        }
    }

    #[test]
    fn what_comes_a_third_time_is_known_and_memory_is_bounded() {
        let mut memo = Memo::default();
        for expected in ["new", "kept", "ABC", "ABC"] {
            assert_eq!(write(&mut memo, "abc"), expected);
        }
        for expected in ["new", "barred", "new", "new"] {
            assert_eq!(write(&mut memo, "secret"), expected);
        }
        assert!(!memo.bytes.windows(6).any(|bytes| bytes.eq_ignore_ascii_case(b"secret")));
        let long = "x".repeat(SOURCE_BYTES_MAX + 1);
        for _ in 0..3 {
            assert_eq!(write(&mut memo, &long), "new");
        }
        for n in 0..3 * ENTRIES_MAX {
            let source = format!("{n}{}", "y".repeat(200));
            for _ in 0..3 {
                write(&mut memo, &source);
            }
            assert!(memo.entries.len() <= ENTRIES_MAX);
            assert!(memo.bytes.len() < BYTES_MAX + 2 * SOURCE_BYTES_MAX);
            memo.make_room();
        }
        // That it was seen once may still be noted: what was written for it is gone.
        assert!(["new", "kept"].contains(&write(&mut memo, "abc").as_str()));
    }
}
