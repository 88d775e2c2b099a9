//! `/livez`, `/readyz`, `/progressz` and `/metrics`, the same in every program.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::health::Health;
use crate::metrics::{self, Metrics};

/// The routes: `/livez` answers while the process can answer, `/readyz` 200 or 503 with one
/// complaint per line (and what is wrong without keeping it from being ready), `/progressz` 503 for
/// these parts as well, `/metrics` the OpenMetrics page.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(health.clone()))
        .route("/progressz", get(progressz).with_state(health))
        .route("/metrics", get(page).with_state(metrics))
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let (complaints, remarks) = (health.complaints(), health.remarks());
    let status =
        if complaints.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lines = if complaints.is_empty() { vec!["ok".to_owned()] } else { complaints };
    (status, [lines, remarks].concat().join("\n") + "\n")
}

/// Whether every part comes forward, those too for which others wait patiently.
async fn progressz(State(health): State<Health>) -> impl IntoResponse {
    let stuck = [health.complaints(), health.delays()].concat();
    match stuck.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, stuck.join("\n") + "\n"),
    }
}

async fn page(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.page())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get_text(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_only_after_progress() {
        let health = Health::new();
        let part = health.watch("store", Duration::from_secs(60));
        let note = health.note("tokens");
        let health_beside = health.clone();
        let router = router(health, Metrics::new("collector", "0"));
        assert_eq!(get_text(&router, "/livez").await.0, StatusCode::OK);
        let (status, why) = get_text(&router, "/readyz").await;
        assert_eq!(
            (status, why.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "store: has not started yet\n")
        );
        part.progressed();
        assert_eq!(get_text(&router, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
        // Others wait for it patiently: it is ready, and does not come forward.
        let beside = health_beside.watch_beside("inserts", Duration::from_secs(60));
        beside.failed("refused");
        let shown = (StatusCode::OK, "ok\ninserts: refused\n".to_owned());
        assert_eq!(get_text(&router, "/readyz").await, shown);
        let stuck = (StatusCode::SERVICE_UNAVAILABLE, "inserts: refused\n".to_owned());
        assert_eq!(get_text(&router, "/progressz").await, stuck);
        beside.progressed();
        // To be mended, and no reason to send nobody here.
        note.set("the new file is bad");
        let shown = (StatusCode::OK, "ok\ntokens: the new file is bad\n".to_owned());
        assert_eq!(get_text(&router, "/readyz").await, shown);
        assert_eq!(get_text(&router, "/progressz").await, (StatusCode::OK, "ok\n".to_owned()));
        note.clear();
        assert_eq!(get_text(&router, "/readyz").await.1, "ok\n");
        assert!(get_text(&router, "/metrics").await.1.contains("waybill_collector_build_info"));
    }
}
