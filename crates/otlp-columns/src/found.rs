//! What one attribute set says of orders, by the keys of the lifecycle.

use std::borrow::Cow;
use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use order_model::order_id::{ORDER_ID_BYTES_MAX, search_key};
use order_model::{Lifecycle, OrderId, keys};

use crate::limits::Limits;
use crate::redact::{Redaction, Verdict};
use crate::text;
use crate::value::{ValueView, value_of};

/// Bytes of a stage, kind, channel or another short text; longer ones are no such text.
const WORD_BYTES_MAX: usize = 200;
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

/// The keys whose values tell orders, stages, messages and hosts apart, and so must stay byte for
/// byte.
pub(crate) fn identifying_keys(lifecycle: &Lifecycle) -> impl Iterator<Item = &str> {
    let spelled = &lifecycle.keys;
    let lists = [
        &spelled.order_id,
        &spelled.stage,
        &spelled.kind,
        &spelled.channel,
        &spelled.partner_number,
        &spelled.partner,
        &spelled.message_id,
        &spelled.attempt,
    ];
    let standard = STANDARD_KEYS.iter().map(|(key, _)| *key);
    lists.into_iter().flatten().map(String::as_str).chain(standard)
}

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
    /// Where in `roles` a key's stand.
    keys: HashMap<String, KeyRoles>,
    /// Roles of a key, each with the rank of the spelling: the lowest that has a value wins.
    roles: Vec<Vec<(Role, usize)>>,
    /// Lengths of keys, as bits: most attributes are told apart without hashing them.
    lengths: u128,
    order_ids_max: usize,
}

/// What a key means, looked up once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRoles(u16);

impl KeyRoles {
    /// The key means nothing.
    pub(crate) const NONE: Self = Self(u16::MAX);
}

/// An attribute whose key means something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling<'a> {
    pub(crate) key: &'a str,
    pub(crate) roles: KeyRoles,
    pub(crate) value: ValueView<'a>,
}

/// What one attribute set says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) order_ids: Vec<Cow<'a, str>>,
    pub(crate) refused_order_ids: u64,
    pub(crate) stage: Option<Cow<'a, str>>,
    pub(crate) kind: Option<Cow<'a, str>>,
    pub(crate) channel: Option<Cow<'a, str>>,
    pub(crate) has_model: bool,
    /// The partner's own number of the order: at most one in a set as it was sent.
    pub(crate) numbers: Vec<Cow<'a, str>>,
    /// The partner, in the form of the search box.
    pub(crate) partner_key: Option<String>,
    pub(crate) message_id: Option<Cow<'a, str>>,
    /// The message's id in the form of the search box; empty when there is none fit for it.
    pub(crate) message_key: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) error: Option<Cow<'a, str>>,
    pub(crate) service: Option<Cow<'a, str>>,
    pub(crate) host: Option<Cow<'a, str>>,
    pub(crate) worker: Option<Cow<'a, str>>,
    pub(crate) queue: Option<Cow<'a, str>>,
    /// What is done with a message, in lower case.
    pub(crate) operation: Option<Cow<'a, str>>,
    /// Name of the event that a log record is, by the older convention.
    pub(crate) event_name: Option<Cow<'a, str>>,
    /// Attributes that a rule asks for, with their values as text.
    pub(crate) conditions: Conditions<'a>,
}

/// Keys with their values as text.
type Conditions<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// For each role the best spelling's rank and value.
type Slots<'a> = [Option<(usize, ValueView<'a>)>; ROLES];

impl KeyIndex {
    /// The keys of a lifecycle. A key whose value must not be stored is not read either.
    pub(crate) fn new(lifecycle: &Lifecycle, redaction: &Redaction, limits: &Limits) -> Self {
        let mut index = Self {
            keys: HashMap::new(),
            roles: Vec::new(),
            lengths: 0,
            order_ids_max: limits.order_ids_max,
        };
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
        let known = self.roles_of(key);
        let at = match self.roles.get(usize::from(known.0)) {
            Some(_) => known,
            None => {
                // A lifecycle of more keys than that could not be written by hand.
                let at = u16::try_from(self.roles.len()).map_or(KeyRoles::NONE, KeyRoles);
                if at == KeyRoles::NONE {
                    return;
                }
                self.roles.push(Vec::new());
                self.keys.insert(key.to_owned(), at);
                at
            }
        };
        let roles = &mut self.roles[usize::from(at.0)];
        if !roles.iter().any(|(known, _)| *known == role) {
            roles.push((role, rank));
        }
        self.lengths |= length_bit(key);
    }

    /// What a key means.
    pub(crate) fn roles_of(&self, key: &str) -> KeyRoles {
        if self.lengths & length_bit(key) == 0 {
            return KeyRoles::NONE;
        }
        self.keys.get(key).copied().unwrap_or(KeyRoles::NONE)
    }

