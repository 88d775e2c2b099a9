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

/// A board this young is shown again: a hundred open boards are one question to the store.
const BOARD_AGE_MAX: Duration = Duration::from_millis(300);

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
        Self { reader, writer, query_time_max, measure, watch, board: Mutex::new(None) }
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
        let asked = self.reader.stage_orders(stage, filter, limit, after, as_of);
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
        self.ask("record_alerts", self.writer.record_alerts(alerts)).await
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
                Ok(value)
            }
            Ok(Err(error)) => {
                self.measure.query_failed(query);
                self.watch.failed("the store does not answer");
                tracing::error!(query, error = daemon::log::chain(&error), "store query failed");
                Err(ReadError::Unavailable)
            }
            Err(_) => {
                self.measure.query_failed(query);
                self.watch.failed("the store takes too long");
                let deadline_ms = self.query_time_max.as_millis();
                tracing::error!(query, %deadline_ms, "store query timed out");
                Err(ReadError::TimedOut)
            }
        }
    }
}
