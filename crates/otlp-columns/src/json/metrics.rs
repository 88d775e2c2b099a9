//! Metrics in JSON.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as Counts;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, exemplar, number_data_point,
};
use serde::Deserialize;

use super::scalar::{Double, Enumerated, Hex, Int, Named};
use super::{KeyValue, List, Read, Resource, Scope, all, bytes, int32, int64, read};

/// Reads a metrics request.
pub(crate) fn read_metrics(text: &str) -> Read<ExportMetricsServiceRequest> {
    let (request, repaired) = read::<MetricsRequest>(text)?;
    Ok((ExportMetricsServiceRequest { resource_metrics: all(request.resource_metrics) }, repaired))
}

fn double(value: Option<Double>) -> f64 {
    value.map_or(0.0, |v| v.0)
}

fn sint32(value: Option<Int<i32>>) -> i32 {
    value.map_or(0, |v| v.0)
}

fn counts(list: List<Int<u64>>) -> Vec<u64> {
    list.unwrap_or_default().into_iter().map(|v| v.0).collect()
}

fn doubles(list: List<Double>) -> Vec<f64> {
    list.unwrap_or_default().into_iter().map(|v| v.0).collect()
}

impl Named for AggregationTemporality {
    fn number_of(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|temporality| temporality as i32)
    }
}

type Temporality = Option<Enumerated<AggregationTemporality>>;

