//! The collector as a program, over the real engine, as its senders meet it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod stack;
mod otlp;
mod http;
mod grpc;
mod bad_input;
mod metrics;
mod bad_metrics;
mod orders;
mod outage;
mod connections;
mod hygiene;
mod journal;
mod exactly_once;
mod proxy;
mod pressure;
mod access;
mod rates;
mod tls;
mod process;
