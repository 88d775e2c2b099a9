//! Metrics to rows of the tables `otel_metrics_*`. They speak of no order: no fact is read here.
//!
//! A point is stored as the OpenTelemetry ClickHouse exporter stores it. Its attribute sets are
//! sorted, so that the points of a series look alike whoever sent them.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    DataPointFlags, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
    NumberDataPoint, ScopeMetrics, SummaryDataPoint, exemplar,
};
use order_model::time;
use order_store::rows::metrics::{
    Exemplars, ExponentialHistogramRow, GaugeRow, HistogramRow, MetricPoint, SumRow, SummaryRow,
};

use crate::attributes::{RowLosses, bytes_of};
use crate::mapped::Rejection;
use crate::mapper::{Mapping, Origin};

/// Memory of a point beyond its texts, attributes, exemplars and buckets.
const ROW_BYTES: usize = 640;
/// Memory of an exemplar beyond its attributes.
const EXEMPLAR_BYTES: usize = 160;
/// Memory of a bucket, a bound or a quantile.
const NUMBER_BYTES: usize = 8;
/// The point has no value.
const NO_RECORDED_VALUE: u32 = DataPointFlags::NoRecordedValueMask as u32;

/// Maps a request.
pub(crate) fn map(mapping: &mut Mapping<'_>, request: ExportMetricsServiceRequest) {
    // Two resources may look alike once something is removed; a single one is itself.
    let are_several = request.resource_metrics.len() > 1;
    for group in request.resource_metrics {
        let resource = group.resource.unwrap_or_default();
        let mut origin = mapping.origin(&resource, group.schema_url);
        origin.attributes.sort();
        origin.is_changed &= are_several;
        for scope in group.scope_metrics {
            map_scope(mapping, &origin, scope);
        }
    }
}

/// What the points of a metric share.
struct Shared {
    point: MetricPoint,
    /// The metric's name as its sender wrote it.
    name: String,
    /// Memory that this takes on every row.
    bytes: usize,
    /// Whether something was removed or cut, so that points may look like those of another metric.
    is_changed: bool,
}

fn map_scope(mapping: &mut Mapping<'_>, origin: &Origin<'_>, scope_metrics: ScopeMetrics) {
    let columns = mapping.columns();
    let scope = scope_metrics.scope.unwrap_or_default();
    let mut losses = RowLosses::default();
    let mut scope_attributes = columns.map(scope.attributes, &mut losses);
    losses.note(&mut scope_attributes, &mut mapping.out.tally);
    scope_attributes.sort();
    let mut texts = RowLosses::default();
    let point = MetricPoint {
        resource_attributes: origin.attributes.clone(),
        resource_schema_url: origin.schema_url.clone(),
        scope_name: columns.name(scope.name, &mut texts),
        scope_version: columns.name(scope.version, &mut texts),
        scope_attributes,
        scope_dropped_attr_count: scope.dropped_attributes_count,
        scope_schema_url: columns.name(scope_metrics.schema_url, &mut texts),
        service_name: origin.service.clone(),
        received_at: mapping.received_at,
        ..MetricPoint::default()
    };
    mapping.count(&texts);
    let bytes = ROW_BYTES + origin.bytes + bytes_of(&point.scope_attributes);
    let is_changed = origin.is_changed || losses.any() || texts.any();
    for metric in scope_metrics.metrics {
        map_metric(mapping, &point, bytes, is_changed, metric);
    }
}

fn map_metric(
    mapping: &mut Mapping<'_>,
    scope: &MetricPoint,
    bytes: usize,
    is_changed: bool,
    metric: Metric,
) {
    let columns = mapping.columns();
    let Metric { name, description, unit, data, .. } = metric;
    let Some(data) = data else {
        mapping.out.rejected.add(Rejection::MetricKind, &name);
        return;
    };
    let mut losses = RowLosses::default();
    let point = MetricPoint {
        metric_name: columns.title(name.clone(), &mut losses),
        metric_description: columns.free(description, &mut losses),
        metric_unit: columns.name(unit, &mut losses),
        ..scope.clone()
    };
    mapping.count(&losses);
    let texts = point.metric_name.len() + point.metric_description.len() + point.metric_unit.len();
    let (bytes, is_changed) = (bytes + texts, is_changed || losses.any());
    map_data(mapping, &Shared { point, name, bytes, is_changed }, data);
}

