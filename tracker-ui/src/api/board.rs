//! `GET /api/v1/board`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::fresh;
use super::problem::Problem;
use super::shapes::iso;
use crate::app::App;
use crate::reads::BoardData;

/// The board at one point in time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Board {
    /// The point in time at which lateness was judged, by the store's clock.
    #[schema(format = DateTime)]
    as_of: String,
    /// When anything was last received; null when nothing ever was.
    #[schema(format = DateTime)]
    last_received_at: Option<String>,
    /// How far behind the replica is that was read, milliseconds; null when the store itself was.
    replica_lag_ms: Option<i64>,
    /// No replica is read that is further behind, milliseconds; null likewise.
    replica_lag_max_ms: Option<i64>,
    /// Alerts that are active; null when the store did not say.
    active_alerts: Option<u64>,
    conservation: Conservation,
    /// Every stage in the order of the lifecycle, then unknown statuses that orders are in.
    stages: Vec<Stage>,
    /// Every system that was ever heard of.
    sources: Vec<Source>,
}

/// Orders counted from the facts against orders counted from the derived state.
#[derive(Debug, Serialize, ToSchema)]
struct Conservation {
    seen: u64,
    on_the_board: u64,
    /// Ids that turned out to be other ids of these orders.
    merged_ids: u64,
    /// 0 once everything received has been placed.
    difference: i64,
    /// For how long it has not been 0 although nothing waited to be placed, milliseconds.
    unexplained_ms: i64,
    /// When this was counted.
    #[schema(format = DateTime)]
    checked_at: String,
    /// Age of the oldest thing received that is not derived yet, milliseconds.
    stitch_lag_ms: i64,
}

/// One stage.
#[derive(Debug, Serialize, ToSchema)]
struct Stage {
    stage: String,
    /// Place in the lifecycle from 1; 0 for a status that the lifecycle does not know.
    rank: u16,
    label_ru: String,
    label_en: String,
    terminal: bool,
    total: u64,
    /// Late and not stuck.
    late: u64,
    stuck: u64,
    lost_in_handover: u64,
    retrying: u64,
    abandoned: u64,
    not_confirmed: u64,
    /// Ages are of orders that have not ended; null when there are none.
    #[schema(format = DateTime)]
    oldest_since: Option<String>,
    median_age_seconds: Option<i64>,
    p90_age_seconds: Option<i64>,
}

/// A system.
#[derive(Debug, Serialize, ToSchema)]
struct Source {
    source: String,
    #[schema(format = DateTime)]
    last_received_at: String,
    /// The latest time that it wrote itself; may lie in the future when its clock is wrong.
    #[schema(format = DateTime)]
    last_timestamp: String,
    /// Whether it has said nothing for as long as the lifecycle calls silence.
    silent: bool,
}

/// How many orders are where, and how far the numbers can be trusted.
#[utoipa::path(
    get,
    path = "/api/v1/board",
    operation_id = "board",
    responses(
        (status = 200, description = "The board", body = Board),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(State(app): State<App>) -> Result<Response, Problem> {
    Ok(fresh(&shape(&*app.reads().board(app.replica_lag()).await?)))
}

fn shape(data: &BoardData) -> Board {
    let board = &data.board;
    let stage = |stage: &order_store::read::BoardStage| Stage {
        stage: stage.stage.clone(),
        rank: stage.rank,
        label_ru: stage.label_ru.clone(),
        label_en: stage.label_en.clone(),
        terminal: stage.terminal,
        total: stage.total,
        late: stage.late,
        stuck: stage.stuck,
        lost_in_handover: stage.lost_in_handover,
        retrying: stage.retrying,
        abandoned: stage.abandoned,
        not_confirmed: stage.not_confirmed,
        oldest_since: stage.oldest_since.map(iso),
        median_age_seconds: stage.median_age_seconds,
        p90_age_seconds: stage.p90_age_seconds,
    };
    let source = |source: &order_store::read::SourceHeard| Source {
        source: source.source.clone(),
        last_received_at: iso(source.last_received_at),
        last_timestamp: iso(source.last_timestamp),
        silent: source.silent,
    };
    Board {
        as_of: iso(board.as_of),
        last_received_at: board.last_received_at.map(iso),
        replica_lag_ms: data.replica_lag.map(|lag| lag.lag_ms),
        replica_lag_max_ms: data.replica_lag.map(|lag| lag.lag_max_ms),
        active_alerts: data.active_alerts,
        conservation: Conservation {
            seen: board.seen,
            on_the_board: board.derived,
            merged_ids: board.merged,
            difference: board.difference,
            unexplained_ms: board.unexplained_ms,
            checked_at: iso(board.checked_at),
            stitch_lag_ms: board.stitch_lag_ms,
        },
        stages: board.stages.iter().map(stage).collect(),
        sources: board.sources.iter().map(source).collect(),
    }
}
