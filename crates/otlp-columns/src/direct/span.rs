//! One span as it stands in the body.

use std::ops::Range;

use super::attribute::Attribute;
use super::fields::{Fields, Odd, fixed32, fixed64, sized, varint};
use super::reading::Reading;
use crate::found::{Found, Telling};
use crate::span_facts::{EventView, LinkView, SpanView, error_of};
use crate::wire;

/// A span. It is filled anew for each one, so that its lists are allocated once.
#[derive(Debug, Default)]
pub(super) struct SpanParts<'a> {
    pub(super) head: SpanHead<'a>,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) events: Vec<EventPart<'a>>,
    pub(super) links: Vec<LinkPart<'a>>,
    /// Attributes of events and links.
    inner: Vec<Attribute<'a>>,
}

/// What a span has once.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct SpanHead<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) parent_span_id: &'a [u8],
    pub(super) trace_state: &'a str,
    pub(super) name: &'a str,
    pub(super) kind: i32,
    pub(super) start_time_unix_nano: u64,
    pub(super) end_time_unix_nano: u64,
    pub(super) status: Option<StatusPart<'a>>,
}

/// The status of a span.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct StatusPart<'a> {
    pub(super) code: i32,
    pub(super) message: &'a str,
}

/// An event of a span.
#[derive(Debug, Default)]
pub(super) struct EventPart<'a> {
    pub(super) time_unix_nano: u64,
    pub(super) name: &'a str,
    attributes: Range<usize>,
}

/// A link of a span.
#[derive(Debug, Default)]
pub(super) struct LinkPart<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) trace_state: &'a str,
    attributes: Range<usize>,
}

impl<'a> SpanParts<'a> {
    /// Reads a `Span`, which is weighed already, in place of the one before.
    pub(super) fn read(&mut self, message: &'a [u8], reading: &mut Reading<'_>) -> Result<(), Odd> {
        self.attributes.clear();
        self.events.clear();
        self.links.clear();
        self.inner.clear();
        let mut fields = Fields::of(message);
        let mut head = SpanHead::default();
        while let Some(field) = fields.next_key()? {
            match field {
                SPAN_ATTRIBUTE => {
                    self.attributes.push(Attribute::read(fields.sized()?, reading)?);
                }
                TRACE_ID => head.trace_id = reading.bytes(fields.sized()?)?,
                SPAN_ID => head.span_id = reading.bytes(fields.sized()?)?,
                TRACE_STATE => head.trace_state = reading.text(fields.sized()?)?,
                PARENT_SPAN_ID => head.parent_span_id = reading.bytes(fields.sized()?)?,
                NAME => head.name = reading.text(fields.sized()?)?,
                KIND => head.kind = int32(fields.varint()?),
                START => head.start_time_unix_nano = fields.fixed64()?,
                END => head.end_time_unix_nano = fields.fixed64()?,
                EVENT => self.read_event(fields.sized()?, reading)?,
                LINK => self.read_link(fields.sized()?, reading)?,
                // Two of them would be one, merged.
                STATUS if head.status.is_some() => return Err(Odd),
                STATUS => head.status = Some(StatusPart::read(fields.sized()?, reading)?),
                DROPPED_ATTRIBUTES | DROPPED_EVENTS | DROPPED_LINKS => fields.pass_varint()?,
                FLAGS => fields.fixed32()?,
                _ => reading.skip(&mut fields, field, 16)?,
            }
        }
        self.head = head;
        Ok(())
    }

    fn read_event(&mut self, message: &'a [u8], reading: &mut Reading<'_>) -> Result<(), Odd> {
        reading.weigh(wire::EVENT.size)?;
        let first = self.inner.len();
        let mut fields = Fields::of(message);
        let mut event = EventPart::default();
        while let Some(field) = fields.next_key()? {
            match field {
                EVENT_TIME => event.time_unix_nano = fields.fixed64()?,
                EVENT_NAME => event.name = reading.text(fields.sized()?)?,
                EVENT_ATTRIBUTE => self.inner.push(Attribute::read(fields.sized()?, reading)?),
                EVENT_DROPPED => fields.pass_varint()?,
                _ => reading.skip(&mut fields, field, 4)?,
            }
        }
        event.attributes = first..self.inner.len();
        self.events.push(event);
        Ok(())
    }

