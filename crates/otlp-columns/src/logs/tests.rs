//! Each rule by which a log record speaks of orders.

use serde_json::{Value, json};

use crate::sample::{check_logs, logs};

#[test]
fn a_record_speaks_of_its_order_else_of_its_message_else_of_its_trace() {
    let stage = json!({ "order.stage": "SHIPPED" });
    let met = json!({ "order.stage": "SHIPPED", "messaging.message.id": "m-1" });
    let table = [
        (
            json!([{ "trace": 1, "at": 5, "with": { "order.stage": "SHIPPED", "order.id": "A",
                "messaging.message.id": "m-1" } }]),
            vec!["stage SHIPPED of A @5", "1/ names A 5-5", "message_id M1[] is A"],
        ),
        (
            json!([{ "trace": 1, "at": 5, "with": { "order.stage": "SHIPPED",
                "order.partner.number": "p-1", "partner.id": "q" } }]),
            vec!["stage SHIPPED of p-1 @5", "1/ names p-1? 5-5", "partner_number P1[Q] is p-1?"],
        ),
        (
            json!([{ "trace": 1, "span": 2, "at": 5, "with": met }]),
            vec!["stage SHIPPED of message:M1 @5", "1/2 meets message:M1/"],
        ),
        // Without a trace there is nothing for the message to meet.
        (json!([{ "at": 5, "with": met }]), vec!["stage SHIPPED of message:M1 @5"]),
        (json!([{ "trace": 1, "at": 5, "with": stage }]), vec!["stage SHIPPED of 1 @5"]),
        (json!([{ "at": 5, "with": stage }]), vec![]),
    ];
    for (request, expected) in table {
        check_logs(&Value::Null, &request, &expected);
        let lost = logs(&Value::Null, &request).tally.unattributable_signals;
        assert_eq!(lost, u64::from(expected.is_empty()), "{request}");
    }
}

#[test]
fn a_record_of_that_event_is_a_sign_of_life() {
    let resource = json!({ "service.instance.id": "w7" });
    let stage = json!({ "order.id": "A", "order.stage": "SHIPPED", "calc.attempt": 3 });
    let by_attribute = json!({ "order.id": "A", "event.name": "order.heartbeat" });
    let table = [
        (
            json!([{ "name": "order.heartbeat", "at": 5, "with": stage }]),
            vec!["alive w7#3 of A @5", "/ names A 5-5"],
        ),
        (
            json!([{ "at": 5, "with": by_attribute }, { "at": 9, "with": by_attribute }]),
            vec!["alive w7#0 of A @9", "/ names A 5-9"],
        ),
        (json!([{ "name": "order.heartbeat", "trace": 1, "at": 5 }]), vec!["alive w7#0 of 1 @5"]),
        (json!([{ "name": "order.heartbeat", "at": 5 }]), vec![]),
        (
            json!([{ "name": "heartbeat", "at": 5, "with": stage }]),
            vec!["stage SHIPPED of A @5", "/ names A 5-5"],
        ),
    ];
    for (request, expected) in table {
        check_logs(&resource, &request, &expected);
        let lost = logs(&resource, &request).tally.unattributable_signals;
        assert_eq!(lost, u64::from(expected.is_empty()), "{request}");
    }
}
