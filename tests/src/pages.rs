//! What `tracker-ui` says, through its JSON API: the same numbers as on its pages.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::wait::{Look, until};

/// Orders of one page of a list, where all pages are read: small enough that there are several.
const PAGE_ORDERS: usize = 40;
/// The most that the API gives.
const PAGE_ORDERS_MAX: usize = 500;
/// Pages of one list; a list that goes on is a fault of its cursors.
const PAGES_MAX: usize = 10_000;

/// The pages of a stack.
#[derive(Debug, Clone)]
pub struct Pages {
    client: Client,
    url: String,
    page_orders: usize,
}

/// The board.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Board {
    /// When lateness was judged.
    pub as_of: DateTime<Utc>,
    /// Alerts that are active, if the store said.
    pub active_alerts: Option<u64>,
    /// Facts against state.
    pub conservation: Conservation,
    /// Every stage.
    pub stages: Vec<BoardStage>,
}

/// Orders counted from the facts against orders counted from the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Conservation {
    /// Counted from the facts.
    pub seen: u64,
    /// Counted from the state.
    pub on_the_board: u64,
    /// 0 once everything received has been placed.
    pub difference: i64,
}

/// One stage of the board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BoardStage {
    /// Its name.
    pub stage: String,
    /// Orders at it.
    pub total: u64,
    /// Late and not stuck.
    pub late: u64,
    /// Stuck.
    pub stuck: u64,
}

/// An order as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// Its id.
    pub order_id: String,
    /// Where it is.
    pub stage: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// `fine`, `late`, `stuck`, …
    pub condition: String,
    /// `b2c`, `b2b` or empty.
    pub channel: String,
    /// `custom`, `ready_made` or empty.
    pub kind: String,
}

/// One order whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OrderWhole {
    /// As lists show it.
    pub order: Order,
    /// Every stay in a stage.
    pub history: Vec<Stay>,
    /// Pages to on-call, if the store said.
    pub alerts: Option<Vec<Alert>>,
}

/// One stay in a stage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stay {
    /// The stage.
    pub stage: String,
    /// When it began.
    pub entered_at: DateTime<Utc>,
    /// Who said so first.
    pub source: String,
}

/// One page to on-call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alert {
    /// The rule.
    pub name: String,
    /// When the condition began.
    pub starts_at: DateTime<Utc>,
    /// When the webhook heard of it.
    pub paged_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// The spans of an order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Spans {
    /// How many there are.
    pub total: u64,
    /// In the order of start time.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Span {
    /// Its trace.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// Its parent's id, or empty.
    pub parent_span_id: String,
    /// Its name.
    pub name: String,
    /// `Server`, `Client`, …
    pub kind: String,
    /// `service.name`.
    pub service: String,
    /// When it began.
    pub start: DateTime<Utc>,
    /// How long it took.
    pub duration_seconds: f64,
    /// `Unset`, `Ok` or `Error`.
    pub status_code: String,
    /// `named` or `linked`.
    pub through: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct StageOrders {
    orders: Vec<Order>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    hits: Vec<Hit>,
}

/// An order that was searched for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hit {
    /// Why it was found.
    pub matched_by: String,
    /// The order.
    pub order: Order,
}

impl OrderWhole {
    /// When on-call was first called about the order.
    #[must_use]
    pub fn paged_at(&self) -> Option<DateTime<Utc>> {
        self.alerts.iter().flatten().filter_map(|alert| alert.paged_at).min()
    }
}

impl Pages {
    /// The pages at that root URL.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url, page_orders: PAGE_ORDERS }
    }

    /// Reads lists in the largest pages there are.
    #[must_use]
    pub const fn in_large_pages(mut self) -> Self {
        self.page_orders = PAGE_ORDERS_MAX;
        self
    }

    /// Their root URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The board now.
    ///
    /// # Errors
    /// No good answer.
    pub async fn board(&self) -> Result<Board> {
        self.get("/api/v1/board", &[]).await?.context("there is no board")
    }

    /// Every order of a stage, over all pages of the list, of one condition if one is given.
    ///
    /// # Errors
    /// No good answer, or a list that never ends.
    pub async fn stage_orders(&self, stage: &str, condition: Option<&str>) -> Result<Vec<Order>> {
        let path = format!("/api/v1/stages/{stage}/orders");
        let limit = self.page_orders.to_string();
        let mut orders = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("limit", limit.as_str())];
            query.extend(condition.map(|condition| ("condition", condition)));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: StageOrders =
                self.get(&path, &query).await?.with_context(|| format!("no stage {stage}"))?;
            orders.extend(page.orders);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(orders);
            }
        }
        bail!("the list of {stage} has no end")
    }

    /// Every order of every stage.
    ///
    /// # Errors
    /// As [`Pages::stage_orders`].
    pub async fn every_order(&self) -> Result<Vec<Order>> {
        let mut orders = Vec::new();
        for stage in self.board().await?.stages.iter().filter(|stage| stage.total > 0) {
            orders.extend(self.stage_orders(&stage.stage, None).await?);
        }
        Ok(orders)
    }

    /// An order; `None` when nobody named it.
    ///
    /// # Errors
    /// No good answer.
    pub async fn order(&self, order_id: &str) -> Result<Option<OrderWhole>> {
        self.get(&format!("/api/v1/orders/{order_id}"), &[]).await
    }

    /// The spans of an order.
    ///
    /// # Errors
    /// No good answer.
    pub async fn spans(&self, order_id: &str) -> Result<Spans> {
        let spans = self.get(&format!("/api/v1/orders/{order_id}/spans"), &[]).await?;
        spans.context("there are no spans")
    }

    /// What a text may mean.
    ///
    /// # Errors
    /// No good answer.
    pub async fn search(&self, text: &str) -> Result<Vec<Hit>> {
        let found: Option<Found> = self.get("/api/v1/search", &[("q", text)]).await?;
        Ok(found.context("there is no search")?.hits)
    }

    /// Waits until the order is as `wanted` says, and gives it with the time it took.
    ///
    /// # Errors
    /// The deadline passed; the message shows the order as it was last.
    pub async fn order_until(
        &self,
        order_id: &str,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&OrderWhole) -> bool,
    ) -> Result<(OrderWhole, Duration)> {
        let what = format!("order {order_id}: {what}");
        until(&what, deadline, || async {
            Ok(match self.order(order_id).await? {
                Some(order) if wanted(&order) => Look::Yes(order),
                Some(order) => Look::NotYet(format!("{order:?}")),
                None => Look::NotYet("not known".to_owned()),
            })
        })
        .await
    }

    /// Waits until the order is at the stage.
    ///
    /// # Errors
    /// The deadline passed.
    pub async fn order_at(
        &self,
        order_id: &str,
        stage: &str,
        deadline: Duration,
    ) -> Result<OrderWhole> {
        let at = |order: &OrderWhole| order.order.stage == stage;
        Ok(self.order_until(order_id, &format!("to be at {stage}"), deadline, at).await?.0)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<T>> {
        let mut url = reqwest::Url::parse(&self.url)?.join(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self.client.get(url.clone()).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            bail!("GET {url} answered {status}: {body}");
        }
        let read = serde_json::from_str(&body);
        read.map(Some).with_context(|| format!("understanding {url}: {body}"))
    }
}
