//! Why a run failed. Whatever it was, the truth printed may not be what the receiver knows.

use crate::telemetry::Delivered;
use crate::trace_plan::System;
use std::path::PathBuf;
use std::process::ExitStatus;
use thiserror::Error;

/// Why a run failed.
#[derive(Debug, Error)]
pub enum RunError {
    /// This program could not be started again as one of the systems.
    #[error("starting {}", .system.name())]
    Start {
        /// Which.
        system: System,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A service said nothing more, or nothing that could be understood.
    #[error("{} is not heard: {why}", .system.name())]
    Silent {
        /// Which.
        system: System,
        /// What was heard last.
        why: String,
    },
    /// A service did not take its commands.
    #[error("commanding {}", .system.name())]
    Deaf {
        /// Which.
        system: System,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A service ended badly.
    #[error("{} ended with {status}", .system.name())]
    Ended {
        /// Which.
        system: System,
        /// How.
        status: ExitStatus,
    },
    /// A step answers a message that nobody published: a mistake in a scenario.
    #[error("no service published the message {0}")]
    NoMessage(String),
    /// Not everything that was made reached the receiver.
    #[error("{} did not deliver everything, so the truth does not hold: {delivered:?}", .system.name())]
    Undelivered {
        /// Whose.
        system: System,
        /// What became of it.
        delivered: Delivered,
    },
    /// A signal came before the population was complete.
    #[error("stopped before the population was complete")]
    Stopped,
    /// A result could not be written.
    #[error("writing {}", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
