//! A walk over the protobuf wire format before it is decoded.
//!
//! Two bytes on the wire can become a message of hundreds of bytes in memory, and one string that
//! is not UTF-8 makes the decoder refuse the whole request. The walk knows which fields of OTLP
//! are messages and which are strings: it weighs what decoding would take, and repairs strings.
//!
//! Wire format: <https://protobuf.dev/programming-guides/encoding/>.

mod messages;

pub(crate) use messages::{
    ANY_VALUE, ENTITY_REF, EVENT, KEY_VALUE, LINK, LOGS_REQUEST, METRICS_REQUEST, RESOURCE,
    RESOURCE_SPANS, SCOPE, SCOPE_SPANS, SPAN, STATUS, TRACE_REQUEST,
};

/// Deepest nesting of messages; the decoder (`prost`) has the same bound.
const DEPTH_MAX: usize = 100;
/// What a string or byte field takes in memory beyond its bytes.
pub(crate) const ALLOCATION_BYTES: usize = 16;
/// What a number of a list takes in memory at most, since lists double as they grow; on the wire
/// it may be one byte.
const NUMBER_BYTES: usize = 16;

/// A message type: what it takes in memory, and its fields that are text or messages.
pub(crate) struct Node {
    name: &'static str,
    pub(crate) size: usize,
    fields: &'static [(u64, Field)],
}

enum Field {
    Text,
    /// A list of numbers of variable length, packed or one by one.
    Varints,
    Message(&'static Node),
}

use Field::{Message, Text, Varints};

/// What a walk found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Estimated memory of the decoded messages.
    pub(crate) structures_bytes: usize,
    /// Strings that are not UTF-8.
    pub(crate) broken_strings: usize,
    /// Levels of messages within the first.
    pub(crate) depth: usize,
}

/// The bytes are not protobuf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the protobuf message ends inside a field of {0}")]
    Truncated(&'static str),
    #[error("the protobuf message has a field of an unknown wire type in {0}")]
    WireType(&'static str),
    #[error("the protobuf message is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// Weighs a message.
pub(crate) fn weigh(node: &'static Node, bytes: &[u8]) -> Result<Weight, Malformed> {
    let mut weight = Weight::default();
    weigh_into(node, bytes, 0, &mut weight)?;
    Ok(weight)
}

fn weigh_into(
    node: &'static Node,
    mut bytes: &[u8],
    depth: usize,
    weight: &mut Weight,
) -> Result<(), Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed::TooDeep);
    }
    weight.structures_bytes += node.size;
    weight.depth = weight.depth.max(depth);
    while !bytes.is_empty() {
        let Part { tag, payload, .. } = next_part(node, &mut bytes)?;
        match (node.field(tag), payload) {
            (Some(Message(inner)), Some(payload)) => {
                weigh_into(inner, payload, depth + 1, weight)?;
            }
            (Some(Text), Some(payload)) => {
                weight.structures_bytes += payload.len() + ALLOCATION_BYTES;
                weight.broken_strings += usize::from(std::str::from_utf8(payload).is_err());
            }
            (Some(Varints), packed) => {
                weight.structures_bytes += NUMBER_BYTES * packed.map_or(1, <[u8]>::len);
            }
            (None, Some(payload)) => weight.structures_bytes += payload.len(),
            (_, None) => {}
        }
    }
    Ok(())
}

/// The message with every string made UTF-8: broken bytes become U+FFFD.
pub(crate) fn repair(node: &'static Node, mut bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let part = next_part(node, &mut bytes)?;
        match (part.payload, node.field(part.tag)) {
            (Some(payload), Some(Message(inner))) => {
                let repaired = repair(inner, payload)?;
                put_field(&mut out, part.key, &repaired);
            }
            (Some(payload), Some(Text)) => {
                let repaired = String::from_utf8_lossy(payload);
                put_field(&mut out, part.key, repaired.as_bytes());
            }
            _ => out.extend_from_slice(part.whole),
        }
    }
    Ok(out)
}

