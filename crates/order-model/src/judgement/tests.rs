//! The derived states of `docs/stitching.md`: small stories, and what is concluded at their end.

use super::*;
use crate::fold::tests::story::{Story, at, told};

fn judged(story: &Story) -> (OrderState, Judgement) {
    let state = story.state();
    let judgement = judge(&Lifecycle::default(), &state);
    (state, judgement)
}

/// Every mark that holds at the story's end.
#[track_caller]
fn check(story: &str, expected: &str) {
    let read = Story::of(story);
    let (state, judgement) = judged(&read);
    let marks = judgement.marks(&Lifecycle::default(), &state, read.now);
    let named = [
        (marks.stuck, "stuck"),
        (marks.late, "late"),
        (marks.lost_in_handover, "lost"),
        (marks.not_confirmed, "not confirmed"),
        (marks.abandoned, "abandoned"),
        (marks.unknown, "unknown"),
        (marks.retrying, "retrying"),
    ];
    let holding: Vec<_> = named.into_iter().filter(|(holds, _)| *holds).map(|(_, n)| n).collect();
    let found = if holding.is_empty() { "fine".to_owned() } else { holding.join(" + ") };
    assert_eq!(found, expected, "{story}");
}

/// The same story at the deadline, and a nanosecond before it.
#[track_caller]
fn check_deadline(story: &str, deadline: &str, before: &str, from: &str) {
    let just_before = told(at(deadline) - 1);
    check(&format!("{story}; now {just_before}"), before);
    check(&format!("{story}; now {deadline}"), from);
}

#[test]
fn an_order_is_late_and_stuck_from_the_deadlines_of_its_stage_on() {
    let custom = "kind custom; model; 0s shop SUBMITTED";
    check_deadline(custom, "15m", "fine", "late");
    check_deadline(custom, "1h", "late", "stuck");
    let priced = format!("{custom}; 1h mes PRICE_CALCULATED");
    check_deadline(&priced, "1d1h", "fine", "late");
    check_deadline(&priced, "3d1h", "late", "stuck");
    // A stay counts from its begin: a repeat of the stage does not start it again.
    check_deadline(&format!("{priced}; 1d mes PRICE_CALCULATED"), "1d1h", "fine", "late");
    // Rework begins a new one.
    let rework = "0s mes PACKAGING; 1h mes MANUFACTURING_COMPLETED; 2h mes PACKAGING";
    check_deadline(rework, "1d2h", "fine", "late");
}

#[test]
fn a_calculation_is_measured_from_the_request_queue_included() {
    let running = "model; 0s shop SUBMITTED; 50m mes CALCULATION_RUNNING";
    check_deadline(running, "1h", "late", "stuck");
    let quick = "model; 0s shop SUBMITTED; 1m mes CALCULATION_RUNNING";
    check_deadline(quick, "30m", "fine", "late");
    // A failure does not stop the clock.
    let failed = "model; 0s shop SUBMITTED; 1m mes CALCULATION_FAILED";
    check_deadline(failed, "30m", "fine", "late");
    check_deadline(failed, "1h", "late", "stuck");
    // A new request does start it anew.
    let again = "model; 0s shop SUBMITTED; 9m mes PRICE_CALCULATED; 2h mes CALCULATION_RUNNING";
    check_deadline(again, "2h30m", "fine", "late");
    // What was answered has no deadline, also if a later failure has no request of its own.
    let answered = "model; 0s shop SUBMITTED; 9m mes PRICE_CALCULATED; 1h mes CALCULATION_FAILED";
    check(&format!("{answered}; now 9h"), "fine");
    check("kind ready_made; 0s mes CALCULATION_RUNNING; now 9h", "fine");
}

#[test]
fn a_ready_made_piece_awaits_the_seller_and_no_price() {
    for story in ["0s shop SUBMITTED", "kind ready_made; model; 0s shop SUBMITTED"] {
        check_deadline(story, "1d", "fine", "late");
        check_deadline(story, "3d", "late", "stuck");
        assert_eq!(judged(&Story::of(story)).1.waiting_for, "seller");
    }
    // One who says that it is made to order is believed.
    check_deadline("kind custom; 0s shop SUBMITTED", "15m", "fine", "late");
}

