//! OTLP bytes to ClickHouse rows and order facts, without IO.
