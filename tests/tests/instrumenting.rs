//! What `docs/instrumenting.md` tells a service to do works, in the very files that it shows.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::Stack;
use end_to_end::pages::{OrderWhole, Pages};
use end_to_end::parts::Part;
use end_to_end::programs::workspace;
use end_to_end::wait::{Look, until};
use order_signal::pipeline::{Pipeline, PipelineSettings, Protocol};
use tokio::process::Command;

#[path = "../../crates/order-signal/examples/shop.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program of its own, run from within here")]
mod rust_shop;

/// How long what was acknowledged may take to be shown.
const SHOWN_DEADLINE: Duration = Duration::from_secs(10);
/// How long a service may take to tell its story.
const SERVICE_DEADLINE: Duration = Duration::from_secs(90);
/// Who tells it.
const SERVICE: &str = "shop";
/// The spans of the story; the headers between the second and the third are all that joins them.
const SPANS: [&str; 7] = [
    "POST /orders",
    "INSERT orders",
    "POST /calculations",
    "order.stage",
    "slice model",
    "order.heartbeat",
    "UPDATE price",
];

/// The files that the guide shows whole.
const SHOWN_FILES: [&str; 5] = [
    "tests/clients/python/order_signals.py",
    "tests/clients/python/shop.py",
    "tests/clients/javascript/order_signals.mjs",
    "tests/clients/javascript/shop.mjs",
    "crates/order-signal/examples/shop.rs",
];

/// In the guide a comment with the path stands before each block that is a file.
#[test]
fn the_guide_shows_the_files_that_run_here() -> Result<()> {
    let guide = std::fs::read_to_string(workspace().join("docs/instrumenting.md"))?;
    let blocks = guide.split("\n<!-- ").skip(1).map(|after| {
        let (path, rest) = after.split_once(" -->\n```").context("a block follows its path")?;
        let (_language, code) = rest.split_once('\n').context("a block has lines")?;
        let code = code.split("\n```").next().unwrap_or_default();
        Ok((path, code))
    });
    let blocks = blocks.collect::<Result<Vec<_>>>()?;
    let paths: Vec<_> = blocks.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths, SHOWN_FILES);
    for (path, shown) in blocks {
        let file = std::fs::read_to_string(workspace().join(path))?;
        assert_eq!(shown, file.trim_end(), "docs/instrumenting.md shows {path} as it is");
    }
    Ok(())
}

/// Every attribute that the guide names is read by the default lifecycle, or is a resource's.
#[test]
fn the_guide_names_attributes_that_are_read() -> Result<()> {
    let guide = std::fs::read_to_string(workspace().join("docs/instrumenting.md"))?;
    let (_, table) = guide.split_once("\n## Attributes\n").context("a table of attributes")?;
    let (table, _) = table.split_once("\n## ").context("an end of the table")?;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let named: Vec<_> = rows.filter_map(|row| row.split_once('`')).map(|(key, _)| key).collect();
    let lifecycle = std::fs::read_to_string(workspace().join("crates/order-model/lifecycle.toml"))?;
    for key in &named {
        let resource = key.starts_with("service.") || key.starts_with("host.");
        assert!(resource || lifecycle.contains(&format!("\"{key}\"")), "{key} is read");
    }
    assert_eq!(named.len(), 11, "{named:?}");
    Ok(())
}

#[tokio::test]
async fn a_python_service_reports_its_orders() -> Result<()> {
    let stack = Stack::start().await?;
    let python = std::env::var_os("WAYBILL_TEST_PYTHON")
        .map_or_else(|| workspace().join(".venv/bin/python"), PathBuf::from);
    told_by_script(&stack, python, "tests/clients/python/shop.py", "ORD-2026-930001").await?;
    stack.finish().await
}

