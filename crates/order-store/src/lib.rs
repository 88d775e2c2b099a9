//! The store: schema, rows, writer, stitcher and reader over the ClickHouse HTTP interface.
#![forbid(unsafe_code)]

pub mod rows;
