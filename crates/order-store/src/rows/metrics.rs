//! Rows of the five tables of metrics: the columns of the OpenTelemetry ClickHouse exporter, then
//! ours. Metrics name no order and touch none.
//!
//! Numbers are stored as they came, NaN and infinities too. What a client may leave out (sum,
//! least and greatest value) is 0 then, as the exporter writes it.

use serde::Serialize;

use super::Attributes;

/// What a data point of every kind has. Attribute sets are sorted by key: a set has no order, and
/// the points of one series must look alike whoever sent them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetricPoint {
    /// Attributes of the resource.
    pub resource_attributes: Attributes,
    /// Schema of the resource.
    pub resource_schema_url: String,
    /// Instrumentation scope.
    pub scope_name: String,
    /// Its version.
    pub scope_version: String,
    /// Its attributes.
    pub scope_attributes: Attributes,
    /// How many attributes of the scope the client left out.
    pub scope_dropped_attr_count: u32,
    /// Schema of the scope.
    pub scope_schema_url: String,
    /// `service.name` of the resource.
    pub service_name: String,
    /// Name of the metric.
    pub metric_name: String,
    /// What it measures, in words.
    pub metric_description: String,
    /// Its unit (UCUM).
    pub metric_unit: String,
    /// Attributes of the point: with the names before, its series.
    pub attributes: Attributes,
    /// Since when the point counts; 0 where the client does not say.
    pub start_time_unix: i64,
    /// When it was taken.
    pub time_unix: i64,
    /// Bits of `DataPointFlags`; the lowest says that there is no value, and 0 stands for it.
    pub flags: u32,
    /// 0; or, where something was removed or cut so that the point may look like another one of
    /// its request, its place in the request, from 1.
    pub ordinal: u32,
    /// When the collector received it, milliseconds; partitions and retention go by it.
    pub received_at: i64,
}

/// Single measurements that a point tells of, side by side.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Exemplars {
    /// Attributes that the point itself has not.
    pub filtered_attributes: Vec<Attributes>,
    /// When they were measured.
    pub time_unix: Vec<i64>,
    /// What was measured.
    pub value: Vec<f64>,
    /// 16 hexadecimal digits or empty.
    pub span_id: Vec<String>,
    /// 32 hexadecimal digits or empty.
    pub trace_id: Vec<String>,
}

/// A row of `otel_metrics_gauge`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GaugeRow {
    /// What every kind has.
    pub point: MetricPoint,
    /// The value; an integer as the nearest double.
    pub value: f64,
    /// Measurements.
    pub exemplars: Exemplars,
}

/// A row of `otel_metrics_sum`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SumRow {
    /// What every kind has.
    pub point: MetricPoint,
    /// The value; an integer as the nearest double.
    pub value: f64,
    /// Measurements.
    pub exemplars: Exemplars,
    /// 0 not said, 1 delta (since the last point), 2 cumulative (since the start).
    pub aggregation_temporality: i32,
    /// Whether it never falls.
    pub is_monotonic: bool,
}

/// A row of `otel_metrics_histogram`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HistogramRow {
    /// What every kind has.
    pub point: MetricPoint,
    /// Measurements counted.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Measurements in each bucket; one more than there are bounds.
    pub bucket_counts: Vec<u64>,
    /// Upper bounds of the buckets, the last bucket's left out.
    pub explicit_bounds: Vec<f64>,
    /// Measurements.
    pub exemplars: Exemplars,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// As in [`SumRow`].
    pub aggregation_temporality: i32,
}

/// A row of `otel_metrics_exponential_histogram`. A bucket of index i holds what lies in
/// (b^i, b^(i+1)] with b = 2^(2^-scale).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExponentialHistogramRow {
    /// What every kind has.
    pub point: MetricPoint,
    /// Measurements counted.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// How fine the buckets are.
    pub scale: i32,
    /// Measurements at or near zero.
    pub zero_count: u64,
    /// Index of the first positive bucket.
    pub positive_offset: i32,
    /// Measurements in the positive buckets.
    pub positive_bucket_counts: Vec<u64>,
    /// Index of the first negative bucket.
    pub negative_offset: i32,
    /// Measurements in the negative buckets.
    pub negative_bucket_counts: Vec<u64>,
    /// Measurements.
    pub exemplars: Exemplars,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// As in [`SumRow`].
    pub aggregation_temporality: i32,
}

/// A row of `otel_metrics_summary`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SummaryRow {
    /// What every kind has.
    pub point: MetricPoint,
    /// Measurements counted.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantiles, from 0 to 1.
    pub quantiles: Vec<f64>,
    /// Their values.
    pub values: Vec<f64>,
}

/// Data points by their tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics {
    /// Gauges.
    pub gauges: Vec<GaugeRow>,
    /// Sums.
    pub sums: Vec<SumRow>,
    /// Histograms with bounds of their own.
    pub histograms: Vec<HistogramRow>,
    /// Histograms with exponential buckets.
    pub exponential_histograms: Vec<ExponentialHistogramRow>,
    /// Summaries.
    pub summaries: Vec<SummaryRow>,
}

impl Metrics {
    /// Adds the points of `other`.
    pub fn append(&mut self, mut other: Self) {
        self.gauges.append(&mut other.gauges);
        self.sums.append(&mut other.sums);
        self.histograms.append(&mut other.histograms);
        self.exponential_histograms.append(&mut other.exponential_histograms);
        self.summaries.append(&mut other.summaries);
    }

    /// Number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gauges.len()
            + self.sums.len()
            + self.histograms.len()
            + self.exponential_histograms.len()
            + self.summaries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
