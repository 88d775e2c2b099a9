//! Attribute sets to map columns, within bounds.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use order_store::rows::Attributes;

use crate::limits::{CUT_VALUES, DROPPED_ATTRIBUTES, Limits};
use crate::mapped::Tally;
use crate::redact::{Redaction, Verdict};
use crate::text::{self, Losses};

/// Memory of an entry beyond its bytes: two `String`s and their allocations.
pub(crate) const ENTRY_BYTES: usize = 80;

/// Turns values into columns, within bounds; counts what it cuts and removes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) redaction: &'a Redaction,
}

/// Losses of one row, to be shown on it.
#[derive(Debug, Default)]
pub(crate) struct RowLosses {
    pub(crate) dropped_attributes: u64,
    pub(crate) losses: Losses,
}

impl Columns<'_> {
    /// An attribute set as a map column.
    pub(crate) fn map(self, pairs: Vec<KeyValue>, row: &mut RowLosses) -> Attributes {
        let dropped = pairs.len().saturating_sub(self.limits.attributes_max);
        row.dropped_attributes += dropped as u64;
        // Room for the notes that `note` may add.
        let mut columns = Attributes::with_capacity(pairs.len() - dropped + 2);
        for mut pair in pairs.into_iter().take(self.limits.attributes_max) {
            let value = self.text(&pair.key, pair.value.take(), self.limits.value_bytes_max, row);
            if let Some(mended) = self.redaction.mended_key(&pair.key) {
                pair.key = mended;
                row.losses.redacted += 1;
            }
            text::cut(&mut pair.key, self.limits.key_bytes_max, &mut row.losses);
            columns.push((pair.key, value));
        }
        columns
    }

    /// A value as text of at most `bytes_max` bytes.
    pub(crate) fn text(
        self,
        key: &str,
        value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>,
        bytes_max: usize,
        row: &mut RowLosses,
    ) -> String {
        let writer = text::Writer { redaction: self.redaction, depth_max: self.limits.depth_max };
        writer.text(key, value, bytes_max, &mut row.losses)
    }

    /// A name or another text of the protocol, within the bound of values.
    pub(crate) fn name(self, mut name: String, row: &mut RowLosses) -> String {
        text::cut(&mut name, self.limits.value_bytes_max, &mut row.losses);
        name
    }
}

impl Columns<'_> {
    /// Free text of the protocol: without persons and secrets, within the bound of values.
    pub(crate) fn free(self, text: String, row: &mut RowLosses) -> String {
        let scrubbed = self.redaction.mended(Verdict::Scrub, &text);
        row.losses.redacted += u64::from(scrubbed.is_some());
        self.name(scrubbed.unwrap_or(text), row)
    }

    /// The name of a span or an event: free text, and without a query.
    pub(crate) fn title(self, name: String, row: &mut RowLosses) -> String {
        let mended = self.redaction.texts().mended_name(&name);
        row.losses.redacted += u64::from(mended.is_some());
        self.name(mended.unwrap_or(name), row)
    }
}

impl RowLosses {
    /// Whether anything was removed or cut.
    pub(crate) fn any(&self) -> bool {
        self.dropped_attributes > 0 || self.losses != Losses::default()
    }

    /// Shows the losses on the row and adds them to the tally.
    pub(crate) fn note(&self, columns: &mut Attributes, tally: &mut Tally) {
        for (key, count) in self.notes() {
            note_count(columns, key, count);
        }
        self.tally(tally);
    }

    /// What is to be shown on the row, where it is not zero.
    pub(crate) fn notes(&self) -> [(&'static str, u64); 2] {
        [(DROPPED_ATTRIBUTES, self.dropped_attributes), (CUT_VALUES, self.losses.cut)]
    }

    /// Adds the losses to the tally.
    pub(crate) fn tally(&self, tally: &mut Tally) {
        tally.dropped_attributes += self.dropped_attributes;
        tally.cut_values += self.losses.cut;
        tally.redacted_values += self.losses.redacted;
    }
}

/// Adds `key` = `count` unless the count is zero.
pub(crate) fn note_count(columns: &mut Attributes, key: &str, count: u64) {
    if count > 0 {
        columns.push((key.to_owned(), count.to_string()));
    }
}

/// What a map column takes in memory.
pub(crate) fn bytes_of(columns: &Attributes) -> usize {
    columns.iter().map(|(key, value)| key.len() + value.len() + ENTRY_BYTES).sum()
}
