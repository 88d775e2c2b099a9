//! One order: where it is, how it came there, and what became of its calculation.

use clickhouse::Row;
use serde::Deserialize;

use order_model::Condition;

use super::words::WITH_WORDS;
use super::{ALL_CALCULATIONS_AT, ORDERS_AT, OrderSummary, Reader, SUMMARY_COLUMNS};
use crate::UnixMillis;
use crate::error::StoreError;

/// One order whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderDetail {
    /// The point in time at which conditions were judged.
    pub as_of: UnixMillis,
    /// As lists show it.
    pub summary: OrderSummary,
    /// Every stay in a stage, in the order of event time.
    pub history: Vec<Visit>,
    /// The latest request for a price, if the order needs one.
    pub calculation: Option<Calculation>,
    /// Other ids of the same order: partners' numbers, ids of other systems.
    pub other_ids: Vec<String>,
    /// The message about it that waits longest to be taken.
    pub handover: Option<Handover>,
    /// The latest sign of life of long work on it.
    pub sign_of_life: Option<SignOfLife>,
    /// When the customer has, or will have, given up, in a stage where that happens.
    pub abandoned_at: Option<UnixMillis>,
    /// When the end counts as not confirmed, in a stage where that happens.
    pub not_confirmed_at: Option<UnixMillis>,
    /// The earliest event that lies in the future and so does not count yet.
    pub refold_at: Option<UnixMillis>,
}

/// One stay in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The stage as the source wrote it.
    pub stage: String,
    /// When it began.
    pub entered_at: UnixMillis,
    /// Who said so first.
    pub source: String,
    /// Attempt of a calculation; 0 when not said.
    pub attempt: u32,
}

/// Where a calculation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calculation {
    /// When the price was asked for: the start of the one-hour clock.
    pub requested_at: UnixMillis,
    /// When a worker last began.
    pub started_at: Option<UnixMillis>,
    /// When there was a price, or none was wanted any more.
    pub answered_at: Option<UnixMillis>,
    /// `never_queued`, `queued`, `running`, `failed` or `answered`.
    pub part: String,
    /// When the hour is over.
    pub stuck_at: UnixMillis,
    /// When the last attempt failed, also if another has begun since.
    pub failed_at: Option<UnixMillis>,
    /// The highest attempt that was said to begin; 0 when nobody counted.
    pub attempt: u32,
    /// Who last began, or empty.
    pub worker: String,
    /// What the last failure said, or empty.
    pub error: String,
    /// Since when it is being tried again.
    pub retrying_since: Option<UnixMillis>,
}

/// A message about the order that nobody has taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The queue.
    pub destination: String,
    /// Who published it.
    pub from: String,
    /// Who should take it.
    pub to: Vec<String>,
    /// When it was published.
    pub at: UnixMillis,
    /// When it counts as lost.
    pub lost_at: UnixMillis,
}

/// Long work on the order was alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOfLife {
    /// When, by the clock of the worker.
    pub at: UnixMillis,
    /// Which worker, or empty.
    pub worker: String,
}

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DetailRow {
    order_id: String,
    stage: String,
    stage_rank: u16,
    stage_known: bool,
    label_ru: String,
    label_en: String,
    stage_since: UnixMillis,
    age_seconds: i64,
    condition: Condition,
    terminal: bool,
    waiting_for: String,
    kind: String,
    channel: String,
    first_event_at: UnixMillis,
    last_event_at: UnixMillis,
    last_received_at: UnixMillis,
    late_at: Option<UnixMillis>,
    stuck_at: Option<UnixMillis>,
    promised_at: Option<UnixMillis>,
    overdue: bool,
    lost_in_handover: bool,
    retrying: bool,
    silent_sources: Vec<String>,
    ended: bool,
    other_ids: Vec<String>,
    abandoned_at: Option<UnixMillis>,
    not_confirmed_at: Option<UnixMillis>,
    handover_destination: String,
    handover_from: String,
    handover_to: Vec<String>,
    handed_over_at: Option<UnixMillis>,
    handover_lost_at: Option<UnixMillis>,
    last_sign_of_life_at: Option<UnixMillis>,
    sign_of_life_worker: String,
    history_stage: Vec<String>,
    history_entered_at: Vec<UnixMillis>,
    history_source: Vec<String>,
    history_attempt: Vec<u32>,
    calculation_requested_at: Option<UnixMillis>,
    calculation_started_at: Option<UnixMillis>,
    calculation_answered_at: Option<UnixMillis>,
    calculation_part: String,
    calculation_stuck_at: Option<UnixMillis>,
    calculation_failed_at: Option<UnixMillis>,
    calculation_attempt: u32,
    calculation_worker: String,
    calculation_error: String,
    retrying_since: Option<UnixMillis>,
    refold_at: Option<UnixMillis>,
}

