//! What stages, conditions and turns are called in the reader's language.

use askama::Template;
use askama::filters::HtmlSafe;
use order_model::Lifecycle;
use order_store::read::{BoardStage, Condition, OrderSummary, SourceHeard};

use crate::language::Language;
use crate::links;
use crate::locale::{Locale, Moment};
use crate::replicas::ReplicaLag;

/// The label of a stage; the raw status when the lifecycle has none.
pub(crate) fn label<'a>(locale: Locale, stage: &'a str, ru: &'a str, en: &'a str) -> &'a str {
    let label = match locale.language {
        Language::Ru => ru,
        Language::En => en,
    };
    match (label, stage) {
        ("", "") => locale.t("board.no_stage_yet"),
        ("", raw) => raw,
        (label, _) => label,
    }
}

pub(crate) fn stage_label(locale: Locale, stage: &BoardStage) -> &str {
    label(locale, &stage.stage, &stage.label_ru, &stage.label_en)
}

pub(crate) fn order_stage_label(locale: Locale, order: &OrderSummary) -> &str {
    label(locale, &order.stage, &order.label_ru, &order.label_en)
}

/// The label that the lifecycle file gives a stage.
pub(crate) fn lifecycle_label<'a>(
    locale: Locale,
    lifecycle: &'a Lifecycle,
    stage: &'a str,
) -> &'a str {
    match lifecycle.stage(stage) {
        Some(known) => label(locale, stage, &known.label.ru, &known.label.en),
        None => label(locale, stage, "", ""),
    }
}

/// Whether nothing more is awaited. A terminal stage with a deadline (a failed calculation) still
/// waits for somebody.
pub(crate) fn has_ended(order: &OrderSummary) -> bool {
    order.terminal && order.stuck_at.is_none()
}

/// [`has_ended`] of a whole stage of the board, as the lifecycle says.
pub(crate) fn ends_at(lifecycle: &Lifecycle, stage: &BoardStage) -> bool {
    let waits = lifecycle.stage(&stage.stage).is_some_and(|known| known.deadlines.is_some());
    stage.terminal && !waits
}

/// Whose turn it is; nothing when nobody's or unknown.
pub(crate) fn whose_turn<'a>(
    locale: Locale,
    lifecycle: &'a Lifecycle,
    order: &'a OrderSummary,
) -> Option<&'a str> {
    if has_ended(order) {
        return None;
    }
    let words = lifecycle.waiting_for.get(&order.waiting_for)?;
    Some(match locale.language {
        Language::Ru => &words.ru,
        Language::En => &words.en,
    })
}

/// Whether the promise on the whole order is still to be kept: neither shipped nor ended.
pub(crate) fn promise_is_open(lifecycle: &Lifecycle, order: &OrderSummary) -> bool {
    let kept_from = lifecycle.rank(&lifecycle.promise.to);
    !has_ended(order) && (order.rank < kept_from || kept_from == 0)
}

/// A condition with its name. Style and symbol follow `code`; the words stand beside them.
#[derive(Debug, Clone, Template)]
#[template(
    ext = "html",
    source = r#"<span class="badge is-{{ code }}"><span class="mark" aria-hidden="true"></span>{{ label }}</span>"#
)]
pub(crate) struct Badge {
    pub(crate) code: &'static str,
    pub(crate) label: &'static str,
    /// Whether it is a conclusion of ours rather than what a source said.
    pub(crate) derived: bool,
}

/// Its template escapes what it shows.
impl HtmlSafe for Badge {}

/// An order that has ended is neither well nor ill, and one that failed in time is not well.
pub(crate) fn badge(locale: Locale, order: &OrderSummary) -> Badge {
    let code = match order.condition {
        Condition::Fine if has_ended(order) => "ended",
        Condition::Fine if order.terminal => "failed",
        condition => condition.as_str(),
    };
    let label = locale.find(&format!("condition.{code}")).unwrap_or(code);
    Badge { code, label, derived: order.condition != Condition::Fine }
}

