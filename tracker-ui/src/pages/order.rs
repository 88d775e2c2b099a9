//! `/orders/{id}`: where the order is, since when, whose turn it is, why it hangs, and what to
//! tell the customer; below that, how it came there and what every system did.

mod verdict;
mod conclusions;
mod calls;
mod history;
mod waterfall;
mod missing;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use order_model::{Lifecycle, OrderId};
use order_store::read::{AlertItem, OrderDetail, OrderSpans};

use crate::app::App;
use crate::customer::{self, CustomerText};
use crate::failure::{Failure, html};
use crate::frame::Frame;
use crate::links;
use crate::locale::{Locale, Moment};
use crate::reads::{Silence, WholeOrder};
use crate::words::{self, Badge};

use calls::CallView;
use conclusions::Conclusion;
use history::VisitView;
use verdict::{Promise, Why};
use waterfall::TraceView;

/// Spans that the page shows; of an order with more it says how many there are.
pub(crate) const PAGE_SPANS_MAX: u32 = 2_000;

#[derive(Template)]
#[template(path = "order.html")]
pub(crate) struct OrderPage<'a> {
    pub(crate) f: &'a Frame,
    pub(crate) o: OrderView,
}

/// What the store said about an order. Alerts and spans may fail on their own.
#[derive(Debug)]
pub(crate) struct OrderData {
    pub(crate) detail: OrderDetail,
    pub(crate) alerts: Option<Vec<AlertItem>>,
    pub(crate) silent: Vec<Silence>,
    pub(crate) spans: Option<OrderSpans>,
}

/// An order in words.
#[derive(Debug)]
pub(crate) struct OrderView {
    pub(crate) id: String,
    /// Its other ids, if it has any.
    pub(crate) also: Option<String>,
    pub(crate) title: String,
    pub(crate) badge: Badge,
    pub(crate) as_of: Moment,
    pub(crate) as_of_line: String,
    pub(crate) sentence: String,
    /// What the badge concludes from.
    pub(crate) derived_hint: &'static str,
    /// Said of an event that lies in the future, unless the sentence says it.
    pub(crate) future: Option<String>,
    pub(crate) turn: Option<String>,
    pub(crate) stage: String,
    pub(crate) stage_raw: String,
    pub(crate) stage_href: String,
    pub(crate) reported: Option<String>,
    /// The deadline behind the conclusion.
    pub(crate) limit: Option<String>,
    /// What is concluded beside the badge, each with its evidence.
    pub(crate) conclusions: Vec<Conclusion>,
    pub(crate) promise: Option<Promise>,
    pub(crate) why: Option<Why>,
    pub(crate) tell: Vec<CustomerText>,
    /// None: the store did not say.
    pub(crate) calls: Option<Vec<CallView>>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) history: Vec<VisitView>,
    pub(crate) spans: Option<SpansView>,
    pub(crate) api_href: String,
    pub(crate) spans_href: String,
}

/// One line of the short facts.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) note: String,
}

/// All spans.
#[derive(Debug)]
pub(crate) struct SpansView {
    pub(crate) summary: String,
    /// Said when not all are shown.
    pub(crate) more: Option<String>,
    pub(crate) traces: Vec<TraceView>,
}

/// `GET /orders/{id}`. An id that turned out to be another id of an order leads to the order; for
/// now only, since facts may part them again.
pub(crate) async fn page(
    frame: Frame,
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(id) = id.map_err(|rejection| Failure::bad_path(&frame, &rejection))?;
    let Ok(id) = OrderId::parse(&id) else {
        return Err(Failure::bad_address(&frame, frame.t("error.bad_order").to_owned()));
    };
    let reads = app.reads();
    let (whole, spans) =
        tokio::join!(reads.whole_order(id.as_str()), reads.spans(id.as_str(), PAGE_SPANS_MAX));
    let Some(whole) = whole.map_err(|error| Failure::store(&frame, error))? else {
        return Ok(missing::answer(&frame, &app, id.as_str()).await.into_response());
    };
    let WholeOrder { detail, alerts, silent } = whole;
    let shown = &detail.summary.order_id;
    if *shown != id.as_str() {
        return Ok(Redirect::to(&frame.moved_to(&links::order(shown))).into_response());
    }
    let data = OrderData { detail, alerts, silent, spans: spans.ok() };
    let o = view(frame.locale, app.lifecycle(), &data);
    Ok(html(StatusCode::OK, &OrderPage { f: &frame, o }))
}

