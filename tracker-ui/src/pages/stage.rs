//! `/stages/{stage}`: the orders of a stage, newest first, page by page at one point in time.

use askama::Template;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use order_model::Lifecycle;
use order_store::read::{Condition, OrderPage, StageCursor, StageFilter};
use serde::Deserialize;

use crate::app::App;
use crate::cursor::Cursor;
use crate::failure::{Failure, html};
use crate::frame::Frame;
use crate::links;
use crate::locale::{Locale, Moment};
use crate::words::{self, OrderRow};

/// Orders on a page.
const PAGE_ORDERS: u32 = 50;
/// Longest stage name in bytes; longer ones are no stage of anybody's.
pub(crate) const STAGE_BYTES_MAX: usize = 200;

#[derive(Template)]
#[template(path = "stage.html")]
pub(crate) struct StagePage<'a> {
    pub(crate) f: &'a Frame,
    pub(crate) s: StageView,
}

/// A page of the list in words.
#[derive(Debug)]
pub(crate) struct StageView {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) labelled: bool,
    pub(crate) title: String,
    pub(crate) as_of: Moment,
    pub(crate) as_of_line: String,
    pub(crate) shown: String,
    pub(crate) filters: Vec<Filter>,
    pub(crate) orders: Vec<OrderRow>,
    /// Says why the list is empty, when it is.
    pub(crate) nothing: Option<String>,
    pub(crate) first_href: Option<String>,
    pub(crate) next_href: Option<String>,
}

/// One way to narrow the list.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) label: &'static str,
    pub(crate) code: &'static str,
    pub(crate) href: String,
    pub(crate) current: bool,
}

/// What the address may say.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Narrowing {
    condition: Option<String>,
    cursor: Option<String>,
}

/// The address read: what to ask the store for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) condition: Option<Condition>,
    pub(crate) cursor: Option<Cursor>,
}

/// `GET /stages/{stage}`.
pub(crate) async fn page(
    frame: Frame,
    State(app): State<App>,
    stage: Result<Path<String>, PathRejection>,
    narrowing: Result<Query<Narrowing>, QueryRejection>,
) -> Result<Response, Failure> {
    let Path(stage) = stage.map_err(|rejection| Failure::bad_path(&frame, &rejection))?;
    list(&frame, &app, &stage, narrowing).await
}

/// `GET /stages/`: orders that no system has named a stage of.
pub(crate) async fn unnamed(
    frame: Frame,
    State(app): State<App>,
    narrowing: Result<Query<Narrowing>, QueryRejection>,
) -> Result<Response, Failure> {
    list(&frame, &app, "", narrowing).await
}

async fn list(
    frame: &Frame,
    app: &App,
    stage: &str,
    narrowing: Result<Query<Narrowing>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(narrowing) = narrowing.map_err(|rejection| Failure::bad_query(frame, &rejection))?;
    if !plausible(stage) {
        let text = frame.t("error.bad_name").to_owned();
        return Err(Failure::bad_name(frame, text));
    }
    let asked = asked(frame, &narrowing)?;
    let filter = StageFilter { condition: asked.condition };
    let as_of = asked.cursor.as_ref().map(|cursor| cursor.as_of);
    let after = asked.cursor.as_ref().map(after);
    let read = app.reads().stage_orders(stage, filter, PAGE_ORDERS, after, as_of).await;
    let page = read.map_err(|error| Failure::store(frame, error))?;
    let s = view(frame.locale, app.lifecycle(), stage, &asked, &page);
    Ok(html(StatusCode::OK, &StagePage { f: frame, s }))
}

/// Whether the text may be a stage that some system wrote.
pub(crate) fn plausible(stage: &str) -> bool {
    stage.len() <= STAGE_BYTES_MAX && !stage.chars().any(char::is_control)
}

/// The place in the store's list that a cursor of ours means.
pub(crate) fn after(cursor: &Cursor) -> StageCursor {
    StageCursor { since: cursor.since, order_id: cursor.order_id.clone() }
}

/// The cursor of the next page, if there is one.
pub(crate) fn next(page: &OrderPage) -> Option<Cursor> {
    let place = page.next.as_ref()?;
    let order_id = place.order_id.clone();
    Some(Cursor { as_of: page.as_of, since: place.since, order_id })
}

/// Every condition's name, for messages.
pub(crate) fn known_conditions() -> String {
    Condition::ALL.map(Condition::as_str).join(", ")
}

/// An empty value is none, as forms send it.
fn asked(frame: &Frame, narrowing: &Narrowing) -> Result<Asked, Failure> {
    let given = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let condition = given(&narrowing.condition)
        .map(|text| {
            Condition::parse(&text).ok_or_else(|| {
                let values = [("value", &*text), ("known", &known_conditions())];
                Failure::bad_address(frame, frame.locale.fill("error.bad_condition", &values))
            })
        })
        .transpose()?;
    let cursor = given(&narrowing.cursor)
        .map(|text| Cursor::decode(&text))
        .transpose()
        .map_err(|_| Failure::bad_address(frame, frame.t("error.bad_cursor").to_owned()))?;
    Ok(Asked { condition, cursor })
}

/// The page in words.
pub(crate) fn view(
    locale: Locale,
    lifecycle: &Lifecycle,
    stage: &str,
    asked: &Asked,
    page: &OrderPage,
) -> StageView {
    let label = match page.orders.first() {
        Some(order) => words::order_stage_label(locale, order),
        None => words::lifecycle_label(locale, lifecycle, stage),
    };
    let known = stage.is_empty() || lifecycle.stage(stage).is_some() || !page.orders.is_empty();
    let condition = asked.condition.map(Condition::as_str);
    let rows = page.orders.iter().map(|order| words::order_row(locale, lifecycle, order));
    let nothing = match (page.orders.is_empty(), known) {
        (false, _) => None,
        (true, true) => Some(locale.t("stage.nothing").to_owned()),
        (true, false) => Some(locale.fill("stage.unknown", &[("stage", stage)])),
    };
    let shown = locale.count("orders", u64::try_from(page.orders.len()).unwrap_or(0));
    StageView {
        title: locale.fill("stage.title", &[("stage", label)]),
        labelled: label != stage && !stage.is_empty(),
        label: label.to_owned(),
        name: stage.to_owned(),
        as_of: locale.moment(page.as_of),
        as_of_line: locale.fill("page.as_of", &[("time", &locale.clock(page.as_of))]),
        shown: locale.fill("stage.shown", &[("n", &shown)]),
        filters: filters(locale, stage, asked.condition),
        orders: rows.collect(),
        nothing,
        first_href: asked.cursor.as_ref().map(|_| links::stage(stage, condition, None)),
        next_href: next(page).map(|cursor| links::stage(stage, condition, Some(&cursor))),
    }
}

fn filters(locale: Locale, stage: &str, current: Option<Condition>) -> Vec<Filter> {
    let all = Filter {
        label: locale.find("stage.filter_all").unwrap_or_default(),
        code: "all",
        href: links::stage(stage, None, None),
        current: current.is_none(),
    };
    let one = |condition: Condition| Filter {
        label: locale.find(&format!("filter.{}", condition.as_str())).unwrap_or_default(),
        code: condition.as_str(),
        href: links::stage(stage, Some(condition.as_str()), None),
        current: current == Some(condition),
    };
    std::iter::once(all).chain(Condition::ALL.into_iter().map(one)).collect()
}
