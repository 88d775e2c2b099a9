//! What pages may claim: nothing green that is not well, no price that nobody named, no hanging
//! request that was made a minute ago.

use order_model::Lifecycle;
use order_store::read::{Calculation, Condition, OrderDetail};

use super::board as board_page;
use super::fixtures::{MINUTE, NOW, board, detail, summary};
use super::order::OrderData;
use super::snapshots::{frame, order_html, seen};

fn html(detail: OrderDetail) -> String {
    let data = OrderData { detail, alerts: Some(vec![]), silent: vec![], spans: None };
    order_html(&frame("/orders/1?lang=en"), &data)
}

fn requested(minutes: i64, part: &str, answered: Option<i64>) -> Calculation {
    Calculation {
        requested_at: NOW - minutes * MINUTE,
        started_at: None,
        answered_at: answered.map(|minutes| NOW - minutes * MINUTE),
        part: part.into(),
        stuck_at: NOW - (minutes - 60) * MINUTE,
        failed_at: None,
        attempt: 0,
        worker: String::new(),
        error: String::new(),
        retrying_since: None,
    }
}

#[test]
fn a_price_is_ready_only_when_a_stage_that_prices_began() {
    let cases =
        [("PRICE_CALCULATED", true), ("CANCELLED", false), ("MANUFACTURING_APPROVED", false)];
    for (stage, priced) in cases {
        let stays = [("SUBMITTED", 90, "shop", 0), (stage, 30, "crm", 0)];
        let mut detail = detail(summary(stage, Condition::Fine), &stays);
        detail.calculation = Some(requested(90, "answered", Some(30)));
        assert_eq!(html(detail.clone()).contains("Price ready"), priced, "{stage}");
        detail.calculation = Some(requested(90, "answered", Some(31)));
        assert!(!html(detail).contains("Price ready"), "another answer than {stage}");
    }
}

#[test]
fn only_an_open_order_that_is_well_is_green() {
    let cases = [
        ("CLOSED", "badge is-ended", "Ended"),
        ("CANCELLED", "badge is-ended", "Ended"),
        ("CALCULATION_FAILED", "badge is-failed", "Needs attention"),
        ("SHIPPED", "badge is-fine", "On track"),
    ];
    for (stage, class, label) in cases {
        let page = html(detail(summary(stage, Condition::Fine), &[(stage, 72, "mes", 0)]));
        assert!(page.contains(class) && seen(&page).contains(label), "{stage}: {page}");
        let promised = page.contains("Promised to ship by");
        assert_eq!(promised, stage == "CALCULATION_FAILED", "{stage}: {page}");
    }
}

#[test]
fn a_failed_calculation_is_in_progress_on_the_board() {
    let data = board(&[("CALCULATION_FAILED", 4, 1, 0), ("CLOSED", 7, 0, 0)]);
    let locale = frame("/?lang=en").locale;
    let view = board_page::view(locale, &Lifecycle::default(), &data);
    assert_eq!(view.open, "4");
    let group = |stage: &str| {
        let mut groups = view.groups.iter();
        groups.find(|group| group.rows.iter().any(|row| row.name == stage)).map(|group| group.id)
    };
    assert_eq!(group("CALCULATION_FAILED"), Some("open"));
    assert_eq!(group("CLOSED"), Some("terminal"));
}

#[test]
fn an_event_in_the_future_is_said_once() {
    let said = "There is an event with a time in the future: 15:05:00; is a system's clock fast?";
    let mut order = summary("", Condition::Unknown);
    (order.age_seconds, order.since) = (-300, NOW + 5 * MINUTE);
    let mut unplaced = detail(order, &[]);
    let mut placed = detail(summary("SUBMITTED", Condition::Fine), &[("SUBMITTED", 72, "shop", 0)]);
    for detail in [&mut unplaced, &mut placed] {
        assert!(!html(detail.clone()).contains("in the future"));
        detail.refold_at = Some(NOW + 5 * MINUTE);
        let text = seen(&html(detail.clone())).replace("&#39;", "'");
        assert_eq!(text.matches(said).count(), 1, "{text}");
        detail.refold_at = Some(NOW);
        assert!(!html(detail.clone()).contains("in the future"), "no longer the future");
    }
}

#[test]
fn a_request_that_nobody_queued_is_no_alarm_at_first() {
    let cases = [(14, "Waiting to hear that the request was queued"), (15, "no system has said")];
    for (minutes, expected) in cases {
        let stays = [("SUBMITTED", minutes, "shop", 0)];
        let mut detail = detail(summary("SUBMITTED", Condition::Fine), &stays);
        detail.calculation = Some(requested(minutes, "never_queued", None));
        let text = seen(&html(detail));
        assert!(text.contains(expected), "{minutes}: {text}");
    }
}

#[test]
fn a_conclusion_says_what_it_rests_on() {
    let cases = [
        ("SUBMITTED", Condition::Late, "longer than allowed"),
        ("SHIPPED", Condition::NotConfirmed, "nothing was heard"),
        ("PAINTING", Condition::Unknown, "has no such status"),
        ("", Condition::Unknown, "nobody has named"),
    ];
    for (stage, condition, expected) in cases {
        let page = html(detail(summary(stage, condition), &[]));
        assert!(page.contains(expected), "{stage}: {page}");
        assert_eq!(page.contains("longer than allowed"), condition == Condition::Late, "{stage}");
    }
}

#[test]
fn only_the_last_stay_goes_on() {
    let stays = [("CALCULATION_RUNNING", 90, "mes", 1), ("SUBMITTED", 72, "shop", 0)];
    let page = html(detail(summary("CALCULATION_RUNNING", Condition::Fine), &stays));
    assert_eq!(page.matches("ongoing,").count(), 1, "{page}");
    let last = page.rsplit("<tr").next().unwrap_or_default();
    assert!(last.contains("ongoing, 1\u{a0}h 12\u{a0}min"), "{last}");
}
