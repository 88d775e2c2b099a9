//! The private stack, the end-to-end tests and the demo.
//!
//! Data runs downhill: waiting and addresses, programs and processes, the parts of a stack, the
//! stack; then what is sent into it, what its pages say, and the demo, which is a stack with
//! traffic and a summary for a person.
#![forbid(unsafe_code)]

pub mod wait;
pub mod address;
pub mod folder;
pub mod programs;
pub mod process;
pub mod parts;
pub mod forgetful;
pub mod stack;
pub mod on_call;
pub mod otlp;
pub mod relay;
pub mod discarding;
pub mod replay;
pub mod traffic;
pub mod pages;
pub mod comparison;
pub mod clients;
pub mod demo;
pub mod crash;
pub mod scale;

pub use stack::Stack;
