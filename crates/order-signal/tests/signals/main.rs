//! What leaves a service, seen by the SDK's in-memory exporters.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod context;
mod heartbeats;
mod recorded;
mod stages;
