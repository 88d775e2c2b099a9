//! The real ClickHouse engine (libchdb) behind the part of the ClickHouse HTTP interface its clients use.
