//! Each rule by which a span speaks of orders, as a table of spans and the facts they become.

use serde_json::{Value, json};

use crate::attributes::bytes_of;
use crate::mapped::Mapped;
use crate::sample::{check_spans, spans, told};

/// One span with those attributes.
fn with(attributes: &Value) -> Value {
    json!([{ "with": attributes }])
}

#[test]
fn a_signal_without_an_order_is_the_messages_else_the_traces() {
    let stage = json!({ "order.stage": "PACKAGING" });
    let table = [
        (json!([{ "with": stage }]), vec!["stage PACKAGING of 1 @10"]),
        (
            json!([{ "with": { "order.stage": "PACKAGING", "messaging.message.id": "m-1" } }]),
            vec!["stage PACKAGING of message:M1 @10", "1/1 meets message:M1/"],
        ),
        (
            json!([{ "with": stage, "links": [{ "with": { "messaging.message.id": "m-1" } }] }]),
            vec!["stage PACKAGING of message:M1 @10", "1/1 meets message:M1/"],
        ),
        // A span about a batch is about no message of it more than about the others.
        (
            json!([{ "with": stage, "links": [
                { "with": { "messaging.message.id": "m-1" } },
                { "with": { "messaging.message.id": "m-2" } } ] }]),
            vec!["stage PACKAGING of 1 @10", "1/1 meets message:M1/", "1/1 meets message:M2/"],
        ),
        (
            json!([{ "with": { "messaging.message.id": "m-1" }, "events": [
                { "at": 15, "with": { "order.stage": "SHIPPED", "messaging.message.id": "m-2" } },
                { "at": 16, "with": { "order.stage": "CLOSED" } } ] }]),
            vec![
                "stage SHIPPED of message:M2 @15",
                "stage CLOSED of message:M1 @16",
                "1/1 meets message:M1/",
                "1/1 meets message:M2/",
            ],
        ),
        // An id without a letter or a digit is none.
        (
            json!([{ "with": { "order.stage": "PACKAGING", "messaging.message.id": "--" } }]),
            vec!["stage PACKAGING of 1 @10"],
        ),
        (
            json!([{ "with": { "order.id": "A", "order.stage": "PACKAGING",
                "messaging.message.id": "m-1" } }]),
            vec![
                "stage PACKAGING of A @10",
                "1/1 names A 10-20",
                "1/ names A 10-20",
                "message_id M1[] is A",
            ],
        ),
    ];
    for (request, expected) in table {
        check_spans(&Value::Null, &request, &expected);
    }
    // A message of the resource would be the message of everything that the process does.
    let resource = json!({ "messaging.message.id": "m-1" });
    check_spans(&resource, &with(&stage), &["stage PACKAGING of 1 @10"]);
}

#[test]
fn a_trace_meets_a_message_once_in_a_request() {
    let attributes = json!({ "messaging.message.id": "m-1" });
    let request = json!([
        { "span": 3, "with": attributes },
        { "span": 2, "with": attributes },
        { "span": 2, "trace": 2, "with": attributes },
    ]);
    check_spans(&Value::Null, &request, &["1/3 meets message:M1/", "2/2 meets message:M1/"]);
}

