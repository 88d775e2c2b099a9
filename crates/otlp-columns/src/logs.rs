//! Log records to rows of `otel_logs` and order facts.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, ScopeLogs};
use order_model::{keys, time};
use order_store::rows::{Attributes, LogRow};

use crate::attributes::{RowLosses, bytes_of};
use crate::evidence::SignalFact;
use crate::facts::NamingFact;
use crate::found::Found;
use crate::mapped::Rejection;
use crate::mapper::{Mapping, Origin};
use crate::place::Place;

/// Memory of a log row beyond its attributes and body.
const ROW_BYTES: usize = 512;
/// Severity numbers of OTLP end here; a higher one is stored as 0, "not said".
const SEVERITY_MAX: i32 = 24;

/// What the records of one scope share.
struct Scope<'a> {
    name: String,
    version: String,
    schema_url: String,
    attributes: Attributes,
    found: Found<'a>,
}

/// Maps the log records of one scope.
pub(crate) fn map_scope(mapping: &mut Mapping<'_>, origin: &Origin<'_>, scope_logs: ScopeLogs) {
    let mut losses = RowLosses::default();
    let columns = mapping.columns();
    let scope = scope_logs.scope.unwrap_or_default();
    let found = mapping.read(&scope.attributes);
    let mut attributes = columns.map(scope.attributes.clone(), &mut losses);
    losses.note(&mut attributes, &mut mapping.out.tally);
    let mut losses = RowLosses::default();
    let scope = Scope {
        name: columns.name(scope.name, &mut losses),
        version: columns.name(scope.version, &mut losses),
        schema_url: columns.name(scope_logs.schema_url, &mut losses),
        attributes,
        found,
    };
    mapping.count(&losses);
    let texts = [&scope.name, &scope.version, &scope.schema_url];
    let texts_bytes = texts.into_iter().map(String::len).sum::<usize>();
    let shared_bytes = ROW_BYTES + origin.bytes + texts_bytes + bytes_of(&scope.attributes);
    for record in scope_logs.log_records {
        if !mapping.has_room() {
            mapping.out.rejected.add(Rejection::Limit, &record.event_name);
            continue;
        }
        let row = map_record(mapping, origin, &scope, record);
        let texts_bytes = row.body.len() + row.severity_text.len() + row.event_name.len();
        let bytes = shared_bytes + bytes_of(&row.log_attributes) + texts_bytes;
        mapping.charge(bytes);
        mapping.out.tally.logs += 1;
        mapping.out.batch.logs.push(row);
    }
}

fn map_record(
    mapping: &mut Mapping<'_>,
    origin: &Origin<'_>,
    scope: &Scope<'_>,
    record: LogRecord,
) -> LogRow {
    let trace_id = mapping.id_or_empty::<16>(&record.trace_id);
    let span_id = mapping.id_or_empty::<8>(&record.span_id);
    let timestamp = match (record.time_unix_nano, record.observed_time_unix_nano) {
        (0, 0) => mapping.received_at.saturating_mul(time::NANOS_PER_MILLI),
        (0, observed) => time::from_otlp(observed),
        (at, _) => time::from_otlp(at),
    };
    read_facts(mapping, origin, scope, &record, (&trace_id, &span_id, timestamp));
    let columns = mapping.columns();
    let mut losses = RowLosses::default();
    let mut log_attributes = columns.map(record.attributes, &mut losses);
    let body = columns.text("", record.body, columns.limits.log_body_bytes_max, &mut losses);
    let severity_text = columns.free(record.severity_text, &mut losses);
    let event_name = columns.title(record.event_name, &mut losses);
    losses.note(&mut log_attributes, &mut mapping.out.tally);
    let severity = Some(record.severity_number).filter(|number| *number <= SEVERITY_MAX);
    LogRow {
        timestamp,
        trace_id,
        span_id,
        // The trace flags are the lowest byte; the others are reserved.
        trace_flags: record.flags.to_le_bytes()[0],
        severity_text,
        severity_number: severity.and_then(|number| u8::try_from(number).ok()).unwrap_or(0),
        service_name: origin.service.clone(),
        body,
        resource_schema_url: origin.schema_url.clone(),
        resource_attributes: origin.attributes.clone(),
        scope_schema_url: scope.schema_url.clone(),
        scope_name: scope.name.clone(),
        scope_version: scope.version.clone(),
        scope_attributes: scope.attributes.clone(),
        log_attributes,
        event_name,
        received_at: mapping.received_at,
    }
}

fn read_facts(
    mapping: &mut Mapping<'_>,
    origin: &Origin<'_>,
    scope: &Scope<'_>,
    record: &LogRecord,
    (trace_id, span_id, at): (&str, &str, i64),
) {
    let own = mapping.read(&record.attributes);
    let place = Place {
        own: &[&own],
        shared: [&scope.found, &origin.found],
        trace_id,
        span_id,
        name: &record.event_name,
        service: &origin.service,
    };
    let fact = NamingFact { start: at, end: at, of_span: false };
    mapping.facts.naming(place.named(), &place, fact);
    mapping.facts.aliases(&own, &place);
    let heartbeats = &mapping.lifecycle.keys.heartbeat;
    let event_name = own.event_name.as_deref().unwrap_or_default();
    if heartbeats.iter().any(|name| *name == record.event_name || name == event_name) {
        mapping.facts.life(&place, at);
    } else if let Some(stage) = place.stage() {
        let fact = SignalFact {
            signal: keys::SIGNAL_STAGE,
            stage,
            event_time: at,
            form: "log",
            rule: "",
            error: "",
        };
        mapping.facts.signal(&place, &fact);
    }
}

#[cfg(test)]
mod tests;
