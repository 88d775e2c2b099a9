//! What one system does in one step of an order, as data: a tree of spans, and log records.
//!
//! The planner writes these, the services act them out with the SDK, and the truth counts them.

use crate::stage::Stage;
use serde::{Deserialize, Serialize};

/// One of the three systems that exist before Waybill does.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// Cart, upload, order.
    Shop,
    /// Sellers.
    Crm,
    /// Operators, and today also the price.
    Mes,
}

impl System {
    /// Every system.
    pub const ALL: [Self; 3] = [Self::Shop, Self::Crm, Self::Mes];

    /// The value of `service.name`, and the name of the subcommand.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Crm => "crm",
            Self::Mes => "mes",
        }
    }
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Attributes in the order in which they are set.
pub type Attributes = Vec<(String, Value)>;

/// The kinds of spans OpenTelemetry knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanRole {
    /// Work inside a process.
    Internal,
    /// A request answered.
    Server,
    /// A request made.
    Client,
    /// A message published.
    Producer,
    /// A message taken.
    Consumer,
}

/// One span and what is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanPlan {
    /// The span's name.
    pub name: String,
    /// The span's kind.
    pub role: SpanRole,
    /// Begin, in milliseconds from the step's time; negative when the work began earlier.
    pub start_ms: i64,
    /// How long it takes; zero for a stage signal.
    pub duration_ms: i64,
    /// What it says.
    pub attributes: Attributes,
    /// What happens during it.
    pub events: Vec<EventPlan>,
    /// The message of the error with which it ends, if it fails.
    pub error: Option<String>,
    /// The message it publishes; its context travels in the message's headers.
    pub publishes: Option<String>,
    /// Whether it links to the producer of the message that the step consumes.
    pub links_to_producer: bool,
    /// Whether it ends only after its siblings have been exported and delivered.
    pub ends_last: bool,
    /// The spans below it.
    pub children: Vec<Self>,
}

impl SpanPlan {
    /// A span of no length at the step's time, with nothing said yet.
    #[must_use]
    pub fn new(role: SpanRole, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            role,
            start_ms: 0,
            duration_ms: 0,
            attributes: Vec::new(),
            events: Vec::new(),
            error: None,
            publishes: None,
            links_to_producer: false,
            ends_last: false,
            children: Vec::new(),
        }
    }

    /// Sets begin and length, in milliseconds.
    #[must_use]
    pub const fn at(mut self, start_ms: i64, duration_ms: i64) -> Self {
        self.start_ms = start_ms;
        self.duration_ms = duration_ms;
        self
    }

    /// Adds one attribute.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.attributes.push((key.to_owned(), value.into()));
        self
    }

    /// Adds several attributes.
    #[must_use]
    pub fn with_all(mut self, attributes: Attributes) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// Adds a span below this one.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Adds a span event at so many milliseconds from the step's time.
    #[must_use]
    pub fn event(mut self, name: &str, at_ms: i64, attributes: Attributes) -> Self {
        self.events.push(EventPlan { name: name.to_owned(), at_ms, attributes });
        self
    }

    /// How many spans the tree exports.
    #[must_use]
    pub fn span_count(&self) -> u64 {
        1 + self.children.iter().map(Self::span_count).sum::<u64>()
    }

    /// Every span of the tree, parents first.
    pub fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let span = waiting.pop()?;
            waiting.extend(&span.children);
            Some(span)
        })
    }
}

/// A span event or a log record: a name, a time and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPlan {
    /// The event's name.
    pub name: String,
    /// Milliseconds from the step's time.
    pub at_ms: i64,
    /// What it says.
    pub attributes: Attributes,
}

/// One step of one order: one trace of one system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPlan {
    /// Who does it.
    pub system: System,
    /// Event time in milliseconds since 1970, by true time; the system's clock may differ.
    pub at_ms: i64,
    /// The id of the message it answers; `None` when a person or a partner set it off.
    pub consumes: Option<String>,
    /// Whether the broker delivers that message for the second time.
    pub redelivered: bool,
    /// The trace.
    pub root: SpanPlan,
    /// Log records written within the root span.
    pub logs: Vec<EventPlan>,
    /// The stage that begins with this step.
    pub stage: Option<Stage>,
}
