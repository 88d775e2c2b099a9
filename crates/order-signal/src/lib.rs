//! What a Rust service uses to report stages of orders.
//!
//! An SDK exports a span when it ends, so a step that hangs exports none. A stage therefore begins
//! with a signal of its own, sent at once, and long work says every half minute that it is alive.
//!
//! - [`OrderSignals::stage`]: a stage begins.
//! - [`OrderSignals::heartbeat`]: long work lives, until a guard is dropped.
//! - [`OrderSignals::order_context`] with [`OrderIdOnSpans`] and [`propagator`]: every span of a
//!   request names its order, also in the services that are called.
//! - [`pipeline`]: providers that send signals at once, ready made.
//!
//! Nothing here blocks, fails or panics: the work of a service is worth more than its telemetry.
//! What is refused is counted ([`SignalCounts`]) and logged once per reason.
//!
//! Not here: what a signal means. The collector reads it, and `order-model` has the lifecycle.
#![forbid(unsafe_code)]

pub mod keys;
pub mod limits;
mod counts;
mod orders;
mod context;
mod emitter;
mod processors;
mod signals;
mod stage;
mod heartbeat;
#[cfg(feature = "otlp")]
pub mod pipeline;

pub use context::{order_of, propagator};
pub use counts::{Refusal, SignalCounts};
pub use heartbeat::{Heartbeat, HeartbeatStart};
pub use orders::NamesOrders;
pub use processors::{OrderIdOnLogs, OrderIdOnSpans};
pub use signals::OrderSignals;
pub use stage::{OrderChannel, OrderKind, StageSignal};
