//! The store: schema, rows, writer, stitcher and reader over the ClickHouse HTTP interface.
//!
//! One write path and one read path: embedded engine, server and cluster are reached through the
//! official `clickhouse` client. SQL that gives a name a meaning (current stage, late, stuck)
//! stands once, in the versioned views of `sql/`; what facts mean, in `order-model`.
#![forbid(unsafe_code)]

pub mod error;
pub mod connection;
pub mod row_binary;
pub mod encoded_rows;
mod touched;
pub mod rows;
pub mod record;
mod names;
pub mod cluster;
pub mod schema;
pub mod retention;
pub mod writer;
mod neighbourhood;
pub mod stitcher;
pub mod read;

pub use connection::{ReadStatus, ReplicaSettings, Store, StoreSettings};
pub use encoded_rows::EncodedRows;
pub use error::{Fault, StoreError};
pub use names::Names;
pub use read::Reader;
pub use record::Block;
pub use retention::RetentionSettings;
pub use rows::{Batch, Touched};
pub use stitcher::{Conservation, Progress, Stitched, Stitcher, SweepState};
pub use writer::{INSERT_BYTES_MAX, Writer};

/// Milliseconds since 1970, UTC: times on pages and in the API's inner life.
pub type UnixMillis = i64;
