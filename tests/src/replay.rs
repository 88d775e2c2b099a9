//! A recording sent again: every span and log record on its own, repeated, in any order.

use anyhow::{Result, bail};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Client;

use crate::otlp::{self, PROTOBUF};
use crate::relay::Recording;

/// Items of one request at most.
const REQUEST_ITEMS_MAX: usize = 400;

/// One span or log record with what surrounds it.
#[derive(Debug, Clone)]
enum Item {
    Span(Box<ResourceSpans>),
    Log(Box<ResourceLogs>),
}

/// Sends everything `times` times, shuffled; gives the number of items sent.
///
/// # Errors
/// The collector does not take everything.
pub async fn send_shuffled(
    client: &Client,
    otlp_http: &str,
    recording: &Recording,
    times: usize,
    seed: u64,
) -> Result<usize> {
    let mut rng = StdRng::seed_from_u64(seed);
    let once = items(recording);
    let mut all = Vec::with_capacity(once.len() * times);
    for _ in 0..times {
        all.extend_from_slice(&once);
    }
    all.shuffle(&mut rng);
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        let length = rng.random_range(1..=REQUEST_ITEMS_MAX).min(rest.len());
        let (items, after) = rest.split_at(length);
        send(client, otlp_http, items).await?;
        rest = after;
    }
    Ok(all.len())
}

async fn send(client: &Client, otlp_http: &str, items: &[Item]) -> Result<()> {
    let mut spans = ExportTraceServiceRequest::default();
    let mut logs = ExportLogsServiceRequest::default();
    for item in items {
        match item {
            Item::Span(span) => spans.resource_spans.push((**span).clone()),
            Item::Log(log) => logs.resource_logs.push((**log).clone()),
        }
    }
    if !spans.resource_spans.is_empty() {
        otlp::send(client, otlp_http, &spans).await?;
    }
    if !logs.resource_logs.is_empty() {
        let answer = otlp::post(client, otlp_http, "logs", PROTOBUF, logs.encode_to_vec()).await?;
        if !answer.status().is_success() {
            bail!("the collector answered {}: {}", answer.status(), answer.text().await?);
        }
    }
    Ok(())
}

fn items(recording: &Recording) -> Vec<Item> {
    let mut items = Vec::new();
    for group in recording.traces.iter().flat_map(|request| &request.resource_spans) {
        for scope in &group.scope_spans {
            items.extend(scope.spans.iter().map(|span| {
                let scope = ScopeSpans { spans: vec![span.clone()], ..scope.clone() };
                Item::Span(Box::new(ResourceSpans { scope_spans: vec![scope], ..group.clone() }))
            }));
        }
    }
    for group in recording.logs.iter().flat_map(|request| &request.resource_logs) {
        for scope in &group.scope_logs {
            items.extend(scope.log_records.iter().map(|log| {
                let scope = ScopeLogs { log_records: vec![log.clone()], ..scope.clone() };
                Item::Log(Box::new(ResourceLogs { scope_logs: vec![scope], ..group.clone() }))
            }));
        }
    }
    items
}
