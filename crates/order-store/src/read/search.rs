//! Search that forgives: spaces, case, `№`; and any number that support may have in hand.

use clickhouse::Row;
use order_model::order_id::search_key;
use serde::{Deserialize, Serialize};

use super::{ORDERS_AT, OrderSummary, Reader, SUMMARY_COLUMNS};
use crate::error::StoreError;

/// Longest text that is searched for, in characters; the rest is not read.
const TEXT_CHARS_MAX: usize = 200;
/// A part of an id must have this many characters, or everything would match.
const PART_CHARS_MIN: usize = 3;

/// Why an order was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum MatchedBy {
    /// Its id, but for spaces, case and `№`.
    OrderId,
    /// A partner's own number.
    PartnerNumber,
    /// A message that carried it.
    MessageId,
    /// A trace that belongs to it.
    TraceId,
    /// A part of its id.
    PartOfOrderId,
}

impl TryFrom<String> for MatchedBy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "order_id" => Ok(Self::OrderId),
            "partner_number" => Ok(Self::PartnerNumber),
            "message_id" => Ok(Self::MessageId),
            "trace_id" => Ok(Self::TraceId),
            "part_of_order_id" => Ok(Self::PartOfOrderId),
            _ => Err(format!("nothing is found by `{text}`")),
        }
    }
}

/// An order that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// The order.
    pub order: OrderSummary,
    /// Why.
    pub matched_by: MatchedBy,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Candidate {
    order_id: String,
    matched_by: MatchedBy,
}

impl Reader {
    /// At most `limit` orders that the text may mean, the surest first. Parts of ids are only
    /// tried when nothing matches whole.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn search(&self, text: &str, limit: u32) -> Result<Vec<SearchHit>, StoreError> {
        let key: String = search_key(text).chars().take(TEXT_CHARS_MAX).collect();
        let exact: String = text.trim().chars().take(TEXT_CHARS_MAX).collect();
        if exact.is_empty() {
            return Ok(Vec::new());
        }
        let mut candidates = self.whole(&exact, &key, limit).await?;
        if candidates.is_empty() && key.chars().count() >= PART_CHARS_MIN {
            candidates = self.part(&key, limit).await?;
        }
        self.summaries(candidates).await
    }

    async fn whole(&self, text: &str, key: &str, limit: u32) -> Result<Vec<Candidate>, StoreError> {
        self.store
            .client
            .query(
                "SELECT OrderId, argMin(MatchedBy, Rank) AS MatchedBy FROM ( \
                 SELECT OrderId, 'order_id' AS MatchedBy, 0 AS Rank FROM orders \
                     WHERE OrderId = {text:String} UNION ALL \
                 SELECT OrderId, 'order_id' AS MatchedBy, 1 AS Rank FROM orders \
                     WHERE OrderKey = {key:String} AND {key:String} != '' \
                 UNION ALL SELECT OrderId, toString(AliasKind), if(AliasKind = 'partner_number', 2, 3) \
                     FROM order_aliases WHERE Alias = {key:String} AND {key:String} != '' \
                 UNION ALL SELECT OrderId, 'trace_id', 4 FROM trace_orders \
                     WHERE TraceId = {trace:String}) \
                 GROUP BY OrderId ORDER BY min(Rank), OrderId LIMIT {limit:UInt32}",
            )
            .param("text", text)
            .param("key", key)
            .param("trace", key.to_lowercase())
            .param("limit", limit)
            .fetch_all()
            .await
            .map_err(StoreError::doing("search for an order"))
    }

    async fn part(&self, key: &str, limit: u32) -> Result<Vec<Candidate>, StoreError> {
        self.store
            .client
            .query(
                "SELECT DISTINCT OrderId, 'part_of_order_id' AS MatchedBy FROM orders \
                 WHERE position(OrderKey, {key:String}) > 0 \
                 ORDER BY endsWith(OrderKey, {key:String}) DESC, OrderId DESC \
                 LIMIT {limit:UInt32}",
            )
            .param("key", key)
            .param("limit", limit)
            .fetch_all()
            .await
            .map_err(StoreError::doing("search for a part of an order id"))
    }

    async fn summaries(&self, candidates: Vec<Candidate>) -> Result<Vec<SearchHit>, StoreError> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = candidates.iter().map(|c| c.order_id.as_str()).collect();
        let orders: Vec<OrderSummary> = self
            .store
            .client
            .query(&format!(
                "SELECT {SUMMARY_COLUMNS} FROM {ORDERS_AT} WHERE OrderId IN {{orders:Array(String)}}"
            ))
            .param("as_of", self.clock().await?)
            .param("orders", ids)
            .fetch_all()
            .await
            .map_err(StoreError::doing("read the orders found"))?;
        let hit = |candidate: Candidate| {
            let order = orders.iter().find(|order| order.order_id == candidate.order_id)?.clone();
            Some(SearchHit { order, matched_by: candidate.matched_by })
        };
        Ok(candidates.into_iter().filter_map(hit).collect())
    }
}
