//! The ClickHouse schema, rows, writer, reader and versioned views.
