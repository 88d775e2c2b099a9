//! What a request became: rows, rejected items, and counts of everything that was changed.

use order_store::rows::Batch;

use crate::decode::DecodeError;
use crate::limits::Limits;

/// The outcome of mapping one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapped {
    /// The rows.
    pub batch: Batch,
    /// Items that were not taken; the request is answered as a partial success.
    pub rejected: Rejected,
    /// Counts for the metrics.
    pub tally: Tally,
    /// Memory of the rows.
    pub row_bytes: usize,
}

impl Mapped {
    /// The same, if the request fits its bounds. One that does not is refused whole: its sender
    /// can send it in parts, and what a partial success leaves out is never sent again.
    ///
    /// # Errors
    /// [`DecodeError::TooManyRows`].
    pub fn whole(self, limits: &Limits) -> Result<Self, DecodeError> {
        if self.rejected.counts[Rejection::Limit as usize] == 0 {
            return Ok(self);
        }
        let Limits { items_max, row_bytes_max, .. } = *limits;
        Err(DecodeError::TooManyRows { items_max, row_bytes_max })
    }
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    /// The trace id is not 16 bytes, or all zero.
    TraceId,
    /// The span id is not 8 bytes, or all zero.
    SpanId,
    /// The request has more items, or larger rows, than allowed.
    Limit,
    /// The metric has no data, or data of a kind that we do not know.
    MetricKind,
    /// The data point has more buckets or quantiles than allowed.
    Buckets,
    /// The sender may not send this service.
    Service,
}

impl Rejection {
    /// All of them, in the order of [`Rejected::counts`].
    pub const ALL: [Self; 6] =
        [Self::TraceId, Self::SpanId, Self::Limit, Self::MetricKind, Self::Buckets, Self::Service];

    /// The value of a metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TraceId => "invalid_trace_id",
            Self::SpanId => "invalid_span_id",
            Self::Limit => "limit",
            Self::MetricKind => "unknown_metric_kind",
            Self::Buckets => "too_many_buckets",
            Self::Service => "service",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::TraceId => "a trace id must be 16 bytes (32 hexadecimal digits), not all zero",
            Self::SpanId => "a span id must be 8 bytes (16 hexadecimal digits), not all zero",
            Self::Limit => "the request holds more than one request may; send smaller batches",
            Self::MetricKind => {
                "a metric must be a gauge, a sum, a histogram, an exponential histogram or a summary"
            }
            Self::Buckets => "a data point has more buckets or quantiles than one may have",
            Self::Service => "this sender may not send these services",
        }
    }
}

/// Items named in a message for each reason; the others are only counted.
const OFFENDERS_MAX: usize = 3;
/// Characters of an offender's name.
const OFFENDER_CHARS_MAX: usize = 80;

/// What stands for the name of a service that has none.
const NO_SERVICE: &str = "(no service.name)";

/// Items that were not taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// How many, by [`Rejection::ALL`].
    pub counts: [u64; Rejection::ALL.len()],
    offenders: Vec<(Rejection, String)>,
}

impl Rejected {
    /// Rejects an item; `name` is what its sender calls it.
    pub(crate) fn add(&mut self, why: Rejection, name: &str) {
        self.counts[why as usize] += 1;
        if self.has_room_to_name(why) {
            self.offenders.push((why, shown(name)));
        }
    }

    fn has_room_to_name(&self, why: Rejection) -> bool {
        self.offenders.iter().filter(|(reason, _)| *reason == why).count() < OFFENDERS_MAX
    }

    /// Rejects the items of a service that their sender may not send; it is named once.
    pub fn forbid(&mut self, service: &str, items: u64) {
        self.counts[Rejection::Service as usize] += items;
        let name = if service.is_empty() { NO_SERVICE.to_owned() } else { shown(service) };
        let offender = (Rejection::Service, name);
        if !self.offenders.contains(&offender) && self.has_room_to_name(Rejection::Service) {
            self.offenders.push(offender);
        }
    }

    /// How many items were not taken.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sentence for `partial_success.error_message`; `items` is `spans`, `log records` or
    /// `data points`.
    #[must_use]
    pub fn message(&self, items: &str) -> String {
        let mut message = format!("rejected {items}: {}", self.total());
        let lead = "; ";
        for why in Rejection::ALL {
            if self.counts[why as usize] == 0 {
                continue;
            }
            message.push_str(lead);
            message.push_str(why.sentence());
            let names: Vec<String> = self
                .offenders
                .iter()
                .filter(|(reason, _)| *reason == why)
                .map(|(_, name)| format!("`{name}`"))
                .collect();
            if !names.is_empty() {
                message.push_str(&format!(" (first: {})", names.join(", ")));
            }
        }
        message
    }
}

/// A sender's text as it may stand in a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(OFFENDER_CHARS_MAX).collect()
}

/// Counts of what happened to the items of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Spans taken.
    pub spans: u64,
    /// Log records taken.
    pub logs: u64,
    /// Data points taken.
    pub points: u64,
    /// Attribute values removed or cut by a redaction rule.
    pub redacted_values: u64,
    /// Attributes past the bound.
    pub dropped_attributes: u64,
    /// Keys, values and texts that were cut.
    pub cut_values: u64,
    /// Events of spans past the bound.
    pub dropped_events: u64,
    /// Links of spans past the bound.
    pub dropped_links: u64,
    /// Exemplars of data points past the bound.
    pub dropped_exemplars: u64,
    /// Ids of logs, parents, links or exemplars that are no ids; they are stored as empty.
    pub emptied_ids: u64,
    /// Values in the place of an order id, or of a partner's number, that are none.
    pub refused_order_ids: u64,
    /// Signals and signs of life with neither order, message nor trace; they are kept as spans
    /// and logs only.
    pub unattributable_signals: u64,
    /// Strings that were not UTF-8.
    pub repaired_strings: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_past_its_bounds_is_not_whole() {
        let limits = Limits { items_max: 7, ..Limits::default() };
        for why in Rejection::ALL {
            let mut mapped = Mapped::default();
            mapped.rejected.add(why, "x");
            let refused = mapped.whole(&limits).err();
            assert_eq!(refused.is_some(), why == Rejection::Limit, "{why:?}");
            if let Some(error) = refused {
                assert!(error.is_too_large() && error.to_string().contains("7 items"), "{error}");
            }
        }
    }
}
