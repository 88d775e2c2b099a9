//! A store of any size: spans and orders made by the engine itself, the same ones on every run.
//!
//! The shape is that of Jaeger's published benchmark (its `tracegen` and defaults: 11 attributes a
//! span of 97 keys and 1,000 values, 10 services, 10 days), with orders laid over it: ten spans
//! make an order, in two traces, and the first span of a trace names the order. Every id, time and
//! value is a hash of the span's or the order's number. So writing can stop anywhere and go on.

pub mod exporter;
mod facts;
pub mod shape;
pub mod filling;

pub use filling::{Filling, Progress};
pub use shape::{Shape, Values};
