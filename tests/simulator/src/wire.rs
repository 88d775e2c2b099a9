//! What the orchestrator and its services say to each other: one JSON document per line, on the
//! service's standard input and output.

use crate::telemetry::Delivered;
use crate::trace_plan::StepPlan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The header in which a message carries the producer's trace context:
/// <https://www.w3.org/TR/trace-context/>.
pub const TRACEPARENT: &str = "traceparent";

/// To a service. The end of its input tells it to stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Take a step of an order.
    Act(Box<Action>),
    /// Deliver everything there is, siblings before the spans that end last.
    Flush {
        /// Comes back with the reply.
        ticket: u64,
    },
}

/// A step to take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Action {
    /// Comes back with the reply.
    pub ticket: u64,
    /// Whether it happens now, rather than at the step's time.
    pub live: bool,
    /// Whose step it is.
    pub order_id: String,
    /// What is done.
    pub step: StepPlan,
    /// The message it answers.
    pub message: Option<Message>,
}

/// A message between two systems, as the broker carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The queue.
    pub queue: String,
    /// Its id; a redelivery keeps it.
    pub message_id: String,
    /// The order it is about.
    pub order_id: String,
    /// Its headers, the producer's trace context among them.
    pub headers: BTreeMap<String, String>,
}

/// From a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A step was taken.
    Acted {
        /// The ticket of the command.
        ticket: u64,
        /// What it published.
        published: Vec<Message>,
    },
    /// Everything was sent, or given up.
    Flushed {
        /// The ticket of the command.
        ticket: u64,
        /// What became of it.
        delivered: Delivered,
    },
}
