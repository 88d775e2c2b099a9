//! A signal of an order, and what the page shows beside it.

use std::borrow::Cow;

use order_model::UnixNanos;

use crate::place::Place;
use crate::redact::TextRules;

/// Bytes of an error text kept as evidence; longer ones are cut.
const EVIDENCE_BYTES_MAX: usize = 1_000;
/// Bytes of a text read for its evidence, so that nothing to redact is cut in half.
const EVIDENCE_READ_BYTES_MAX: usize = 4_000;

/// A signal of an order, before it is known of which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignalFact<'a> {
    /// `order_model::keys::SIGNAL_*`.
    pub(crate) signal: &'static str,
    /// The stage, or the destination of a message, or empty.
    pub(crate) stage: &'a str,
    /// When.
    pub(crate) event_time: UnixNanos,
    /// `span`, `span_event`, `log` or `rule`.
    pub(crate) form: &'static str,
    /// Name of the rule, or empty.
    pub(crate) rule: &'a str,
    /// Text of an error that stands outside attributes, or empty.
    pub(crate) error: &'a str,
}

/// What the page shows beside a signal.
pub(crate) struct Evidence<'a> {
    entries: [(&'static str, Cow<'a, str>); EVIDENCE_MAX],
    count: usize,
}

/// Entries of the evidence of a signal.
const EVIDENCE_MAX: usize = 8;

impl<'a> Evidence<'a> {
    pub(crate) fn of(place: &Place<'a>, fact: &SignalFact<'a>, texts: &TextRules) -> Self {
        let error = place.first(|set| set.error.as_deref()).unwrap_or(fact.error);
        let said = [
            ("form", fact.form),
            ("rule", fact.rule),
            ("name", place.name),
            ("host", place.first(|set| set.host.as_deref()).unwrap_or("")),
            ("worker", place.first(|set| set.worker.as_deref()).unwrap_or("")),
            ("queue", place.first(|set| set.queue.as_deref()).unwrap_or("")),
            ("message_id", place.first(|set| set.message_id.as_deref()).unwrap_or("")),
            ("error", error),
        ];
        let mut evidence =
            Self { entries: [const { ("", Cow::Borrowed("")) }; EVIDENCE_MAX], count: 0 };
        for (key, value) in said.into_iter().filter(|(_, value)| !value.is_empty()) {
            evidence.entries[evidence.count] = (key, fit(key, value, texts));
            evidence.count += 1;
        }
        evidence
    }

    pub(crate) fn entries(&self) -> &[(&'static str, Cow<'a, str>)] {
        &self.entries[..self.count]
    }
}

/// A text fit for an evidence column: without persons and secrets, and short enough. The row of
/// the span or log record that says it counts the redaction.
fn fit<'a>(key: &str, text: &'a str, texts: &TextRules) -> Cow<'a, str> {
    let short = |text: &str| text.floor_char_boundary(EVIDENCE_BYTES_MAX);
    if !matches!(key, "name" | "error") {
        return Cow::Borrowed(&text[..short(text)]);
    }
    let read = &text[..text.floor_char_boundary(EVIDENCE_READ_BYTES_MAX)];
    match texts.mended_name(read) {
        Some(mut mended) => {
            mended.truncate(short(&mended));
            Cow::Owned(mended)
        }
        None => Cow::Borrowed(&read[..short(read)]),
    }
}