fn temporality(value: Temporality) -> i32 {
    value.map_or(0, |temporality| temporality.number)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricsRequest {
    resource_metrics: List<ResourceMetrics>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics {
    resource: Option<Resource>,
    scope_metrics: List<ScopeMetrics>,
    schema_url: Option<String>,
}

impl From<ResourceMetrics> for metrics::ResourceMetrics {
    fn from(json: ResourceMetrics) -> Self {
        Self {
            resource: json.resource.map(Into::into),
            scope_metrics: all(json.scope_metrics),
            schema_url: json.schema_url.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeMetrics {
    scope: Option<Scope>,
    metrics: List<Metric>,
    schema_url: Option<String>,
}

impl From<ScopeMetrics> for metrics::ScopeMetrics {
    fn from(json: ScopeMetrics) -> Self {
        Self {
            scope: json.scope.map(Into::into),
            metrics: all(json.metrics),
            schema_url: json.schema_url.unwrap_or_default(),
        }
    }
}

/// One kind of data is set; of several the first in this order counts, as in no valid message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    name: Option<String>,
    description: Option<String>,
    unit: Option<String>,
    metadata: List<KeyValue>,
    gauge: Option<Points<NumberDataPoint>>,
    sum: Option<Points<NumberDataPoint>>,
    histogram: Option<Points<HistogramDataPoint>>,
    exponential_histogram: Option<Points<ExponentialHistogramDataPoint>>,
    summary: Option<Points<SummaryDataPoint>>,
}

/// The data of a metric of any kind; a kind leaves out what it has not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Points<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    data_points: List<T>,
    aggregation_temporality: Temporality,
    is_monotonic: Option<bool>,
}

impl From<Metric> for metrics::Metric {
    fn from(json: Metric) -> Self {
        let gauge = json
            .gauge
            .map(|json| Data::Gauge(metrics::Gauge { data_points: all(json.data_points) }));
        let data = gauge
            .or(json.sum.map(|json| {
                Data::Sum(metrics::Sum {
                    data_points: all(json.data_points),
                    aggregation_temporality: temporality(json.aggregation_temporality),
                    is_monotonic: json.is_monotonic.unwrap_or_default(),
                })
            }))
            .or(json.histogram.map(|json| {
                Data::Histogram(metrics::Histogram {
                    data_points: all(json.data_points),
                    aggregation_temporality: temporality(json.aggregation_temporality),
                })
            }))
            .or(json.exponential_histogram.map(|json| {
                Data::ExponentialHistogram(metrics::ExponentialHistogram {
                    data_points: all(json.data_points),
                    aggregation_temporality: temporality(json.aggregation_temporality),
                })
            }))
            .or(json.summary.map(|json| {
                Data::Summary(metrics::Summary { data_points: all(json.data_points) })
            }));
        Self {
            name: json.name.unwrap_or_default(),
            description: json.description.unwrap_or_default(),
            unit: json.unit.unwrap_or_default(),
            metadata: all(json.metadata),
            data,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NumberDataPoint {
    attributes: List<KeyValue>,
    start_time_unix_nano: Option<Int<u64>>,
    time_unix_nano: Option<Int<u64>>,
    as_double: Option<Double>,
    as_int: Option<Int<i64>>,
    exemplars: List<Exemplar>,
    flags: Option<Int<u64>>,
}

impl From<NumberDataPoint> for metrics::NumberDataPoint {
    fn from(json: NumberDataPoint) -> Self {
        use number_data_point::Value;
        let double = json.as_double.map(|v| Value::AsDouble(v.0));
        Self {
            attributes: all(json.attributes),
            start_time_unix_nano: int64(json.start_time_unix_nano),
            time_unix_nano: int64(json.time_unix_nano),
            exemplars: all(json.exemplars),
            flags: int32(json.flags),
            value: double.or(json.as_int.map(|v| Value::AsInt(v.0))),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HistogramDataPoint {
    attributes: List<KeyValue>,
    start_time_unix_nano: Option<Int<u64>>,
    time_unix_nano: Option<Int<u64>>,
    count: Option<Int<u64>>,
    sum: Option<Double>,
    bucket_counts: List<Int<u64>>,
    explicit_bounds: List<Double>,
    exemplars: List<Exemplar>,
    flags: Option<Int<u64>>,
    min: Option<Double>,
    max: Option<Double>,
}

impl From<HistogramDataPoint> for metrics::HistogramDataPoint {
    fn from(json: HistogramDataPoint) -> Self {
        Self {
            attributes: all(json.attributes),
            start_time_unix_nano: int64(json.start_time_unix_nano),
            time_unix_nano: int64(json.time_unix_nano),
            count: int64(json.count),
            sum: json.sum.map(|v| v.0),
            bucket_counts: counts(json.bucket_counts),
            explicit_bounds: doubles(json.explicit_bounds),
            exemplars: all(json.exemplars),
            flags: int32(json.flags),
            min: json.min.map(|v| v.0),
            max: json.max.map(|v| v.0),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExponentialHistogramDataPoint {
    attributes: List<KeyValue>,
    start_time_unix_nano: Option<Int<u64>>,
    time_unix_nano: Option<Int<u64>>,
    count: Option<Int<u64>>,
    sum: Option<Double>,
    scale: Option<Int<i32>>,
    zero_count: Option<Int<u64>>,
    positive: Option<Buckets>,
    negative: Option<Buckets>,
    flags: Option<Int<u64>>,
    exemplars: List<Exemplar>,
    min: Option<Double>,
    max: Option<Double>,
    zero_threshold: Option<Double>,
}

impl From<ExponentialHistogramDataPoint> for metrics::ExponentialHistogramDataPoint {
    fn from(json: ExponentialHistogramDataPoint) -> Self {
        Self {
            attributes: all(json.attributes),
            start_time_unix_nano: int64(json.start_time_unix_nano),
            time_unix_nano: int64(json.time_unix_nano),
            count: int64(json.count),
            sum: json.sum.map(|v| v.0),
            scale: sint32(json.scale),
            zero_count: int64(json.zero_count),
            positive: json.positive.map(Into::into),
            negative: json.negative.map(Into::into),
            flags: int32(json.flags),
            exemplars: all(json.exemplars),
            min: json.min.map(|v| v.0),
            max: json.max.map(|v| v.0),
            zero_threshold: double(json.zero_threshold),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Buckets {
    offset: Option<Int<i32>>,
    bucket_counts: List<Int<u64>>,
}

impl From<Buckets> for Counts {
    fn from(json: Buckets) -> Self {
        Self { offset: sint32(json.offset), bucket_counts: counts(json.bucket_counts) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SummaryDataPoint {
    attributes: List<KeyValue>,
    start_time_unix_nano: Option<Int<u64>>,
    time_unix_nano: Option<Int<u64>>,
    count: Option<Int<u64>>,
    sum: Option<Double>,
    quantile_values: List<ValueAtQuantile>,
    flags: Option<Int<u64>>,
}

impl From<SummaryDataPoint> for metrics::SummaryDataPoint {
    fn from(json: SummaryDataPoint) -> Self {
        Self {
            attributes: all(json.attributes),
            start_time_unix_nano: int64(json.start_time_unix_nano),
            time_unix_nano: int64(json.time_unix_nano),
            count: int64(json.count),
            sum: double(json.sum),
            quantile_values: all(json.quantile_values),
            flags: int32(json.flags),
        }
    }
}

#[derive(Deserialize)]
struct ValueAtQuantile {
    quantile: Option<Double>,
    value: Option<Double>,
}

impl From<ValueAtQuantile> for summary_data_point::ValueAtQuantile {
    fn from(json: ValueAtQuantile) -> Self {
        Self { quantile: double(json.quantile), value: double(json.value) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exemplar {
    filtered_attributes: List<KeyValue>,
    time_unix_nano: Option<Int<u64>>,
    as_double: Option<Double>,
    as_int: Option<Int<i64>>,
    span_id: Option<Hex>,
    trace_id: Option<Hex>,
}

impl From<Exemplar> for metrics::Exemplar {
    fn from(json: Exemplar) -> Self {
        use exemplar::Value;
        let double = json.as_double.map(|v| Value::AsDouble(v.0));
        Self {
            filtered_attributes: all(json.filtered_attributes),
            time_unix_nano: int64(json.time_unix_nano),
            span_id: bytes(json.span_id),
            trace_id: bytes(json.trace_id),
            value: double.or(json.as_int.map(|v| Value::AsInt(v.0))),
        }
    }
}
