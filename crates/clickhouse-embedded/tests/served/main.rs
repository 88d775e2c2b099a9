//! The built program on a private folder and a free port, driven from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod process;
mod interface;
mod rust_client;
mod foreign_clients;
mod reader;
mod writer;
mod bodies;
mod streams;
mod sessions;
mod leaving;
mod limits;
mod fairness;
mod stopping;