fn map_data(mapping: &mut Mapping<'_>, shared: &Shared, data: Data) {
    match data {
        Data::Gauge(gauge) => {
            for point in gauge.data_points {
                let Some((point, value, exemplars)) = number(mapping, shared, point) else {
                    continue;
                };
                mapping.out.batch.metrics.gauges.push(GaugeRow { point, value, exemplars });
            }
        }
        Data::Sum(sum) => {
            for point in sum.data_points {
                let Some((point, value, exemplars)) = number(mapping, shared, point) else {
                    continue;
                };
                mapping.out.batch.metrics.sums.push(SumRow {
                    point,
                    value,
                    exemplars,
                    aggregation_temporality: sum.aggregation_temporality,
                    is_monotonic: sum.is_monotonic,
                });
            }
        }
        Data::Histogram(histogram) => {
            for point in histogram.data_points {
                map_histogram(mapping, shared, point, histogram.aggregation_temporality);
            }
        }
        Data::ExponentialHistogram(histogram) => {
            for point in histogram.data_points {
                map_exponential(mapping, shared, point, histogram.aggregation_temporality);
            }
        }
        Data::Summary(summary) => {
            for point in summary.data_points {
                map_summary(mapping, shared, point);
            }
        }
    }
}

/// A point of a gauge or a sum. One without a value says so in its flags, also where its sender
/// forgot: 0 was not measured.
fn number(
    mapping: &mut Mapping<'_>,
    shared: &Shared,
    point: NumberDataPoint,
) -> Option<(MetricPoint, f64, Exemplars)> {
    if !has_room(mapping, shared, 0) {
        return None;
    }
    let flags = if point.value.is_none() { point.flags | NO_RECORDED_VALUE } else { point.flags };
    let value = match point.value {
        Some(Value::AsDouble(value)) => value,
        Some(Value::AsInt(value)) => nearest(value),
        None => 0.0,
    };
    let times = (point.start_time_unix_nano, point.time_unix_nano);
    let exemplars = map_exemplars(mapping, point.exemplars);
    Some((map_point(mapping, shared, point.attributes, times, flags), value, exemplars))
}

fn map_histogram(
    mapping: &mut Mapping<'_>,
    shared: &Shared,
    point: HistogramDataPoint,
    aggregation_temporality: i32,
) {
    if !has_room(mapping, shared, point.bucket_counts.len() + point.explicit_bounds.len()) {
        return;
    }
    let times = (point.start_time_unix_nano, point.time_unix_nano);
    let exemplars = map_exemplars(mapping, point.exemplars);
    let row = HistogramRow {
        point: map_point(mapping, shared, point.attributes, times, point.flags),
        count: point.count,
        sum: point.sum.unwrap_or_default(),
        bucket_counts: point.bucket_counts,
        explicit_bounds: point.explicit_bounds,
        exemplars,
        min: point.min.unwrap_or_default(),
        max: point.max.unwrap_or_default(),
        aggregation_temporality,
    };
    mapping.out.batch.metrics.histograms.push(row);
}

fn map_exponential(
    mapping: &mut Mapping<'_>,
    shared: &Shared,
    point: ExponentialHistogramDataPoint,
    aggregation_temporality: i32,
) {
    let positive = point.positive.unwrap_or_default();
    let negative = point.negative.unwrap_or_default();
    if !has_room(mapping, shared, positive.bucket_counts.len() + negative.bucket_counts.len()) {
        return;
    }
    let times = (point.start_time_unix_nano, point.time_unix_nano);
    let exemplars = map_exemplars(mapping, point.exemplars);
    let row = ExponentialHistogramRow {
        point: map_point(mapping, shared, point.attributes, times, point.flags),
        count: point.count,
        sum: point.sum.unwrap_or_default(),
        scale: point.scale,
        zero_count: point.zero_count,
        positive_offset: positive.offset,
        positive_bucket_counts: positive.bucket_counts,
        negative_offset: negative.offset,
        negative_bucket_counts: negative.bucket_counts,
        exemplars,
        min: point.min.unwrap_or_default(),
        max: point.max.unwrap_or_default(),
        aggregation_temporality,
    };
    mapping.out.batch.metrics.exponential_histograms.push(row);
}

