//! The mapping of a request, with the lifecycle, the redaction rules and the bounds in hand.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use order_model::Lifecycle;
use order_store::rows::Attributes;

use crate::attributes::{Columns, RowLosses, bytes_of};
use crate::decode::{DecodeError, Decoded, Encoding, Request, Signal};
use crate::direct::DecisionPool;
use crate::facts::Facts;
use crate::found::{Found, KeyIndex, Telling, identifying_keys};
use crate::limits::Limits;
use crate::mapped::Mapped;
use crate::redact::Redaction;
use crate::{direct, logs, metrics, spans};

/// Maps requests to rows. Clones share everything.
#[derive(Debug, Clone)]
pub struct Mapper {
    rules: Arc<Rules>,
}

/// The rules of a mapping.
#[derive(Debug)]
pub(crate) struct Rules {
    lifecycle: Arc<Lifecycle>,
    pub(crate) redaction: Redaction,
    pub(crate) limits: Limits,
    pub(crate) keys: KeyIndex,
    pub(crate) decisions: DecisionPool,
}

impl Mapper {
    /// A mapper for that lifecycle. A key that `redaction` removes is not read as a fact either;
    /// what orders are found by is stored as it is.
    #[must_use]
    pub fn new(lifecycle: Arc<Lifecycle>, redaction: Redaction, limits: Limits) -> Self {
        let redaction = redaction.keeping(identifying_keys(&lifecycle));
        let keys = KeyIndex::new(&lifecycle, &redaction, &limits);
        let decisions = DecisionPool::default();
        Self { rules: Arc::new(Rules { lifecycle, redaction, limits, keys, decisions }) }
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
        if (signal, encoding) == (Signal::Traces, Encoding::Protobuf)
            && let Some(mapped) = direct::map_traces(&self.rules, body, received_at_ms)
        {
            return Ok(mapped);
        }
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
                    let resource = group.resource.unwrap_or_default();
                    let origin = mapping.origin(&resource, group.schema_url);
                    for scope in group.scope_spans {
                        spans::map_scope(&mut mapping, &origin, scope);
                    }
                }
            }
            Request::Logs(request) => {
                for group in request.resource_logs {
                    let resource = group.resource.unwrap_or_default();
                    let origin = mapping.origin(&resource, group.schema_url);
                    for scope in group.scope_logs {
                        logs::map_scope(&mut mapping, &origin, scope);
                    }
                }
            }
            Request::Metrics(request) => metrics::map(&mut mapping, request),
        }
        mapping.finish()
    }
}

impl Rules {
    /// The service that a resource names, within the bound of names.
    fn service(&self, found: &mut Found<'_>, losses: &mut RowLosses) -> String {
        let columns = Columns { limits: &self.limits, redaction: &self.redaction };
        columns.name(found.service.take().unwrap_or_default().into_owned(), losses)
    }
}

/// What the items of one resource share.
pub(crate) struct Origin<'a> {
    pub(crate) service: String,
    pub(crate) schema_url: String,
    pub(crate) attributes: Attributes,
    pub(crate) found: Found<'a>,
    /// Memory that the resource takes on every row.
    pub(crate) bytes: usize,
    /// Whether something of the resource was removed or cut.
    pub(crate) is_changed: bool,
}

/// One request on its way to rows.
pub(crate) struct Mapping<'a> {
    rules: &'a Rules,
    pub(crate) lifecycle: &'a Lifecycle,
    pub(crate) received_at: i64,
    pub(crate) facts: Facts,
    pub(crate) out: Mapped,
    /// What the items so far take of the bound on rows: the same for every way of decoding.
    pub(crate) charged_bytes: usize,
}

impl<'a> Mapping<'a> {
    pub(crate) fn new(rules: &'a Rules, received_at: i64) -> Self {
        Self {
            rules,
            lifecycle: &rules.lifecycle,
            received_at,
            facts: Facts::new(received_at, Arc::clone(rules.redaction.texts())),
            out: Mapped::default(),
            charged_bytes: 0,
        }
    }

    pub(crate) fn limits(&self) -> &'a Limits {
        &self.rules.limits
    }

    pub(crate) fn columns(&self) -> Columns<'a> {
        Columns { limits: &self.rules.limits, redaction: &self.rules.redaction }
    }

    /// What an attribute set says of orders; values that are no order ids are counted.
    pub(crate) fn read<'p>(&mut self, pairs: &'p [KeyValue]) -> Found<'p> {
        let found = self.rules.keys.read(pairs);
        self.out.tally.refused_order_ids += found.refused_order_ids;
        found
    }

    /// The same of attributes whose keys were looked up already.
    pub(crate) fn collect<'p>(&mut self, said: impl Iterator<Item = Telling<'p>>) -> Found<'p> {
        let found = self.rules.keys.collect(said);
        self.out.tally.refused_order_ids += found.refused_order_ids;
        found
    }

    /// Counts losses that have no row of their own to stand on.
    pub(crate) fn count(&mut self, losses: &RowLosses) {
        losses.note(&mut Attributes::new(), &mut self.out.tally);
    }

    /// Counts the memory of a row.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.charged_bytes += bytes;
        self.out.row_bytes += bytes;
    }

    /// Whether one more item may be taken.
    pub(crate) fn has_room(&self) -> bool {
        let batch = &self.out.batch;
        let items =
            batch.spans.len() + batch.span_rows.len() + batch.logs.len() + batch.metrics.len();
        let limits = self.limits();
        items < limits.items_max && self.charged_bytes + self.facts.bytes < limits.row_bytes_max
    }

    /// An id that may be absent. What is no id is stored as empty too, and counted.
    pub(crate) fn id_or_empty<const LENGTH: usize>(&mut self, bytes: &[u8]) -> String {
        spans::hex_id::<LENGTH>(bytes).unwrap_or_else(|| {
            self.count_emptied_id(bytes);
            String::new()
        })
    }

    /// Counts what stands in the place of an id and is none, unless it means "none": all zero,
    /// by the data model.
    pub(crate) fn count_emptied_id(&mut self, bytes: &[u8]) {
        let absent = bytes.iter().all(|byte| *byte == 0);
        self.out.tally.emptied_ids += u64::from(!absent);
    }

    pub(crate) fn origin<'r>(&mut self, resource: &'r Resource, schema_url: String) -> Origin<'r> {
        let mut found = self.read(&resource.attributes);
        let mut losses = RowLosses::default();
        let columns = self.columns();
        let service = self.rules.service(&mut found, &mut losses);
        let schema_url = columns.name(schema_url, &mut losses);
        let mut attributes = columns.map(resource.attributes.clone(), &mut losses);
        losses.note(&mut attributes, &mut self.out.tally);
        let bytes = service.len() + schema_url.len() + bytes_of(&attributes);
        let is_changed = losses.any();
        Origin { service, schema_url, attributes, found, bytes, is_changed }
    }

    pub(crate) fn finish(mut self) -> Mapped {
        self.out.row_bytes += self.facts.bytes;
        self.out.tally.unattributable_signals = self.facts.unattributable;
        self.out.batch.append(self.facts.into_batch());
        self.out
    }
}