#[test]
fn a_promise_is_overdue_until_the_order_is_shipped_or_has_ended() {
    let making = "0s shop SUBMITTED; 20d mes MANUFACTURING_STARTED";
    check_deadline(making, "21d", "fine", "late");
    check(&format!("{making}; 22d mes SHIPPED"), "fine");
    check(&format!("{making}; 22d crm CANCELLED"), "fine");
    // A shipment is kept, also when the piece comes back.
    check(&format!("{making}; 20d1h mes SHIPPED; 20d2h mes PACKAGING; now 21d"), "fine");
    // Of an unknown status only the promise is known.
    check_deadline("0s shop SUBMITTED; 1h mes ODD", "21d", "unknown", "late + unknown");
    check("0s mes PACKAGING; 1h mes MANUFACTURING_STARTED; now 1d", "fine");
}

#[test]
fn what_waits_for_the_customer_never_alerts() {
    check_deadline("0s shop INITIATED", "7d", "fine", "abandoned");
    check("0s shop FILE_UPLOADED; now 1000d", "fine");
    check_deadline("0s mes SHIPPED", "14d", "fine", "not confirmed");
    check("0s mes SHIPPED; 1d crm CLOSED; now 1000d", "fine");
    // What was promised before, and what was sent to nobody, is waited for no more.
    let back = "0s shop SUBMITTED; 1d crm sends:mes.production; 2d shop INITIATED";
    check(&format!("{back}; now 8d"), "lost");
    check(&format!("{back}; now 30d"), "abandoned");
    check("0s shop SUBMITTED; 1d crm sends:mes.production; 2d crm CANCELLED; now 30d", "fine");
}

#[test]
fn an_order_between_two_systems_is_lost_when_nobody_took_it_in_time() {
    let sent = "0s crm MANUFACTURING_APPROVED; 1s crm sends:mes.production";
    check_deadline(sent, "30m1s", "fine", "lost");
    check(&format!("{sent}; 29m mes takes:mes.production; now 1h"), "fine");
    // Taken at last: found.
    check(&format!("{sent}; 2h mes MANUFACTURING_STARTED"), "fine");
    check_deadline(sent, "1d", "lost", "late + lost");
}

#[test]
fn retrying_and_unknown_are_marks_of_their_own() {
    let again = "model; 0s shop SUBMITTED; 5m mes CALCULATION_RUNNING #2; now 6m";
    check(again, "retrying");
    check(&format!("{again}; 6m mes PRICE_CALCULATED"), "fine");
    check("0s mes ODD", "unknown");
    check("", "unknown");
}

#[test]
fn the_condition_is_the_gravest_mark() {
    let mut marks = Marks::default();
    let mut gravest_last = Condition::ALL;
    gravest_last.reverse();
    for condition in gravest_last {
        match condition {
            Condition::Stuck => marks.stuck = true,
            Condition::Late => marks.late = true,
            Condition::LostInHandover => marks.lost_in_handover = true,
            Condition::NotConfirmed => marks.not_confirmed = true,
            Condition::Abandoned => marks.abandoned = true,
            Condition::Unknown => marks.unknown = true,
            Condition::Retrying => marks.retrying = true,
            Condition::Fine => {}
        }
        assert_eq!(marks.condition(), condition);
        assert_eq!(Condition::parse(condition.as_str()), Some(condition));
    }
}

#[test]
fn an_order_is_settled_when_nothing_is_waited_for() {
    for (story, expected) in [
        ("0s crm CLOSED", true),
        ("0s crm CANCELLED", true),
        ("0s mes SHIPPED; now 1000d", false),
        ("model; 0s shop SUBMITTED; 1m mes CALCULATION_FAILED; now 1000d", false),
        ("0s shop INITIATED; now 6d23h59m59s999999999ns", false),
        ("0s shop INITIATED; now 7d", true),
        ("0s mes ODD; now 1000d", false),
    ] {
        let story_read = Story::of(story);
        assert_eq!(judged(&story_read).1.settled(story_read.now), expected, "{story}");
    }
}

#[test]
fn the_next_stage_is_the_next_that_such_an_order_passes() {
    for (story, waiting_for, next_set_by) in [
        ("0s shop INITIATED; model", "customer", "shop"),
        ("0s shop INITIATED", "customer", "shop calc-engine"),
        ("model; 0s shop SUBMITTED", "calculation", "calc-engine mes"),
        ("channel b2b; 0s calc-engine SUBMITTED", "calculation", "calc-engine mes"),
        // A failure is nobody's next step: the seller of a ready-made piece works in the CRM.
        ("0s shop SUBMITTED", "seller", "crm"),
        ("model; 0s mes CALCULATION_RUNNING", "price_engine", "calc-engine mes"),
        ("0s mes PRICE_CALCULATED", "seller_and_customer", "crm"),
        ("0s mes SHIPPED", "carrier", "crm"),
        ("0s crm CLOSED", "nobody", ""),
        ("0s mes ODD", "", ""),
    ] {
        let judgement = judged(&Story::of(story)).1;
        assert_eq!(judgement.waiting_for, waiting_for, "{story}");
        assert_eq!(judgement.next_set_by.join(" "), next_set_by, "{story}");
    }
}

