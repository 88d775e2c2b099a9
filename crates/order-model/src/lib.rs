//! The vocabulary of orders, without IO: ids, stages, the lifecycle and the fold from facts to
//! state.
//!
//! Nothing here reads a clock, a socket or a disk: functions take values and `now`, and return
//! values.
#![forbid(unsafe_code)]

pub mod keys;
pub mod order_id;
pub mod time;
pub mod lifecycle;
pub mod graph;
pub mod fold;
pub mod judgement;

pub use fold::{CalculationPart, OrderState, StageSignal, Visit, fold};
pub use judgement::{Condition, Judgement, Marks, judge};
pub use lifecycle::Lifecycle;
pub use order_id::OrderId;
pub use time::UnixNanos;
