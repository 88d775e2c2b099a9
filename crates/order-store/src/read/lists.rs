//! Lists of orders: newest first, by keyset, at one point in time.

use serde::{Deserialize, Serialize};

use super::{ORDERS_AT, OrderSummary, Reader, SUMMARY_COLUMNS};
use crate::UnixMillis;
use crate::error::StoreError;

/// What Waybill concludes of an order. Derived, never written by a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Condition {
    /// As it should be.
    Fine,
    /// Past the first deadline of its stage, or past the promise.
    Late,
    /// Past the second deadline of its stage.
    Stuck,
    /// The customer has given up.
    Abandoned,
    /// Nobody confirmed the end.
    NotConfirmed,
    /// In a status that the lifecycle does not know.
    Unknown,
}

impl Condition {
    /// Every condition, in the order of urgency.
    pub const ALL: [Self; 6] =
        [Self::Stuck, Self::Late, Self::Unknown, Self::NotConfirmed, Self::Abandoned, Self::Fine];

    /// As the store and the API write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Late => "late",
            Self::Stuck => "stuck",
            Self::Abandoned => "abandoned",
            Self::NotConfirmed => "not_confirmed",
            Self::Unknown => "unknown",
        }
    }

    /// The condition of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == text)
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    /// For rows of the store and bodies of the API, both of which write conditions as text.
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no condition"))
    }
}

/// Which orders of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageFilter {
    /// Only those in this condition.
    pub condition: Option<Condition>,
}

/// Where the next page begins: after this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageCursor {
    /// `since` of the last order shown.
    pub since: UnixMillis,
    /// Its id.
    pub order_id: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPage {
    /// The point in time at which conditions were judged.
    pub as_of: UnixMillis,
    /// Newest first: by `since`, then by id, both descending.
    pub orders: Vec<OrderSummary>,
    /// Where the next page begins, if there is one.
    pub next: Option<StageCursor>,
}

impl Reader {
    /// At most `limit` orders of a stage, newest first, after the cursor.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn stage_orders(
        &self,
        stage: &str,
        filter: StageFilter,
        limit: u32,
        after: Option<StageCursor>,
        as_of: Option<UnixMillis>,
    ) -> Result<OrderPage, StoreError> {
        let as_of = self.as_of(as_of).await?;
        let condition = filter.condition.map_or("", Condition::as_str);
        let (since, order_id) =
            after.map_or((i64::MAX, String::new()), |cursor| (cursor.since, cursor.order_id));
        let mut orders: Vec<OrderSummary> = self
            .store
            .client
            .query(&format!(
                "SELECT {SUMMARY_COLUMNS} FROM {ORDERS_AT} \
                 WHERE Stage = {{stage:String}} \
                 AND ({{condition:String}} = '' OR Condition = {{condition:String}}) \
                 AND (toUnixTimestamp64Milli(StageSince), OrderId) \
                     < ({{since:Int64}}, {{order:String}}) \
                 ORDER BY StageSince DESC, OrderId DESC LIMIT {{limit:UInt32}}"
            ))
            .param("as_of", as_of)
            .param("stage", stage)
            .param("condition", condition)
            .param("since", since)
            .param("order", order_id)
            .param("limit", limit.saturating_add(1))
            .fetch_all()
            .await
            .map_err(StoreError::doing("list the orders of a stage"))?;
        let more = orders.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        orders.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let last = orders.last().filter(|_| more);
        let next = last.map(|o| StageCursor { since: o.since, order_id: o.order_id.clone() });
        Ok(OrderPage { as_of, orders, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_have_one_spelling() {
        for condition in Condition::ALL {
            assert_eq!(Condition::parse(condition.as_str()), Some(condition));
            let json = serde_json::to_string(&condition).unwrap();
            assert_eq!(json, format!("\"{}\"", condition.as_str()));
        }
        assert_eq!(Condition::parse("Stuck"), None);
    }
}
