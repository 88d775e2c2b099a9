//! Receives OTLP, stores spans, logs, metrics and order facts, and stitches orders.
//!
//! Data runs downhill: sockets ([`daemon::connections`]) → OTLP/HTTP ([`http`]) or OTLP/gRPC ([`grpc`]) →
//! [`access`] (who may send, how much) → [`intake`] (bounds, decoding, mapping by `otlp-columns`) → [`journal`] (on disk: now the request
//! is answered) → [`insert`] (batches into the store) → [`stitch`] (orders derived again): see
//! `docs/adr/0008-journal.md`.
#![forbid(unsafe_code)]

pub mod schema_command;
pub mod set_aside;
pub mod rates;
pub mod shares;
pub mod access;
pub mod token_command;
pub mod hygiene;
pub mod settings;
pub mod reload;
pub mod tls;
pub mod guard;
pub mod metrics;
pub mod store_watch;
pub mod stitch;
pub mod conserve;
pub mod journal;
pub mod insert;
pub mod intake;
pub mod body;
pub mod entrance;
pub mod http;
pub mod grpc;
pub mod program;
pub mod restitch_command;
pub mod resubmit_command;
pub mod journal_command;

pub use program::{RunError, run};
pub use settings::Settings;
