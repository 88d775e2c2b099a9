//! The one read path: what pages, API, metrics and rules ask of the store.
//!
//! A number and the list behind it agree because both are read at the same `as_of`. Every list
//! has a bound and a total order.

mod clock;
mod words;
mod board;
mod lists;
mod order;
mod search;
mod spans;
mod alerts;

use std::sync::LazyLock;

use clickhouse::Row;
use serde::Deserialize;

pub use alerts::{AlertItem, AlertRow, SEVERITY_OF_PAGES};
pub use board::{Board, BoardStage, SourceClock, SourceHeard};
pub use lists::{OrderPage, StageCursor, StageFilter};
pub use order::{Calculation, Handover, OrderDetail, SignOfLife, Visit};
pub use order_model::Condition;
pub use search::{MatchedBy, SearchHit};
pub use spans::{OrderSpans, SpanItem, Through};

use crate::UnixMillis;
use crate::connection::Store;
use crate::error::StoreError;
use crate::schema::without_comments;
use clock::LastLook;
use words::WordsCache;

/// Reads the store. Clones share connections.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Store,
    words: WordsCache,
    look: LastLook,
}

impl Reader {
    /// A reader of that store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, words: WordsCache::default(), look: LastLook::default() }
    }

    /// The store's clock, asked now.
    ///
    /// # Errors
    /// The store could not be reached.
    pub async fn clock(&self) -> Result<UnixMillis, StoreError> {
        let clock = self
            .store
            .fetch_one("read the store's clock", |client| {
                client.query("SELECT toUnixTimestamp64Milli(now64(3))")
            })
            .await?;
        self.look.looked(clock);
        Ok(clock)
    }

    /// The point in time that was asked for, or now.
    async fn as_of(&self, given: Option<UnixMillis>) -> Result<UnixMillis, StoreError> {
        match given {
            Some(as_of) => Ok(as_of),
            None => match self.look.now() {
                Some(now) => Ok(now),
                None => self.clock().await,
            },
        }
    }
}

/// The columns of [`OrderSummary`], for every question about orders; it begins with
/// `words::WITH_WORDS`.
static SUMMARY_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let words = without_comments(include_str!("../sql/parts/orders_words.sql"));
    format!("{STATE_COLUMNS}, {words}")
});

/// Those of them that the views have.
const STATE_COLUMNS: &str = "OrderId, Stage, StageRank, StageKnown, StageSince, AgeSeconds, \
    Condition, Terminal, WaitingFor, Kind, Channel, FirstEventAt, LastEventAt, LastReceivedAt, \
    LateAt, StuckAt, PromisedAt, IsOverdue AS Overdue, IsLostInHandover AS LostInHandover, \
    IsRetrying AS Retrying, IsOpen = 0 AS Ended";

/// `orders_at_v1` at a bound point in time: the source of every query that lists orders.
const ORDERS_AT: &str = "orders_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))";

/// The latest request for a price of every order that needs one, at a point in time.
const ALL_CALCULATIONS_AT: &str =
    "all_calculations_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))";

/// What lists show of the same, and no more: planning costs by the column.
const LISTED_ORDERS_AT: &str =
    "listed_orders_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))";

/// Of the orders that have not ended, which condition they are in.
const OPEN_CONDITIONS_AT: &str =
    "open_conditions_at_v1(as_of = fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))";

/// One order as a list shows it. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OrderSummary {
    /// The order.
    pub order_id: String,
    /// The current stage as the source wrote it; empty when none was heard of.
    pub stage: String,
    /// Its place in the lifecycle from 1; 0 for an unknown status.
    #[serde(rename = "StageRank")]
    pub rank: u16,
    /// Whether the lifecycle knows the stage.
    #[serde(rename = "StageKnown")]
    pub known: bool,
    /// The stage in Russian; empty when unknown.
    pub label_ru: String,
    /// The stage in English; empty when unknown.
    pub label_en: String,
    /// Since when the order is in it.
    #[serde(rename = "StageSince")]
    pub since: UnixMillis,
    /// For how long, in seconds.
    pub age_seconds: i64,
    /// What Waybill concludes.
    pub condition: Condition,
    /// Whether the order has ended.
    pub terminal: bool,
    /// Whose turn it is: a key of the lifecycle's `[waiting_for]`; empty when unknown.
    pub waiting_for: String,
    /// `custom`, `ready_made` or empty.
    pub kind: String,
    /// `b2c`, `b2b` or empty.
    pub channel: String,
    /// The first event.
    pub first_event_at: UnixMillis,
    /// The latest event that is not in the future.
    pub last_event_at: UnixMillis,
    /// When the collector last received anything of the order.
    pub last_received_at: UnixMillis,
    /// When the order is or was late, if the stage has a deadline.
    pub late_at: Option<UnixMillis>,
    /// When the order is or was stuck, if the stage has a deadline.
    pub stuck_at: Option<UnixMillis>,
    /// When the whole order is promised, once it is submitted.
    pub promised_at: Option<UnixMillis>,
    /// Whether that promise is broken and the order still open.
    pub overdue: bool,
    /// Whether a message about it was published and nobody took it in time.
    pub lost_in_handover: bool,
    /// Whether its calculation is being tried again.
    pub retrying: bool,
    /// The systems that could take it further and have fallen silent, when none that could is
    /// heard.
    pub silent_sources: Vec<String>,
    /// Whether it has ended for good, or the customer has given up.
    pub ended: bool,
}