fn put_field(out: &mut Vec<u8>, key: u64, payload: &[u8]) {
    prost::encoding::encode_varint(key, out);
    prost::encoding::encode_varint(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

impl Node {
    fn field(&self, tag: u64) -> Option<&'static Field> {
        self.fields.iter().find(|(number, _)| *number == tag).map(|(_, field)| field)
    }
}

/// One field on the wire.
struct Part<'a> {
    /// Field number and wire type, as written.
    key: u64,
    tag: u64,
    /// Contents of a length-delimited field.
    payload: Option<&'a [u8]>,
    /// The field with its key.
    whole: &'a [u8],
}

fn next_part<'a>(node: &Node, bytes: &mut &'a [u8]) -> Result<Part<'a>, Malformed> {
    let start = *bytes;
    let truncated = || Malformed::Truncated(node.name);
    let key = varint(bytes).ok_or_else(truncated)?;
    let mut payload = None;
    match key & 7 {
        0 => {
            varint(bytes).ok_or_else(truncated)?;
        }
        1 => *bytes = bytes.get(8..).ok_or_else(truncated)?,
        2 => {
            let length = varint(bytes).and_then(|n| usize::try_from(n).ok());
            let (inside, rest) =
                length.and_then(|n| bytes.split_at_checked(n)).ok_or_else(truncated)?;
            payload = Some(inside);
            *bytes = rest;
        }
        5 => *bytes = bytes.get(4..).ok_or_else(truncated)?,
        // Groups (3, 4) are not part of OTLP.
        _ => return Err(Malformed::WireType(node.name)),
    }
    let whole = &start[..start.len() - bytes.len()];
    Ok(Part { key, tag: key >> 3, payload, whole })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use opentelemetry_proto::tonic::common::v1 as common;
    use opentelemetry_proto::tonic::trace::v1 as trace;
    use prost::Message as _;

    use super::messages::{BUCKETS, KEY_VALUE};
    use super::*;

    #[test]
    fn empty_messages_weigh_what_they_take_in_memory() {
        // A scope with 10,000 empty spans: two bytes each on the wire.
        let spans = [0x12, 0x00].repeat(10_000);
        let mut scope = Vec::new();
        put_field(&mut scope, (2 << 3) | 2, &spans);
        let mut request = Vec::new();
        put_field(&mut request, (1 << 3) | 2, &scope);
        let weight = weigh(&TRACE_REQUEST, &request).unwrap();
        assert!(weight.structures_bytes > 10_000 * size_of::<trace::Span>());
    }

    #[test]
    fn lists_of_small_numbers_weigh_what_they_take_in_memory() {
        // Bucket counts of one byte each: packed, and each with its key.
        let mut packed = Vec::new();
        put_field(&mut packed, (2 << 3) | 2, &[1; 1_000]);
        let single = [2 << 3, 0x01].repeat(1_000);
        for bytes in [packed, single] {
            let weight = weigh(&BUCKETS, &bytes).unwrap().structures_bytes;
            assert_eq!(weight, 1_000 * NUMBER_BYTES);
        }
    }

    #[test]
    fn broken_strings_are_repaired_where_they_stand() {
        let key_value = [0x0a, 0x02, b'k', 0xff, 0x12, 0x03, 0x0a, 0x01, 0xfe];
        assert_eq!(weigh(&KEY_VALUE, &key_value).unwrap().broken_strings, 2);
        let repaired = repair(&KEY_VALUE, &key_value).unwrap();
        let decoded = common::KeyValue::decode(&*repaired).unwrap();
        assert_eq!(decoded.key, "k\u{fffd}");
        assert_eq!(weigh(&KEY_VALUE, &repaired).unwrap().broken_strings, 0);
    }

    #[test]
    fn torn_bytes_and_groups_are_malformed() {
        for (bytes, expected) in [
            (&[0x0a_u8, 0x05, 0x01][..], Malformed::Truncated("request")),
            (
                &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                Malformed::Truncated("request"),
            ),
            (&[0x0b], Malformed::WireType("request")),
        ] {
            assert_eq!(weigh(&TRACE_REQUEST, bytes).unwrap_err(), expected);
        }
    }
}
