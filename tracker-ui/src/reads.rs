//! Questions to the store: each with a deadline, measured, and logged once when it fails.

use std::sync::Arc;
use std::time::Duration;

use daemon::Watch;
use order_store::read::{
    AlertItem, AlertRow, Board, OrderDetail, OrderPage, OrderSpans, SearchHit, SourceHeard,
    StageCursor, StageFilter,
};
use order_store::{Reader, StoreError, Writer};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::measure::Measure;
use crate::outage::Outage;

/// A board this young is shown again: a hundred open boards are one question to the store.
const BOARD_AGE_MAX: Duration = Duration::from_millis(300);

/// The question that writes.
const RECORD_ALERTS: &str = "record_alerts";
/// What ClickHouse answers to a user who may not write: read-only, access denied, wrong password.
const NO_WRITER_CODES: [&str; 3] = ["Code: 164.", "Code: 497.", "Code: 516."];

fn may_not_write(error: &str) -> bool {
    NO_WRITER_CODES.iter().any(|code| error.contains(code))
}

/// The store did not answer; what happened is logged already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// It cannot be reached or refused.
    #[error("the store does not answer")]
    Unavailable,
    /// It took longer than the deadline.
    #[error("the store takes too long")]
    TimedOut,
}

/// What the board shows: the store's board, and how many alerts are active.
#[derive(Debug, Clone)]
pub(crate) struct BoardData {
    pub(crate) board: Board,
    /// None: that question alone failed.
    pub(crate) active_alerts: Option<u64>,
}

/// The store as the pages see it.
#[derive(Debug)]
pub(crate) struct Reads {
    reader: Reader,
    writer: Writer,
    query_time_max: Duration,
    measure: Measure,
    watch: Watch,
    outage: Outage,
    board: Mutex<Option<(Instant, BoardAnswer)>>,
}

/// An answer that those who asked meanwhile share, also when it is that there is none.
type BoardAnswer = Result<Arc<BoardData>, ReadError>;

impl Reads {
    pub(crate) fn new(
        reader: Reader,
        writer: Writer,
        query_time_max: Duration,
        measure: Measure,
        watch: Watch,
    ) -> Self {
        let (outage, board) = (Outage::default(), Mutex::new(None));
        Self { reader, writer, query_time_max, measure, watch, outage, board }
    }

    /// The board, read at most [`BOARD_AGE_MAX`] ago. Those who ask while it is read share the
    /// answer, so that a slow store is not asked once more by each of them.
    pub(crate) async fn board(&self) -> BoardAnswer {
        let mut kept = self.board.lock().await;
        if let Some((read_at, answer)) = &*kept
            && read_at.elapsed() < BOARD_AGE_MAX
        {
            return answer.clone();
        }
        let answer = self.read_board().await;
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn read_board(&self) -> BoardAnswer {
        let (board, alerts) = tokio::join!(
            self.ask("board", self.reader.board(None)),
            self.ask("active_alerts", self.reader.active_alerts())
        );
        let active_alerts = alerts.ok();
        Ok(Arc::new(BoardData { board: board?, active_alerts }))
    }

    pub(crate) async fn stage_orders(
        &self,
        stage: &str,
        filter: StageFilter,
        limit: u32,
        after: Option<StageCursor>,
        as_of: Option<i64>,
    ) -> Result<OrderPage, ReadError> {
        let asked = self.reader.stage_orders(Some(stage), filter, limit, after, as_of);
        self.ask("stage_orders", asked).await
    }

    pub(crate) async fn order(&self, order_id: &str) -> Result<Option<OrderDetail>, ReadError> {
        self.ask("order", self.reader.order(order_id)).await
    }

    pub(crate) async fn spans(&self, order_id: &str, limit: u32) -> Result<OrderSpans, ReadError> {
        self.ask("order_spans", self.reader.order_spans(order_id, limit)).await
    }

    pub(crate) async fn alerts(&self, order_id: &str) -> Result<Vec<AlertItem>, ReadError> {
        self.ask("order_alerts", self.reader.order_alerts(order_id)).await
    }

    pub(crate) async fn search(&self, text: &str, limit: u32) -> Result<Vec<SearchHit>, ReadError> {
        self.ask("search", self.reader.search(text, limit)).await
    }

    pub(crate) async fn sources(&self) -> Result<Vec<SourceHeard>, ReadError> {
        self.ask("sources", self.reader.sources()).await
    }

    pub(crate) async fn record_alerts(&self, alerts: &[AlertRow]) -> Result<(), ReadError> {
        self.ask(RECORD_ALERTS, self.writer.record_alerts(alerts)).await
    }

    /// Asks whether the store answers at all: for readiness while nobody looks at a page.
    pub(crate) async fn probe(&self) {
        // The answer is in the watch; a failure is logged by `ask`.
        let _ = self.ask("clock", self.reader.clock()).await;
    }

    async fn ask<T>(
        &self,
        query: &'static str,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ReadError> {
        let asked_at = Instant::now();
        let answer = tokio::time::timeout(self.query_time_max, question).await;
        self.measure.queried(query, asked_at.elapsed());
        match answer {
            Ok(Ok(value)) => {
                self.watch.progressed();
                if self.outage.answered(query) {
                    tracing::info!(query, "store answers again");
                }
                Ok(value)
            }
            Ok(Err(error)) => {
                self.failed(query, &error);
                Err(ReadError::Unavailable)
            }
            Err(_) => {
                self.measure.query_failed(query);
                self.watch.failed("the store takes too long");
                let deadline_ms = self.query_time_max.as_millis();
                if self.outage.refused(query) {
                    tracing::error!(query, %deadline_ms, "store query timed out");
                } else {
                    tracing::debug!(query, %deadline_ms, "store query timed out again");
                }
                Err(ReadError::TimedOut)
            }
        }
    }

    /// Counts, reports and logs a failure: loudly once, for as long as it lasts.
    fn failed(&self, query: &'static str, error: &StoreError) {
        let unreachable = error.is_unreachable();
        let error = daemon::log::chain(error);
        self.measure.query_failed(query);
        self.watch.failed(format!("the store does not answer: {error}"));
        let news = if unreachable { self.outage.unreachable() } else { self.outage.refused(query) };
        match (news, query) {
            (false, _) => tracing::debug!(query, error, "store query failed again"),
            (true, RECORD_ALERTS) if may_not_write(&error) => tracing::error!(
                query,
                error,
                "webhook cannot write: set --writer-user/--writer-password"
            ),
            (true, _) if unreachable => tracing::error!(query, error, "store does not answer"),
            (true, _) => tracing::error!(query, error, "store query failed"),
        }
    }
}
