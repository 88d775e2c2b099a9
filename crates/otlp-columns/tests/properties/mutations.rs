//! Bodies that protobuf allows and no sender writes, and bodies that it does not allow: fields in
//! another order, twice, unknown, of another wire type, messages in two halves, torn and flipped
//! bytes.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// A message type of OTLP traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    ResourceSpans,
    Resource,
    EntityRef,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    Array,
    Map,
}

impl Kind {
    /// The type of the message that a field holds.
    fn of_field(self, tag: u64) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::Resource, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Span, 9)
            | (Self::Link, 4)
            | (Self::Map, 1) => Self::KeyValue,
            (Self::Resource, 3) => Self::EntityRef,
            (Self::ScopeSpans, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Span, 15) => Self::Status,
            (Self::KeyValue, 2) | (Self::Array, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::Array,
            (Self::AnyValue, 6) => Self::Map,
            _ => return None,
        })
    }
}

/// A field, its messages taken apart.
#[derive(Debug, Clone)]
struct Field {
    key: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// A number as it is written, or bytes of a fixed length.
    Plain(Vec<u8>),
    Sized(Vec<u8>),
    Message(Kind, Vec<Field>),
}

/// The body of a traces request, changed in some ways.
pub(crate) fn mutated(body: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = Vec::new();
    match parse(Kind::Request, body) {
        Some(mut fields) => {
            for _ in 0..rng.random_range(0..4) {
                mutate(Kind::Request, &mut fields, rng);
            }
            fields.iter().for_each(|field| write(field, &mut out));
        }
        None => out.extend_from_slice(body),
    }
    if rng.random_bool(0.1) {
        // Two requests behind each other are one, merged.
        out.extend_from_within(..);
    }
    if rng.random_bool(0.3) {
        damage(&mut out, rng);
    }
    out
}

/// Changes bytes without regard to what they mean.
fn damage(body: &mut Vec<u8>, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..4) {
        if body.is_empty() {
            return;
        }
        let at = rng.random_range(0..body.len());
        match rng.random_range(0..5) {
            0 => body[at] ^= 1 << rng.random_range(0..8),
            1 => body[at] = rng.random(),
            2 => body.truncate(at),
            3 => body.insert(at, rng.random()),
            _ => drop(body.remove(at)),
        }
    }
}

/// Changes one message, found by going down at random.
fn mutate(kind: Kind, fields: &mut Vec<Field>, rng: &mut StdRng) {
    let messages = fields.iter_mut().filter_map(|field| match &mut field.content {
        Content::Message(kind, fields) => Some((*kind, fields)),
        _ => None,
    });
    let mut messages: Vec<_> = messages.collect();
    if !messages.is_empty() && rng.random_bool(0.75) {
        let at = rng.random_range(0..messages.len());
        let (kind, fields) = &mut messages[at];
        return mutate(*kind, fields, rng);
    }
    match rng.random_range(0..8) {
        0 => fields.shuffle(rng),
        1 => {
            let at = rng.random_range(0..=fields.len());
            fields.insert(at, unknown(rng));
        }
        2 => split(fields, rng),
        3 if !fields.is_empty() => {
            let from = rng.random_range(0..fields.len());
            let to = rng.random_range(0..=fields.len());
            fields.insert(to, fields[from].clone());
        }
        4 if !fields.is_empty() => {
            let at = rng.random_range(0..fields.len());
            fields.remove(at);
        }
        5 if !fields.is_empty() => {
            let at = rng.random_range(0..fields.len());
            change(&mut fields[at], rng);
        }
        6 if kind == Kind::Resource => fields.push(entity(rng)),
        _ => {
            let mut deep = vec![0x0a, 0x01, b'x'];
            for _ in 0..rng.random_range(1..60) {
                deep = sized(5, &sized(1, &deep));
            }
            let value = Field { key: 2 << 3 | 2, content: Content::Sized(deep) };
            fields.push(value);
        }
    }
}

