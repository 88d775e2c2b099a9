//! The table of bad input for metrics: a clear error or a partial success each time, the process
//! lives, its memory is bounded, and the next good request works.

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint,
};
use prost::Message;

use crate::grpc::{grpc_status, post_to};
use crate::http::post;
use crate::otlp::{gauge, grpc_frame, gzip, metrics, text};
use crate::stack::Stack;

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// More than any of these inputs may make the collector hold (unoptimised build).
const PEAK_MEMORY_MIB_MAX: u64 = 200;

/// What the sender must hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Taken but for so many points.
    Rejected(i64),
    /// 400, `INVALID_ARGUMENT`.
    Bad,
    /// 413, `RESOURCE_EXHAUSTED`.
    TooLarge,
}

type Case = (&'static str, &'static str, Vec<u8>, Heard);

fn named(data: Data) -> Metric {
    Metric { name: "bad".to_owned(), data: Some(data), ..Metric::default() }
}

fn histogram(buckets: usize) -> Metric {
    let point =
        HistogramDataPoint { bucket_counts: vec![1; buckets], ..HistogramDataPoint::default() };
    named(Data::Histogram(Histogram { data_points: vec![point], ..Histogram::default() }))
}

fn exponential(buckets: usize) -> Metric {
    let positive = Some(Buckets { offset: 0, bucket_counts: vec![1; buckets] });
    let data_points = vec![ExponentialHistogramDataPoint { positive, ..Default::default() }];
    named(Data::ExponentialHistogram(ExponentialHistogram { data_points, ..Default::default() }))
}

/// Requests that are well written and hold bad or extreme items.
fn requests() -> Vec<(&'static str, ExportMetricsServiceRequest, Heard)> {
    let points = |change: fn(&mut NumberDataPoint)| {
        let mut point = NumberDataPoint::default();
        change(&mut point);
        named(Data::Gauge(Gauge { data_points: vec![point] }))
    };
    let many = |point: &mut NumberDataPoint| {
        point.attributes =
            (0..10_000).map(|index| text(&format!("key.{index}"), "value")).collect();
    };
    [
        ("nothing in it", Metric { name: "empty".to_owned(), ..Metric::default() }, 1),
        ("no value, no time", points(|_| ()), 0),
        ("past 2262", points(|point| point.time_unix_nano = u64::MAX), 0),
        ("10,000 attributes", points(many), 0),
        ("10,000 buckets", histogram(10_000), 0),
        ("10,001 buckets", histogram(10_001), 1),
        ("a million buckets", exponential(1_000_000), 1),
    ]
    .map(|(name, metric, rejected)| (name, metrics("bad", vec![metric]), Heard::Rejected(rejected)))
    .into()
}

/// A message within others, each the field of that key.
fn within(keys: &[u8], mut message: Vec<u8>) -> Vec<u8> {
    for key in keys {
        let mut outer = vec![*key];
        prost::encoding::encode_varint(message.len() as u64, &mut outer);
        outer.append(&mut message);
        message = outer;
    }
    message
}

fn protobuf_cases() -> Vec<Case> {
    let good = metrics("bad", vec![gauge("a name", 1)]).encode_to_vec();
    let mut utf8 = good.clone();
    let at = utf8.windows(6).position(|bytes| bytes == b"a name").unwrap();
    utf8[at] = 0xff;
    // Points are field 1 of a gauge (field 5 of a metric), which is field 2 of a scope, which is
    // field 2 of a resource, which is field 1.
    let points = within(&[0x2a, 0x12, 0x12, 0x0a], [0x0a, 0x00].repeat(5_000_000));
    let metrics_of_nothing = within(&[0x12, 0x0a], [0x12, 0x00].repeat(5_000_000));
    // Counts of one byte each: field 2 of the buckets, which are field 8 of the point.
    let counts = within(&[0x12, 0x42, 0x0a, 0x52, 0x12, 0x12, 0x0a], vec![1; 12_000_000]);
    let mut cases = vec![
        ("truncated", "", good[..good.len() - 3].to_vec(), Heard::Bad),
        ("invalid UTF-8", "", utf8, Heard::Rejected(0)),
        ("five million empty points", "", points, Heard::TooLarge),
        ("five million empty metrics", "", metrics_of_nothing, Heard::TooLarge),
        ("twelve million counts", "", counts, Heard::TooLarge),
    ];
    for (name, request, heard) in requests() {
        cases.push((name, "", request.encode_to_vec(), heard));
    }
    cases
}

