//! What was acknowledged, and what must follow from it: the oracle's memory.

use std::collections::BTreeMap;

use order_model::Lifecycle;
use order_model::fold::{OrderState, OrderTraits, SignalKind, StageSignal, fold};

use crate::otlp;

/// What a thing was sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A stage signal that is a span.
    Span,
    /// A stage signal that is a log record.
    Log,
    /// A point of a gauge.
    Gauge,
}

/// One thing that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// How often it was sent; all but the first were repeats of the client.
    pub(super) tries: u32,
    /// The round in which it was.
    pub(super) round: usize,
}

/// Everything that was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// By its own trace id, or what stands for one, as hexadecimal.
    pub(super) items: BTreeMap<String, Item>,
    /// The stage signals of each order.
    pub(super) orders: BTreeMap<String, Vec<StageSignal>>,
    pub(super) requests: usize,
    pub(super) repeated: usize,
}

impl Sent {
    /// A request with these signals, all of one kind, was acknowledged.
    pub(super) fn acknowledged(&mut self, signals: &[otlp::StageSignal], item: Item) {
        self.requests += 1;
        self.repeated += usize::from(item.tries > 1);
        for signal in signals {
            self.items.insert(hex::encode(signal.trace_id), item);
            if item.kind == Kind::Gauge {
                continue;
            }
            self.orders.entry(signal.order_id.clone()).or_default().push(StageSignal {
                kind: SignalKind::Stage(signal.stage.clone()),
                event_time: i64::try_from(signal.at_ns).unwrap_or(i64::MAX),
                source: signal.service.clone(),
                attempt: 0,
                heard_at: 0,
                worker: String::new(),
                error: String::new(),
            });
        }
    }

    /// Where every order must be by now, by the pure fold.
    pub(super) fn states(&self) -> BTreeMap<&str, OrderState> {
        let lifecycle = Lifecycle::default();
        let now = i64::try_from(otlp::now_ns()).unwrap_or(i64::MAX);
        let state = |signals: &Vec<StageSignal>| {
            fold(&lifecycle, signals, &[], &OrderTraits::default(), now)
        };
        self.orders.iter().map(|(order, signals)| (order.as_str(), state(signals))).collect()
    }
}
