//! What the spans of one resource, and of one scope, share.

use opentelemetry_proto::tonic::common::v1::EntityRef;
use prost::Message;

use super::attribute::Attribute;
use super::fields::{Fields, Odd, sized, varint};
use super::reading::Reading;
use crate::wire;

/// A group of spans of one resource.
#[derive(Debug, Default)]
pub(super) struct GroupParts<'a> {
    pub(super) resource: Vec<Attribute<'a>>,
    pub(super) schema_url: &'a str,
    /// Its `ScopeSpans`: weighed, and not read yet.
    pub(super) scopes: Vec<&'a [u8]>,
}

/// A group of spans of one scope.
#[derive(Debug, Default)]
pub(super) struct ScopeParts<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
    /// Its `Span`s: weighed, and not read yet.
    pub(super) spans: Vec<&'a [u8]>,
}

impl<'a> GroupParts<'a> {
    /// Reads a `ResourceSpans`.
    pub(super) fn read(message: &'a [u8], reading: &mut Reading<'_>) -> Result<Self, Odd> {
        reading.weigh(wire::RESOURCE_SPANS.size)?;
        let mut fields = Fields::of(message);
        let mut group = Self::default();
        let mut has_resource = false;
        while let Some(field) = fields.next_key()? {
            match field {
                // Two of them would be one, merged.
                RESOURCE if has_resource => return Err(Odd),
                RESOURCE => {
                    has_resource = true;
                    group.read_resource(fields.sized()?, reading)?;
                }
                SCOPE_SPANS => {
                    reading.weigh(wire::SCOPE_SPANS.size)?;
                    group.scopes.push(fields.sized()?);
                }
                SCHEMA_URL => group.schema_url = reading.text(fields.sized()?)?,
                _ => reading.skip(&mut fields, field, 3)?,
            }
        }
        Ok(group)
    }

    fn read_resource(&mut self, message: &'a [u8], reading: &mut Reading<'_>) -> Result<(), Odd> {
        reading.weigh(wire::RESOURCE.size)?;
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next_key()? {
            match field {
                RESOURCE_ATTRIBUTE => {
                    self.resource.push(Attribute::read(fields.sized()?, reading)?);
                }
                RESOURCE_DROPPED => fields.pass_varint()?,
                ENTITY_REF => check_entity(fields.sized()?, reading)?,
                _ => reading.skip(&mut fields, field, 3)?,
            }
        }
        Ok(())
    }
}

/// Entities are not stored; they must be well-formed all the same.
fn check_entity(message: &[u8], reading: &mut Reading<'_>) -> Result<(), Odd> {
    let weight = wire::weigh(&wire::ENTITY_REF, message).map_err(|_| Odd)?;
    reading.weigh(weight.structures_bytes)?;
    let is_whole = weight.broken_strings == 0 && EntityRef::decode(message).is_ok();
    if is_whole { Ok(()) } else { Err(Odd) }
}

impl<'a> ScopeParts<'a> {
    /// Reads a `ScopeSpans`, which is weighed already.
    pub(super) fn read(message: &'a [u8], reading: &mut Reading<'_>) -> Result<Self, Odd> {
        let mut fields = Fields::of(message);
        let mut parts = Self::default();
        let mut has_scope = false;
        while let Some(field) = fields.next_key()? {
            match field {
                // Two of them would be one, merged.
                SCOPE if has_scope => return Err(Odd),
                SCOPE => {
                    has_scope = true;
                    parts.read_scope(fields.sized()?, reading)?;
                }
                SPAN => {
                    reading.weigh(wire::SPAN.size)?;
                    parts.spans.push(fields.sized()?);
                }
                SCHEMA_URL => reading.pass_text(fields.sized()?)?,
                _ => reading.skip(&mut fields, field, 3)?,
            }
        }
        Ok(parts)
    }

    fn read_scope(&mut self, message: &'a [u8], reading: &mut Reading<'_>) -> Result<(), Odd> {
        reading.weigh(wire::SCOPE.size)?;
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next_key()? {
            match field {
                SCOPE_NAME => self.name = reading.text(fields.sized()?)?,
                SCOPE_VERSION => self.version = reading.text(fields.sized()?)?,
                SCOPE_ATTRIBUTE => {
                    self.attributes.push(Attribute::read(fields.sized()?, reading)?);
                }
                SCOPE_DROPPED => fields.pass_varint()?,
                _ => reading.skip(&mut fields, field, 4)?,
            }
        }
        Ok(())
    }
}

const RESOURCE: u32 = sized(1);
const SCOPE_SPANS: u32 = sized(2);
const SCHEMA_URL: u32 = sized(3);

const RESOURCE_ATTRIBUTE: u32 = sized(1);
const RESOURCE_DROPPED: u32 = varint(2);
const ENTITY_REF: u32 = sized(3);

const SCOPE: u32 = sized(1);
const SPAN: u32 = sized(2);

const SCOPE_NAME: u32 = sized(1);
const SCOPE_VERSION: u32 = sized(2);
const SCOPE_ATTRIBUTE: u32 = sized(3);
const SCOPE_DROPPED: u32 = varint(4);