fn json_cases() -> Vec<Case> {
    let good = serde_json::to_vec(&metrics("bad", vec![gauge("a name", 1)])).unwrap();
    let request = |metric: String| {
        let text =
            format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#);
        text.into_bytes()
    };
    let points = |points: String| request(format!(r#"{{"gauge":{{"dataPoints":[{points}]}}}}"#));
    let deep = [r#"{"arrayValue":{"values":["#.repeat(10_000), "]}}".repeat(10_000)].concat();
    let deep = points(format!(r#"{{"attributes":[{{"key":"k","value":{deep}}}]}}"#));
    let counts = format!(r#"{{"bucketCounts":[{}1]}}"#, "1,".repeat(8_000_000));
    let counts = request(format!(r#"{{"histogram":{{"dataPoints":[{counts}]}}}}"#));
    let mut cases = vec![
        ("truncated", "", good[..good.len() - 3].to_vec(), Heard::Bad),
        ("a text for points", "", request(r#"{"gauge":{"dataPoints":"x"}}"#.into()), Heard::Bad),
        ("a text for a value", "", points(r#"{"asDouble":"x"}"#.into()), Heard::Bad),
        ("a fraction of a count", "", points(r#"{"asInt":1.5}"#.into()), Heard::Bad),
        ("NaN", "", points(r#"{"asDouble":"NaN"}"#.into()), Heard::Rejected(0)),
        ("a kind of the future", "", request(r#"{"name":"f","x":{}}"#.into()), Heard::Rejected(1)),
        ("ten thousand levels", "", deep, Heard::Bad),
        ("three million points", "", points("{},".repeat(3_000_000) + "{}"), Heard::TooLarge),
        ("eight million counts", "", counts, Heard::TooLarge),
    ];
    for (name, request, heard) in requests() {
        cases.push((name, "", serde_json::to_vec(&request).unwrap(), heard));
    }
    cases
}

/// Cases that say nothing of an encoding.
fn any_cases() -> Vec<Case> {
    let noise: Vec<u8> =
        (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    vec![
        ("garbage", "", noise.clone(), Heard::Bad),
        ("garbage as gzip", "gzip", noise, Heard::Bad),
        ("gzip bomb", "gzip", gzip(&vec![0; 200 << 20]), Heard::TooLarge),
    ]
}

/// Sends every case and after each a good request; then looks at the process and the store.
async fn run(cases: Vec<Case>, send: impl AsyncFn(&Stack, &str, Vec<u8>) -> Heard) {
    let mut stack = Stack::start(&[]).await;
    let mut good = 0;
    for (name, coding, body, heard) in any_cases().into_iter().chain(cases) {
        assert_eq!(send(&stack, coding, body).await, heard, "{name}");
        assert!(stack.collector.is_running(), "{name}: {}", stack.collector.log());
        good += 1;
        let next = metrics("good", vec![gauge("g", good)]).encode_to_vec();
        let url = stack.http("/v1/metrics");
        let answer = post(url, "application/x-protobuf", "", next).send().await.unwrap();
        assert_eq!(answer.status(), 200, "the next good request after {name}");
    }
    let stored = "SELECT count() FROM otel_metrics_gauge WHERE ServiceName = 'good'";
    assert_eq!(stack.query(stored).await, [good.to_string()]);
    let peak = stack.collector.peak_memory_mib();
    assert!(peak < PEAK_MEMORY_MIB_MAX, "held {peak} MiB");
    assert!(!stack.collector.log().contains("panicked"), "{}", stack.collector.log());
    // What was cut is visible on the row; the widest distribution that is taken is whole.
    let cut = "SELECT Attributes['waybill.dropped_attributes_count'] FROM otel_metrics_gauge \
               WHERE length(Attributes) > 900";
    assert_eq!(stack.query(cut).await, ["9000"]);
    let widest = "SELECT length(BucketCounts) FROM otel_metrics_histogram";
    assert_eq!(stack.query(widest).await, ["10000"]);
}

/// What a request over HTTP heard, from the status and the count of rejected points.
fn http_heard(status: u16, rejected: i64) -> Heard {
    match status {
        200 => Heard::Rejected(rejected),
        400 => Heard::Bad,
        413 => Heard::TooLarge,
        other => panic!("status {other}"),
    }
}

#[tokio::test]
async fn over_http_in_protobuf() {
    run(protobuf_cases(), async |stack, coding, body| {
        let url = stack.http("/v1/metrics");
        let answer = post(url, "application/x-protobuf", coding, body).send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        if status != 200 {
            assert!(!tonic_types::Status::decode(body).unwrap().message.is_empty());
            return http_heard(status, 0);
        }
        let message = ExportMetricsServiceResponse::decode(body).unwrap();
        http_heard(200, message.partial_success.map_or(0, |partial| partial.rejected_data_points))
    })
    .await;
}

#[tokio::test]
async fn over_http_in_json() {
    run(json_cases(), async |stack, coding, body| {
        let url = stack.http("/v1/metrics");
        let answer = post(url, "application/json", coding, body).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.unwrap();
        assert!(status == 200 || !body["message"].as_str().unwrap().is_empty());
        let rejected = body["partialSuccess"]["rejectedDataPoints"].as_str();
        http_heard(status, rejected.map_or(0, |count| count.parse().unwrap()))
    })
    .await;
}

#[tokio::test]
async fn over_grpc() {
    run(protobuf_cases(), async |stack, coding, body| {
        let frame = grpc_frame(!coding.is_empty(), &body);
        let answer = post_to(stack, EXPORT, coding, frame).await;
        let (code, message) = grpc_status(&answer);
        match tonic::Code::from(code) {
            tonic::Code::Ok => {
                let frame = answer.bytes().await.unwrap();
                let message = ExportMetricsServiceResponse::decode(frame.slice(5..)).unwrap();
                let partial = message.partial_success;
                Heard::Rejected(partial.map_or(0, |partial| partial.rejected_data_points))
            }
            tonic::Code::InvalidArgument => Heard::Bad,
            tonic::Code::ResourceExhausted => Heard::TooLarge,
            code => panic!("{code:?}: {message}"),
        }
    })
    .await;
}
