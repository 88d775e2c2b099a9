//! Requests of metrics of every kind.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::requests::{attributes, id, name, time, trace_id};

pub(crate) fn metrics_request() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scope = (attributes(), any::<u32>(), vec(metric(), 0..4)).prop_map(
        |(attributes, dropped_attributes_count, metrics)| ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: "lib".to_owned(),
                version: "1".to_owned(),
                attributes,
                dropped_attributes_count,
            }),
            metrics,
            schema_url: "https://schema".to_owned(),
        },
    );
    let group = (attributes(), vec(scope, 0..3)).prop_map(|(attributes, scope_metrics)| {
        let resource = Some(Resource { attributes, ..Resource::default() });
        ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }
    });
    vec(group, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

/// What of a request must become a row or be rejected: its points, and metrics without data.
pub(crate) fn items(request: &ExportMetricsServiceRequest) -> usize {
    let scopes = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let points = |metric: &Metric| match &metric.data {
        None => 1,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    };
    metrics.map(points).sum()
}

fn metric() -> impl Strategy<Value = Metric> {
    let texts = (name(), name(), prop::sample::select(vec!["", "s", "{item}"]));
    (texts, option::weighted(0.9, data()), attributes()).prop_map(
        |((name, description, unit), data, metadata)| Metric {
            name,
            description,
            unit: unit.to_owned(),
            metadata,
            data,
        },
    )
}

fn data() -> impl Strategy<Value = Data> {
    let temporality = 0..4_i32;
    prop_oneof![
        vec(number_point(), 0..4).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number_point(), 0..4), temporality.clone(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
            }
        ),
        (vec(histogram_point(), 0..4), temporality.clone()).prop_map(
            |(data_points, aggregation_temporality)| {
                Data::Histogram(Histogram { data_points, aggregation_temporality })
            }
        ),
        (vec(exponential_point(), 0..4), temporality).prop_map(
            |(data_points, aggregation_temporality)| {
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points,
                    aggregation_temporality,
                })
            }
        ),
        vec(summary_point(), 0..4).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

/// Every number but those that JSON spells as words.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1.0e6_f64..1.0e6,
        1 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
    ]
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        double().prop_map(|value| Some(Value::AsDouble(value))),
        any::<i64>().prop_map(|value| Some(Value::AsInt(value))),
        Just(None),
    ];
    (attributes(), (time(), time()), exemplars(), any::<u32>(), value).prop_map(
        |(attributes, (start, at), exemplars, flags, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: at,
            exemplars,
            flags,
            value,
        },
    )
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let counts = (any::<u64>(), vec(any::<u64>(), 0..5), vec(double(), 0..4));
    let values = (option::of(double()), option::of(double()), option::of(double()));
    (attributes(), (time(), time()), counts, values, exemplars(), any::<u32>()).prop_map(
        |(attributes, times, (count, bucket_counts, explicit_bounds), values, exemplars, flags)| {
            HistogramDataPoint {
                attributes,
                start_time_unix_nano: times.0,
                time_unix_nano: times.1,
                count,
                sum: values.0,
                bucket_counts,
                explicit_bounds,
                exemplars,
                flags,
                min: values.1,
                max: values.2,
            }
        },
    )
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let buckets = (any::<i32>(), vec(any::<u64>(), 0..5))
        .prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts });
    let counts = (any::<u64>(), any::<i32>(), any::<u64>());
    let buckets = (option::of(buckets.clone()), option::of(buckets));
    let values = (option::of(double()), option::of(double()), option::of(double()), double());
    (attributes(), (time(), time()), counts, buckets, values, exemplars(), any::<u32>()).prop_map(
        |(attributes, times, (count, scale, zero_count), buckets, values, exemplars, flags)| {
            ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: times.0,
                time_unix_nano: times.1,
                count,
                sum: values.0,
                scale,
                zero_count,
                positive: buckets.0,
                negative: buckets.1,
                flags,
                exemplars,
                min: values.1,
                max: values.2,
                zero_threshold: values.3,
            }
        },
    )
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let at = (double(), double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let values = (any::<u64>(), double(), vec(at, 0..4));
    (attributes(), (time(), time()), values, any::<u32>()).prop_map(
        |(attributes, times, (count, sum, quantile_values), flags)| SummaryDataPoint {
            attributes,
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            count,
            sum,
            quantile_values,
            flags,
        },
    )
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let value = prop_oneof![
        double().prop_map(|value| Some(exemplar::Value::AsDouble(value))),
        any::<i64>().prop_map(|value| Some(exemplar::Value::AsInt(value))),
        Just(None),
    ];
    let exemplar = (attributes(), time(), id(8), trace_id(), value).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    );
    vec(exemplar, 0..3)
}