#[test]
fn a_span_that_messages_or_links_meet_names_its_orders_itself() {
    let order = json!({ "order.id": "A" });
    let link = json!([{ "trace": 2, "span": 5 }]);
    let of_span = vec!["1/1 names A 10-20", "1/ names A 10-20"];
    let of_trace = vec!["1/ names A 10-20"];
    let table = [
        (json!([{ "kind": 1, "with": order }]), of_trace.clone()),
        (json!([{ "kind": 2, "with": order }]), of_trace.clone()),
        (json!([{ "kind": 3, "with": order }]), of_trace),
        (json!([{ "kind": 4, "with": order }]), of_span.clone()),
        (json!([{ "kind": 5, "with": order }]), of_span.clone()),
        (json!([{ "with": order, "links": link }]), [&of_span[..], &["1/1 meets 2/5"]].concat()),
        (
            json!([{ "with": order, "events": [{ "with": { "messaging.message.id": "m" } }] }]),
            [&of_span[..], &["message_id M[] is A"]].concat(),
        ),
        // Two orders of one batch are told apart by their spans.
        (
            json!([
                { "span": 1, "kind": 4, "with": { "order.id": "A" } },
                { "span": 2, "kind": 4, "start": 5, "with": { "order.id": "B" } },
                { "span": 3, "start": 2, "with": { "order.id": ["A", "B"] } },
            ]),
            vec!["1/1 names A 10-20", "1/ names A 2-20", "1/2 names B 5-20", "1/ names B 2-20"],
        ),
        // What an event names, the span names.
        (
            json!([{ "kind": 4, "with": order, "events": [{ "with": { "order.id": "B" } }] }]),
            [&of_span[..], &["1/1 names B 10-20", "1/ names B 10-20"]].concat(),
        ),
    ];
    for (request, expected) in table {
        check_spans(&Value::Null, &request, &expected);
    }
}

#[test]
fn where_no_order_is_named_the_partners_number_stands_for_it() {
    let number = json!({ "order.partner.number": " № p-77 ", "order.stage": "SUBMITTED" });
    let provisional = [
        "stage SUBMITTED of № p-77 @10",
        "1/ names № p-77? 10-20",
        "partner_number P77[] is № p-77?",
    ];
    check_spans(&Value::Null, &with(&number), &provisional);
    let named = ["stage SUBMITTED of A @10", "1/ names A 10-20", "partner_number P77[] is A"];
    let events = json!([{ "with": { "order.id": "A" } }]);
    check_spans(&Value::Null, &json!([{ "with": number, "events": events }]), &named);
    let resource = json!({ "order.id": "A" });
    check_spans(&resource, &with(&number), &named);
    // Two events with a number each are two orders, and the span is about both.
    let request = json!([{ "with": { "messaging.message.id": "m" }, "events": [
        { "with": { "order.partner.number": 1 } }, { "with": { "order.partner.number": 2 } } ] }]);
    check_spans(
        &Value::Null,
        &request,
        &[
            "1/1 names 1? 10-20",
            "1/ names 1? 10-20",
            "1/1 names 2? 10-20",
            "1/ names 2? 10-20",
            "message_id M[] is 1?",
            "message_id M[] is 2?",
            "partner_number 1[] is 1?",
            "partner_number 2[] is 2?",
        ],
    );
    // Each is its own partner's, and said once.
    let request = json!([{ "events": [
        { "with": { "order.partner.number": 1, "partner.id": "x" } }, { "name": "other" },
        { "with": { "order.partner.number": 2, "partner.id": "y" } } ] }]);
    check_spans(
        &Value::Null,
        &request,
        &[
            "1/ names 1? 10-20",
            "1/ names 2? 10-20",
            "partner_number 1[X] is 1?",
            "partner_number 2[Y] is 2?",
        ],
    );
    let resource = json!({ "order.partner.number": 1, "partner.id": "x" });
    let expected = ["1/ names 1? 10-20", "partner_number 1[X] is 1?"];
    check_spans(&resource, &json!([{}]), &expected);
    // The same order, named by its id and by a number that is its id: it is not provisional.
    let request =
        json!([{ "with": { "order.partner.number": "A" } }, { "with": { "order.id": "A" } }]);
    check_spans(&Value::Null, &request, &["1/ names A 10-20", "partner_number A[] is A?"]);
}

#[test]
fn a_number_that_cannot_be_an_order_is_refused_and_counted() {
    let long = "x".repeat(201);
    for number in [json!(long), json!("a\nb"), json!(["1", "2"]), json!("-"), json!("..")] {
        let mapped = spans(&Value::Null, &with(&json!({ "order.partner.number": number })));
        assert_eq!(mapped.tally.refused_order_ids, 1, "{number}");
        assert_eq!(mapped.batch.order_traces, [], "{number}");
        assert_eq!(mapped.batch.order_aliases, [], "{number}");
    }
}

