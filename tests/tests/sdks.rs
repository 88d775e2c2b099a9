//! Orders sent by the official SDKs appear with the right stage, history and spans.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::Stack;
use end_to_end::clients::Script;
use end_to_end::comparison;
use end_to_end::pages::{Pages, Span};
use end_to_end::parts::Part;
use end_to_end::traffic::{Traffic, TrafficSettings};
use end_to_end::wait::{Look, until};
use serde::Deserialize;

/// How long what was acknowledged may take to be shown; see `freshness.rs` for the real figure.
const SHOWN_DEADLINE: Duration = Duration::from_secs(10);

/// A span as the client says it sent it.
#[derive(Debug, Deserialize)]
struct Told {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    name: String,
    kind: String,
    service: String,
    start_ms: i64,
    duration_ms: i64,
    status_code: String,
}

#[tokio::test]
async fn orders_of_the_python_sdk_appear() -> Result<()> {
    let stack = Stack::start().await?;
    let cases = [("grpc", stack.otlp_grpc()?), ("http-protobuf", stack.otlp_http()?)];
    for (number, (protocol, endpoint)) in cases.iter().enumerate() {
        let order_id = format!("ORD-2026-91{number:04}");
        told_and_shown(&stack, Script::Python, protocol, endpoint, &order_id).await?;
        metrics_are_kept(&stack, protocol, &order_id).await?;
    }
    stack.finish().await
}

#[tokio::test]
async fn orders_of_the_javascript_sdk_appear() -> Result<()> {
    let stack = Stack::start().await?;
    let endpoint = stack.otlp_http()?;
    for (number, protocol) in ["http-json", "http-protobuf"].iter().enumerate() {
        let order_id = format!("ORD-2026-92{number:04}");
        told_and_shown(&stack, Script::JavaScript, protocol, &endpoint, &order_id).await?;
    }
    stack.finish().await
}

async fn told_and_shown(
    stack: &Stack,
    script: Script,
    protocol: &str,
    endpoint: &str,
    order_id: &str,
) -> Result<()> {
    let told: Vec<Told> = script
        .run(&[protocol, endpoint, order_id])
        .await
        .with_context(|| format!("logs are in {}", stack.logs().display()))?;
    assert_eq!(told.len(), 6, "the story has six spans: {told:?}");
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let order = pages.order_at(order_id, "CALCULATION_RUNNING", SHOWN_DEADLINE).await?;
    let at = format!("{script:?} {protocol}");
    let history: Vec<_> =
        order.history.iter().map(|stay| (stay.stage.as_str(), stay.source.as_str())).collect();
    let expected = [("SUBMITTED", "shop"), ("CALCULATION_RUNNING", "mes")];
    assert_eq!(history, expected, "{at}: the history");
    let entered_ms: Vec<_> =
        order.history.iter().map(|stay| stay.entered_at.timestamp_millis()).collect();
    assert_eq!(entered_ms[0], named(&told, "order.stage")?.start_ms, "{at}: when it was submitted");
    let picked_ms = named(&told, "calc.requests process")?.start_ms;
    assert_eq!(entered_ms[1], picked_ms, "{at}: when the calculation began");
    let shown = (order.order.condition.as_str(), order.order.channel.as_str());
    assert_eq!((shown, order.order.kind.as_str()), (("fine", "b2c"), "custom"), "{at}");
    spans_are_shown(&at, &told, &pages, order_id).await?;
    let hits = pages.search(&format!("m-{order_id}")).await?;
    let found: Vec<_> = hits.iter().map(|hit| hit.order.order_id.as_str()).collect();
    assert_eq!(found, [order_id], "{at}: the order, found by its message");
    Ok(())
}

/// A line for each data point of a story.
const POINTS: &str = "SELECT line FROM (\
    SELECT concat('gauge ', ServiceName, ' ', MetricName, ' ', toString(Value)) AS line \
    FROM waybill.otel_metrics_gauge_v1 WHERE Attributes['story'] = {story:String} \
    UNION ALL \
    SELECT concat('sum ', ServiceName, ' ', MetricName, ' ', toString(Value), ' ', \
        toString(AggregationTemporality), ' ', toString(IsMonotonic)) \
    FROM waybill.otel_metrics_sum_v1 WHERE Attributes['story'] = {story:String} \
    UNION ALL \
    SELECT concat('histogram ', ServiceName, ' ', MetricName, ' ', toString(Count), ' ', \
        toString(Sum), ' ', toString(arrayFirst((bound, count) -> count > 0, ExplicitBounds, \
        arrayPopBack(BucketCounts))), ' in a span: ', toString(Exemplars.TraceId[1] IN \
        (SELECT TraceId FROM waybill.otel_traces))) \
    FROM waybill.otel_metrics_histogram_v1 WHERE Attributes['story'] = {story:String} \
    UNION ALL \
    SELECT concat('exponential ', ServiceName, ' ', MetricName, ' ', toString(Sum), ' ', \
        toString(arraySum(PositiveBucketCounts)), ' ', toString(Max)) \
    FROM waybill.otel_metrics_exponential_histogram_v1 WHERE Attributes['story'] = {story:String}\
    ) ORDER BY line FORMAT TSV";

