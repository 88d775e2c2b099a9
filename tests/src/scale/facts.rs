//! What the collector would have derived from the spans: signals of orders, and which traces name
//! which order.

/// Table, columns and SQL of each kind of fact, all of them made of order numbers.
pub(super) const TABLES: [(&str, &str, &str); 0] = [];
