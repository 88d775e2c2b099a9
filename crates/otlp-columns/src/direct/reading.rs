//! What the walk over a body carries along: the rules, the decisions on keys, the weight.

use super::fields::{Fields, Odd};
use super::keys::{Decision, KeyDecisions};
use crate::found::KeyIndex;
use crate::redact::Redaction;
use crate::wire::ALLOCATION_BYTES;

/// The state of a walk.
#[derive(Debug)]
pub(super) struct Reading<'r> {
    redaction: &'r Redaction,
    index: &'r KeyIndex,
    decisions: &'r mut KeyDecisions,
    /// What the other path would take for decoding so far: the same bodies are refused.
    weight: usize,
    weight_max: usize,
}

impl<'r> Reading<'r> {
    pub(super) fn new(
        redaction: &'r Redaction,
        index: &'r KeyIndex,
        decisions: &'r mut KeyDecisions,
        weight_max: usize,
    ) -> Self {
        Self { redaction, index, decisions, weight: 0, weight_max }
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
        self.decisions.of(key, self.redaction, self.index)
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