/// All that the SDK has measured is there, each point once.
async fn metrics_are_kept(stack: &Stack, at: &str, story: &str) -> Result<()> {
    let url = reqwest::Url::parse_with_params(
        &stack.url(Part::Engine)?,
        [("param_story", story), ("query", POINTS)],
    )?;
    // The script has ended, and what was acknowledged is in the store.
    let kept = stack.client().get(url).send().await?.text().await?;
    let expected = [
        "exponential mes model.triangles 12000 1 12000",
        "gauge mes calc.queue.depth 7",
        "histogram mes calc.duration 1 5.5 10 in a span: 1",
        "sum shop orders.submitted 1 2 true",
    ];
    assert_eq!(kept.lines().collect::<Vec<_>>(), expected, "{at}: metrics");
    Ok(())
}

fn named<'a>(told: &'a [Told], name: &str) -> Result<&'a Told> {
    let found = told.iter().find(|span| span.name == name);
    found.with_context(|| format!("the story has no span {name}"))
}

async fn spans_are_shown(at: &str, told: &[Told], pages: &Pages, order_id: &str) -> Result<()> {
    let shown = pages.spans(order_id).await?;
    assert_eq!(shown.total, told.len() as u64, "{at}: the number of spans");
    let by_id: BTreeMap<&str, &Span> =
        shown.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    for told in told {
        let shown = by_id.get(told.span_id.as_str()).with_context(|| format!("{at}: {told:?}"))?;
        let duration_ms = (shown.duration_seconds * 1_000.0).round();
        let came = (
            (shown.trace_id.as_str(), shown.parent_span_id.as_str(), shown.name.as_str()),
            (shown.kind.as_str(), shown.service.as_str(), shown.status_code.as_str()),
            (shown.start.timestamp_millis(), duration_ms),
        );
        let expected = (
            (told.trace_id.as_str(), told.parent_span_id.as_str(), told.name.as_str()),
            (told.kind.as_str(), told.service.as_str(), told.status_code.as_str()),
            (told.start_ms, told.duration_ms as f64),
        );
        assert_eq!(came, expected, "{at}: a span");
    }
    Ok(())
}

/// The simulator is made of the Rust SDK: shop and MES over HTTP, the CRM over gRPC, stages as
/// spans and as log records, in the past and, with `tracing-opentelemetry`, live.
#[tokio::test]
async fn orders_of_the_rust_sdk_appear() -> Result<()> {
    let stack = Stack::start().await?;
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let settings = TrafficSettings {
        otlp_http: stack.otlp_http()?,
        otlp_grpc: stack.otlp_grpc()?,
        seed: 14,
        orders: 0,
        rate: 120.0,
        extra: ["--mes-protocol=http", "--duration=12s", "--stage-interval=3300ms"]
            .map(str::to_owned)
            .to_vec(),
    };
    let mut traffic = Traffic::start(&settings, stack.folder(), &stack.logs())?;
    let (population, examples) = traffic.population().await?;
    traffic.finished().await?;
    let truth = traffic.truth()?;
    let live = truth.orders_total - population.orders_total;
    println!("{} back-dated orders, {live} live ones", population.orders_total);
    assert!(live >= 10, "{live} live orders");

    until("the board to equal the truth, live orders included", SHOWN_DEADLINE, || async {
        let found = comparison::board(&truth, &pages.board().await?);
        Ok(if found.none() { Look::Yes(()) } else { Look::NotYet(found.to_string()) })
    })
    .await?;
    let found = comparison::orders(&truth, &pages.every_order().await?, false);
    assert!(found.none(), "the lists: {found}");
    for order in truth.orders.iter().rev().take(10) {
        assert_eq!(pages.spans(&order.id).await?.total, order.spans, "spans of live {}", order.id);
    }
    let fine = pages.order(&examples["fine"]).await?.context("the fine order is known")?;
    let history: Vec<_> =
        fine.history.iter().map(|stay| (stay.stage.as_str(), stay.source.as_str())).collect();
    let expected = [
        ("INITIATED", "shop"),
        ("FILE_UPLOADED", "shop"),
        ("SUBMITTED", "shop"),
        ("CALCULATION_RUNNING", "mes"),
        ("PRICE_CALCULATED", "mes"),
        ("MANUFACTURING_APPROVED", "crm"),
        ("MANUFACTURING_STARTED", "mes"),
    ];
    assert_eq!(history, expected, "the history of {}", examples["fine"]);
    stack.finish().await
}