#[test]
fn a_number_of_one_order_is_told_from_one_that_several_share() {
    let resource = json!({ "partner.id": "of-the-resource" });
    let table = [
        (
            &Value::Null,
            json!({ "order.id": "A", "order.partner.number": 7 }),
            vec!["partner_number 7[] is A"],
        ),
        (
            &resource,
            json!({ "order.id": ["A", "B"], "order.partner.number": 7, "partner.id": "p-1" }),
            vec!["shared_number 7[P1] is A", "shared_number 7[P1] is B"],
        ),
        (
            &resource,
            json!({ "order.id": "A", "order.partner.number": 7, "partner_id": "x",
                "order.partner.id": "p-1" }),
            vec!["partner_number 7[P1] is A"],
        ),
        (
            &resource,
            json!({ "order.id": "A", "order.partner.number": 7, "order.partner.id": "-" }),
            vec!["partner_number 7[OFTHERESOURCE] is A"],
        ),
    ];
    for (resource, attributes, expected) in table {
        let told = told(&spans(resource, &with(&attributes)).batch);
        let aliases: Vec<_> = told.iter().filter(|line| line.contains("_number")).collect();
        assert_eq!(aliases, expected, "{attributes}");
    }
}

#[test]
fn facts_that_fold_are_charged_so_that_a_request_of_repeats_ends() {
    let event = json!({ "name": "order.heartbeat", "with": { "messaging.message.id": "m" } });
    let one = spans(&Value::Null, &json!([{ "with": { "order.id": "A" }, "events": [event] }]));
    let events = json!([event, event]);
    let two = spans(&Value::Null, &json!([{ "with": { "order.id": "A" }, "events": events }]));
    assert_eq!(one.batch.order_heartbeats, two.batch.order_heartbeats);
    assert_eq!(one.batch.order_aliases, two.batch.order_aliases);
    let rows = |mapped: &Mapped| bytes_of(&mapped.batch.spans[0].events_attributes[0]) + 128;
    assert!(two.row_bytes >= one.row_bytes + rows(&one) + 2 * 32);
}

#[test]
fn a_heartbeat_is_a_sign_of_life_and_no_stage() {
    let stage = json!({ "order.stage": "CALCULATION_RUNNING", "calc.attempt": 2 });
    let resource = json!({ "service.instance.id": "w7", "host.name": "h1" });
    let table = [
        (json!([{ "name": "order.heartbeat", "with": stage }]), vec!["alive w7#2 of 1 @10"]),
        // The latest of each worker, order and attempt.
        (
            json!([
                { "name": "order.heartbeat", "start": 30, "with": { "order.id": ["A", "B"] } },
                { "name": "order.heartbeat", "start": 20, "with": { "order.id": "A" } },
                { "name": "order.heartbeat", "with": { "order.id": "A", "calc.attempt": 1 } },
            ]),
            vec![
                "alive w7#0 of A @30",
                "alive w7#1 of A @10",
                "alive w7#0 of B @30",
                "1/ names A 10-30",
                "1/ names B 30-30",
            ],
        ),
        // An event's stage is its own; the span around it still says its stage.
        (
            json!([{ "with": stage, "events": [
                { "name": "order.heartbeat", "at": 12, "with": { "order.stage": "SHIPPED" } },
                { "name": "order.heartbeat", "at": 11 },
                { "name": "other", "at": 13, "with": { "order.stage": "PACKAGING" } } ] }]),
            vec![
                "stage CALCULATION_RUNNING of 1 @10",
                "stage PACKAGING of 1 @13",
                "alive w7#2 of 1 @12",
            ],
        ),
        (
            json!([{ "name": "order.heartbeat", "with": { "messaging.message.id": "m-1" } }]),
            vec!["alive w7#0 of message:M1 @10", "1/1 meets message:M1/"],
        ),
    ];
    for (request, expected) in table {
        check_spans(&resource, &request, &expected);
    }
    let request = json!([{ "name": "order.heartbeat" }]);
    check_spans(&json!({ "host.name": "h1" }), &request, &["alive h1#0 of 1 @10"]);
    check_spans(&Value::Null, &request, &["alive #0 of 1 @10"]);
}

