//! Where a fact was found: the attribute sets around it, and of what they speak.

use std::borrow::Cow;

use order_model::graph::message_carrier;

use crate::found::Found;

/// A span, a span event, a link or a log record, with the attribute sets that speak of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Its own sets, from most specific to least; for each value the first set that has it counts.
    pub(crate) own: &'a [&'a Found<'a>],
    /// Sets that it shares with others, after its own: of the scope and of the resource.
    pub(crate) shared: [&'a Found<'a>; 2],
    /// Trace in hexadecimal, or empty.
    pub(crate) trace_id: &'a str,
    /// Span in hexadecimal, or empty.
    pub(crate) span_id: &'a str,
    /// Name of the span or event, as evidence.
    pub(crate) name: &'a str,
    /// `service.name`.
    pub(crate) service: &'a str,
}

/// Orders that are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// Their ids; the partner's own numbers, when they stand for the orders.
    pub(crate) orders: &'a [Cow<'a, str>],
    /// Whether partner's numbers stand for the orders.
    pub(crate) provisional: bool,
}

impl<'a> Place<'a> {
    /// The value that the most specific set has.
    pub(crate) fn first<T>(&self, pick: impl Fn(&'a Found<'a>) -> Option<T>) -> Option<T> {
        self.own.iter().chain(&self.shared).find_map(|set| pick(set))
    }

    /// The orders named by the most specific set that names any. Where no set names one, the
    /// partner's number stands for its order.
    pub(crate) fn named(&self) -> Named<'a> {
        let some = |names: &'a [Cow<'a, str>]| (!names.is_empty()).then_some(names);
        if let Some(orders) = self.first(|set| some(&set.order_ids)) {
            return Named { orders, provisional: false };
        }
        let numbers = self.first(|set| some(&set.numbers));
        Named { orders: numbers.unwrap_or(&[]), provisional: numbers.is_some() }
    }

    /// What `set`, one of the place's, names itself.
    pub(crate) fn named_by(&self, set: &'a Found<'a>) -> Named<'a> {
        let provisional = self.named().provisional;
        Named { orders: if provisional { &set.numbers } else { &set.order_ids }, provisional }
    }

    /// The stage said by the most specific set that says one.
    pub(crate) fn stage(&self) -> Option<&'a str> {
        self.first(|set| set.stage.as_deref())
    }

    /// What tells the order where none is named: the message of the item itself, else its trace;
    /// empty when there is neither.
    pub(crate) fn carrier(&self) -> String {
        let message = self.own.iter().find(|set| !set.message_key.is_empty());
        message.map_or_else(|| self.trace_id.to_owned(), |set| message_carrier(&set.message_key))
    }
}
