//! Spans of a protobuf body straight to finished rows: no tree of messages, no row of `String`s.
//!
//! One walk over the body reads each span into a few reusable lists of borrowed parts, asks the
//! same rules for facts as the other path, and writes the row as it will travel. What a resource
//! and a scope say is written once and copied for each of their spans; what depends on the key of
//! an attribute alone is decided once for each key ([`keys`]).
//!
//! Only what senders really write is read here. Broken bytes, texts that are not UTF-8, messages
//! that stand twice and must be merged, values nested too deep and bodies too heavy are [`Odd`]:
//! then nothing was done, and the body goes through `prost` and [`crate::spans`], so that there is
//! one place that repairs and refuses. For all other bodies both paths MUST give the same rows,
//! facts, counts and rejections; `tests/equality` holds them to it.

mod fields;
mod memo;
mod keys;
mod reading;
mod attribute;
mod shared;
mod span;
mod cells;
mod row;
mod pool;

use crate::mapped::{Mapped, Rejection};
use crate::mapper::{Mapping, Rules};
use crate::span_facts::{Around, SpanIds, add_facts};
use crate::spans::is_id;

use cells::HexId;
use fields::{Fields, Odd, sized};
use keys::KeyDecisions;
pub(crate) use pool::DecisionPool;
use reading::Reading;
use row::{Memos, Prefix};
use shared::{GroupParts, ScopeParts};
use span::{SpanParts, tellings};

/// The field of the request.
const RESOURCE_SPANS: u32 = sized(1);

/// Maps an `ExportTraceServiceRequest`; `None` when it is odd and must go the other way.
pub(crate) fn map_traces(rules: &Rules, body: &[u8], received_at_ms: i64) -> Option<Mapped> {
    let mut decisions = rules.decisions.take();
    let mapped = map_with(rules, &mut decisions, body, received_at_ms);
    rules.decisions.give_back(decisions);
    mapped.ok()
}

fn map_with(
    rules: &Rules,
    decisions: &mut KeyDecisions,
    body: &[u8],
    received_at_ms: i64,
) -> Result<Mapped, Odd> {
    let mut mapping = Mapping::new(rules, received_at_ms);
    let reading = Reading::new(mapping.columns(), &rules.keys, decisions);
    mapping.facts = mapping.facts.finishing();
    let mut walk = Walk { mapping, reading, span: SpanParts::default(), prefix: Prefix::default() };
    let mut fields = Fields::of(body);
    while let Some(field) = fields.next_key()? {
        match field {
            RESOURCE_SPANS => walk.group(fields.sized()?)?,
            _ => walk.reading.skip(&mut fields, field, 1)?,
        }
    }
    let mut mapping = walk.mapping;
    mapping.out.row_bytes += mapping.out.batch.span_rows.bytes().len();
    Ok(mapping.finish())
}

/// One body on its way to rows.
struct Walk<'a, 'r> {
    mapping: Mapping<'r>,
    reading: Reading<'r>,
    /// The span that is being read.
    span: SpanParts<'a>,
    prefix: Prefix,
}

impl<'a> Walk<'a, '_> {
    fn group(&mut self, message: &'a [u8]) -> Result<(), Odd> {
        self.reading.make_room();
        let parts = GroupParts::read(message, &mut self.reading)?;
        let mut found = self.mapping.collect(tellings(&parts.resource));
        let service = found.service.take().unwrap_or_default();
        self.prefix.begin_resource(&mut self.mapping, &service, &parts, self.reading.memo());
        for scope_message in &parts.scopes {
            let scope = ScopeParts::read(scope_message, &mut self.reading)?;
            let scope_found = self.mapping.collect(tellings(&scope.attributes));
            self.prefix.begin_scope(&mut self.mapping, &scope);
            // As the rules see it, the service is the one of the row.
            let service = self.prefix.service();
            let around = Around { service, scope: &scope_found, resource: &found };
            let bytes = scope.spans.iter().map(|span| span.len()).sum::<usize>();
            let rows = &mut self.mapping.out.batch.span_rows;
            rows.reserve(scope.spans.len(), self.prefix.bytes_of(scope.spans.len()) + bytes);
            for span in &scope.spans {
                self.reading.make_room();
                self.span.read(span, &mut self.reading)?;
                let mut memos = self.reading.memos();
                map_span(&mut self.mapping, &self.span, around, (&self.prefix, &mut memos));
            }
        }
        Ok(())
    }
}

/// Adds the facts and the row of one span, or rejects it.
fn map_span(
    mapping: &mut Mapping<'_>,
    span: &SpanParts<'_>,
    around: Around<'_>,
    (prefix, memos): (&Prefix, &mut Memos<'_>),
) {
    let head = span.head;
    let rejection = if !is_id::<16>(head.trace_id) {
        Some(Rejection::TraceId)
    } else if !is_id::<8>(head.span_id) {
        Some(Rejection::SpanId)
    } else {
        (!mapping.has_room()).then_some(Rejection::Limit)
    };
    if let Some(why) = rejection {
        mapping.out.rejected.add(why, head.name);
        return;
    }
    let ids = row::Ids { trace: HexId::of(head.trace_id), span: HexId::of(head.span_id) };
    let bounds = (mapping.limits().events_max, mapping.limits().links_max);
    let view = span.view(bounds, |set| mapping.collect(tellings(set)));
    let hex = SpanIds { trace_id: ids.trace.as_str(), span_id: ids.span.as_str() };
    add_facts(mapping, around, &view, hex);
    row::put(mapping, span, &ids, (prefix, memos));
}
