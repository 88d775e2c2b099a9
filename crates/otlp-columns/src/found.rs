//! What one attribute set says of orders, by the keys of the lifecycle.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use order_model::order_id::{ORDER_ID_BYTES_MAX, search_key};
use order_model::{Lifecycle, OrderId, keys};

use crate::limits::Limits;
use crate::redact::{Redaction, Verdict};
use crate::text;

/// Bytes of a stage, kind, channel or another short text; longer ones are no such text.
const WORD_BYTES_MAX: usize = 200;
/// Bytes of an error text kept as evidence; longer ones are cut.
const EVIDENCE_BYTES_MAX: usize = 1_000;
/// Bytes of a text read for its evidence, so that nothing to redact is cut in half.
const EVIDENCE_READ_BYTES_MAX: usize = 4_000;

/// Keys of the conventions: evidence beside a signal, and what a span or log record is.
const STANDARD_KEYS: &[(&str, Role)] = &[
    (keys::SERVICE_NAME, Role::Service),
    ("host.name", Role::Host),
    ("service.instance.id", Role::Worker),
    ("messaging.destination.name", Role::Queue),
    ("messaging.destination", Role::Queue),
    ("messaging.operation.type", Role::Operation),
    ("messaging.operation", Role::Operation),
    ("event.name", Role::EventName),
];

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    OrderId,
    Stage,
    Kind,
    Channel,
    Model,
    PartnerNumber,
    Partner,
    MessageId,
    Attempt,
    Error,
    Service,
    Host,
    Worker,
    Queue,
    Operation,
    EventName,
    RuleCondition,
}

const ROLES: usize = Role::RuleCondition as usize;

/// The keys by which facts are found.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    /// Role and rank of the spelling: the lowest rank that has a value wins.
    roles: HashMap<String, Vec<(Role, usize)>>,
    /// Lengths of keys, as bits: most attributes are told apart without hashing them.
    lengths: u128,
    order_ids_max: usize,
}

/// What one attribute set says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) order_ids: Vec<String>,
    pub(crate) refused_order_ids: u64,
    pub(crate) stage: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) has_model: bool,
    /// The partner's own number of the order: at most one in a set as it was sent.
    pub(crate) numbers: Vec<String>,
    /// The partner, in the form of the search box.
    pub(crate) partner_key: Option<String>,
    pub(crate) message_id: Option<String>,
    /// The message's id in the form of the search box; empty when there is none fit for it.
    pub(crate) message_key: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) error: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) worker: Option<String>,
    pub(crate) queue: Option<String>,
    /// What is done with a message, in lower case.
    pub(crate) operation: Option<String>,
    /// Name of the event that a log record is, by the older convention.
    pub(crate) event_name: Option<String>,
    /// Attributes that a rule asks for, with their values as text.
    pub(crate) conditions: Vec<(String, String)>,
}

impl KeyIndex {
    /// The keys of a lifecycle. A key whose value must not be stored is not read either.
    pub(crate) fn new(lifecycle: &Lifecycle, redaction: &Redaction, limits: &Limits) -> Self {
        let mut index =
            Self { roles: HashMap::new(), lengths: 0, order_ids_max: limits.order_ids_max };
        let spelled = &lifecycle.keys;
        for (role, list) in [
            (Role::OrderId, &spelled.order_id),
            (Role::Stage, &spelled.stage),
            (Role::Kind, &spelled.kind),
            (Role::Channel, &spelled.channel),
            (Role::Model, &spelled.model),
            (Role::PartnerNumber, &spelled.partner_number),
            (Role::Partner, &spelled.partner),
            (Role::MessageId, &spelled.message_id),
            (Role::Attempt, &spelled.attempt),
            (Role::Error, &spelled.error),
        ] {
            for (rank, key) in list.iter().enumerate() {
                index.add(key, role, rank, redaction);
            }
        }
        for (rank, (key, role)) in STANDARD_KEYS.iter().enumerate() {
            index.add(key, *role, rank, redaction);
        }
        for key in lifecycle.rules.iter().flat_map(|rule| rule.attributes.keys()) {
            index.add(key, Role::RuleCondition, 0, redaction);
        }
        index
    }

    fn add(&mut self, key: &str, role: Role, rank: usize, redaction: &Redaction) {
        if redaction.verdict(key) == Verdict::Remove {
            return;
        }
        let roles = self.roles.entry(key.to_owned()).or_default();
        if !roles.iter().any(|(known, _)| *known == role) {
            roles.push((role, rank));
        }
        self.lengths |= length_bit(key);
    }

