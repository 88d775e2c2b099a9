//! Search that forgives: spaces, case, `№`; and any number that support may have in hand.

use std::collections::HashMap;

use clickhouse::Row;
use order_model::order_id::search_key;
use serde::{Deserialize, Serialize};

use super::{OrderSummary, Reader};
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

/// 16 bytes in hexadecimal (W3C Trace Context, section 3.2.2.3).
fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
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
        let trace = key.to_lowercase();
        if candidates.is_empty() && is_trace_id(&trace) {
            candidates = self.linked(&trace, limit).await?;
        }
        if candidates.is_empty() && key.chars().count() >= PART_CHARS_MIN {
            candidates = self.part(&key, limit).await?;
        }
        self.summaries(candidates).await
    }

    async fn whole(&self, text: &str, key: &str, limit: u32) -> Result<Vec<Candidate>, StoreError> {
        self.store.fetch_all("search for an order", |client| client
            .query(
                "SELECT OrderId, argMin(MatchedBy, Rank) AS MatchedBy FROM ( \
                 SELECT OrderId, replaceOne(toString(AliasKind), 'shared', 'partner') AS MatchedBy, \
                     multiIf(OrderId = {text:String}, 0, AliasKind = 'order_id', 1, \
                         endsWith(AliasKind, '_number'), 2, 3) AS Rank \
                     FROM order_aliases WHERE Alias = {key:String} AND {key:String} != '' \
                 UNION ALL SELECT OrderId, 'trace_id', 4 FROM trace_orders \
                     WHERE TraceId = {trace:String} \
                 UNION ALL SELECT OrderId, 'order_id', 0 FROM orders \
                     WHERE OrderId = {text:String}) \
                 GROUP BY OrderId ORDER BY min(Rank), OrderId LIMIT {limit:UInt32}",
            )
            .param("text", text)
            .param("key", key)
            .param("trace", key.to_lowercase())
            .param("limit", limit))
            .await
    }

    /// Orders that a trace belongs to by links alone.
    async fn linked(&self, trace: &str, limit: u32) -> Result<Vec<Candidate>, StoreError> {
        self.store
            .fetch_all("search for the order of a linked trace", |client| {
                client
                    .query(
                        "SELECT OrderId, 'trace_id' AS MatchedBy FROM ( \
                         SELECT OrderId, argMax(LinkedTraces, DerivedAt) AS Now FROM orders \
                         WHERE OrderId IN (SELECT OrderId FROM orders \
                             WHERE has(LinkedTraces, {trace:String})) GROUP BY OrderId) \
                         WHERE has(Now, {trace:String}) \
                         ORDER BY OrderId LIMIT {limit:UInt32}",
                    )
                    .param("trace", trace)
                    .param("limit", limit)
            })
            .await
    }

    async fn part(&self, key: &str, limit: u32) -> Result<Vec<Candidate>, StoreError> {
        self.store
            .fetch_all("search for a part of an order id", |client| {
                client
                    .query(
                        "SELECT OrderId, 'part_of_order_id' AS MatchedBy FROM order_aliases \
                 WHERE position(Alias, {key:String}) > 0 AND AliasKind = 'order_id' \
                 GROUP BY OrderId, endsWith(Alias, {key:String}) AS ends \
                 ORDER BY ends DESC, OrderId DESC LIMIT {limit:UInt32}",
                    )
                    .param("key", key)
                    .param("limit", limit)
            })
            .await
    }

    /// The orders of the candidates, each once: an id that is another id of an order finds it.
    async fn summaries(&self, candidates: Vec<Candidate>) -> Result<Vec<SearchHit>, StoreError> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&String> = candidates.iter().map(|c| &c.order_id).collect();
        let merged: Vec<(String, String)> = self
            .store
            .fetch_all("find the orders of ids", |client| {
                client
                    .query(
                        "SELECT OrderId, MergedInto FROM orders FINAL \
                 WHERE OrderId IN {ids:Array(String)} AND MergedInto != ''",
                    )
                    .param("ids", &ids)
            })
            .await?;
        let merged: HashMap<String, String> = merged.into_iter().collect();
        let mut hits: Vec<(String, MatchedBy)> = Vec::new();
        for Candidate { order_id, matched_by } in candidates {
            let order_id = merged.get(&order_id).cloned().unwrap_or(order_id);
            if hits.iter().all(|(known, _)| *known != order_id) {
                hits.push((order_id, matched_by));
            }
        }
        let ids: Vec<&String> = hits.iter().map(|(order_id, _)| order_id).collect();
        let orders = self.orders_of_ids(&ids, self.as_of(None).await?).await?;
        let hit = |(order_id, matched_by): (String, MatchedBy)| {
            let order = orders.iter().find(|order| order.order_id == order_id)?.clone();
            Some(SearchHit { order, matched_by })
        };
        Ok(hits.into_iter().filter_map(hit).collect())
    }
}
