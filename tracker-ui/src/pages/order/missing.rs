//! An order that nobody named: what was looked for, and whom we heard, and when.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use crate::app::App;
use crate::failure::html;
use crate::frame::Frame;
use crate::pages::search::whom_we_hear;
use crate::words::Source;

#[derive(Template)]
#[template(path = "missing.html")]
pub(crate) struct MissingPage<'a> {
    pub(crate) f: &'a Frame,
    pub(crate) text: String,
    pub(crate) hint: &'a str,
    pub(crate) sources: Vec<Source>,
}

/// 404, with what may help.
pub(crate) async fn answer(frame: &Frame, app: &App, id: &str) -> Response {
    let sources = whom_we_hear(frame, app).await;
    html(StatusCode::NOT_FOUND, &page(frame, id, sources))
}

/// The page.
pub(crate) fn page<'a>(frame: &'a Frame, id: &str, sources: Vec<Source>) -> MissingPage<'a> {
    let text = frame.locale.fill("error.order_text", &[("id", id)]);
    MissingPage { f: frame, text, hint: frame.t("search.none_hint"), sources }
}