impl Reader {
    /// The order of exactly this id, now; none if no source ever named it. Of an id that turned
    /// out to be another id of an order, that order.
    ///
    /// # Errors
    /// The store could not be reached or refused.
    pub async fn order(&self, order_id: &str) -> Result<Option<OrderDetail>, StoreError> {
        let as_of = self.as_of(None).await?;
        if let Some(row) = self.order_row(order_id, as_of).await? {
            return Ok(Some(row.into_detail(as_of)));
        }
        let shown: Option<String> = self
            .store
            .fetch_optional("find the order of an id", |client| {
                client
                    .query("SELECT MergedInto FROM orders FINAL WHERE OrderId = {order:String}")
                    .param("order", order_id)
            })
            .await?;
        let Some(shown) = shown.filter(|shown| !shown.is_empty()) else { return Ok(None) };
        Ok(self.order_row(&shown, as_of).await?.map(|row| row.into_detail(as_of)))
    }

    async fn order_row(
        &self,
        order_id: &str,
        as_of: UnixMillis,
    ) -> Result<Option<DetailRow>, StoreError> {
        let words = self.words().await?;
        let columns = &*SUMMARY_COLUMNS;
        let sql = format!(
            "{WITH_WORDS} SELECT {columns}, HistoryStage, HistoryEnteredAt, HistorySource, \
             HistoryAttempt, OtherIds, AbandonedAt, NotConfirmedAt, HandoverDestination, \
             HandoverFrom, HandoverTo, HandedOverAt, HandoverLostAt, LastSignOfLifeAt, \
             SignOfLifeWorker, CalculationFailedAt, CalculationAttempt, CalculationWorker, \
             CalculationError, RetryingSince, CalculationRequestedAt, CalculationStartedAt, \
             CalculationAnsweredAt, CalculationPart, \
             (SELECT StuckAt FROM {ALL_CALCULATIONS_AT} \
                 WHERE OrderId = {{order:String}}) AS CalculationStuckAt, RefoldAt \
             FROM {ORDERS_AT} WHERE OrderId = {{order:String}}"
        );
        self.store
            .fetch_optional("read an order", |client| {
                words.bind(client.query(&sql)).param("as_of", as_of).param("order", order_id)
            })
            .await
    }
}

impl DetailRow {
    fn into_detail(self, as_of: UnixMillis) -> OrderDetail {
        let calculation = self.calculation_requested_at.map(|requested_at| Calculation {
            requested_at,
            started_at: self.calculation_started_at,
            answered_at: self.calculation_answered_at,
            part: self.calculation_part,
            stuck_at: self.calculation_stuck_at.unwrap_or(requested_at),
            failed_at: self.calculation_failed_at,
            attempt: self.calculation_attempt,
            worker: self.calculation_worker,
            error: self.calculation_error,
            retrying_since: self.retrying_since,
        });
        let handover = self.handed_over_at.map(|at| Handover {
            destination: self.handover_destination,
            from: self.handover_from,
            to: self.handover_to,
            at,
            lost_at: self.handover_lost_at.unwrap_or(at),
        });
        let worker = self.sign_of_life_worker;
        let sign_of_life = self.last_sign_of_life_at.map(|at| SignOfLife { at, worker });
        let history = self
            .history_stage
            .into_iter()
            .zip(self.history_entered_at)
            .zip(self.history_source.into_iter().zip(self.history_attempt))
            .map(|((stage, entered_at), (source, attempt))| Visit {
                stage,
                entered_at,
                source,
                attempt,
            })
            .collect();
        let summary = OrderSummary {
            order_id: self.order_id,
            stage: self.stage,
            rank: self.stage_rank,
            known: self.stage_known,
            label_ru: self.label_ru,
            label_en: self.label_en,
            since: self.stage_since,
            age_seconds: self.age_seconds,
            condition: self.condition,
            terminal: self.terminal,
            waiting_for: self.waiting_for,
            kind: self.kind,
            channel: self.channel,
            first_event_at: self.first_event_at,
            last_event_at: self.last_event_at,
            last_received_at: self.last_received_at,
            late_at: self.late_at,
            stuck_at: self.stuck_at,
            promised_at: self.promised_at,
            overdue: self.overdue,
            lost_in_handover: self.lost_in_handover,
            retrying: self.retrying,
            silent_sources: self.silent_sources,
            ended: self.ended,
        };
        OrderDetail {
            as_of,
            summary,
            history,
            calculation,
            other_ids: self.other_ids,
            handover,
            sign_of_life,
            abandoned_at: self.abandoned_at,
            not_confirmed_at: self.not_confirmed_at,
            refold_at: self.refold_at,
        }
    }
}
