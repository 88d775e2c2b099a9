//! The HTTP interface: `/`, `/ping`, and the daemon's pages under `/waybill/`.

mod body;
mod admission;
mod query;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use daemon::{Health, Metrics};

use crate::auth::Accounts;
use crate::figures::Figures;
use crate::query_log::QueryLog;
use crate::run::Bench;
use crate::session::Sessions;

pub(crate) use admission::Admission;

/// What the handlers share.
pub(crate) struct Shared {
    /// The engine and its bounds.
    pub(crate) bench: Arc<Bench>,
    /// Who may come in.
    pub(crate) accounts: Accounts,
    /// Sessions.
    pub(crate) sessions: Arc<Sessions>,
    /// Who may run.
    pub(crate) admission: Admission,
    /// Metrics.
    pub(crate) figures: Figures,
    /// The log of queries.
    pub(crate) query_log: QueryLog,
}

/// All routes.
pub(crate) fn router(shared: Arc<Shared>, health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/replicas_status", get(|| async { "Ok.\n" }))
        .route("/", any(query::handle))
        .fallback(query::no_such_path)
        .with_state(shared)
        .nest("/waybill", daemon::admin::router(health, metrics))
}
