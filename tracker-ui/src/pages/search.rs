//! `/search?q=`: from whatever support has in hand to the order.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use order_model::Lifecycle;
use order_store::read::{MatchedBy, SearchHit};
use serde::Deserialize;

use crate::app::App;
use crate::failure::{Failure, html};
use crate::frame::Frame;
use crate::links;
use crate::locale::Locale;
use crate::words::{self, OrderRow, Source, heard};

/// Orders found that are shown; a search that finds more is not precise enough to be read.
const HITS_MAX: u32 = 50;
/// Longest text that is searched for, in characters; a longer one is refused.
pub(crate) const QUERY_CHARS_MAX: usize = 300;

#[derive(Template)]
#[template(path = "search.html")]
pub(crate) struct SearchPage<'a> {
    pub(crate) f: &'a Frame,
    pub(crate) s: SearchView,
}

/// What was found, in words.
#[derive(Debug)]
pub(crate) struct SearchView {
    pub(crate) heading: String,
    pub(crate) message: String,
    /// Shown when nothing was found: what to check, and whom we hear.
    pub(crate) hint: Option<&'static str>,
    pub(crate) sources: Vec<Source>,
    pub(crate) hits: Vec<Hit>,
}

/// An order found.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) order: OrderRow,
    pub(crate) matched: &'static str,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    q: String,
}

/// `GET /search?q=`: exactly one order is shown at once.
pub(crate) async fn page(
    frame: Frame,
    State(app): State<App>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(Asked { q }) = asked.map_err(|rejection| Failure::bad_query(&frame, &rejection))?;
    let q = q.trim();
    if q.chars().count() > QUERY_CHARS_MAX {
        let max = QUERY_CHARS_MAX.to_string();
        let text = frame.locale.fill("search.too_long", &[("max", &max)]);
        return Err(Failure::bad_address(&frame, text));
    }
    let found = app.reads().search(q, HITS_MAX).await;
    let hits = found.map_err(|error| Failure::store(&frame, error))?;
    if let [only] = &hits[..] {
        return Ok(Redirect::to(&links::order(&only.order.order_id)).into_response());
    }
    let mut s = view(frame.locale, app.lifecycle(), q, &hits);
    if hits.is_empty() {
        s.sources = whom_we_hear(&frame, &app).await;
    }
    Ok(html(StatusCode::OK, &SearchPage { f: &frame, s }))
}

/// Every system and its last word, by our own clock; nothing when the store does not say.
pub(crate) async fn whom_we_hear(frame: &Frame, app: &App) -> Vec<Source> {
    let sources = app.reads().sources().await.unwrap_or_default();
    sources.iter().map(|source| heard(frame.locale, source, frame.now)).collect()
}

/// What was found, in words.
pub(crate) fn view(
    locale: Locale,
    lifecycle: &Lifecycle,
    q: &str,
    hits: &[SearchHit],
) -> SearchView {
    let (message, hint) = match (q.is_empty(), hits.is_empty()) {
        (true, _) => (locale.t("search.empty").to_owned(), None),
        (false, true) => (locale.fill("search.none", &[("q", q)]), locale.find("search.none_hint")),
        (false, false) => (locale.t("search.many").to_owned(), None),
    };
    let heading = if q.is_empty() {
        locale.t("search.title").to_owned()
    } else {
        locale.fill("search.heading", &[("q", q)])
    };
    let hit = |hit: &SearchHit| Hit {
        order: words::order_row(locale, lifecycle, &hit.order),
        matched: locale.find(matched_key(hit.matched_by)).unwrap_or_default(),
    };
    SearchView { heading, message, hint, sources: vec![], hits: hits.iter().map(hit).collect() }
}

fn matched_key(matched_by: MatchedBy) -> &'static str {
    match matched_by {
        MatchedBy::OrderId => "search.by_order_id",
        MatchedBy::PartOfOrderId => "search.by_order_part",
        MatchedBy::PartnerNumber => "search.by_partner_number",
        MatchedBy::MessageId => "search.by_message_id",
        MatchedBy::TraceId => "search.by_trace_id",
    }
}
