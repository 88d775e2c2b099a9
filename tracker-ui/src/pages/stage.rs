//! `/stages/{stage}` and `/orders`: the orders of a stage, or the open ones of every stage, newest
//! first, page by page at one point in time.

use askama::Template;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::DateTime;
use order_model::Lifecycle;
use order_store::read::{Condition, OrderPage, StageCursor, StageFilter};
use serde::Deserialize;

use crate::app::App;
use crate::cursor::{Cursor, TIME_END_MS};
use crate::failure::{Failure, html};
use crate::frame::Frame;
use crate::links::{self, Listing};
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
    /// Whether the list goes over every stage.
    pub(crate) every_stage: bool,
    pub(crate) title: String,
    pub(crate) as_of: Moment,
    pub(crate) as_of_line: String,
    pub(crate) shown: String,
    pub(crate) filters: Vec<Filter>,
    pub(crate) orders: Vec<OrderRow>,
    /// Says why the list is empty, when it is.
    pub(crate) nothing: Option<String>,
    /// The same list as of now, when it is as of another time.
    pub(crate) now_href: Option<String>,
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
    as_of: Option<String>,
    cursor: Option<String>,
}

/// The address read: what to ask the store for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) condition: Option<Condition>,
    /// That of the page whose number led here.
    pub(crate) as_of: Option<i64>,
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
    if !plausible(&stage) {
        let text = frame.t("error.bad_name").to_owned();
        return Err(Failure::bad_name(&frame, text));
    }
    list(&frame, &app, Some(&stage), narrowing).await
}

/// `GET /stages/`: orders that no system has named a stage of.
pub(crate) async fn unnamed(
    frame: Frame,
    State(app): State<App>,
    narrowing: Result<Query<Narrowing>, QueryRejection>,
) -> Result<Response, Failure> {
    list(&frame, &app, Some(""), narrowing).await
}

/// `GET /orders`: the open orders of every stage.
pub(crate) async fn every(
    frame: Frame,
    State(app): State<App>,
    narrowing: Result<Query<Narrowing>, QueryRejection>,
) -> Result<Response, Failure> {
    list(&frame, &app, None, narrowing).await
}

async fn list(
    frame: &Frame,
    app: &App,
    stage: Option<&str>,
    narrowing: Result<Query<Narrowing>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(narrowing) = narrowing.map_err(|rejection| Failure::bad_query(frame, &rejection))?;
    let asked = asked(frame, &narrowing)?;
    let filter = StageFilter { condition: asked.condition };
    let as_of = asked.as_of();
    let after = asked.cursor.as_ref().map(after);
    let read = app.reads().stage_orders(stage, filter, PAGE_ORDERS, after, as_of).await;
    let page = read.map_err(|error| Failure::store(frame, error))?;
    let s = view(frame.locale, app.lifecycle(), stage, &asked, &page);
    Ok(html(StatusCode::OK, &StagePage { f: frame, s }))
}

impl Asked {
    /// As of when the list is read; none: now. A cursor carries the time of its first page.
    fn as_of(&self) -> Option<i64> {
        self.cursor.as_ref().map(|cursor| cursor.as_of).or(self.as_of)
    }
}

/// A point in time of an address (RFC 3339), milliseconds since 1970, if a store can hold it.
pub(crate) fn point_in_time(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
    (0..TIME_END_MS).contains(&time).then_some(time)
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
    let as_of = given(&narrowing.as_of)
        .map(|text| {
            let bad = || frame.locale.fill("error.bad_as_of", &[("value", &*text)]);
            point_in_time(&text).ok_or_else(|| Failure::bad_address(frame, bad()))
        })
        .transpose()?;
    Ok(Asked { condition, as_of, cursor })
}

/// The page in words.
pub(crate) fn view(
    locale: Locale,
    lifecycle: &Lifecycle,
    stage: Option<&str>,
    asked: &Asked,
    page: &OrderPage,
) -> StageView {
    let label = heading(locale, lifecycle, stage, page);
    let listing = Listing {
        condition: asked.condition.map(Condition::as_str),
        as_of: asked.as_of(),
        cursor: None,
    };
    let now = links::list(stage, Listing { as_of: None, ..listing });
    let rows = page.orders.iter().map(|order| words::order_row(locale, lifecycle, order));
    let shown = locale.count("orders", u64::try_from(page.orders.len()).unwrap_or(0));
    let name = stage.unwrap_or_default();
    // A list as of another time says the day, too.
    let time = match listing.as_of {
        Some(_) => format!("{}, {}", locale.day(page.as_of), locale.clock(page.as_of)),
        None => locale.clock(page.as_of),
    };
    let next = |cursor: &Cursor| links::list(stage, Listing { cursor: Some(cursor), ..listing });
    StageView {
        title: locale.fill("stage.title", &[("stage", &label)]),
        labelled: label != name && !name.is_empty(),
        every_stage: stage.is_none(),
        name: name.to_owned(),
        as_of: locale.moment(page.as_of),
        as_of_line: locale.fill("page.as_of", &[("time", &time)]),
        shown: locale.fill("stage.shown", &[("n", &shown)]),
        filters: filters(locale, stage, listing),
        orders: rows.collect(),
        nothing: page.orders.is_empty().then(|| nothing(locale, lifecycle, stage)),
        now_href: asked.as_of().map(|_| now),
        first_href: asked.cursor.as_ref().map(|_| links::list(stage, listing)),
        next_href: self::next(page).as_ref().map(next),
        label,
    }
}

fn heading(locale: Locale, lifecycle: &Lifecycle, stage: Option<&str>, page: &OrderPage) -> String {
    let Some(stage) = stage else { return locale.t("stage.every").to_owned() };
    match page.orders.first() {
        Some(order) => words::order_stage_label(locale, order).to_owned(),
        None => words::lifecycle_label(locale, lifecycle, stage).to_owned(),
    }
}

/// Why the list is empty.
fn nothing(locale: Locale, lifecycle: &Lifecycle, stage: Option<&str>) -> String {
    match stage {
        None => locale.t("stage.nothing_anywhere").to_owned(),
        Some(stage) if stage.is_empty() || lifecycle.stage(stage).is_some() => {
            locale.t("stage.nothing").to_owned()
        }
        Some(stage) => locale.fill("stage.unknown", &[("stage", stage)]),
    }
}

/// Every condition, as of the same time.
fn filters(locale: Locale, stage: Option<&str>, listing: Listing<'_>) -> Vec<Filter> {
    let all = Filter {
        label: locale.find("stage.filter_all").unwrap_or_default(),
        code: "all",
        href: links::list(stage, Listing { condition: None, ..listing }),
        current: listing.condition.is_none(),
    };
    let one = |condition: Condition| {
        let code = condition.as_str();
        Filter {
            label: locale.find(&format!("filter.{code}")).unwrap_or_default(),
            code,
            href: links::list(stage, Listing { condition: Some(code), ..listing }),
            current: listing.condition == Some(code),
        }
    };
    std::iter::once(all).chain(Condition::ALL.into_iter().map(one)).collect()
}
