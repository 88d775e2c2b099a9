//! What makes a program a good daemon: settings, logs, stop, health, metrics, serving.
//!
//! It knows nothing of orders, OTLP or ClickHouse. Every program of Waybill starts the same
//! way: parse and check settings, start the log, bind every port, then work until the stop
//! signal, drain within a deadline, exit with a code that says why.
#![forbid(unsafe_code)]

pub mod settings;
pub mod log;
pub mod stop;
pub mod metrics;
pub mod health;
pub mod admin;
pub mod serve;
pub mod tls;
pub mod connections;

pub use health::{Health, Note, Watch};
pub use metrics::Metrics;
pub use stop::Stop;
