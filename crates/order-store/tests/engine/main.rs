//! The store on the real engine: migrations, repeats, and the states against the pure rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod routing;
mod server;
mod oracle;
mod store;
mod rules;
mod tidying;
mod traps;
mod crowds;
mod interleavings;
mod migrations;
mod retention;
mod metrics;
mod repeats;
mod cluster;
mod facts;
mod shards;
mod replicas;