/// The order in words. Ages are judged by the store's clock (`as_of`).
pub(crate) fn view(locale: Locale, lifecycle: &Lifecycle, data: &OrderData) -> OrderView {
    let detail = &data.detail;
    let (order, as_of) = (&detail.summary, detail.as_of);
    let id = order.order_id.clone();
    let api_href = format!("/api/v1/orders/{}", links::encoded(&id));
    OrderView {
        also: also(locale, detail),
        title: locale.fill("order.title", &[("id", &id)]),
        badge: words::badge(locale, order),
        as_of: locale.moment(as_of),
        as_of_line: locale.fill("page.as_of", &[("time", &locale.clock(as_of))]),
        sentence: verdict::sentence(locale, detail),
        derived_hint: verdict::derived_hint(locale, order),
        future: verdict::future(locale, detail).filter(|_| !order.stage.is_empty()),
        turn: words::whose_turn(locale, lifecycle, order)
            .map(|who| locale.fill("order.turn", &[("who", who)])),
        stage: words::order_stage_label(locale, order).to_owned(),
        stage_raw: order.stage.clone(),
        stage_href: links::stage(&order.stage),
        reported: verdict::reported(locale, detail),
        limit: verdict::limit(locale, detail),
        conclusions: conclusions::view(locale, detail, &data.silent),
        promise: verdict::promise(locale, lifecycle, order, as_of),
        why: verdict::why(locale, detail),
        tell: customer::texts(locale.zone, lifecycle, order),
        calls: data.alerts.as_ref().map(|alerts| calls::view(locale, alerts, as_of)),
        facts: facts(locale, lifecycle, detail),
        history: history::view(locale, lifecycle, detail),
        spans: data.spans.as_ref().map(|spans| spans_view(locale, spans)),
        spans_href: format!("{api_href}/spans"),
        api_href,
        id,
    }
}

fn also(locale: Locale, detail: &OrderDetail) -> Option<String> {
    let ids = detail.other_ids.join(", ");
    (!ids.is_empty()).then(|| locale.fill("order.also", &[("ids", &ids)]))
}

fn facts(locale: Locale, lifecycle: &Lifecycle, detail: &OrderDetail) -> Vec<Fact> {
    let (order, as_of) = (&detail.summary, detail.as_of);
    let name = |key| locale.find(key).unwrap_or_default();
    let said = |key, text| Fact { name: name(key), text, note: String::new() };
    let at = |key, millis: i64| {
        let age = locale.age((as_of - millis) / 1000);
        let note = locale.fill("order.ago", &[("age", &age)]);
        Fact { name: name(key), text: locale.moment(millis).text, note }
    };
    let alive = detail.sign_of_life.as_ref().map(|sign| Fact {
        name: name("order.sign_of_life"),
        text: locale.moment(sign.at).text,
        note: verdict::alive_note(locale, sign, as_of),
    });
    let priced = verdict::answered(locale, lifecycle, detail).map(|(text, note)| Fact {
        name: name("order.priced"),
        text,
        note,
    });
    let facts = [
        said("order.channel", words::channel(locale, order)),
        said("order.kind", words::kind(locale, order)),
        at("order.first_event", order.first_event_at),
        at("order.last_event", order.last_event_at),
        at("order.last_word", order.last_received_at),
    ];
    facts.into_iter().chain(alive).chain(priced).collect()
}

fn spans_view(locale: Locale, spans: &OrderSpans) -> SpansView {
    let shown = u64::try_from(spans.spans.len()).unwrap_or(u64::MAX);
    let traces = waterfall::traces(locale, &spans.spans);
    let traces_n = u64::try_from(traces.len()).unwrap_or(u64::MAX);
    let more = (spans.total > shown).then(|| {
        let values = [("shown", &*locale.number(shown)), ("total", &*locale.number(spans.total))];
        locale.fill("order.spans_more", &values)
    });
    let (spans_n, traces_n) =
        (locale.count("spans", spans.total), locale.count("traces", traces_n));
    SpansView { summary: format!("{spans_n}, {traces_n}"), more, traces }
}
