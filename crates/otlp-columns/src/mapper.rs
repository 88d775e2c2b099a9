//! The mapping of a request, with the lifecycle, the redaction rules and the bounds in hand.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use order_model::Lifecycle;
use order_store::rows::Attributes;

use crate::attributes::{Columns, RowLosses, bytes_of};
use crate::decode::{DecodeError, Decoded, Encoding, Request, Signal};
use crate::facts::Facts;
use crate::found::{Found, KeyIndex};
use crate::limits::Limits;
use crate::mapped::Mapped;
use crate::redact::Redaction;
use crate::{logs, spans};

/// Maps requests to rows. Clones share everything.
#[derive(Debug, Clone)]
pub struct Mapper {
    rules: Arc<Rules>,
}

#[derive(Debug)]
struct Rules {
    lifecycle: Arc<Lifecycle>,
    redaction: Redaction,
    limits: Limits,
    keys: KeyIndex,
}

impl Mapper {
    /// A mapper for that lifecycle. A key that `redaction` removes is not read as a fact either.
    #[must_use]
    pub fn new(lifecycle: Arc<Lifecycle>, redaction: Redaction, limits: Limits) -> Self {
        let keys = KeyIndex::new(&lifecycle, &redaction, &limits);
        Self { rules: Arc::new(Rules { lifecycle, redaction, limits, keys }) }
    }

    /// The bounds in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.rules.limits
    }

    /// Decodes and maps an uncompressed body.
    ///
    /// # Errors
    /// [`DecodeError`]: nothing of the body was taken.
    pub fn map_body(
        &self,
        signal: Signal,
        encoding: Encoding,
        body: &Bytes,
        received_at_ms: i64,
    ) -> Result<Mapped, DecodeError> {
        let decoded = signal.decode(encoding, body, &self.rules.limits)?;
        Ok(self.map(decoded, received_at_ms))
    }

    /// The service that rows of a resource with these attributes name.
    pub(crate) fn service_of(&self, attributes: &[KeyValue]) -> String {
        let mut found = self.rules.keys.read(attributes);
        self.rules.service(&mut found, &mut RowLosses::default())
    }

    /// Maps a decoded request, received at `received_at_ms` (milliseconds since 1970).
    #[must_use]
    pub fn map(&self, decoded: Decoded, received_at_ms: i64) -> Mapped {
        let Decoded { request, repaired_strings } = decoded;
        let mut mapping = Mapping::new(&self.rules, received_at_ms);
        mapping.out.tally.repaired_strings = repaired_strings as u64;
        match request {
            Request::Traces(request) => {
                for group in request.resource_spans {
                    let origin = mapping.origin(group.resource, group.schema_url);
                    for scope in group.scope_spans {
                        spans::map_scope(&mut mapping, &origin, scope);
                    }
                }
            }
            Request::Logs(request) => {
                for group in request.resource_logs {
                    let origin = mapping.origin(group.resource, group.schema_url);
                    for scope in group.scope_logs {
                        logs::map_scope(&mut mapping, &origin, scope);
                    }
                }
            }
        }
        mapping.finish()
    }
}

impl Rules {
    /// The service that a resource names, within the bound of names.
    fn service(&self, found: &mut Found, losses: &mut RowLosses) -> String {
        let columns = Columns { limits: &self.limits, redaction: &self.redaction };
        columns.name(found.service.take().unwrap_or_default(), losses)
    }
}

/// What the items of one resource share.
pub(crate) struct Origin {
    pub(crate) service: String,
    pub(crate) schema_url: String,
    pub(crate) attributes: Attributes,
    pub(crate) found: Found,
    /// Memory that the resource takes on every row.
    pub(crate) bytes: usize,
}

/// One request on its way to rows.
pub(crate) struct Mapping<'a> {
    rules: &'a Rules,
    pub(crate) lifecycle: &'a Lifecycle,
    pub(crate) received_at: i64,
    pub(crate) facts: Facts,
    pub(crate) out: Mapped,
}

impl<'a> Mapping<'a> {
    fn new(rules: &'a Rules, received_at: i64) -> Self {
        Self {
            rules,
            lifecycle: &rules.lifecycle,
            received_at,
            facts: Facts::new(received_at),
            out: Mapped::default(),
        }
    }

    pub(crate) fn limits(&self) -> &'a Limits {
        &self.rules.limits
    }

    pub(crate) fn columns(&self) -> Columns<'a> {
        Columns { limits: &self.rules.limits, redaction: &self.rules.redaction }
    }

    /// What an attribute set says of orders; values that are no order ids are counted.
    pub(crate) fn read(&mut self, pairs: &[KeyValue]) -> Found {
        let found = self.rules.keys.read(pairs);
        self.out.tally.refused_order_ids += found.refused_order_ids;
        found
    }

    /// Counts losses that have no row of their own to stand on.
    pub(crate) fn count(&mut self, losses: &RowLosses) {
        losses.note(&mut Attributes::new(), &mut self.out.tally);
    }

    /// Whether one more item may be taken.
    pub(crate) fn has_room(&self) -> bool {
        let items = self.out.batch.spans.len() + self.out.batch.logs.len();
        let limits = self.limits();
        items < limits.items_max && self.out.row_bytes + self.facts.bytes < limits.row_bytes_max
    }

    /// An id that may be absent. What is no id is stored as empty too, and counted.
    pub(crate) fn id_or_empty<const LENGTH: usize>(&mut self, bytes: &[u8]) -> String {
        spans::hex_id::<LENGTH>(bytes).unwrap_or_else(|| {
            // All zero means "none", by the data model; anything else is a mistake.
            let absent = bytes.iter().all(|byte| *byte == 0);
            self.out.tally.emptied_ids += u64::from(!absent);
            String::new()
        })
    }

    fn origin(&mut self, resource: Option<Resource>, schema_url: String) -> Origin {
        let resource = resource.unwrap_or_default();
        let mut found = self.read(&resource.attributes);
        let mut losses = RowLosses::default();
        let columns = self.columns();
        let service = self.rules.service(&mut found, &mut losses);
        let schema_url = columns.name(schema_url, &mut losses);
        let mut attributes = columns.map(resource.attributes, &mut losses);
        losses.note(&mut attributes, &mut self.out.tally);
        let bytes = bytes_of(&attributes);
        Origin { service, schema_url, attributes, found, bytes }
    }

    fn finish(mut self) -> Mapped {
        self.out.row_bytes += self.facts.bytes;
        self.out.tally.unattributable_signals = self.facts.unattributable;
        self.out.batch.append(self.facts.into_batch());
        self.out
    }
}
