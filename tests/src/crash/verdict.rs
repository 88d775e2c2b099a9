//! What the store holds, against what was acknowledged.

use std::collections::HashMap;

use anyhow::Result;
use clickhouse::{Client, Row};
use serde::Deserialize;

use super::{Report, sender::Sent};

#[derive(Debug, Row, Deserialize)]
struct Held {
    trace_id: String,
    span_id: String,
    rows: u64,
}

/// Counts every span in the table and in the folding view, and the orders on the board.
pub(super) async fn count(engine_url: &str, sent: &Sent, report: &mut Report) -> Result<()> {
    let client = Client::default().with_url(engine_url).with_database("waybill");
    let raw = held(&client, "otel_traces").await?;
    let folded = held(&client, "otel_traces_v1").await?;
    for (ids, tries) in &sent.spans {
        let rows = |held: &HashMap<(String, String), u64>| held.get(ids).copied().unwrap_or(0);
        report.lost += usize::from(rows(&folded) == 0);
        report.doubled += usize::from(rows(&folded) > 1);
        // A client's repeat is a row of its own until the table folds it; ours never is.
        report.doubled_by_us += usize::from(*tries == 1 && rows(&raw) > 1);
    }
    // Nothing is there that nobody sent.
    report.doubled += folded.keys().filter(|ids| !sent.spans.contains_key(*ids)).count();
    report.spans = sent.spans.len();
    report.requests = sent.requests;
    report.repeated_requests = sent.repeated;
    let on_board = "SELECT toUInt64(sum(Total)) FROM \
        (SELECT count() AS Total FROM orders FINAL WHERE MergedInto = '' AND Stage != '')";
    let orders: u64 = client.query(on_board).fetch_one().await?;
    report.orders = (sent.orders.len(), usize::try_from(orders)?);
    Ok(())
}

async fn held(client: &Client, table: &str) -> Result<HashMap<(String, String), u64>> {
    let sql = format!(
        "SELECT TraceId AS trace_id, SpanId AS span_id, count() AS rows FROM {table} \
         GROUP BY trace_id, span_id"
    );
    let rows: Vec<Held> = client.query(&sql).fetch_all().await?;
    Ok(rows.into_iter().map(|held| ((held.trace_id, held.span_id), held.rows)).collect())
}
