//! What becomes of data points: values, flags, order of attributes, bounds and rejections.

use std::sync::Arc;

use bytes::Bytes;
use order_model::Lifecycle;
use serde_json::{Value, json};

use crate::{Encoding, Limits, Mapped, Mapper, Redaction, Rejection, Signal};

fn map_with(limits: Limits, request: &Value) -> Mapped {
    let lifecycle = Arc::new(Lifecycle::default());
    let mapper = Mapper::new(lifecycle, Redaction::with(&[]).unwrap(), limits);
    let body = Bytes::from(request.to_string());
    mapper.map_body(Signal::Metrics, Encoding::Json, &body, 7).unwrap()
}

/// One resource with these metrics.
fn request(metrics: &Value) -> Value {
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] })
}

fn map(metrics: &Value) -> Mapped {
    map_with(Limits::default(), &request(metrics))
}

fn gauge(points: &Value) -> Value {
    json!([{ "name": "g", "gauge": { "dataPoints": points } }])
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    let pair =
        |(key, value): &(&str, &str)| json!({ "key": key, "value": { "stringValue": value } });
    pairs.iter().map(pair).collect()
}

#[test]
fn numbers_are_stored_as_they_came() {
    for (value, expected) in [
        (json!({ "asDouble": 1.5 }), 1.5),
        (json!({ "asDouble": "NaN" }), f64::NAN),
        (json!({ "asDouble": "-Infinity" }), f64::NEG_INFINITY),
        (json!({ "asInt": "-3" }), -3.0),
        (json!({ "asInt": 9_007_199_254_740_993_i64 }), 9_007_199_254_740_992.0),
        (json!({ "asInt": "9223372036854775807" }), 9_223_372_036_854_775_807.0),
    ] {
        let mapped = map(&gauge(&json!([value])));
        let row = &mapped.batch.metrics.gauges[0];
        assert_eq!((row.value.to_bits(), row.point.flags), (f64::to_bits(expected), 0), "{value}");
    }
}

#[test]
fn a_point_without_a_value_says_so_whether_its_sender_did_or_not() {
    for (point, flags) in [(json!({ "flags": 1 }), 1), (json!({}), 1), (json!({ "flags": 6 }), 7)] {
        let mapped = map(&gauge(&json!([point])));
        let row = &mapped.batch.metrics.gauges[0];
        assert_eq!((row.value, row.point.flags), (0.0, flags), "{point}");
        assert_eq!(mapped.rejected.total(), 0);
    }
}

#[test]
fn a_series_looks_alike_whatever_the_order_of_its_attributes() {
    let points = [[("b", "2"), ("a", "1")], [("a", "1"), ("b", "2")]]
        .map(|pairs| json!({ "asInt": 1, "attributes": attributes(&pairs) }));
    let mapped = map(&gauge(&json!(points)));
    let [one, other] = &mapped.batch.metrics.gauges[..] else { panic!("two points") };
    assert_eq!(one, other);
    assert_eq!(one.point.attributes[0], ("a".to_owned(), "1".to_owned()));
}

