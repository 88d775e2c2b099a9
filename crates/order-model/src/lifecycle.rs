//! The lifecycle as configuration: stages, deadlines, labels, spellings and rules.
//!
//! [`Lifecycle::parse`] reads and checks the text; it reports every mistake with its line. The
//! default (`lifecycle.toml` beside this crate) is built in.

mod file;
mod check;
mod rule;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use rule::{Rule, RuleSignal, SpanMoment};

/// The default lifecycle as text, for `--print-lifecycle` and for tests.
pub const DEFAULT_TOML: &str = include_str!("../lifecycle.toml");

/// A checked lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// How far clocks of hosts may differ.
    pub skew: Duration,
    /// The promise on the whole order.
    pub promise: Promise,
    /// The one-hour rule.
    pub calculation: Calculation,
    /// The stages; the index plus one is the stage's rank.
    pub stages: Vec<Stage>,
    /// Messages by which systems hand orders over to each other.
    pub handovers: Vec<Handover>,
    /// A system that was heard of and has said nothing for this long is silent.
    pub silent_after: Duration,
    /// Whose turn it is, in words, by the key that stages use.
    pub waiting_for: BTreeMap<String, Label>,
    /// Spellings of attribute keys.
    pub keys: Keys,
    /// What spans of unchangeable systems mean, in order; every rule that matches counts.
    pub rules: Vec<Rule>,
}

/// From one stage to another within a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The stage that starts the clock.
    pub from: String,
    /// The stage that keeps the promise.
    pub to: String,
    /// The time promised.
    pub within: Duration,
}

/// What starts, stops and bounds the calculation of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calculation {
    /// The stage that asks for a price.
    pub requested_by: String,
    /// The stage that says a worker has begun.
    pub started_by: String,
    /// The stage that says an attempt failed; it does not stop the clock.
    pub failed_by: String,
    /// The stages that stop the clock.
    pub answered_by: Vec<String>,
    /// After this a calculation is late.
    pub late: Duration,
    /// After this on-call is paged.
    pub stuck: Duration,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// As systems write it, for example `SUBMITTED`.
    pub name: String,
    /// For people.
    pub label: Label,
    /// Services that may set it.
    pub set_by: Vec<String>,
    /// Key into [`Lifecycle::waiting_for`].
    pub waiting_for: String,
    /// Kinds and channels of orders that never pass this stage.
    pub skipped_by: Vec<String>,
    /// Whether an order ends here.
    pub terminal: bool,
    /// Whether an order that was here has a model, and so needs a price.
    pub means_model: bool,
    /// Whether deadlines run from the request for a price instead of from the stage's begin.
    pub measured_from_price_request: bool,
    /// Deadlines, if any.
    pub deadlines: Option<Deadlines>,
    /// What differs for ready-made pieces, if anything.
    pub ready_made: Option<ReadyMade>,
    /// Quiet since this long: the customer has given up. Never alerts.
    pub abandoned_after: Option<Duration>,
    /// Quiet since this long: nobody confirmed the end. Never alerts.
    pub not_confirmed_after: Option<Duration>,
}

/// A message that hands an order over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Where it is published: the queue or exchange, as `messaging.destination.name` says.
    pub destination: String,
    /// Services that publish it.
    pub from: Vec<String>,
    /// Services that take it.
    pub to: Vec<String>,
    /// Lost when nobody took it for this long.
    pub lost_after: Duration,
}

/// When an order in a stage is late and when it is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Late after this.
    pub late: Duration,
    /// Stuck after this, never before `late`.
    pub stuck: Duration,
}

/// A stage as ready-made pieces pass it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyMade {
    /// Key into [`Lifecycle::waiting_for`].
    pub waiting_for: String,
    /// Deadlines that replace the stage's.
    pub deadlines: Deadlines,
}

/// A text in the languages of the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Russian.
    pub ru: String,
    /// English.
    pub en: String,
}

/// Spellings of attribute keys; of each list the first key that has a value wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The order's id.
    pub order_id: Vec<String>,
    /// A stage that begins.
    pub stage: Vec<String>,
    /// `custom` or `ready_made`.
    pub kind: Vec<String>,
    /// `b2c` or `b2b`.
    pub channel: Vec<String>,
    /// A 3D model: any value means that the order has one.
    pub model: Vec<String>,
    /// The partner's own number of the order.
    pub partner_number: Vec<String>,
    /// The partner whose number it is.
    pub partner: Vec<String>,
    /// The id of a message.
    pub message_id: Vec<String>,
    /// Names of spans, span events and log events that say that long work is alive.
    pub heartbeat: Vec<String>,
    /// Which attempt of a calculation, from 1.
    pub attempt: Vec<String>,
    /// The text of an error.
    pub error: Vec<String>,
}

/// A mistake in a lifecycle file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Every mistake of a lifecycle file, in the order of lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mistake { line, reason }) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}line {line}: {reason}")?;
        }
        Ok(())
    }
}

impl Lifecycle {
    /// Reads and checks a lifecycle.
    ///
    /// # Errors
    /// Every [`Mistake`] found.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        check::check(text)
    }

    /// The rank of a stage: 1 for the first, 0 for a stage that is not in the lifecycle.
    #[must_use]
    pub fn rank(&self, stage: &str) -> u16 {
        let index = self.stages.iter().position(|s| s.name == stage);
        index.and_then(|i| u16::try_from(i + 1).ok()).unwrap_or(0)
    }

    /// The services of the shop: those that set the first stage.
    #[must_use]
    pub fn shop_services(&self) -> &[String] {
        self.stages.first().map_or(&[], |first| &first.set_by)
    }

    /// The stage of that name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|s| s.name == name)
    }
}

impl Default for Lifecycle {
    /// The built-in lifecycle.
    #[expect(clippy::expect_used, reason = "a test parses the built-in text")]
    fn default() -> Self {
        Self::parse(DEFAULT_TOML).expect("the built-in lifecycle is valid")
    }
}
