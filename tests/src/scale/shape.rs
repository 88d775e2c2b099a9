//! What is made: how much, over which days, with which values; and the SQL that makes it.

use clickhouse::query::Query;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::facts::Rows;

/// Spans of one order, in its two traces.
pub const SPANS_PER_ORDER: u64 = 10;
/// Days over which the spans are spread, as published.
pub const DAYS: i64 = 10;

/// How attribute values are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Values {
    /// One after the other, as Jaeger's tracegen does.
    Cycle,
    /// Drawn anew for every attribute: some 14 bytes a span that no codec can save.
    Drawn,
}

/// What is made. Stored beside the data, so that a later run goes on with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Shape {
    /// Spans in all; a multiple of [`SPANS_PER_ORDER`].
    pub spans: u64,
    /// The end of the days, milliseconds since 1970: when the first run began.
    pub end_ms: i64,
    /// Whether values are [`Values::Cycle`].
    pub cycle: bool,
}

impl Shape {
    /// A shape of at most that many spans, which ends now.
    #[must_use]
    pub fn new(spans: u64, values: Values, end_ms: i64) -> Self {
        let spans = spans.max(SPANS_PER_ORDER) / SPANS_PER_ORDER * SPANS_PER_ORDER;
        Self { spans, end_ms, cycle: values == Values::Cycle }
    }

    /// Orders in all.
    #[must_use]
    pub const fn orders(&self) -> u64 {
        self.spans / SPANS_PER_ORDER
    }

    /// The id of an order: sequential, as a shop gives them.
    #[must_use]
    pub fn order_id(order: u64) -> String {
        format!("ORD-2026-{order:08}")
    }

    /// The ids of an order's two traces. The engine hashes: it has the generator's hash.
    ///
    /// # Errors
    /// The store could not be reached.
    pub async fn trace_ids(&self, client: &Client, order: u64) -> anyhow::Result<Vec<String>> {
        let hash = "SELECT arrayMap(t -> lower(hex(sipHash128('trace', {order:UInt64}, t))), \
                    [toUInt8(0), toUInt8(1)])";
        Ok(client.query(hash).param("order", order).fetch_one().await?)
    }

    /// An insert of the rows that are made of a chunk of numbers.
    pub(super) fn insert(&self, client: &Client, rows: Rows, chunk: Chunk) -> Query {
        let Rows { table, columns, .. } = rows;
        let text = rows.text();
        client
            .query(&format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM ({text})"))
            .param("first", chunk.first)
            .param("count", chunk.count)
            .param("orders", self.orders())
            .param("end_ms", self.end_ms)
            .param("days", DAYS)
            .param("cycle", self.cycle)
    }
}

/// A run of numbers: of spans or of orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The first number.
    pub first: u64,
    /// How many.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_orders() {
        let shape = Shape::new(1_234_567, Values::Drawn, 0);
        assert_eq!((shape.spans, shape.orders()), (1_234_560, 123_456));
        assert_eq!(Shape::new(0, Values::Cycle, 0).orders(), 1);
        assert_eq!(Shape::order_id(123), "ORD-2026-00000123");
    }
}