/// The derived states that hold beside the gravest, in short.
fn notes(locale: Locale, order: &OrderSummary) -> Vec<String> {
    let beside = |holds: bool, condition: Condition| {
        let key = format!("condition.{}", condition.as_str());
        let text = locale.find(&key).filter(|_| holds && order.condition != condition);
        text.map(|text| format!("+ {text}"))
    };
    let silent = |source: &String| locale.fill("stage.silent", &[("source", source)]);
    let lost = beside(order.lost_in_handover, Condition::LostInHandover);
    let again = beside(order.retrying, Condition::Retrying);
    lost.into_iter().chain(again).chain(order.silent_sources.iter().map(silent)).collect()
}

/// `channel.b2b` and the like; what no text knows is shown as written, nothing as "not said".
fn named(locale: Locale, group: &str, value: &str) -> String {
    let key = if value.is_empty() { "unknown" } else { value };
    locale.find(&format!("{group}.{key}")).unwrap_or(value).to_owned()
}

pub(crate) fn channel(locale: Locale, order: &OrderSummary) -> String {
    named(locale, "channel", &order.channel)
}

pub(crate) fn kind(locale: Locale, order: &OrderSummary) -> String {
    named(locale, "kind", &order.kind)
}

/// An order in a list.
#[derive(Debug)]
pub(crate) struct OrderRow {
    pub(crate) id: String,
    pub(crate) href: String,
    pub(crate) stage: String,
    pub(crate) since: Moment,
    pub(crate) age: String,
    pub(crate) badge: Badge,
    /// What else we conclude, beside the badge.
    pub(crate) notes: Vec<String>,
    pub(crate) turn: String,
    pub(crate) channel: String,
    pub(crate) kind: String,
    pub(crate) last_event: Moment,
}

pub(crate) fn order_row(locale: Locale, lifecycle: &Lifecycle, order: &OrderSummary) -> OrderRow {
    OrderRow {
        id: order.order_id.clone(),
        href: links::order(&order.order_id),
        stage: order_stage_label(locale, order).to_owned(),
        since: locale.moment(order.since),
        age: locale.age(order.age_seconds),
        badge: badge(locale, order),
        notes: notes(locale, order),
        turn: whose_turn(locale, lifecycle, order).unwrap_or("–").to_owned(),
        channel: channel(locale, order),
        kind: kind(locale, order),
        last_event: locale.moment(order.last_event_at),
    }
}

/// A system and its last word.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) silent: bool,
    pub(crate) mark: &'static str,
    pub(crate) text: String,
}

pub(crate) fn heard(locale: Locale, source: &SourceHeard, as_of: i64) -> Source {
    let age = locale.age((as_of - source.last_received_at) / 1000);
    let time = locale.near(source.last_received_at, as_of);
    let (key, mark) = if source.silent {
        ("board.source_silent", locale.find("board.source_silent_mark"))
    } else {
        ("board.source_heard", locale.find("board.source_heard_mark"))
    };
    Source {
        name: source.source.clone(),
        silent: source.silent,
        mark: mark.unwrap_or_default(),
        text: locale.fill(key, &[("age", &age), ("time", &time)]),
    }
}

/// How far behind the replica is that is read.
pub(crate) fn replica(locale: Locale, lag: ReplicaLag) -> String {
    let key = if lag.primary_answers { "page.replica" } else { "page.replica_alone" };
    // What is at most so much is rounded up.
    let whole = |ms: i64| if ms < 1_000 { ms } else { (ms + 999) / 1_000 * 1_000 };
    let lag_ms = if lag.primary_answers { whole(lag.lag_ms) } else { lag.lag_ms };
    let [lag, bound] = [lag_ms, lag.lag_max_ms].map(|ms| locale.millis(ms));
    locale.fill(key, &[("lag", &lag), ("bound", &bound)])
}
