//! Questions to the store: each with a deadline, measured, and logged once when it fails.

use std::sync::Arc;
use std::time::Duration;

use daemon::Watch;
use order_store::read::{
    AlertItem, AlertRow, Board, OrderDetail, OrderPage, OrderSpans, SearchHit, SourceClock,
    SourceHeard, StageCursor, StageFilter,
};
use order_store::{Reader, StoreError, Writer};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::measure::Measure;
use crate::outage::Outage;
use crate::replicas::ReplicaLag;

/// A board this young is shown again: a hundred open boards are one question to the store.
const BOARD_AGE_MAX: Duration = Duration::from_millis(300);

/// Most other ids of an order that alerts are looked for under; those under further ids are not
/// shown.
const OTHER_IDS_MAX: usize = 8;

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
    /// How far behind the replica is that was read, if one was.
    pub(crate) replica_lag: Option<ReplicaLag>,
}

/// Every system that was heard of.
#[derive(Debug)]
pub(crate) struct SourcesData {
    pub(crate) as_of: i64,
    pub(crate) sources: Vec<SourceHeard>,
    pub(crate) clocks: Vec<SourceClock>,
}

/// An order with what is known beside it.
#[derive(Debug)]
pub(crate) struct WholeOrder {
    pub(crate) detail: OrderDetail,
    /// None: the store did not say.
    pub(crate) alerts: Option<Vec<AlertItem>>,
    /// Systems that could take it further and have fallen silent.
    pub(crate) silent: Vec<Silence>,
}

/// A system that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) source: String,
    /// Its last word; none: the store did not say.
    pub(crate) since: Option<i64>,
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
    pub(crate) async fn board(&self, replica_lag: Option<ReplicaLag>) -> BoardAnswer {
        let mut kept = self.board.lock().await;
        if let Some((read_at, answer)) = &*kept
            && read_at.elapsed() < BOARD_AGE_MAX
        {
            return answer.clone();
        }
        let answer = self.read_board(replica_lag).await;
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn read_board(&self, replica_lag: Option<ReplicaLag>) -> BoardAnswer {
        let (board, alerts) = tokio::join!(
            self.ask("board", self.reader.board(None)),
            self.ask("active_alerts", self.reader.active_alerts())
        );
        let active_alerts = alerts.ok();
        Ok(Arc::new(BoardData { board: board?, active_alerts, replica_lag }))
    }

    pub(crate) async fn stage_orders(
        &self,
        stage: Option<&str>,
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

    /// The same under an id that turned out to be another id of an order: it holds none itself.
    pub(crate) async fn spans_of_any_id(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<OrderSpans, ReadError> {
        let spans = self.spans(id, limit).await?;
        if spans.total > 0 {
            return Ok(spans);
        }
        match self.order(id).await?.map(|detail| detail.summary.order_id) {
            Some(shown) if shown != id => self.spans(&shown, limit).await,
            _ => Ok(spans),
        }
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

    /// Every system, its hosts' clocks, and the store's clock that ages are judged by.
    pub(crate) async fn all_sources(&self) -> Result<SourcesData, ReadError> {
        let (as_of, sources, clocks) = tokio::join!(
            self.ask("clock", self.reader.clock()),
            self.sources(),
            self.ask("source_clocks", self.reader.source_clocks())
        );
        Ok(SourcesData { as_of: as_of?, sources: sources?, clocks: clocks? })
    }

    /// An order, on-call's alerts under each of its ids, and since when those are silent who could
    /// take it further. Alerts and silence may fail on their own.
    pub(crate) async fn whole_order(&self, id: &str) -> Result<Option<WholeOrder>, ReadError> {
        let (detail, alerts) = tokio::join!(self.order(id), self.alerts(id));
        let Some(detail) = detail? else { return Ok(None) };
        let (others, sources) = tokio::join!(self.other_alerts(&detail, id), async {
            match detail.summary.silent_sources.is_empty() {
                true => Ok(vec![]),
                false => self.sources().await,
            }
        });
        let alerts = alerts.and_then(|mut alerts| {
            alerts.extend(others?);
            alerts.sort_by_key(|alert| std::cmp::Reverse(alert.starts_at));
            Ok(alerts)
        });
        let sources = sources.unwrap_or_default();
        let since = |name: &String| {
            sources.iter().find(|s| s.source == *name).map(|source| source.last_received_at)
        };
        let silent = detail.summary.silent_sources.iter();
        let silent = silent.map(|name| Silence { source: name.clone(), since: since(name) });
        Ok(Some(WholeOrder { silent: silent.collect(), alerts: alerts.ok(), detail }))
    }

    /// The alerts under the ids of an order other than `asked`.
    async fn other_alerts(
        &self,
        detail: &OrderDetail,
        asked: &str,
    ) -> Result<Vec<AlertItem>, ReadError> {
        let ids = std::iter::once(&detail.summary.order_id).chain(&detail.other_ids);
        let mut alerts = Vec::new();
        for id in ids.filter(|id| *id != asked).take(OTHER_IDS_MAX) {
            alerts.append(&mut self.alerts(id).await?);
        }
        Ok(alerts)
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
