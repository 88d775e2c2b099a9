//! Values as columns, written where they stay.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use order_store::row_binary::{Value as _, put_length};

use super::attribute::{Attribute, Content, Parsed};
use super::memo::{Counts, Memo, Sought};
use crate::attributes::{Columns, ENTRY_BYTES, RowLosses};
use crate::redact::{REDACTED, Verdict};
use crate::text;

/// The hexadecimal digits of every byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// An id of a span (16 digits) or a trace (32), in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub(super) struct HexId<const DIGITS: usize>([u8; DIGITS]);

impl<const DIGITS: usize> HexId<DIGITS> {
    /// Half as many bytes as there are digits are written.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut digits = [b'0'; DIGITS];
        for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
            pair.copy_from_slice(&HEX[usize::from(*byte)]);
        }
        Self(digits)
    }

    pub(super) fn as_str(&self) -> &str {
        // Digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_bytes(&self.0, out);
    }
}

#[inline]
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// A map column that is written, but for the notes on what was lost: how much that is, is known
/// only when the row is written to its end.
#[derive(Debug)]
pub(super) struct OpenMap {
    /// Where the number of entries stands.
    at: usize,
    /// Where the entries end.
    end: usize,
    entries: usize,
    /// Memory of the entries, as the bound on rows counts it.
    bytes: usize,
}

impl OpenMap {
    /// Adds entries for counts that are not zero. Returns the memory of all entries.
    pub(super) fn close(
        self,
        notes: impl IntoIterator<Item = (&'static str, u64)>,
        out: &mut Vec<u8>,
    ) -> usize {
        let Self { at, end, mut entries, mut bytes } = self;
        let (mut noted, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for (key, count) in notes.into_iter().filter(|(_, count)| *count > 0) {
            let count = count.to_string();
            key.put(&mut noted);
            count.put(&mut noted);
            entries += 1;
            bytes += key.len() + count.len() + ENTRY_BYTES;
        }
        if !noted.is_empty() {
            put_length(self.entries, &mut old);
            put_length(entries, &mut new);
            out.splice(end..end, noted);
            out.splice(at..at + old.len(), new);
        }
        bytes
    }
}

/// Columns, written straight behind each other.
impl Columns<'_> {
    /// As [`Columns::name`]. These return how many bytes of text they wrote.
    pub(super) fn put_name(self, name: &str, row: &mut RowLosses, out: &mut Vec<u8>) -> usize {
        let name = text::within(name, self.limits.value_bytes_max, &mut row.losses);
        put_bytes(name.as_bytes(), out);
        name.len()
    }

    /// As [`Columns::title`].
    pub(super) fn put_title(self, name: &str, row: &mut RowLosses, out: &mut Vec<u8>) -> usize {
        let mended = self.redaction.texts().mended_name(name);
        row.losses.redacted += u64::from(mended.is_some());
        self.put_name(mended.as_deref().unwrap_or(name), row, out)
    }

    /// As [`Columns::put_title`], and remembered.
    pub(super) fn put_known_title(
        self,
        name: &str,
        titles: &mut Memo,
        row: &mut RowLosses,
        out: &mut Vec<u8>,
    ) -> usize {
        let hash = match titles.seek(name.as_bytes()) {
            Sought::Known(written) => {
                out.extend_from_slice(titles.bytes(&written));
                row.losses.cut += written.counts.cut;
                return written.counts.text_bytes;
            }
            Sought::Again(hash) => hash,
            Sought::New => {
                titles.make_room();
                return self.put_title(name, row, out);
            }
        };
        titles.keep((name.as_bytes(), hash), |out| {
            let mut losses = RowLosses::default();
            let text_bytes = self.put_title(name, &mut losses, out);
            let text::Losses { redacted, cut } = losses.losses;
            Counts { text_bytes, weight: 0, redacted, cut }
        });
        self.put_title(name, row, out)
    }

    /// As [`Columns::free`].
    pub(super) fn put_free(self, text: &str, row: &mut RowLosses, out: &mut Vec<u8>) -> usize {
        let mended = self.redaction.mended(Verdict::Scrub, text);
        row.losses.redacted += u64::from(mended.is_some());
        self.put_name(mended.as_deref().unwrap_or(text), row, out)
    }

    /// As [`Columns::map`], left open for notes.
    pub(super) fn put_map(
        self,
        attributes: &[Attribute<'_>],
        memo: &Memo,
        row: &mut RowLosses,
        out: &mut Vec<u8>,
    ) -> OpenMap {
        let entries = attributes.len().min(self.limits.attributes_max);
        row.dropped_attributes += (attributes.len() - entries) as u64;
        let at = out.len();
        put_length(entries, out);
        let mut bytes = entries * ENTRY_BYTES;
        for attribute in &attributes[..entries] {
            bytes += match attribute {
                Attribute::Written(written) => {
                    out.extend_from_slice(memo.bytes(written));
                    row.losses.cut += written.counts.cut;
                    written.counts.text_bytes
                }
                Attribute::Parsed(parsed) => self.put_parsed(parsed, row, out),
            };
        }
        OpenMap { at, end: out.len(), entries, bytes }
    }

    /// The entry of an attribute.
    pub(super) fn put_parsed(
        self,
        attribute: &Parsed<'_>,
        row: &mut RowLosses,
        out: &mut Vec<u8>,
    ) -> usize {
        self.put_key(attribute, row, out) + self.put_value(attribute, row, out)
    }

    #[inline]
    fn put_key(self, attribute: &Parsed<'_>, row: &mut RowLosses, out: &mut Vec<u8>) -> usize {
        let key_bytes_max = self.limits.key_bytes_max;
        if attribute.decision.tells
            && let Some(mended) = self.redaction.mended_key(attribute.key_text())
        {
            row.losses.redacted += 1;
            let key = text::within(&mended, key_bytes_max, &mut row.losses);
            put_bytes(key.as_bytes(), out);
            return key.len();
        }
        let key = if attribute.key.len() > key_bytes_max {
            text::within(attribute.key_text(), key_bytes_max, &mut row.losses).as_bytes()
        } else {
            attribute.key
        };
        put_bytes(key, out);
        key.len()
    }

    /// As [`text::Writer::text`].
    #[inline]
    fn put_value(self, attribute: &Parsed<'_>, row: &mut RowLosses, out: &mut Vec<u8>) -> usize {
        let verdict = attribute.decision.verdict;
        match &attribute.value {
            Content::Nothing => self.put_name("", row, out),
            _ if verdict == Verdict::Remove => {
                row.losses.redacted += 1;
                REDACTED.put(out);
                REDACTED.len()
            }
            Content::Text(text) => match self.redaction.mended(verdict, text) {
                None => self.put_name(text, row, out),
                Some(mended) => {
                    row.losses.redacted += 1;
                    self.put_name(&mended, row, out)
                }
            },
            Content::Bool(value) => self.put_name(if *value { "true" } else { "false" }, row, out),
            Content::Int(value) => self.put_name(itoa::Buffer::new().format(*value), row, out),
            Content::Double(value) => self.put_name(&text::double(*value), row, out),
            Content::Bytes(bytes) => self.put_name(&STANDARD.encode(bytes), row, out),
            Content::Tree(tree) => {
                let (limits, redaction) = (self.limits, self.redaction);
                let writer = text::Writer { redaction, depth_max: limits.depth_max };
                let (key, bytes_max) = (attribute.key_text(), limits.value_bytes_max);
                let text = writer.tree(key, tree, bytes_max, &mut row.losses);
                self.put_name(&text, row, out)
            }
            Content::Index => self.put_name("", row, out),
        }
    }
}
