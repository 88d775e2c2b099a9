//! The real ClickHouse engine (libchdb) behind the part of the ClickHouse HTTP interface that
//! its official clients use.
//!
//! It is no ClickHouse server: one process on one folder, two users, no native protocol, no
//! replication. A request travels downhill: [`serve`] takes it from HTTP, [`request`] checks what
//! it asks, [`run`] splits its text by [`statement`] and hands it to the [`engine`], and
//! [`answer`] brings the result back.

pub mod settings;
mod serve;
mod session;
mod request;
mod auth;
mod run;
mod statement;
mod answer;
mod coding;
mod query_log;
mod figures;
mod engine;
mod ffi;
mod torn;
mod exception;
mod priority;
mod program;

pub use auth::AccountError;
pub use engine::OpenError;
pub use program::{StartError, exit, start};