#[test]
fn points_that_redaction_makes_alike_are_told_apart_by_their_place() {
    let of = |phone: &str| json!({ "asInt": 1, "attributes": attributes(&[("phone", phone)]) });
    let body = gauge(&json!([of("1"), of("2"), { "asInt": 1 }]));
    let mapped = map(&body);
    let ordinals: Vec<_> =
        mapped.batch.metrics.gauges.iter().map(|row| row.point.ordinal).collect();
    assert_eq!(ordinals, [1, 2, 0]);
    assert_eq!(mapped.tally.redacted_values, 2);
    // A repeat of the request has the same.
    assert_eq!(map(&body), mapped);

    // Of one resource nothing needs to be told apart; of two that look alike everything.
    let group = |phone: &str| {
        json!({ "resource": { "attributes": attributes(&[("phone", phone)]) },
            "scopeMetrics": [{ "metrics": gauge(&json!([{ "asInt": 1 }])) }] })
    };
    for (groups, expected) in
        [(json!([group("1")]), vec![0]), (json!([group("1"), group("2")]), vec![1, 2])]
    {
        let mapped = map_with(Limits::default(), &json!({ "resourceMetrics": groups }));
        let rows = &mapped.batch.metrics.gauges;
        assert_eq!(rows.iter().map(|row| row.point.ordinal).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_metric_of_no_kind_that_is_known_is_rejected_by_name() {
    let mapped = map(&json!([
        { "name": "no data" },
        { "name": "of the future", "heatmap": { "dataPoints": [{}, {}] } },
        { "name": "empty", "sum": { "dataPoints": [] } },
        { "name": "good", "sum": { "dataPoints": [{ "asInt": 1 }] } },
    ]));
    assert_eq!(mapped.rejected.counts[Rejection::MetricKind as usize], 2);
    assert_eq!((mapped.rejected.total(), mapped.tally.points), (2, 1));
    let message = mapped.rejected.message("data points");
    assert!(message.contains("`no data`, `of the future`"), "{message}");
    assert!(!message.contains("empty") && message.contains("exponential histogram"), "{message}");
}

#[test]
fn a_distribution_is_stored_whole_or_not_at_all() {
    let limits = Limits { buckets_max: 5, ..Limits::default() };
    for (kind, data, fits) in [
        ("histogram", json!({ "bucketCounts": [1, 1, 1], "explicitBounds": [1, 2] }), true),
        ("histogram", json!({ "bucketCounts": [1, 1, 1, 1], "explicitBounds": [1, 2, 3] }), false),
        ("exponentialHistogram", json!({ "positive": { "bucketCounts": [1, 1, 1] } }), true),
        (
            "exponentialHistogram",
            json!({ "positive": { "bucketCounts": [1, 1, 1] },
                "negative": { "bucketCounts": [1, 1, 1] } }),
            false,
        ),
        ("summary", json!({ "quantileValues": [{}, {}] }), true),
        ("summary", json!({ "quantileValues": [{}, {}, {}] }), false),
    ] {
        let mut metric = json!({ "name": "wide" });
        metric[kind] = json!({ "dataPoints": [data] });
        let mapped = map_with(limits.clone(), &request(&json!([metric])));
        assert_eq!(mapped.batch.metrics.len(), usize::from(fits), "{metric}");
        assert_eq!(mapped.rejected.counts[Rejection::Buckets as usize], u64::from(!fits));
        assert!(fits || mapped.rejected.message("data points").contains("`wide`"));
    }
}

#[test]
fn what_is_past_the_bounds_is_cut_or_rejected_and_counted() {
    let exemplars: Vec<Value> = (0..5).map(|value| json!({ "asInt": value })).collect();
    let many = attributes(&[("a", "long value"), ("b", "2"), ("c", "3")]);
    let point = json!({ "asInt": 1, "attributes": many, "exemplars": exemplars });
    let limits = Limits {
        items_max: 2,
        attributes_max: 2,
        value_bytes_max: 4,
        exemplars_max: 3,
        ..Limits::default()
    };
    let mapped = map_with(limits, &request(&gauge(&json!([point, point, point]))));
    assert_eq!((mapped.batch.metrics.len(), mapped.rejected.total()), (2, 1));
    let row = &mapped.batch.metrics.gauges[0];
    assert_eq!(row.exemplars.value, [0.0, 1.0, 2.0]);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = [
        pair("a", "long"),
        pair("b", "2"),
        pair("waybill.cut_values_count", "1"),
        pair("waybill.dropped_attributes_count", "1"),
    ];
    assert_eq!(row.point.attributes, expected);
    let tally = mapped.tally;
    assert_eq!((tally.dropped_exemplars, tally.dropped_attributes, tally.cut_values), (4, 2, 2));

    // Texts and buckets that are on every row count as memory of every row.
    let description = "x".repeat(10_000);
    let metric = json!([{ "name": "g", "description": description,
        "gauge": { "dataPoints": vec![json!({ "asInt": 1 }); 100] } }]);
    let limits = Limits { row_bytes_max: 100_000, ..Limits::default() };
    let mapped = map_with(limits, &request(&metric));
    assert_eq!((mapped.batch.metrics.len(), mapped.rejected.total()), (10, 90));
}

#[test]
fn metrics_are_no_word_about_orders() {
    let attributes = attributes(&[("order.id", "A-1"), ("order.stage", "SHIPPED")]);
    let mapped = map_with(
        Limits::default(),
        &json!({ "resourceMetrics": [{
            "resource": { "attributes": attributes },
            "scopeMetrics": [{ "scope": { "attributes": attributes },
                "metrics": gauge(&json!([{ "asInt": 1, "attributes": attributes }])) }],
        }] }),
    );
    assert_eq!(mapped.batch.rows(), 1);
    assert!(mapped.batch.touched().is_empty());
}

/// JSON without objects can ask for much memory, too.
#[test]
fn a_body_of_numbers_is_weighed_before_it_is_read() {
    let point = |zeros: usize| format!("{{\"bucketCounts\":[{}0]}}", "0,".repeat(zeros));
    let body = |zeros: usize| {
        let data = format!("{{\"histogram\":{{\"dataPoints\":[{}]}}}}", point(zeros));
        let metrics = format!("{{\"scopeMetrics\":[{{\"metrics\":[{data}]}}]}}");
        Bytes::from(format!("{{\"resourceMetrics\":[{metrics}]}}"))
    };
    let limits = Limits { structures_bytes_max: 100_000, ..Limits::default() };
    let decode = |zeros| Signal::Metrics.decode(Encoding::Json, &body(zeros), &limits);
    assert!(decode(1_000).is_ok());
    assert!(decode(10_000).unwrap_err().is_too_large());
}
