//! What the walk over a body carries along: the rules, the decisions on keys, the weight.

use super::attribute::Parsed;
use super::fields::{Fields, Odd};
use super::keys::{Decision, KeyDecisions};
use super::memo::{Counts, Memo, Sought, Written};
use super::row::Memos;
use crate::attributes::{Columns, RowLosses};
use crate::found::KeyIndex;
use crate::text::Losses;
use crate::wire::ALLOCATION_BYTES;

/// The state of a walk.
#[derive(Debug)]
pub(super) struct Reading<'r> {
    columns: Columns<'r>,
    index: &'r KeyIndex,
    decisions: &'r mut KeyDecisions,
    /// What the other path would take for decoding so far: the same bodies are refused.
    weight: usize,
    weight_max: usize,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        columns: Columns<'r>,
        index: &'r KeyIndex,
        decisions: &'r mut KeyDecisions,
    ) -> Self {
        let weight_max = columns.limits.structures_bytes_max;
        Self { columns, index, decisions, weight: 0, weight_max }
    }

    /// What was written and remembered; nothing of it is forgotten before [`Self::make_room`].
    pub(super) fn memo(&self) -> &Memo {
        &self.decisions.attributes
    }

    /// What was written, for a row.
    pub(super) fn memos(&mut self) -> Memos<'_> {
        let KeyDecisions { attributes, titles, .. } = &mut *self.decisions;
        Memos { attributes, titles }
    }

    /// Forgets what was written if there is too much of it. What was read before MUST NOT be
    /// written after.
    pub(super) fn make_room(&mut self) {
        self.decisions.attributes.make_room();
    }

    /// Looks for an attribute that was written before.
    #[inline]
    pub(super) fn seek(&mut self, message: &[u8]) -> Sought {
        self.decisions.attributes.seek(message)
    }

    /// Writes an attribute to be found from now on, if it may be kept.
    pub(super) fn keep(
        &mut self,
        source: (&[u8], u64),
        parsed: &Parsed<'_>,
        weight: usize,
    ) -> Option<Written> {
        let columns = self.columns;
        self.decisions.attributes.keep(source, |out| {
            let mut losses = RowLosses::default();
            let text_bytes = columns.put_parsed(parsed, &mut losses, out);
            let Losses { redacted, cut } = losses.losses;
            Counts { text_bytes, weight, redacted, cut }
        })
    }

    /// Adds weight; too much is left to the other path to refuse.
    #[inline]
    pub(super) fn weigh(&mut self, bytes: usize) -> Result<(), Odd> {
        self.weight += bytes;
        if self.weight > self.weight_max { Err(Odd) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn weigh_text(&mut self, text: &[u8]) -> Result<(), Odd> {
        self.weigh(text.len() + ALLOCATION_BYTES)
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn set_weight(&mut self, weight: usize) {
        self.weight = weight;
    }

    /// A text; one that is not UTF-8 is left to the other path to repair.
    #[inline]
    pub(super) fn text<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a str, Odd> {
        self.weigh_text(bytes)?;
        std::str::from_utf8(bytes).map_err(|_| Odd)
    }

    /// A text that is not stored, and must be UTF-8 all the same.
    pub(super) fn pass_text(&mut self, bytes: &[u8]) -> Result<(), Odd> {
        self.text(bytes).map(|_| ())
    }

    /// Bytes that are no text.
    #[inline]
    pub(super) fn bytes<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Odd> {
        self.weigh(bytes.len())?;
        Ok(bytes)
    }

    /// What the key of an attribute decides.
    #[inline]
    pub(super) fn decide(&mut self, key: &[u8]) -> Result<Decision, Odd> {
        self.decisions.of(key, self.columns.redaction, self.index)
    }

    /// Passes by a field that is not known.
    pub(super) fn skip(
        &mut self,
        fields: &mut Fields<'_>,
        key: u32,
        known_max: u32,
    ) -> Result<(), Odd> {
        let bytes = fields.skip(key, known_max)?;
        self.weigh(bytes)
    }
}
