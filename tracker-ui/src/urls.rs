//! Every address that the program answers.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use tower_http::compression::CompressionLayer;

use crate::api;
use crate::app::App;
use crate::{assets, guard, pages};

/// The JSON API; `/api/openapi.json` describes exactly these.
#[must_use]
pub fn api_routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/api/v1/board", get(api::board::get)),
        ("/api/v1/stages/{stage}/orders", get(api::stage_orders::get)),
        ("/api/v1/orders", get(api::open_orders::get)),
        ("/api/v1/orders/{id}", get(api::order::get)),
        ("/api/v1/orders/{id}/spans", get(api::spans::get)),
        ("/api/v1/search", get(api::search::get)),
        ("/api/v1/sources", get(api::sources::get)),
        (
            "/api/v1/alerts/webhook",
            post(api::webhook::post).layer(DefaultBodyLimit::max(api::webhook::BODY_BYTES_MAX)),
        ),
        ("/api/openapi.json", get(api::openapi::get)),
    ]
}

/// The whole map. `/livez`, `/readyz` and `/metrics` stand outside the bounds on requests: they
/// must answer when nothing else does.
pub fn router(app: App) -> Router {
    let admin = daemon::admin::router(app.health().clone(), app.metrics().clone());
    let mut bounded = Router::new()
        .route("/", get(pages::board::page))
        .route("/board/fragment", get(pages::board::fragment))
        .route("/stages/", get(pages::stage::unnamed))
        .route("/stages/{stage}", get(pages::stage::page))
        .route("/orders", get(pages::stage::every))
        .route("/orders/{id}", get(pages::order::page))
        .route("/search", get(pages::search::page))
        .route("/sources", get(pages::sources::page))
        .route("/assets/{file}", get(assets::serve));
    for (path, methods) in api_routes() {
        bounded = bounded.route(path, methods);
    }
    bounded
        .fallback(pages::nowhere::page)
        .layer(from_fn(guard::remember))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(app.clone(), guard::bound))
        .with_state(app)
        .merge(admin)
        .layer(from_fn(guard::secure))
}