/// A message in two halves, which are merged where the field is not repeated.
fn split(fields: &mut Vec<Field>, rng: &mut StdRng) {
    let is_message = |field: &Field| matches!(field.content, Content::Message(..));
    let Some(at) = fields.iter().position(is_message) else { return };
    let key = fields[at].key;
    let Content::Message(kind, first) = &mut fields[at].content else { return };
    let second = first.split_off(rng.random_range(0..=first.len()));
    let half = Field { key, content: Content::Message(*kind, second) };
    let to = rng.random_range(0..=fields.len());
    fields.insert(to, half);
}

/// A field that OTLP does not have, or one that it has with whatever in it.
fn unknown(rng: &mut StdRng) -> Field {
    let tag = match rng.random_range(0..4) {
        0 => rng.random_range(1..20),
        1 => rng.random_range(0..1 << 30),
        _ => rng.random_range(17..40),
    };
    let wire_types = if rng.random_bool(0.1) { 8 } else { 3 };
    let wire_type = rng.random_range(0..wire_types);
    let content = match wire_type {
        0 => {
            let mut number = Vec::new();
            prost::encoding::encode_varint(rng.random(), &mut number);
            Content::Plain(number)
        }
        1 => Content::Plain(rng.random::<[u8; 8]>().to_vec()),
        2 => {
            let mut bytes = vec![0; rng.random_range(0..9)];
            rng.fill_bytes(&mut bytes);
            Content::Sized(bytes)
        }
        5 => Content::Plain(rng.random::<[u8; 4]>().to_vec()),
        _ => Content::Plain(Vec::new()),
    };
    Field { key: tag << 3 | wire_type, content }
}

/// Another number, text, or wire type.
fn change(field: &mut Field, rng: &mut StdRng) {
    if rng.random_bool(0.2) {
        field.key = field.key & !7 | rng.random_range(0..6);
        return;
    }
    match &mut field.content {
        Content::Plain(bytes) | Content::Sized(bytes) => {
            if let Some(byte) = bytes.last_mut() {
                *byte = rng.random();
            } else {
                bytes.push(rng.random());
            }
        }
        Content::Message(_, fields) => fields.clear(),
    }
}

/// An entity of a resource, sometimes broken.
fn entity(rng: &mut StdRng) -> Field {
    let mut entity = sized(2, b"service");
    entity.extend(sized(3, b"service.name"));
    if rng.random_bool(0.3) {
        entity.extend(sized(4, b"\xff"));
    }
    if rng.random_bool(0.2) {
        entity.extend([1 << 3, 7]);
    }
    Field { key: 3 << 3 | 2, content: Content::Sized(entity) }
}

fn sized(tag: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&Field { key: tag << 3 | 2, content: Content::Sized(payload.to_vec()) }, &mut out);
    out
}

fn write(field: &Field, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(field.key, out);
    let payload = match &field.content {
        Content::Plain(bytes) => return out.extend_from_slice(bytes),
        Content::Sized(bytes) => bytes.clone(),
        Content::Message(_, fields) => {
            let mut payload = Vec::new();
            fields.iter().for_each(|field| write(field, &mut payload));
            payload
        }
    };
    prost::encoding::encode_varint(payload.len() as u64, out);
    out.extend_from_slice(&payload);
}

fn parse(kind: Kind, mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = prost::encoding::decode_varint(&mut bytes).ok()?;
        let plain = |bytes: &mut &[u8], length: usize| {
            let (content, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Some(Content::Plain(content.to_vec()))
        };
        let content = match key & 7 {
            0 => {
                let length = bytes.iter().position(|byte| *byte < 0x80)? + 1;
                plain(&mut bytes, length)?
            }
            1 => plain(&mut bytes, 8)?,
            2 => {
                let length = prost::encoding::decode_varint(&mut bytes).ok()?;
                let (payload, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
                bytes = rest;
                match kind.of_field(key >> 3) {
                    Some(inner) => Content::Message(inner, parse(inner, payload)?),
                    None => Content::Sized(payload.to_vec()),
                }
            }
            5 => plain(&mut bytes, 4)?,
            _ => return None,
        };
        fields.push(Field { key, content });
    }
    Some(fields)
}