    fn read_link(&mut self, message: &'a [u8], reading: &mut Reading<'_>) -> Result<(), Odd> {
        reading.weigh(wire::LINK.size)?;
        let first = self.inner.len();
        let mut fields = Fields::of(message);
        let mut link = LinkPart::default();
        while let Some(field) = fields.next_key()? {
            match field {
                LINK_TRACE_ID => link.trace_id = reading.bytes(fields.sized()?)?,
                LINK_SPAN_ID => link.span_id = reading.bytes(fields.sized()?)?,
                LINK_TRACE_STATE => link.trace_state = reading.text(fields.sized()?)?,
                LINK_ATTRIBUTE => self.inner.push(Attribute::read(fields.sized()?, reading)?),
                LINK_DROPPED => fields.pass_varint()?,
                LINK_FLAGS => fields.fixed32()?,
                _ => reading.skip(&mut fields, field, 6)?,
            }
        }
        link.attributes = first..self.inner.len();
        self.links.push(link);
        Ok(())
    }

    /// The attributes of an event.
    pub(super) fn of_event(&self, event: &EventPart<'_>) -> &[Attribute<'a>] {
        &self.inner[event.attributes.clone()]
    }

    /// The attributes of a link.
    pub(super) fn of_link(&self, link: &LinkPart<'_>) -> &[Attribute<'a>] {
        &self.inner[link.attributes.clone()]
    }

    /// The span as the rules see it, with so many events and links at most.
    pub(super) fn view<'p>(
        &'p self,
        (events_max, links_max): (usize, usize),
        mut found: impl FnMut(&'p [Attribute<'a>]) -> Found<'p>,
    ) -> SpanView<'p> {
        let SpanHead { name, kind, start_time_unix_nano, end_time_unix_nano, status, .. } =
            self.head;
        let own = found(&self.attributes);
        let events = self.events.iter().take(events_max).map(|event| EventView {
            name: event.name,
            time_unix_nano: event.time_unix_nano,
            found: found(self.of_event(event)),
        });
        let events = events.collect();
        let links = self.links.iter().take(links_max).map(|link| LinkView {
            trace_id: link.trace_id,
            span_id: link.span_id,
            found: found(self.of_link(link)),
        });
        let links = links.collect();
        let error = status.and_then(|status| error_of(status.code, status.message));
        SpanView { name, kind, start_time_unix_nano, end_time_unix_nano, error, own, events, links }
    }
}

impl<'a> StatusPart<'a> {
    fn read(message: &'a [u8], reading: &mut Reading<'_>) -> Result<Self, Odd> {
        reading.weigh(wire::STATUS.size)?;
        let mut fields = Fields::of(message);
        let mut status = Self::default();
        while let Some(field) = fields.next_key()? {
            match field {
                STATUS_MESSAGE => status.message = reading.text(fields.sized()?)?,
                STATUS_CODE => status.code = int32(fields.varint()?),
                _ => reading.skip(&mut fields, field, 3)?,
            }
        }
        Ok(status)
    }
}

/// What the attributes of a set say to the rules.
pub(super) fn tellings<'p>(set: &'p [Attribute<'_>]) -> impl Iterator<Item = Telling<'p>> {
    set.iter().filter_map(Attribute::telling)
}

/// An enumeration's number: the lower half of what stands on the wire.
#[expect(clippy::cast_possible_truncation, reason = "as protobuf defines it")]
fn int32(value: u64) -> i32 {
    value as i32
}

const TRACE_ID: u32 = sized(1);
const SPAN_ID: u32 = sized(2);
const TRACE_STATE: u32 = sized(3);
const PARENT_SPAN_ID: u32 = sized(4);
const NAME: u32 = sized(5);
const KIND: u32 = varint(6);
const START: u32 = fixed64(7);
const END: u32 = fixed64(8);
const SPAN_ATTRIBUTE: u32 = sized(9);
const DROPPED_ATTRIBUTES: u32 = varint(10);
const EVENT: u32 = sized(11);
const DROPPED_EVENTS: u32 = varint(12);
const LINK: u32 = sized(13);
const DROPPED_LINKS: u32 = varint(14);
const STATUS: u32 = sized(15);
const FLAGS: u32 = fixed32(16);

const EVENT_TIME: u32 = fixed64(1);
const EVENT_NAME: u32 = sized(2);
const EVENT_ATTRIBUTE: u32 = sized(3);
const EVENT_DROPPED: u32 = varint(4);

const LINK_TRACE_ID: u32 = sized(1);
const LINK_SPAN_ID: u32 = sized(2);
const LINK_TRACE_STATE: u32 = sized(3);
const LINK_ATTRIBUTE: u32 = sized(4);
const LINK_DROPPED: u32 = varint(5);
const LINK_FLAGS: u32 = fixed32(6);

const STATUS_MESSAGE: u32 = sized(2);
const STATUS_CODE: u32 = varint(3);
