//! `GET /api/openapi.json`: the description of the API, derived from the handlers' types.

use axum::extract::State;
use axum::response::Response;
use utoipa::OpenApi;
use utoipa::openapi::ServerBuilder;

use super::{
    board, fresh, open_orders, order, problem, search, sources, spans, stage_orders, webhook,
};
use crate::app::App;

/// The description.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Waybill",
        description = "Where every order is, since when, and why it hangs. Times are RFC 3339 \
            in UTC, durations are seconds, errors are problem details (RFC 9457)."
    ),
    paths(
        board::get,
        stage_orders::get,
        open_orders::get,
        order::get,
        spans::get,
        search::get,
        sources::get,
        webhook::post,
        get
    ),
    components(schemas(problem::Problem))
)]
pub struct Description;

/// This description.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub(crate) async fn get(State(app): State<App>) -> Response {
    let mut description = Description::openapi();
    description.servers = Some(vec![ServerBuilder::new().url(app.public_url()).build()]);
    fresh(&description)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::urls::api_routes;

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let described: BTreeSet<String> = Description::openapi().paths.paths.into_keys().collect();
        let routed: BTreeSet<String> =
            api_routes().into_iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn the_description_is_what_was_reviewed() {
        insta::assert_json_snapshot!(Description::openapi(), { ".info.version" => "[version]" });
    }
}