#[test]
fn a_message_to_a_known_destination_hands_the_order_over() {
    const PRODUCER: i32 = 4;
    const CONSUMER: i32 = 5;
    const CLIENT: i32 = 3;
    let destination = "messaging.destination.name";
    let operation = "messaging.operation.type";
    let handed = Some("handed_over mes.production of A @10");
    let taken = Some("taken_over mes.production of A @10");
    for (kind, key, queue, operation_key, done, expected) in [
        (PRODUCER, destination, "mes.production", operation, "", handed),
        (CONSUMER, destination, "mes.production", operation, "", taken),
        (PRODUCER, "messaging.destination", "mes.production", operation, "", handed),
        (CLIENT, destination, "mes.production", operation, "send", handed),
        (CLIENT, destination, "mes.production", operation, "publish", handed),
        (CLIENT, destination, "mes.production", operation, "create", handed),
        (CLIENT, destination, "mes.production", "messaging.operation", "Publish", handed),
        (CLIENT, destination, "mes.production", operation, "receive", taken),
        (CLIENT, destination, "mes.production", operation, "process", taken),
        (CLIENT, destination, "mes.production", operation, "deliver", taken),
        (CLIENT, destination, "mes.production", operation, "settle", taken),
        // The kind says more than the operation.
        (CONSUMER, destination, "mes.production", operation, "publish", taken),
        (CLIENT, destination, "mes.production", operation, "", None),
        (CLIENT, destination, "mes.production", operation, "browse", None),
        (PRODUCER, destination, "elsewhere", operation, "send", None),
        (PRODUCER, "server.address", "mes.production", operation, "send", None),
    ] {
        let request = json!([{ "kind": kind,
            "with": { "order.id": "A", key: queue, operation_key: done } }]);
        let told = told(&spans(&Value::Null, &request).batch);
        let signal = told.iter().find(|line| line.contains("_over"));
        assert_eq!(signal.map(String::as_str), expected, "{request}");
    }
}

#[test]
fn a_message_that_could_not_be_sent_is_nowhere() {
    for (kind, code, expected) in [(4, 2, None), (4, 1, Some("handed")), (5, 2, Some("taken"))] {
        let with = json!({ "order.id": "A", "messaging.destination.name": "mes.production" });
        let request = json!([{ "kind": kind, "status": code, "with": with }]);
        let told = told(&spans(&Value::Null, &request).batch);
        let signal = told.iter().find_map(|line| line.split_once("_over").map(|(doing, _)| doing));
        assert_eq!(signal, expected, "{request}");
    }
}

#[test]
fn a_hand_over_is_of_every_order_named_and_else_of_the_carrier() {
    let queue = "calc.requests";
    let request = json!([{ "kind": 4, "with": { "messaging.destination.name": queue,
        "messaging.operation.type": "send", "order.id": ["A", "B"] } }]);
    check_spans(
        &Value::Null,
        &request,
        &[
            "handed_over calc.requests of A @10",
            "handed_over calc.requests of B @10",
            "price_requested  of A @10",
            "price_requested  of B @10",
            "1/1 names A 10-20",
            "1/ names A 10-20",
            "1/1 names B 10-20",
            "1/ names B 10-20",
        ],
    );
    let request = json!([{ "kind": 5, "with": { "messaging.destination.name": queue,
        "messaging.message.id": "m-1" } }]);
    let mapped = spans(&Value::Null, &request);
    let expected = ["taken_over calc.requests of message:M1 @10", "1/1 meets message:M1/"];
    assert_eq!(told(&mapped.batch), expected);
    let evidence: Vec<_> = mapped.batch.order_events[0]
        .evidence
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(evidence, ["form=span", "name=work", "queue=calc.requests", "message_id=m-1"]);
}