fn map_summary(mapping: &mut Mapping<'_>, shared: &Shared, point: SummaryDataPoint) {
    if !has_room(mapping, shared, 2 * point.quantile_values.len()) {
        return;
    }
    let times = (point.start_time_unix_nano, point.time_unix_nano);
    let row = SummaryRow {
        point: map_point(mapping, shared, point.attributes, times, point.flags),
        count: point.count,
        sum: point.sum,
        quantiles: point.quantile_values.iter().map(|at| at.quantile).collect(),
        values: point.quantile_values.iter().map(|at| at.value).collect(),
    };
    mapping.out.batch.metrics.summaries.push(row);
}

/// Whether a point of so many buckets, bounds or quantiles may be taken; one that may not is
/// rejected.
fn has_room(mapping: &mut Mapping<'_>, shared: &Shared, numbers: usize) -> bool {
    let rejection = match () {
        () if !mapping.has_room() => Rejection::Limit,
        () if numbers > mapping.limits().buckets_max => Rejection::Buckets,
        () => {
            mapping.charge(NUMBER_BYTES * numbers);
            return true;
        }
    };
    mapping.out.rejected.add(rejection, &shared.name);
    false
}

/// What points of every kind have.
fn map_point(
    mapping: &mut Mapping<'_>,
    shared: &Shared,
    attributes: Vec<KeyValue>,
    (start, at): (u64, u64),
    flags: u32,
) -> MetricPoint {
    let mut losses = RowLosses::default();
    let mut attributes = mapping.columns().map(attributes, &mut losses);
    losses.note(&mut attributes, &mut mapping.out.tally);
    attributes.sort();
    mapping.out.tally.points += 1;
    let place = u32::try_from(mapping.out.tally.points).unwrap_or(u32::MAX);
    mapping.charge(shared.bytes + bytes_of(&attributes));
    MetricPoint {
        attributes,
        start_time_unix: time::from_otlp(start),
        time_unix: time::from_otlp(at),
        flags,
        ordinal: if shared.is_changed || losses.any() { place } else { 0 },
        ..shared.point.clone()
    }
}

fn map_exemplars(mapping: &mut Mapping<'_>, exemplars: Vec<Exemplar>) -> Exemplars {
    let columns = mapping.columns();
    let kept = exemplars.len().min(columns.limits.exemplars_max);
    mapping.out.tally.dropped_exemplars += (exemplars.len() - kept) as u64;
    let mut out = Exemplars::default();
    for exemplar in exemplars.into_iter().take(kept) {
        let mut losses = RowLosses::default();
        let mut attributes = columns.map(exemplar.filtered_attributes, &mut losses);
        losses.note(&mut attributes, &mut mapping.out.tally);
        mapping.charge(EXEMPLAR_BYTES + bytes_of(&attributes));
        out.filtered_attributes.push(attributes);
        out.time_unix.push(time::from_otlp(exemplar.time_unix_nano));
        out.value.push(match exemplar.value {
            Some(exemplar::Value::AsDouble(value)) => value,
            Some(exemplar::Value::AsInt(value)) => nearest(value),
            None => 0.0,
        });
        out.span_id.push(mapping.id_or_empty::<8>(&exemplar.span_id));
        out.trace_id.push(mapping.id_or_empty::<16>(&exemplar.trace_id));
    }
    out
}

/// The column is a double, as the exporter's.
#[expect(clippy::cast_precision_loss, reason = "above 2^53 the nearest double")]
fn nearest(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