    /// Reads one attribute set; the first of two equal keys counts.
    pub(crate) fn read<'a>(&self, pairs: &'a [KeyValue]) -> Found<'a> {
        self.collect(pairs.iter().filter_map(|pair| {
            let roles = self.roles_of(&pair.key);
            if roles == KeyRoles::NONE {
                return None;
            }
            Some(Telling { key: &pair.key, roles, value: value_of(pair)? })
        }))
    }

    /// What the attributes of one set say whose keys mean something.
    pub(crate) fn collect<'a>(&self, attributes: impl Iterator<Item = Telling<'a>>) -> Found<'a> {
        let mut attributes = attributes.peekable();
        if attributes.peek().is_none() {
            return Found::default();
        }
        let mut conditions = Conditions::new();
        let mut slots: Slots<'a> = [None; ROLES];
        for Telling { key, roles, value } in attributes {
            if !says_something(value) {
                continue;
            }
            for &(role, rank) in self.roles.get(usize::from(roles.0)).into_iter().flatten() {
                if role == Role::RuleCondition {
                    if let Some(text) = scalar(value) {
                        conditions.push((key, text));
                    }
                    continue;
                }
                let slot = &mut slots[role as usize];
                if slot.is_none_or(|(best, _)| rank < best) {
                    *slot = Some((rank, value));
                }
            }
        }
        self.fill(conditions, &slots)
    }

    fn fill<'a>(&self, conditions: Conditions<'a>, slots: &Slots<'a>) -> Found<'a> {
        let value = |role: Role| slots[role as usize].map(|(_, value)| value);
        let word = |role| value(role).and_then(scalar).filter(|text| is_word(text));
        let message_id = word(Role::MessageId);
        let message_key = message_id.as_deref().map(search_key).unwrap_or_default();
        let mut found = Found {
            order_ids: Vec::new(),
            refused_order_ids: 0,
            stage: word(Role::Stage).map(trimmed),
            kind: word(Role::Kind).map(trimmed).map(lower),
            channel: word(Role::Channel).map(trimmed).map(lower),
            has_model: value(Role::Model).is_some(),
            numbers: Vec::new(),
            partner_key: word(Role::Partner)
                .map(|text| search_key(&text))
                .filter(|key| !key.is_empty()),
            message_id,
            message_key: Some(message_key)
                .filter(|key| key.len() <= ORDER_ID_BYTES_MAX)
                .unwrap_or_default(),
            attempt: word(Role::Attempt).and_then(|text| text.trim().parse().ok()),
            error: value(Role::Error).and_then(scalar),
            service: value(Role::Service).and_then(scalar),
            host: word(Role::Host),
            worker: word(Role::Worker),
            queue: word(Role::Queue),
            operation: word(Role::Operation).map(trimmed).map(lower),
            event_name: word(Role::EventName),
            conditions,
        };
        if let Some(value) = value(Role::OrderId) {
            self.read_order_ids(value, &mut found);
        }
        if let Some(value) = value(Role::PartnerNumber) {
            read_number(value, &mut found);
        }
        found
    }

    fn read_order_ids<'a>(&self, value: ValueView<'a>, found: &mut Found<'a>) {
        let several = match value {
            ValueView::Tree(Value::ArrayValue(list)) => Some(&*list.values),
            _ => None,
        };
        let values = several.unwrap_or_default().iter().filter_map(|any| any.value.as_ref());
        let single = several.is_none().then_some(value);
        for value in values.map(ValueView::from).chain(single) {
            match scalar(value).and_then(order_id) {
                Some(id) if found.order_ids.len() < self.order_ids_max => {
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
fn read_number<'a>(value: ValueView<'a>, found: &mut Found<'a>) {
    match scalar(value).and_then(order_id).filter(|number| !search_key(number).is_empty()) {
        Some(number) => found.numbers.push(number),
        None => found.refused_order_ids += 1,
    }
}

fn order_id(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match text {
        Cow::Borrowed(text) => OrderId::trimmed(text).ok().map(Cow::Borrowed),
        Cow::Owned(text) => OrderId::parse(&text).ok().map(|id| Cow::Owned(id.into_string())),
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower { text } else { Cow::Owned(text.to_lowercase()) }
}

fn length_bit(key: &str) -> u128 {
    1 << key.len().min(127)
}

fn says_something(value: ValueView<'_>) -> bool {
    match value {
        ValueView::Text(text) => !text.trim().is_empty(),
        ValueView::Tree(Value::ArrayValue(list)) => !list.values.is_empty(),
        ValueView::Tree(Value::KvlistValue(list)) => !list.values.is_empty(),
        ValueView::Bytes(bytes) => !bytes.is_empty(),
        ValueView::Tree(_) | ValueView::Index => false,
        ValueView::Bool(_) | ValueView::Int(_) | ValueView::Double(_) => true,
    }
}

fn scalar(value: ValueView<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueView::Text(text) => Some(Cow::Borrowed(text)),
        ValueView::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
        ValueView::Int(value) => Some(Cow::Owned(value.to_string())),
        ValueView::Double(value) => Some(Cow::Owned(text::double(value))),
        ValueView::Bytes(_) | ValueView::Tree(_) | ValueView::Index => None,
    }
}

fn is_word(text: &str) -> bool {
    let is_plain = || text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    text.len() <= WORD_BYTES_MAX && (is_plain() || !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests;
