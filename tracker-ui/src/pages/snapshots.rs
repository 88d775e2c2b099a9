//! Pages as they were reviewed, from fixed data, and pages whose data means harm.

use askama::Template;
use axum::http::HeaderMap;
use order_model::Lifecycle;
use order_store::read::{
    AlertItem, Calculation, Condition, Handover, MatchedBy, OrderPage, OrderSpans, SearchHit,
    SignOfLife, SourceClock, StageCursor, Through,
};

use crate::cursor::Cursor;
use crate::frame::Frame;
use crate::pages::fixtures::{MINUTE, NOW, board, detail, span, summary};
use crate::pages::order::{OrderData, OrderPage as OrderTemplate};
use crate::pages::{board as board_page, order as order_page, search, sources, stage};
use crate::reads::{Silence, SourcesData};

pub(super) fn frame(uri: &str) -> Frame {
    Frame::new(&uri.parse().unwrap(), &HeaderMap::new(), chrono_tz::Europe::Moscow, NOW)
}

/// What a reader sees of a page: text without markup, lines without indentation.
pub(super) fn seen(html: &str) -> String {
    let main = html.split_once("<main").map_or(html, |(_, main)| main);
    let main = main.split_once('>').map_or(main, |(_, main)| main);
    let mut text = String::new();
    let mut inside = false;
    for c in main.split("<footer").next().unwrap_or_default().chars() {
        match c {
            '<' => (inside = true, text.push('\n')).0,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

fn board_html(frame: &Frame, data: &crate::reads::BoardData) -> String {
    let b = board_page::view(frame.locale, &Lifecycle::default(), data);
    board_page::BoardPage { f: frame, b, fragment_href: "/board/fragment?lang=ru".into() }
        .render()
        .unwrap()
}

fn stuck_order() -> OrderData {
    let stays = [
        ("INITIATED", 120, "shop", 0),
        ("SUBMITTED", 90, "shop", 0),
        ("CALCULATION_RUNNING", 88, "mes", 1),
        ("CALCULATION_FAILED", 80, "mes", 1),
        ("CALCULATION_RUNNING", 72, "mes", 2),
    ];
    let mut detail = detail(summary("CALCULATION_RUNNING", Condition::Stuck), &stays);
    detail.calculation = Some(Calculation {
        requested_at: NOW - 90 * MINUTE,
        started_at: Some(NOW - 72 * MINUTE),
        answered_at: None,
        part: "running".into(),
        stuck_at: NOW - 30 * MINUTE,
        failed_at: None,
        attempt: 2,
        worker: "mes-7".into(),
        error: "worker lost".into(),
        retrying_since: None,
    });
    let mut failed = span("t1", "s2", "s1", 1_000_000, 40_000_000);
    failed.status_code = "Error".into();
    failed.status_message = "worker lost".into();
    let mut linked = span("t2", "s3", "", 2_000_000_000, 0);
    linked.through = Through::Linked;
    let spans = vec![span("t1", "s1", "", 0, 160_000_000), failed, linked];
    let alert = |resolved_at| AlertItem {
        order_id: detail.summary.order_id.clone(),
        alert_name: "CalculationOverOneHour".into(),
        severity: "critical".into(),
        starts_at: NOW - 30 * MINUTE,
        paged_at: Some(NOW - 29 * MINUTE),
        resolved_at,
        annotations: vec![
            ("summary".into(), "queued and not picked up".into()),
            ("summary_ru".into(), "в очереди, никто не взял".into()),
        ],
    };
    let alerts = Some(vec![alert(None), alert(Some(NOW - 5 * MINUTE))]);
    OrderData { alerts, silent: vec![], spans: Some(OrderSpans { spans, total: 2_345 }), detail }
}

pub(super) fn order_html(frame: &Frame, data: &OrderData) -> String {
    let o = order_page::view(frame.locale, &Lifecycle::default(), data);
    OrderTemplate { f: frame, o }.render().unwrap()
}

fn list(conditions: &[Condition], more: bool) -> OrderPage {
    let orders = conditions.iter().map(|condition| summary("SUBMITTED", *condition));
    let next = more.then(|| StageCursor { since: NOW, order_id: "ORD-2026-000123".into() });
    OrderPage { as_of: NOW, orders: orders.collect(), next }
}

fn stage_html(frame: &Frame, name: Option<&str>, asked: &stage::Asked, page: &OrderPage) -> String {
    let s = stage::view(frame.locale, &Lifecycle::default(), name, asked, page);
    stage::StagePage { f: frame, s }.render().unwrap()
}

fn search_html(frame: &Frame, q: &str, hits: &[SearchHit]) -> String {
    let s = search::view(frame.locale, &Lifecycle::default(), q, hits);
    search::SearchPage { f: frame, s }.render().unwrap()
}

#[test]
fn the_board_whole() {
    let data = board(&[("SUBMITTED", 12_345, 3, 2), ("CLOSED", 7, 0, 0), ("PAINTING", 1, 0, 0)]);
    let html = board_html(&frame("/"), &data);
    let stable = html
        .replace(&crate::assets::STYLE.path, "[style]")
        .replace(&crate::assets::SCRIPT.path, "[script]")
        .replace(&crate::assets::ICON.path, "[icon]");
    insta::assert_snapshot!("board_ru_html", stable);
    insta::assert_snapshot!("board_en", seen(&board_html(&frame("/?lang=en"), &data)));
}

#[test]
fn the_board_admits_what_it_does_not_know() {
    let mut data = board(&[("SUBMITTED", 5, 0, 0)]);
    data.active_alerts = None;
    data.board.seen = 7;
    (data.board.difference, data.board.unexplained_ms) = (2, 16_000);
    data.board.last_received_at = Some(NOW - 60 * MINUTE);
    insta::assert_snapshot!("board_broken_ru", seen(&board_html(&frame("/"), &data)));
    let mut empty = board(&[]);
    empty.board.sources.clear();
    empty.board.last_received_at = None;
    insta::assert_snapshot!("board_empty_en", seen(&board_html(&frame("/?lang=en"), &empty)));
}

#[test]
fn an_order_that_is_stuck() {
    let data = stuck_order();
    insta::assert_snapshot!("order_ru", seen(&order_html(&frame("/orders/1"), &data)));
    insta::assert_snapshot!("order_en", seen(&order_html(&frame("/orders/1?lang=en"), &data)));
}

#[test]
fn every_part_of_a_calculation_is_told_apart() {
    let parts = [
        ("never_queued", "ни одна система не сообщила, что запрос поставлен в очередь"),
        ("queued", "никто его не взял"),
        ("running", "Расчёт идёт с"),
        ("failed", "Попытка 2 закончилась ошибкой"),
    ];
    for (part, expected) in parts {
        let mut data = stuck_order();
        if let Some(calculation) = &mut data.detail.calculation {
            calculation.part = part.into();
        }
        let text = seen(&order_html(&frame("/orders/1"), &data));
        assert!(text.contains(expected) && text.contains("Прошло больше часа"), "{part}: {text}");
    }
}

#[test]
fn a_failed_calculation_goes_on_until_somebody_answers() {
    let stays = [("CALCULATION_FAILED", 72, "mes", 1)];
    let of = |stuck_at| {
        let mut detail = detail(summary("CALCULATION_FAILED", Condition::Fine), &stays);
        detail.summary.stuck_at = stuck_at;
        let data = OrderData { detail, alerts: Some(vec![]), silent: vec![], spans: None };
        seen(&order_html(&frame("/orders/1?lang=en"), &data)).replace('\u{a0}', " ")
    };
    let waiting = of(Some(NOW + MINUTE));
    assert!(waiting.contains("ongoing, 1 h 12 min"), "{waiting}");
    assert!(waiting.contains("1 hour 12 minutes so far"), "{waiting}");
    let ended = of(None);
    assert!(!ended.contains("ongoing") && ended.contains("Nothing more is awaited."), "{ended}");
}

#[test]
fn an_order_without_stage_alerts_or_spans() {
    let mut order = summary("", Condition::Unknown);
    (order.late_at, order.stuck_at, order.promised_at) = (None, None, None);
    let data = OrderData { detail: detail(order, &[]), alerts: None, silent: vec![], spans: None };
    insta::assert_snapshot!("order_bare_ru", seen(&order_html(&frame("/orders/1"), &data)));
}

#[test]
fn rework_is_marked_and_a_retry_is_not() {
    let order = summary("MANUFACTURING_STARTED", Condition::Fine);
    let stays = [
        ("CALCULATION_RUNNING", 500, "mes", 1),
        ("CALCULATION_FAILED", 400, "mes", 1),
        ("CALCULATION_RUNNING", 300, "mes", 2),
        ("MANUFACTURING_COMPLETED", 200, "mes", 0),
        ("MANUFACTURING_STARTED", 72, "mes", 0),
    ];
    let data = OrderData {
        detail: detail(order, &stays),
        alerts: Some(vec![]),
        silent: vec![],
        spans: None,
    };
    let html = order_html(&frame("/orders/1"), &data);
    assert_eq!(html.matches("возврат назад").count(), 1);
}

#[test]
fn a_stage_list_and_its_pages() {
    let asked = stage::Asked { condition: Some(Condition::Stuck), ..stage::Asked::default() };
    let page = list(&[Condition::Stuck, Condition::Stuck], true);
    let html = stage_html(&frame("/stages/SUBMITTED"), Some("SUBMITTED"), &asked, &page);
    insta::assert_snapshot!("stage_ru", seen(&html));
    let cursor = Cursor { as_of: NOW, since: NOW, order_id: "ORD-2026-000123".into() }.encode();
    let next = format!("/stages/SUBMITTED?condition=stuck&#38;cursor={cursor}");
    assert!(html.contains(&next), "{html}");
    let nothing = list(&[], false);
    let unknown = stage_html(&frame("/"), Some("NOPE"), &stage::Asked::default(), &nothing);
    assert!(seen(&unknown).contains("Этапа «NOPE» нет в жизненном цикле"));
    let known = stage_html(&frame("/"), Some("SHIPPED"), &stage::Asked::default(), &nothing);
    assert!(seen(&known).contains("На этом этапе сейчас нет таких заказов."));
}

#[test]
fn searches() {
    let hit = |matched_by| SearchHit { order: summary("SHIPPED", Condition::Fine), matched_by };
    let hits = [hit(MatchedBy::PartnerNumber), hit(MatchedBy::TraceId)];
    let html = search_html(&frame("/search?q=7&lang=en"), "7", &hits);
    insta::assert_snapshot!("search_en", seen(&html));
    let html = search_html(&frame("/search?q=x"), "x", &[]);
    insta::assert_snapshot!("search_none_ru", seen(&html));
}

/// Text that means harm in markup, in attributes, in addresses and on the screen.
fn hostile() -> String {
    format!("\"'><script>alert(1)</script>\u{202e}{{{{x}}}}{}", "Ы".repeat(150))
}

#[test]
fn hostile_text_is_inert_wherever_it_stands() {
    let bad = hostile();
    let mut order = summary("SUBMITTED", Condition::Stuck);
    for field in [
        &mut order.order_id,
        &mut order.stage,
        &mut order.label_ru,
        &mut order.kind,
        &mut order.channel,
        &mut order.waiting_for,
    ] {
        field.clone_from(&bad);
    }
    let mut data = stuck_order();
    data.detail.summary = order.clone();
    data.detail.summary.lost_in_handover = true;
    data.detail.summary.retrying = true;
    data.detail.other_ids = vec![bad.clone()];
    data.detail.sign_of_life = Some(SignOfLife { at: NOW, worker: bad.clone() });
    data.detail.handover = Some(Handover {
        destination: bad.clone(),
        from: bad.clone(),
        to: vec![bad.clone(); 2],
        at: NOW,
        lost_at: NOW,
    });
    if let Some(calculation) = &mut data.detail.calculation {
        (calculation.worker, calculation.error) = (bad.clone(), bad.clone());
        calculation.retrying_since = Some(NOW);
    }
    data.silent = vec![Silence { source: bad.clone(), since: Some(NOW) }];
    for visit in &mut data.detail.history {
        (visit.stage, visit.source) = (bad.clone(), bad.clone());
    }
    for span in data.spans.iter_mut().flat_map(|spans| &mut spans.spans) {
        for field in
            [&mut span.trace_id, &mut span.name, &mut span.service, &mut span.status_message]
        {
            field.clone_from(&bad);
        }
    }
    for alert in data.alerts.iter_mut().flatten() {
        (alert.alert_name, alert.severity) = (bad.clone(), bad.clone());
        alert.annotations = vec![("summary".into(), bad.clone())];
    }
    let mut counts = board(&[(&bad, 3, 1, 1)]);
    counts.board.sources[0].source.clone_from(&bad);
    counts.board.sources[0].silent = true;
    let clock = SourceClock {
        source: bad.clone(),
        host: bad.clone(),
        least_delay_ms: -1,
        last_received_at: NOW,
    };
    let heard = counts.board.sources.clone();
    let systems = SourcesData { as_of: NOW, sources: heard, clocks: vec![clock] };
    order.silent_sources = vec![bad.clone()];
    let page = OrderPage { as_of: NOW, orders: vec![order.clone()], next: None };
    let hits = [SearchHit { order, matched_by: MatchedBy::OrderId }];
    let f = frame(&crate::links::with_query("/search", &[("q", &bad), ("theme", &bad)]));
    let pages = [
        board_html(&f, &counts),
        order_html(&f, &data),
        stage_html(&f, Some(&bad), &stage::Asked::default(), &page),
        search_html(&f, &bad, &hits),
        search_html(&f, &bad, &[]),
        sources::SourcesPage { f: &f, s: sources::view(f.locale, &systems) }.render().unwrap(),
    ];
    for html in pages {
        assert!(!html.contains("<script>"), "{html}");
        assert!(!html.contains("\"'>") && !html.contains("'><"), "{html}");
        assert_eq!(html.matches("<script").count(), 1, "only ours: {html}");
        for tag in html.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap();
            assert!(!tag.contains(" style=") && !tag.contains(" on"), "inline: {tag}");
        }
    }
}

#[test]
fn pages_stay_small() {
    let mut data = stuck_order();
    let one = |n: u32| span(&format!("{:032x}", n / 100), &format!("{n:016x}"), "", 0, 1_000);
    data.spans = Some(OrderSpans { spans: (0..200).map(one).collect(), total: 200 });
    let order = order_html(&frame("/orders/1"), &data);
    assert!(order.len() < 100_000, "{}", order.len());
    let list = list(&[Condition::Late; 50], true);
    let stage = stage_html(&frame("/"), Some("SUBMITTED"), &stage::Asked::default(), &list);
    assert!(stage.len() < 100_000, "{}", stage.len());
}
