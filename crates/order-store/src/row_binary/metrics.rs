//! The columns of the tables of metrics.

use super::{TableRow, Value};
use crate::rows::metrics::{ExponentialHistogramRow, GaugeRow, HistogramRow, SumRow, SummaryRow};

/// The columns that every kind of data point has, then its own.
macro_rules! metric_columns {
    ($row:ty: $($own:tt)*) => {
        columns! { $row:
            "ResourceAttributes" = point.resource_attributes,
            "ResourceSchemaUrl" = point.resource_schema_url,
            "ScopeName" = point.scope_name,
            "ScopeVersion" = point.scope_version,
            "ScopeAttributes" = point.scope_attributes,
            "ScopeDroppedAttrCount" = point.scope_dropped_attr_count,
            "ScopeSchemaUrl" = point.scope_schema_url,
            "ServiceName" = point.service_name,
            "MetricName" = point.metric_name,
            "MetricDescription" = point.metric_description,
            "MetricUnit" = point.metric_unit,
            "Attributes" = point.attributes,
            "StartTimeUnix" = point.start_time_unix,
            "TimeUnix" = point.time_unix,
            "Flags" = point.flags,
            "Ordinal" = point.ordinal,
            "ReceivedAt" = point.received_at,
            $($own)*
        }
    };
}

metric_columns! { GaugeRow:
    "Value" = value,
    "Exemplars.FilteredAttributes" = exemplars.filtered_attributes,
    "Exemplars.TimeUnix" = exemplars.time_unix,
    "Exemplars.Value" = exemplars.value,
    "Exemplars.SpanId" = exemplars.span_id,
    "Exemplars.TraceId" = exemplars.trace_id,
}

metric_columns! { SumRow:
    "Value" = value,
    "Exemplars.FilteredAttributes" = exemplars.filtered_attributes,
    "Exemplars.TimeUnix" = exemplars.time_unix,
    "Exemplars.Value" = exemplars.value,
    "Exemplars.SpanId" = exemplars.span_id,
    "Exemplars.TraceId" = exemplars.trace_id,
    "AggregationTemporality" = aggregation_temporality,
    "IsMonotonic" = is_monotonic,
}

metric_columns! { HistogramRow:
    "Count" = count,
    "Sum" = sum,
    "BucketCounts" = bucket_counts,
    "ExplicitBounds" = explicit_bounds,
    "Exemplars.FilteredAttributes" = exemplars.filtered_attributes,
    "Exemplars.TimeUnix" = exemplars.time_unix,
    "Exemplars.Value" = exemplars.value,
    "Exemplars.SpanId" = exemplars.span_id,
    "Exemplars.TraceId" = exemplars.trace_id,
    "Min" = min,
    "Max" = max,
    "AggregationTemporality" = aggregation_temporality,
}

metric_columns! { ExponentialHistogramRow:
    "Count" = count,
    "Sum" = sum,
    "Scale" = scale,
    "ZeroCount" = zero_count,
    "PositiveOffset" = positive_offset,
    "PositiveBucketCounts" = positive_bucket_counts,
    "NegativeOffset" = negative_offset,
    "NegativeBucketCounts" = negative_bucket_counts,
    "Exemplars.FilteredAttributes" = exemplars.filtered_attributes,
    "Exemplars.TimeUnix" = exemplars.time_unix,
    "Exemplars.Value" = exemplars.value,
    "Exemplars.SpanId" = exemplars.span_id,
    "Exemplars.TraceId" = exemplars.trace_id,
    "Min" = min,
    "Max" = max,
    "AggregationTemporality" = aggregation_temporality,
}

metric_columns! { SummaryRow:
    "Count" = count,
    "Sum" = sum,
    "ValueAtQuantiles.Quantile" = quantiles,
    "ValueAtQuantiles.Value" = values,
}