#[test]
fn each_stay_has_the_deadline_of_its_stage_but_where_a_price_is_awaited() {
    for (story, expected) in [
        ("0s mes PACKAGING; 1h mes MANUFACTURING_COMPLETED; 2h mes PACKAGING", "2d 2d 2d"),
        ("model; 0s shop SUBMITTED; 1m mes CALCULATION_RUNNING; 2m mes PRICE_CALCULATED", "- - 3d"),
        // The seller's turn: no price is asked for.
        ("0s shop SUBMITTED; 1h crm MANUFACTURING_APPROVED", "3d 2d"),
        ("0s shop INITIATED; 1h mes ODD; 2h mes SHIPPED; 3h crm CLOSED", "- - - -"),
    ] {
        let (state, judgement) = judged(&Story::of(story));
        let told = |stay: &StayTerms| {
            let after = stay.stuck_after.map(humantime::format_duration);
            after.map_or("-".to_owned(), |after| after.to_string().replace("days", "d"))
        };
        let found: Vec<_> = judgement.stays.iter().map(told).collect();
        assert_eq!(found.join(" "), expected, "{story}");
        let last = judgement.stays.last().map(|stay| &stay.waiting_for);
        assert_eq!(last, Some(&judgement.waiting_for), "the stay that lasts: {story}");
        assert_eq!(judgement.stays.len(), state.history.len(), "{story}");
    }
}

/// What the one-hour rule says at the story's end: when it is late and stuck, and what holds.
#[track_caller]
fn check_price(story: &str, expected: &str) {
    let read = Story::of(story);
    let (state, judgement) = judged(&read);
    let lifecycle = Lifecycle::default();
    let open = !judgement.settled(read.now);
    let price = judgement.price_wait(&lifecycle, &state, open, read.now);
    let found = price.map_or("none".to_owned(), |price| {
        let marks = [
            (price.awaited, " awaited"),
            (price.over_one_hour, " over"),
            (price.answered_too_late, " late answer"),
            (price.answer_heard_too_late, " heard late"),
        ];
        let holding: String = marks.iter().filter(|(holds, _)| *holds).map(|(_, n)| *n).collect();
        format!("{} {}{holding}", told(price.late_at), told(price.stuck_at))
    });
    assert_eq!(found, expected, "{story}");
}

#[test]
fn on_call_is_paged_an_hour_after_the_latest_request_that_has_no_answer() {
    let asked = "model; 5m shop SUBMITTED";
    check_price("0s shop SUBMITTED; now 9h", "none");
    check_price(&format!("{asked}; now 1h4m59s999999999ns"), "35m 1h5m awaited");
    check_price(&format!("{asked}; now 1h5m"), "35m 1h5m awaited over");
    // The queue counts, and a failure does not stop the clock.
    check_price(&format!("{asked}; 1h mes CALCULATION_RUNNING; now 2h"), "35m 1h5m awaited over");
    check_price(&format!("{asked}; 9m mes CALCULATION_FAILED; now 2h"), "35m 1h5m awaited over");
    // A price does, and an order that ended waits for none.
    check_price(&format!("{asked}; 20m mes PRICE_CALCULATED ~20m; now 2h"), "35m 1h5m");
    check_price(&format!("{asked}; 20m crm CANCELLED ~20m; now 2h"), "35m 1h5m");
    // Answered after the hour, and answered in time but heard of late.
    let late = format!("{asked}; 2h mes PRICE_CALCULATED ~2h; now 3h");
    check_price(&late, "35m 1h5m late answer");
    let heard = |at: &str| format!("{asked}; 1h mes PRICE_CALCULATED ~{at}; now 3h");
    check_price(&heard("50m"), "35m 1h5m");
    check_price(&heard("51m"), "35m 1h5m heard late");
    check_price(&heard("2h"), "35m 1h5m heard late");
}