    /// Reads one attribute set; the first of two equal keys counts.
    pub(crate) fn read(&self, pairs: &[KeyValue]) -> Found {
        let mut slots: [Option<(usize, &Value)>; ROLES] = [None; ROLES];
        let mut found = Found::default();
        for pair in pairs {
            if self.lengths & length_bit(&pair.key) == 0 {
                continue;
            }
            let Some(roles) = self.roles.get(&pair.key) else { continue };
            let Some(value) = pair.value.as_ref().and_then(|any| any.value.as_ref()) else {
                continue;
            };
            if !says_something(value) {
                continue;
            }
            for &(role, rank) in roles {
                if role == Role::RuleCondition {
                    if let Some(text) = scalar(value) {
                        found.conditions.push((pair.key.clone(), text));
                    }
                    continue;
                }
                let slot = &mut slots[role as usize];
                if slot.is_none_or(|(best, _)| rank < best) {
                    *slot = Some((rank, value));
                }
            }
        }
        self.fill(&mut found, &slots);
        found
    }

    fn fill(&self, found: &mut Found, slots: &[Option<(usize, &Value)>; ROLES]) {
        let value = |role: Role| slots[role as usize].map(|(_, value)| value);
        let word = |role| value(role).and_then(scalar).filter(|text| is_word(text));
        if let Some(value) = value(Role::OrderId) {
            self.read_order_ids(value, found);
        }
        found.stage = word(Role::Stage).map(|text| text.trim().to_owned());
        found.kind = word(Role::Kind).map(|text| text.trim().to_lowercase());
        found.channel = word(Role::Channel).map(|text| text.trim().to_lowercase());
        found.has_model = value(Role::Model).is_some();
        if let Some(value) = value(Role::PartnerNumber) {
            read_number(value, found);
        }
        found.partner_key = word(Role::Partner).map(|text| search_key(&text));
        found.partner_key = found.partner_key.take().filter(|key| !key.is_empty());
        found.message_id = word(Role::MessageId);
        if let Some(id) = &found.message_id {
            let key = search_key(id);
            found.message_key = if key.len() > ORDER_ID_BYTES_MAX { String::new() } else { key };
        }
        found.attempt = word(Role::Attempt).and_then(|text| text.trim().parse().ok());
        found.error = value(Role::Error).and_then(scalar);
        found.service = value(Role::Service).and_then(scalar);
        found.host = word(Role::Host);
        found.worker = word(Role::Worker);
        found.queue = word(Role::Queue);
        found.operation = word(Role::Operation).map(|text| text.trim().to_lowercase());
        found.event_name = word(Role::EventName);
    }

    fn read_order_ids(&self, value: &Value, found: &mut Found) {
        let several = match value {
            Value::ArrayValue(list) => &*list.values,
            _ => &[],
        };
        let values = several.iter().filter_map(|any| any.value.as_ref());
        let single = (!matches!(value, Value::ArrayValue(_))).then_some(value);
        for value in values.chain(single) {
            let parsed = scalar(value).and_then(|text| OrderId::parse(&text).ok());
            match parsed {
                Some(id) if found.order_ids.len() < self.order_ids_max => {
                    let id = id.into_string();
                    if !found.order_ids.contains(&id) {
                        found.order_ids.push(id);
                    }
                }
                _ => found.refused_order_ids += 1,
            }
        }
    }
}

/// A partner's number may stand for its order, and so must be fit for an order id. A number of
/// no letter and no digit (`-`) is how systems write that there is none.
fn read_number(value: &Value, found: &mut Found) {
    let number = scalar(value).and_then(|text| OrderId::parse(&text).ok());
    match number.filter(|number| !search_key(number.as_str()).is_empty()) {
        Some(number) => found.numbers.push(number.into_string()),
        None => found.refused_order_ids += 1,
    }
}

/// A text fit for an evidence column: without persons and secrets, and short enough. The row of
/// the span or log record that says it counts the redaction.
pub(crate) fn evidence(key: &str, text: &str) -> String {
    if !matches!(key, "name" | "error") {
        return text[..text.floor_char_boundary(EVIDENCE_BYTES_MAX)].to_owned();
    }
    let read = &text[..text.floor_char_boundary(EVIDENCE_READ_BYTES_MAX)];
    let mended = crate::redact::mended_name(read);
    let text = mended.as_deref().unwrap_or(read);
    text[..text.floor_char_boundary(EVIDENCE_BYTES_MAX)].to_owned()
}

fn length_bit(key: &str) -> u128 {
    1 << key.len().min(127)
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::StringValue(text) => !text.trim().is_empty(),
        Value::ArrayValue(list) => !list.values.is_empty(),
        Value::KvlistValue(list) => !list.values.is_empty(),
        Value::BytesValue(bytes) => !bytes.is_empty(),
        Value::StringValueStrindex(_) => false,
        Value::BoolValue(_) | Value::IntValue(_) | Value::DoubleValue(_) => true,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(value) => Some(value.to_string()),
        Value::IntValue(value) => Some(value.to_string()),
        Value::DoubleValue(value) => Some(text::double(*value)),
        _ => None,
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= WORD_BYTES_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn text(value: &str) -> Value {
        Value::StringValue(value.to_owned())
    }

    fn read(pairs: Vec<(&str, Value)>) -> Found {
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
        index.read(&pairs)
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
}
