//! Reading of attribute sets, by cases.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};

use super::*;

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

fn read(pairs: Vec<(&str, Value)>) -> Found<'static> {
    let redaction = Redaction::with(&["order.partner.*".into()]).unwrap();
    let index = KeyIndex::new(&Lifecycle::default(), &redaction, &Limits::default());
    let pairs: Vec<KeyValue> = pairs
        .into_iter()
        .map(|(key, value)| KeyValue {
            key: key.to_owned(),
            value: Some(any(value)),
            ..KeyValue::default()
        })
        .collect();
    // The test ends before this is missed.
    index.read(pairs.leak())
}

#[test]
fn the_first_spelling_that_has_a_value_wins() {
    for (pairs, expected) in [
        (vec![("orderId", text("B")), ("order.id", text("A"))], vec!["A"]),
        (vec![("order.id", text(" ")), ("orderId", text("B"))], vec!["B"]),
        (vec![("order.id", Value::IntValue(42))], vec!["42"]),
        (vec![("order.id", text("A")), ("order.id", text("B"))], vec!["A"]),
        (vec![("Order.Id", text("A"))], vec![]),
    ] {
        assert_eq!(read(pairs.clone()).order_ids, expected, "{pairs:?}");
    }
}

#[test]
fn an_array_names_several_orders_and_refused_ids_are_counted() {
    let values = vec![any(text("A")), any(Value::IntValue(2)), any(text("")), any(text("A"))];
    let found = read(vec![("order.id", Value::ArrayValue(ArrayValue { values }))]);
    assert_eq!(found.order_ids, ["A", "2"]);
    assert_eq!(found.refused_order_ids, 1);
    assert_eq!(read(vec![("order.id", text(&"x".repeat(201)))]).refused_order_ids, 1);
}

#[test]
fn a_key_that_must_not_be_stored_is_not_read() {
    let found = read(vec![
        ("order.partner.number", text("secret")),
        ("calc.attempt", text("2")),
        ("order.kind", text("Ready_Made")),
    ]);
    assert_eq!(found.numbers, [""; 0]);
    assert_eq!((found.attempt, found.kind.as_deref()), (Some(2), Some("ready_made")));
}
