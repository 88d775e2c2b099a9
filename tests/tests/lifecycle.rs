//! Programs that stop, fall, and come back: nothing acknowledged is lost, nothing is doubled.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use end_to_end::Stack;
use end_to_end::otlp::{self, PROTOBUF, StageSignal};
use end_to_end::pages::Pages;
use end_to_end::parts::Part;
use end_to_end::process::exit_text;
use end_to_end::wait::{Look, until};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use reqwest::{Client, StatusCode};

/// What a program may take from SIGTERM to its end: its drain deadline, and a little.
const STOPS_WITHIN: Duration = Duration::from_secs(12);
/// How long what was acknowledged may take to be shown.
const SHOWN_DEADLINE: Duration = Duration::from_secs(20);
/// How long a client goes on trying.
const RETRIES_DEADLINE: Duration = Duration::from_secs(60);
/// Requests sent while the collector is killed.
const REQUESTS: usize = 60;
/// Requests between two kills.
const KILL_EVERY: usize = 20;
/// A stage of the lifecycle that never alerts.
const STAGE: &str = "MANUFACTURING_STARTED";

#[tokio::test]
async fn every_program_stops_cleanly_when_told() -> Result<()> {
    let mut stack = Stack::start_with_alerts().await?;
    let signal = StageSignal::now("ORD-2026-940000", STAGE, "mes");
    otlp::send(stack.client(), &stack.otlp_http()?, &signal.request()).await?;
    for part in Part::ALL.into_iter().rev() {
        let tail = stack.process(part)?.tail();
        let stopped = stack.stop_part(part).await?;
        println!("{}: {} after {:?}", part.name(), exit_text(stopped.status), stopped.took);
        assert!(stopped.status.success(), "{} {:?}; {tail}", part.name(), stopped.status);
        assert!(stopped.took < STOPS_WITHIN, "{} took {:?}; {tail}", part.name(), stopped.took);
    }
    stack.finish().await
}

#[tokio::test]
async fn the_collector_keeps_what_it_answers_while_the_store_is_away_and_so_does_the_store()
-> Result<()> {
    let mut stack = Stack::start().await?;
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let before = StageSignal::now("ORD-2026-950001", STAGE, "mes");
    otlp::send(stack.client(), &stack.otlp_http()?, &before.request()).await?;
    pages.order_at(&before.order_id, STAGE, SHOWN_DEADLINE).await?;

    stack.stop_part(Part::Engine).await?;
    let during = StageSignal::now("ORD-2026-950002", STAGE, "mes");
    let body = during.request().encode_to_vec();
    let answer = otlp::post(stack.client(), &stack.otlp_http()?, "traces", PROTOBUF, body).await?;
    assert_eq!(answer.status(), StatusCode::OK, "without a store");
    let mut grpc = TraceServiceClient::connect(stack.otlp_grpc()?).await?;
    // Heard of twice: it is there once.
    grpc.export(during.request()).await.context("there is no store")?;
    stack.must_run()?;
    readiness(&stack, "ok\nstore: ").await?;

    stack.start_part(Part::Engine).await?;
    readiness(&stack, "ok\n").await?;
    for signal in [&before, &during] {
        pages.order_at(&signal.order_id, STAGE, SHOWN_DEADLINE).await?;
        assert_eq!(pages.spans(&signal.order_id).await?.total, 1, "{}", signal.order_id);
    }

    // Without a chance to finish anything, as well.
    stack.kill_part(Part::Engine).await?;
    stack.start_part(Part::Engine).await?;
    for signal in [&before, &during] {
        pages.order_at(&signal.order_id, STAGE, SHOWN_DEADLINE).await?;
        assert_eq!(pages.spans(&signal.order_id).await?.total, 1, "{}", signal.order_id);
    }
    stack.finish().await
}

#[tokio::test]
async fn a_killed_collector_loses_nothing_that_a_retrying_client_sends() -> Result<()> {
    let mut stack = Stack::start().await?;
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let signals: Vec<_> = (0..REQUESTS)
        .map(|n| StageSignal::now(&format!("ORD-2026-96{:04}", n / 10), STAGE, "mes"))
        .collect();
    let (client, otlp_http) = (stack.client().clone(), stack.otlp_http()?);
    let (progress, mut sent) = tokio::sync::watch::channel(0);
    let sending = {
        let signals = signals.clone();
        tokio::spawn(async move {
            for (number, signal) in signals.iter().enumerate() {
                // Said before it is sent, so that the kill comes while it is under way.
                progress.send_replace(number);
                send_until_taken(&client, &otlp_http, &signal.request()).await?;
            }
            anyhow::Ok(())
        })
    };
    for kill in 1..REQUESTS.div_ceil(KILL_EVERY) {
        sent.wait_for(|number| *number >= kill * KILL_EVERY).await.context("the client ended")?;
        stack.kill_part(Part::Collector).await?;
        stack.start_part(Part::Collector).await?;
    }
    sending.await??;

    for order_id in signals.iter().map(|s| &s.order_id).collect::<BTreeSet<_>>() {
        let of_order = || signals.iter().filter(|signal| signal.order_id == *order_id);
        pages.order_at(order_id, STAGE, SHOWN_DEADLINE).await?;
        let shown = pages.spans(order_id).await?;
        let mut came: Vec<_> = shown.spans.iter().map(|span| span.span_id.clone()).collect();
        let mut expected: Vec<_> = of_order().map(|signal| hex::encode(signal.span_id)).collect();
        came.sort();
        expected.sort();
        assert_eq!(came, expected, "{order_id}: each span once, none missing");
        assert_eq!(shown.total, expected.len() as u64, "{order_id}");
    }
    until("everything to be placed", SHOWN_DEADLINE, || async {
        let conservation = pages.board().await?.conservation;
        let placed = conservation.seen == 6 && conservation.difference == 0;
        Ok(if placed { Look::Yes(()) } else { Look::NotYet(format!("{conservation:?}")) })
    })
    .await?;
    stack.finish().await
}

/// Sends as a client does: again and again until it is acknowledged.
async fn send_until_taken(
    client: &Client,
    otlp_http: &str,
    request: &ExportTraceServiceRequest,
) -> Result<()> {
    until("the collector to take a request", RETRIES_DEADLINE, || async {
        let body = request.encode_to_vec();
        let answer = match otlp::post(client, otlp_http, "traces", PROTOBUF, body).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Look::NotYet(format!("{error:#}"))),
        };
        match answer.status() {
            status if status.is_success() => Ok(Look::Yes(())),
            status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
                Ok(Look::NotYet(status.to_string()))
            }
            status => bail!("the collector answered {status}: {}", answer.text().await?),
        }
    })
    .await?;
    Ok(())
}

/// Waits for a collector that is ready, and remarks this, or nothing.
async fn readiness(stack: &Stack, wanted: &str) -> Result<()> {
    let url = format!("{}/readyz", stack.url(Part::Collector)?);
    until(&format!("the collector's readiness to be {wanted}"), SHOWN_DEADLINE, || async {
        let answer = stack.client().get(&url).send().await?;
        assert_eq!(answer.status(), StatusCode::OK);
        let text = answer.text().await?;
        let told = if wanted == "ok\n" { text == wanted } else { text.starts_with(wanted) };
        Ok(if told { Look::Yes(()) } else { Look::NotYet(text) })
    })
    .await?;
    Ok(())
}
