//! `GET /api/v1/sources`.

use axum::extract::State;
use axum::response::Response;
use order_store::read::{SourceClock, SourceHeard};
use serde::Serialize;
use utoipa::ToSchema;

use super::fresh;
use super::problem::Problem;
use super::shapes::iso;
use crate::app::App;
use crate::reads::SourcesData;

/// Every system that was ever heard of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sources {
    /// The store's clock.
    #[schema(format = DateTime)]
    as_of: String,
    sources: Vec<System>,
    /// The furthest ahead first. Observed, and decides nothing.
    clocks: Vec<Clock>,
}

/// A system's last word.
#[derive(Debug, Serialize, ToSchema)]
struct System {
    source: String,
    #[schema(format = DateTime)]
    last_received_at: String,
    /// The latest time that it wrote itself; may lie in the future when its clock is wrong.
    #[schema(format = DateTime)]
    last_timestamp: String,
    /// Whether it has said nothing for as long as the lifecycle calls silence.
    silent: bool,
}

/// How the clock of a host stood, today and yesterday.
#[derive(Debug, Serialize, ToSchema)]
struct Clock {
    source: String,
    /// `host.name`, or empty.
    host: String,
    /// The least delay from its clock to ours, milliseconds; below zero its clock is ahead.
    least_delay_ms: i64,
    /// By how much its clock is ahead at least, milliseconds; null when that is not seen.
    ahead_at_least_ms: Option<i64>,
    #[schema(format = DateTime)]
    last_received_at: String,
}

/// When each system was last heard of, and how the clocks of its hosts stand.
#[utoipa::path(
    get,
    path = "/api/v1/sources",
    operation_id = "sources",
    responses(
        (status = 200, description = "The systems", body = Sources),
        (status = 503, description = "The store does not answer", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(State(app): State<App>) -> Result<Response, Problem> {
    Ok(fresh(&shape(&app.reads().all_sources().await?)))
}

fn shape(data: &SourcesData) -> Sources {
    let system = |source: &SourceHeard| System {
        source: source.source.clone(),
        last_received_at: iso(source.last_received_at),
        last_timestamp: iso(source.last_timestamp),
        silent: source.silent,
    };
    let clock = |clock: &SourceClock| Clock {
        source: clock.source.clone(),
        host: clock.host.clone(),
        least_delay_ms: clock.least_delay_ms,
        ahead_at_least_ms: (clock.least_delay_ms < 0)
            .then(|| clock.least_delay_ms.saturating_neg()),
        last_received_at: iso(clock.last_received_at),
    };
    Sources {
        as_of: iso(data.as_of),
        sources: data.sources.iter().map(system).collect(),
        clocks: data.clocks.iter().map(clock).collect(),
    }
}
