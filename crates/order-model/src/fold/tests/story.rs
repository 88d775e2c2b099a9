//! Small stories about one order, as text, for the tests of the fold and of what follows from it.
//!
//! Sentences are set apart by `;`, and may stand in any order:
//!
//! - `5m mes CALCULATION_RUNNING #2 @w7`: at that time a service says that a stage begins;
//!   `#` is an attempt, `@` a worker, `!` an error, `~` the time of receipt.
//! - `5m crm asks`: a price is asked for. `5m crm sends:crm.orders` and `5m crm takes:crm.orders`:
//!   a message is passed. `5m mes beats @w7`: a sign of life.
//! - `kind ready_made`, `channel b2b`, `model`: what is known of the order.
//! - `now 1h`: by our clock; without it, the latest time in the story.
//!
//! Times count from the story's beginning and are written without spaces: `1h30m`, `2s1ns`.

use std::time::Duration;

use super::super::{Heartbeat, OrderState, OrderTraits, SignalKind, StageSignal, fold};
use crate::lifecycle::Lifecycle;
use crate::time::{UnixNanos, to_millis};

/// The beginning of every story: some day of 2027.
const BEGINNING: UnixNanos = 1_800_000_000_000_000_000;

/// A story, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    pub(crate) signals: Vec<StageSignal>,
    pub(crate) heartbeats: Vec<Heartbeat>,
    pub(crate) traits: OrderTraits,
    pub(crate) now: UnixNanos,
}

/// A time of a story, counted from its beginning.
pub(crate) fn at(text: &str) -> UnixNanos {
    let since = humantime::parse_duration(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    BEGINNING + i64::try_from(since.as_nanos()).unwrap()
}

/// The same as text; `-` for none.
pub(crate) fn told(at: impl Into<Option<UnixNanos>>) -> String {
    let Some(at) = at.into() else { return "-".to_owned() };
    let since = Duration::from_nanos(u64::try_from(at - BEGINNING).unwrap());
    humantime::format_duration(since).to_string().replace(' ', "")
}

/// Milliseconds of a receipt as text.
pub(crate) fn told_millis(at: i64) -> String {
    told(at * crate::time::NANOS_PER_MILLI)
}

impl Story {
    pub(crate) fn of(text: &str) -> Self {
        let mut story = Self::default();
        let mut now = None;
        for sentence in text.split(';').map(str::trim).filter(|sentence| !sentence.is_empty()) {
            match sentence.split_once(' ').unwrap_or((sentence, "")) {
                ("model", _) => story.traits.has_model = true,
                ("kind", kind) => kind.clone_into(&mut story.traits.kind),
                ("channel", channel) => channel.clone_into(&mut story.traits.channel),
                ("now", time) => now = Some(at(time)),
                (time, said) => story.add(at(time), said),
            }
        }
        let signals = story.signals.iter().map(|signal| signal.event_time);
        let latest = signals.chain(story.heartbeats.iter().map(|beat| beat.at)).max();
        story.now = now.or(latest).unwrap_or(BEGINNING);
        story
    }

    fn add(&mut self, event_time: UnixNanos, said: &str) {
        let (said, error) = said.split_once(" !").unwrap_or((said, ""));
        let mut words = said.split(' ');
        let (source, what) = (words.next().unwrap(), words.next().unwrap());
        let mut signal = StageSignal {
            kind: match what.split_once(':') {
                Some(("sends", to)) => SignalKind::HandedOver(to.to_owned()),
                Some(("takes", from)) => SignalKind::TakenOver(from.to_owned()),
                _ if what == "asks" => SignalKind::PriceRequested,
                _ => SignalKind::Stage(what.to_owned()),
            },
            event_time,
            source: source.to_owned(),
            attempt: 0,
            heard_at: to_millis(event_time),
            worker: String::new(),
            error: error.to_owned(),
        };
        for word in words {
            match word.split_at(1) {
                ("#", attempt) => signal.attempt = attempt.parse().unwrap(),
                ("@", worker) => worker.clone_into(&mut signal.worker),
                ("~", heard) => signal.heard_at = to_millis(at(heard)),
                _ => panic!("what does `{word}` mean?"),
            }
        }
        if what == "beats" {
            self.heartbeats.push(Heartbeat { at: event_time, worker: signal.worker });
        } else {
            self.signals.push(signal);
        }
    }

    /// What the fold makes of it, by the default lifecycle.
    pub(crate) fn state(&self) -> OrderState {
        fold(&Lifecycle::default(), &self.signals, &self.heartbeats, &self.traits, self.now)
    }
}