#[tokio::test]
async fn a_javascript_service_reports_its_orders() -> Result<()> {
    let stack = Stack::start().await?;
    let script = "tests/clients/javascript/shop.mjs";
    told_by_script(&stack, "node".into(), script, "ORD-2026-940001").await?;
    stack.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_service_reports_its_orders() -> Result<()> {
    let stack = Stack::start().await?;
    let cases = [
        (Protocol::HttpProtobuf, stack.otlp_http()?, "ORD-2026-950001"),
        (Protocol::Grpc, stack.otlp_grpc()?, "ORD-2026-950002"),
    ];
    for (protocol, endpoint, order_id) in cases {
        let settings = PipelineSettings {
            endpoint: Some(endpoint),
            protocol,
            ..PipelineSettings::new(SERVICE)
        };
        let pipeline = Pipeline::start(&settings)?;
        let counts = pipeline.signals.counts().clone();
        rust_shop::work(&pipeline, order_id).await;
        pipeline.stop().await?;
        ensure!(counts.refusals().is_empty(), "{protocol:?}: {:?}", counts.refusals());
        shown(&stack, order_id).await.with_context(|| format!("over {protocol:?}"))?;
    }
    stack.finish().await
}

/// Runs a script with the settings that the guide tells people to make.
async fn told_by_script(
    stack: &Stack,
    interpreter: PathBuf,
    script: &str,
    order_id: &str,
) -> Result<()> {
    let mut command = Command::new(&interpreter);
    command
        .arg(workspace().join(script))
        .arg(order_id)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", stack.otlp_http()?)
        .env("OTEL_SERVICE_NAME", SERVICE)
        .env("OTEL_BLRP_SCHEDULE_DELAY", "200")
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(SERVICE_DEADLINE, command.output())
        .await
        .with_context(|| format!("{script} takes over {SERVICE_DEADLINE:?}"))?
        .with_context(|| {
            format!("running {}; `make clients` installs it", interpreter.display())
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    // An SDK complains of what it could not send, and goes on.
    if !output.status.success() || !said.is_empty() {
        bail!("{script} ended with {}:\n{said}", output.status);
    }
    shown(stack, order_id).await
}

/// The order as Waybill shows it, whoever told the story.
async fn shown(stack: &Stack, order_id: &str) -> Result<()> {
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    heartbeats_are_kept(stack, order_id).await?;
    let priced = |order: &OrderWhole| order.history.len() >= 3;
    let (order, _) = pages.order_until(order_id, "to be priced", SHOWN_DEADLINE, priced).await?;
    assert_eq!((order.order.kind.as_str(), order.order.channel.as_str()), ("custom", "b2b"));

    let shown = pages.spans(order_id).await?;
    let names: BTreeSet<_> = shown.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(SPANS));
    for span in &shown.spans {
        let named = span.attributes.get("order.id").map(String::as_str);
        assert_eq!(named, Some(order_id), "{} names its order", span.name);
        assert_eq!(span.through, "named", "{}", span.name);
    }
    let traces: BTreeSet<_> = shown.spans.iter().map(|span| span.trace_id.as_str()).collect();
    assert_eq!(traces.len(), 1, "the headers carry the trace: {traces:?}");

    let hits = pages.search(&format!("P-{order_id}")).await?;
    let found: Vec<_> = hits.iter().map(|hit| hit.order.order_id.as_str()).collect();
    assert_eq!(found, [order_id], "the order, found by the partner's number");

    // The stages came as a log record, a span of no length and a span event. The heartbeats came in
    // the same forms and name stages, too, one of them PACKAGING: they are no stage signals.
    let history: Vec<_> =
        order.history.iter().map(|stay| (stay.stage.as_str(), stay.source.as_str())).collect();
    let expected = ["SUBMITTED", "CALCULATION_RUNNING", "PRICE_CALCULATED"];
    assert_eq!(history, expected.map(|stage| (stage, SERVICE)), "heartbeats are no stages");
    Ok(())
}

/// Waits until the heartbeats that were sent as log records are in the store: at the start and at
/// the end of the work.
async fn heartbeats_are_kept(stack: &Stack, order_id: &str) -> Result<()> {
    let question = "SELECT count(), uniqExact(ResourceAttributes['service.instance.id']), \
                    min(ResourceAttributes['host.name'] != '') FROM waybill.otel_logs \
                    WHERE EventName = 'order.heartbeat' \
                    AND LogAttributes['order.id'] = {order:String} FORMAT TSV";
    let url = reqwest::Url::parse_with_params(
        &stack.url(Part::Engine)?,
        [("param_order", order_id), ("query", question)],
    )?;
    let expected = "2\t1\t1";
    until("the heartbeats to be kept", SHOWN_DEADLINE, || async {
        let answer = stack.client().get(url.clone()).send().await?.text().await?;
        Ok(if answer.trim() == expected { Look::Yes(()) } else { Look::NotYet(answer) })
    })
    .await?;
    Ok(())
}
