//! Derived states as pages say them, in both languages: each with its evidence, and visibly ours.

use order_model::Lifecycle;
use order_store::read::{
    Calculation, Condition, Handover, OrderDetail, SignOfLife, SourceClock, SourceHeard,
};

use super::fixtures::{MINUTE, NOW, board, detail, summary};
use super::order::OrderData;
use super::snapshots::{frame, order_html, seen};
use super::{board as board_page, sources};
use crate::reads::{Silence, SourcesData};
use crate::replicas::ReplicaLag;

/// The text of the order's page in Russian and in English.
fn texts(detail: &OrderDetail, silent: &[Silence]) -> [String; 2] {
    ["ru", "en"].map(|language| {
        let data = OrderData {
            detail: detail.clone(),
            alerts: Some(vec![]),
            silent: silent.to_vec(),
            spans: None,
        };
        let html = order_html(&frame(&format!("/orders/1?lang={language}")), &data);
        seen(&html).replace('\u{a0}', " ")
    })
}

fn check(detail: &OrderDetail, silent: &[Silence], ru: &str, en: &str) {
    let texts = texts(detail, silent);
    for (text, expected) in texts.iter().zip([ru, en]) {
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
}

fn handed_over(lost: bool) -> OrderDetail {
    let condition = if lost { Condition::LostInHandover } else { Condition::Fine };
    let mut detail = detail(summary("MANUFACTURING_APPROVED", condition), &[]);
    detail.handover = Some(Handover {
        destination: "mes.production".into(),
        from: "crm".into(),
        to: vec!["mes".into()],
        at: NOW - 45 * MINUTE,
        lost_at: NOW - 15 * MINUTE,
    });
    detail
}

#[test]
fn a_lost_message_is_told_with_queue_and_time() {
    check(
        &handed_over(true),
        &[],
        "Потерян при передаче от crm к mes: сообщение в mes.production отправлено 14:15 \
         (45 мин назад), никто его не взял\nвывод Waybill",
        "Lost in hand-over from crm to mes: message to mes.production published at 14:15 \
         (45 min ago), nobody took it\nWaybill&#39;s conclusion",
    );
    check(&handed_over(true), &[], "потерян с 14:45", "lost since 14:45");
    let [ru, en] = texts(&handed_over(false), &[]);
    assert!(
        en.contains("not taken yet; counts as lost from 14:45") && !en.contains("Lost"),
        "{en}"
    );
    assert!(ru.contains("ещё не взято; считается потерянным с 14:45"), "{ru}");
}

#[test]
fn a_retry_is_told_with_attempt_worker_and_error() {
    let mut detail = detail(summary("CALCULATION_RUNNING", Condition::Retrying), &[]);
    detail.sign_of_life = Some(SignOfLife { at: NOW - 2 * MINUTE, worker: "calc-2".into() });
    detail.calculation = Some(Calculation {
        requested_at: NOW - 50 * MINUTE,
        started_at: Some(NOW - 10 * MINUTE),
        answered_at: None,
        part: "running".into(),
        stuck_at: NOW + 10 * MINUTE,
        failed_at: Some(NOW - 20 * MINUTE),
        attempt: 2,
        worker: "calc-2".into(),
        error: "out of memory".into(),
        retrying_since: Some(NOW - 10 * MINUTE),
    });
    check(
        &detail,
        &[],
        "Повторный расчёт с 14:50, попытка 2, исполнитель calc-2, последняя ошибка: out of memory",
        "Retrying since 14:50, attempt 2, worker calc-2, last error: out of memory",
    );
    check(
        &detail,
        &[],
        "Последний признак жизни: 14:58 (2 мин назад, исполнитель calc-2).",
        "Last sign of life: 14:58 (2 min ago, worker calc-2).",
    );
    let Some(calculation) = &mut detail.calculation else { return };
    calculation.part = "failed".into();
    detail.summary.retrying = false;
    check(&detail, &[], "Последняя ошибка: out of memory.", "Last error: out of memory.");
    assert!(!texts(&detail, &[])[1].contains("Retrying since"));
}

#[test]
fn a_silent_system_is_told_with_its_last_word() {
    let detail = detail(summary("PACKAGING", Condition::Fine), &[]);
    let silence = |since| [Silence { source: "mes".into(), since }];
    check(
        &detail,
        &silence(Some(NOW - 40 * MINUTE)),
        "Нет данных от mes с 14:20 (40 мин)",
        "No data from mes since 14:20 (40 min)",
    );
    check(&detail, &silence(None), "нет данных от mes", "no data from mes");
}

#[test]
fn an_order_says_its_other_ids_and_what_ends_quietly() {
    let mut order = detail(summary("INITIATED", Condition::Abandoned), &[]);
    order.other_ids = vec!["P-7".into(), "CRM-9".into()];
    order.abandoned_at = Some(NOW - MINUTE);
    check(&order, &[], "Другие номера: P-7, CRM-9", "Also known as P-7, CRM-9");
    check(&order, &[], "брошен с 14:59", "abandoned since 14:59");
    let mut order = detail(summary("SHIPPED", Condition::NotConfirmed), &[]);
    order.not_confirmed_at = Some(NOW - MINUTE);
    check(&order, &[], "не подтверждён с 14:59", "not confirmed since 14:59");
    order.summary.condition = Condition::Fine;
    (order.summary.stuck_at, order.not_confirmed_at) = (None, Some(NOW + MINUTE));
    check(&order, &[], "считается неподтверждённым с 15:01", "counts as not confirmed from 15:01");
}

#[test]
fn every_number_of_the_board_leads_to_its_list_as_of_the_same_time() {
    let mut data = board(&[("SUBMITTED", 40, 3, 2)]);
    let stage = data.board.stages.iter_mut().find(|stage| stage.stage == "SUBMITTED");
    let Some(stage) = stage else { panic!("no such stage") };
    (stage.lost_in_handover, stage.retrying) = (4, 1);
    let locale = frame("/?lang=en").locale;
    let view = board_page::view(locale, &Lifecycle::default(), &data);
    let as_of = "as_of=2026-03-10T12%3A00%3A00.000Z";
    let row = view.groups.iter().flat_map(|group| &group.rows);
    let row = row.into_iter().find(|row| row.name == "SUBMITTED").map(|row| {
        [&row.stuck, &row.late, &row.lost, &row.retrying]
            .map(|marked| (marked.tally.text.clone(), marked.href.clone()))
    });
    let of = |n: &str, condition: &str| {
        (n.to_owned(), format!("/stages/SUBMITTED?condition={condition}&{as_of}"))
    };
    let expected =
        [of("2", "stuck"), of("3", "late"), of("4", "lost_in_handover"), of("1", "retrying")];
    assert_eq!(row, Some(expected));
    assert_eq!(view.lost.href, format!("/orders?condition=lost_in_handover&{as_of}"));
    assert_eq!(view.lost.tally.text, "4");
    assert_eq!(view.retrying.map(|counted| counted.tally.text), Some("1".to_owned()));
}

#[test]
fn the_sum_says_what_was_merged_and_when_it_was_checked() {
    let mut data = board(&[("SUBMITTED", 40, 0, 0)]);
    (data.board.merged, data.board.stitch_lag_ms) = (2, 350);
    data.replica_lag =
        Some(ReplicaLag { lag_ms: 1_500, lag_max_ms: 30_000, primary_answers: true });
    let view = |uri| board_page::view(frame(uri).locale, &Lifecycle::default(), &data);
    let (ru, en) = (view("/"), view("/?lang=en"));
    assert_eq!(en.balance.text, "Seen 40 = on the board 40 (+2 ids merged), difference 0");
    assert_eq!(en.balance.checked, "checked at 14:59:40, stitcher lag 350\u{a0}ms");
    assert!(ru.balance.text.contains("на доске 40 (и ещё 2 —"), "{}", ru.balance.text);
    assert!(!en.balance.broken);
    // Orders on their way are no fault, until they do not arrive.
    for (difference, unexplained_ms, stitch_lag_ms, checked_s, broken) in [
        (1, 0, 2_000, 20, false),
        (1, 16_000, 0, 20, true),
        (1, 0, 61_000, 20, true),
        (0, 0, 61_000, 20, false),
        (1, 0, 0, 601, true),
    ] {
        let mut data = board(&[("SUBMITTED", 40, 0, 0)]);
        data.board.difference = difference;
        (data.board.unexplained_ms, data.board.stitch_lag_ms) = (unexplained_ms, stitch_lag_ms);
        data.board.checked_at = data.board.as_of - checked_s * 1_000;
        let locale = frame("/?lang=en").locale;
        let balance = board_page::view(locale, &Lifecycle::default(), &data).balance;
        assert_eq!(balance.broken, broken, "{}", balance.text);
        assert_eq!(balance.text.contains("on their way"), difference > 0 && !broken);
    }
    let said = "Read from a replica, at most 2\u{a0}s behind; one over 30\u{a0}s behind \
        when asked is not read";
    assert_eq!(en.replica.as_deref(), Some(said));
}

#[test]
fn a_clock_that_is_ahead_is_shown() {
    let clock = |host: &str, least_delay_ms| SourceClock {
        source: "mes".into(),
        host: host.into(),
        least_delay_ms,
        last_received_at: NOW,
    };
    let heard = SourceHeard {
        source: "mes".into(),
        last_received_at: NOW - 40 * MINUTE,
        last_timestamp: NOW,
        silent: true,
    };
    let clocks = vec![clock("a", -90_000), clock("", 12)];
    let data = SourcesData { as_of: NOW, sources: vec![heard], clocks };
    let view = |uri| sources::view(frame(uri).locale, &data);
    let said = |view: &sources::SourcesView| -> Vec<(String, String, bool)> {
        let clocks = view.clocks.iter();
        clocks.map(|c| (c.host.clone(), c.text.replace('\u{a0}', " "), c.ahead)).collect()
    };
    let expected = [
        ("a".to_owned(), "ahead by at least 1 min".to_owned(), true),
        ("not said".to_owned(), "least delay 12 ms".to_owned(), false),
    ];
    assert_eq!(said(&view("/?lang=en")), expected);
    assert_eq!(said(&view("/"))[0].1, "спешат не меньше чем на 1 мин");
    assert!(view("/").systems[0].heard.silent);
}
