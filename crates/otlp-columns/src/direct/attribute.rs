//! One attribute as it stands in the body.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

use super::fields::{Fields, Odd, fixed64, sized, varint};
use super::keys::Decision;
use super::memo::{Sought, Written};
use super::reading::Reading;
use crate::found::{KeyRoles, Telling};
use crate::redact::Verdict;
use crate::value::ValueView;
use crate::wire;

/// Levels of arrays and maps that are decoded here; deeper ones are left to the other path, which
/// knows how deep is too deep.
const DEPTH_MAX: usize = 48;

/// An attribute.
#[derive(Debug)]
pub(super) enum Attribute<'a> {
    Parsed(Parsed<'a>),
    /// It means nothing to the rules, and its entry of a map column was written before.
    Written(Written),
}

/// An attribute, and what its key decides.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    /// UTF-8.
    pub(super) key: &'a [u8],
    pub(super) decision: Decision,
    pub(super) value: Content<'a>,
}

/// A value.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Nothing,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// An array or a map: the only values that are decoded to objects.
    Tree(Box<Value>),
    Index,
}

impl<'a> Attribute<'a> {
    /// Reads a `KeyValue`.
    pub(super) fn read(message: &'a [u8], reading: &mut Reading<'_>) -> Result<Self, Odd> {
        let hash = match reading.seek(message) {
            Sought::Known(written) => {
                reading.weigh(written.counts.weight)?;
                return Ok(Self::Written(written));
            }
            Sought::Again(hash) => Some(hash),
            Sought::New => None,
        };
        let before = reading.weight();
        let parsed = Parsed::read(message, reading)?;
        let weight = reading.weight() - before;
        let tells = parsed.decision.roles != KeyRoles::NONE;
        let written = hash
            .filter(|_| !tells && parsed.decision.verdict != Verdict::Remove)
            .and_then(|hash| reading.keep((message, hash), &parsed, weight));
        Ok(written.map_or(Self::Parsed(parsed), Self::Written))
    }

    /// The attribute as the rules see it, if its key means something.
    pub(super) fn telling(&self) -> Option<Telling<'_>> {
        match self {
            Self::Parsed(parsed) => parsed.telling(),
            Self::Written(_) => None,
        }
    }
}

impl<'a> Parsed<'a> {
    fn read(message: &'a [u8], reading: &mut Reading<'_>) -> Result<Self, Odd> {
        reading.weigh(wire::KEY_VALUE.size)?;
        let mut fields = Fields::of(message);
        let mut key = None;
        let mut value = None;
        while let Some(field) = fields.next_key()? {
            match field {
                // Two values would be one, merged; the first of two keys need not be UTF-8.
                KEY if key.is_some() => return Err(Odd),
                VALUE if value.is_some() => return Err(Odd),
                KEY => {
                    let bytes = fields.sized()?;
                    reading.weigh_text(bytes)?;
                    key = Some(bytes);
                }
                VALUE => value = Some(Content::read(fields.sized()?, reading)?),
                KEY_INDEX => fields.pass_varint()?,
                _ => reading.skip(&mut fields, field, 3)?,
            }
        }
        let key = key.unwrap_or_default();
        let decision = reading.decide(key)?;
        Ok(Self { key, decision, value: value.unwrap_or(Content::Nothing) })
    }

    fn telling(&self) -> Option<Telling<'_>> {
        let roles = self.decision.roles;
        if roles == KeyRoles::NONE {
            return None;
        }
        Some(Telling { key: self.key_text(), roles, value: self.value.view()? })
    }

    /// The key, which was checked to be UTF-8 when it was judged.
    pub(super) fn key_text(&self) -> &'a str {
        std::str::from_utf8(self.key).unwrap_or_default()
    }
}

const KEY: u32 = sized(1);
const VALUE: u32 = sized(2);
const KEY_INDEX: u32 = varint(3);

const TEXT: u32 = sized(1);
const BOOL: u32 = varint(2);
const INT: u32 = varint(3);
const DOUBLE: u32 = fixed64(4);
const ARRAY: u32 = sized(5);
const MAP: u32 = sized(6);
const BYTES: u32 = sized(7);
const TEXT_INDEX: u32 = varint(8);

impl<'a> Content<'a> {
    /// Reads an `AnyValue`; of several values the last counts.
    fn read(message: &'a [u8], reading: &mut Reading<'_>) -> Result<Self, Odd> {
        let weight = reading.weight();
        reading.weigh(wire::ANY_VALUE.size)?;
        let mut fields = Fields::of(message);
        let mut content = Self::Nothing;
        while let Some(field) = fields.next_key()? {
            content = match field {
                TEXT => Self::Text(reading.text(fields.sized()?)?),
                BOOL => Self::Bool(fields.varint()? != 0),
                INT => Self::Int(fields.varint()?.cast_signed()),
                DOUBLE => Self::Double(f64::from_bits(fields.fixed64()?)),
                BYTES => Self::Bytes(reading.bytes(fields.sized()?)?),
                TEXT_INDEX => {
                    fields.varint()?;
                    Self::Index
                }
                ARRAY | MAP => {
                    reading.set_weight(weight);
                    return Self::read_tree(message, reading);
                }
                _ => {
                    reading.skip(&mut fields, field, 8)?;
                    continue;
                }
            };
        }
        Ok(content)
    }

    /// Decodes an `AnyValue` that holds an array or a map.
    #[cold]
    fn read_tree(message: &'a [u8], reading: &mut Reading<'_>) -> Result<Self, Odd> {
        let weight = wire::weigh(&wire::ANY_VALUE, message).map_err(|_| Odd)?;
        if weight.broken_strings > 0 || weight.depth > DEPTH_MAX {
            return Err(Odd);
        }
        reading.weigh(weight.structures_bytes)?;
        let any = AnyValue::decode(message).map_err(|_| Odd)?;
        Ok(match any.value {
            None => Self::Nothing,
            Some(tree @ (Value::ArrayValue(_) | Value::KvlistValue(_))) => {
                Self::Tree(Box::new(tree))
            }
            // An array or map that is followed by another value, which replaces it.
            Some(_) => return Err(Odd),
        })
    }

    /// The value as the rules see it, if there is one.
    fn view(&self) -> Option<ValueView<'_>> {
        Some(match self {
            Self::Nothing => return None,
            Self::Text(text) => ValueView::Text(text),
            Self::Bool(value) => ValueView::Bool(*value),
            Self::Int(value) => ValueView::Int(*value),
            Self::Double(value) => ValueView::Double(*value),
            Self::Bytes(bytes) => ValueView::Bytes(bytes),
            Self::Tree(tree) => ValueView::Tree(tree),
            Self::Index => ValueView::Index,
        })
    }
}
