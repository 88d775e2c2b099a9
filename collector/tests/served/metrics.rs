//! Metrics over both transports: taken, answered, refused and counted as the other signals are.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use prost::Message;
use tonic::codec::CompressionEncoding;

use crate::http::{content_type, post};
use crate::otlp::{distribution, gauge, gzip, metrics, text, zstd};
use crate::stack::{Stack, eventually, start_collector};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

#[tokio::test]
async fn every_encoding_and_coding_is_taken_over_http() {
    let stack = Stack::start(&[]).await;
    let mut sent = 0;
    for encoding in [PROTOBUF, JSON] {
        for coding in ["", "gzip", "zstd"] {
            sent += 1;
            let request = metrics("mes", vec![gauge("queue.depth", sent)]);
            let plain = match encoding {
                JSON => serde_json::to_vec(&request).unwrap(),
                _ => request.encode_to_vec(),
            };
            let body = match coding {
                "gzip" => gzip(&plain),
                "zstd" => zstd(&plain),
                _ => plain,
            };
            let url = stack.http("/v1/metrics");
            let answer = post(url, encoding, coding, body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{encoding} {coding}");
            assert_eq!(content_type(&answer), encoding);
            let body = answer.bytes().await.unwrap();
            assert_eq!(&body[..], if encoding == JSON { &b"{}"[..] } else { b"" });
        }
    }
    // The answer comes after the insert: what was answered can be read.
    let stored = "SELECT Value FROM otel_metrics_gauge WHERE ServiceName = 'mes' ORDER BY Value";
    assert_eq!(stack.query(stored).await, ["1", "2", "3", "4", "5", "6"]);
    let page = stack.metrics().await;
    for line in [
        "requests_total{signal=\"metrics\",transport=\"http\",reason=\"ok\"} 6",
        "accepted_items_total{signal=\"metrics\",transport=\"http\"} 6",
        "inserted_rows_total{table=\"otel_metrics_gauge\"} 6",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    // A process that tells of its queue says nothing about orders.
    assert_eq!(stack.query("SELECT count() FROM sources").await, ["0"]);
}

#[tokio::test]
async fn the_generated_client_is_served_with_every_coding() {
    let stack = Stack::start(&[]).await;
    let connected = MetricsServiceClient::connect(stack.grpc("")).await.unwrap();
    let codings = [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)];
    for (value, coding) in (1..).zip(codings) {
        let mut client = match coding {
            Some(coding) => connected.clone().send_compressed(coding),
            None => connected.clone(),
        };
        let request = metrics("crm", vec![gauge("g", value)]);
        let answer = client.export(request).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
    }
    assert_eq!(stack.query("SELECT count() FROM otel_metrics_gauge").await, ["3"]);
}

#[tokio::test]
async fn a_partial_success_names_the_metric_and_keeps_the_rest() {
    let stack = Stack::start(&[]).await;
    let nothing = Metric { name: "nothing".to_owned(), ..Metric::default() };
    let request = metrics("shop", vec![nothing, gauge("good", 1)]);

    let body = request.encode_to_vec();
    let answer = post(stack.http("/v1/metrics"), PROTOBUF, "", body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let message = ExportMetricsServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
    let partial = message.partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);
    for part in ["rejected data points: 1", "`nothing`", "histogram"] {
        assert!(partial.error_message.contains(part), "{}", partial.error_message);
    }

    let body = serde_json::to_vec(&request).unwrap();
    let answer = post(stack.http("/v1/metrics"), JSON, "", body).send().await.unwrap();
    let message: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(message["partialSuccess"]["rejectedDataPoints"], "1");

    let mut client = MetricsServiceClient::connect(stack.grpc("")).await.unwrap();
    let partial = client.export(request).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);

    assert_eq!(stack.query("SELECT DISTINCT MetricName FROM otel_metrics_gauge").await, ["good"]);
    let counted = "rejected_items_total{signal=\"metrics\",transport=\"http\",\
                   reason=\"unknown_metric_kind\"} 2";
    assert!(stack.metrics().await.contains(counted));
}

#[tokio::test]
async fn a_full_house_asks_to_come_again_and_a_store_that_is_away_does_not() {
    let flags = ["--in-flight-bytes-max", "600", "--body-bytes-max", "600"];
    let mut stack = Stack::start(&flags).await;
    let body = metrics("shop", vec![distribution("d", 300)]).encode_to_vec();
    let send = async |stack: &Stack| {
        post(stack.http("/v1/metrics"), PROTOBUF, "", body.clone()).send().await.unwrap()
    };
    let answer = send(&stack).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"2".parse().unwrap())
    );
    stack.restart_collector(&[]);
    stack.ready().await;
    stack.engine.kill();
    assert_eq!(send(&stack).await.status(), 200);
    stack.restart_engine();
    stack.ready().await;
    let stored = "SELECT count() FROM otel_metrics_exponential_histogram_v1";
    assert_eq!(stack.query(stored).await, ["1"]);
}

#[tokio::test]
async fn a_clients_repeat_through_another_collector_is_read_once() {
    let stack = Stack::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("http://{}", stack.engine.address("clickhouse-http"));
    let other = start_collector(folder.path(), &store, &[]);
    let body = metrics("shop", vec![gauge("g", 1), gauge("g", 2)]).encode_to_vec();
    let urls =
        [stack.http("/v1/metrics"), format!("http://{}/v1/metrics", other.address("otlp-http"))];
    for url in urls {
        let mut status = 503;
        while status == 503 {
            let answer = post(url.clone(), PROTOBUF, "", body.clone()).send().await.unwrap();
            status = answer.status().as_u16();
        }
        assert_eq!(status, 200);
    }
    // The other has a journal of its own.
    eventually("both have stored", async || {
        stack.query("SELECT count() FROM otel_metrics_gauge").await == ["4"]
    })
    .await;
    let read = "SELECT Value FROM otel_metrics_gauge_v1 ORDER BY Value";
    assert_eq!(stack.query(read).await, ["1", "2"]);
}

#[tokio::test]
async fn what_must_not_be_stored_never_reaches_the_store() {
    let stack = Stack::start(&[]).await;
    let mut metric = gauge("g", 1);
    metric.description = "seen by leak-1@example.com".to_owned();
    let Some(opentelemetry_proto::tonic::metrics::v1::metric::Data::Gauge(data)) = &mut metric.data
    else {
        panic!("a gauge")
    };
    data.data_points[0].attributes = vec![text("customer.phone", "leak-2")];
    data.data_points[0].exemplars = vec![Default::default()];
    data.data_points[0].exemplars[0].filtered_attributes = vec![text("api.token", "leak-3")];
    let mut request = metrics("shop", vec![metric]);
    let group = &mut request.resource_metrics[0];
    group.resource.as_mut().unwrap().attributes.push(text("user.email", "leak-4"));
    let url = stack.http("/v1/metrics");
    let answer = post(url, PROTOBUF, "", request.encode_to_vec()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let rows = stack.query("SELECT * FROM otel_metrics_gauge").await.join("\n");
    assert!(rows.contains("[redacted]") && !rows.contains("leak"), "{rows}");
    assert!(stack.metrics().await.contains("redacted_values_total 4"));
}
