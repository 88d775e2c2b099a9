//! The links of traces and messages.

use std::collections::BTreeSet;

use clickhouse::Row;
use order_model::graph::{Graph, HUB_LINKS_MAX, Link};
use serde::Deserialize;

use super::Loader;
use crate::error::StoreError;

const LINKS: &str = "SELECT DISTINCT * FROM ( \
    SELECT TraceId, SpanId, LinkedTraceId, LinkedSpanId FROM trace_links \
    WHERE TraceId IN {ids:Array(String)} \
    GROUP BY ALL ORDER BY ALL LIMIT {names_max:UInt32} BY TraceId UNION ALL \
    SELECT TraceId, SpanId, LinkedTraceId, LinkedSpanId FROM trace_links_by_target \
    WHERE LinkedTraceId IN {ids:Array(String)} \
    GROUP BY ALL ORDER BY ALL LIMIT {names_max:UInt32} BY LinkedTraceId)";
/// Links that are read of one carrier that names an order: a batch may have as many consumers.
const LINKS_MAX: usize = 100_000;
/// Of others, as many as it takes to know a hub.
const LINKS_OF_NOBODY_MAX: usize = HUB_LINKS_MAX + 1;

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LinkRow {
    trace_id: String,
    span_id: String,
    linked_trace_id: String,
    linked_span_id: String,
}

impl LinkRow {
    /// The two ends: trace and span.
    pub(super) fn ends(&self) -> [(&String, &String); 2] {
        [(&self.trace_id, &self.span_id), (&self.linked_trace_id, &self.linked_span_id)]
    }

    pub(super) fn link(&self) -> Link {
        Link {
            carrier: self.trace_id.clone(),
            span_id: self.span_id.clone(),
            other: self.linked_trace_id.clone(),
            other_span_id: self.linked_span_id.clone(),
        }
    }
}

impl Loader<'_> {
    /// The links of these carriers.
    pub(super) async fn read_links(
        &self,
        graph: &Graph,
        carriers: &BTreeSet<String>,
    ) -> Result<Vec<LinkRow>, StoreError> {
        let (named, nobodys) = carriers.iter().cloned().partition(|c| graph.names_any(c));
        let doing = "find links of traces";
        let of_named = self.read::<LinkRow>(LINKS, &named, LINKS_MAX, doing);
        let of_nobody = self.read::<LinkRow>(LINKS, &nobodys, LINKS_OF_NOBODY_MAX, doing);
        let (mut links, of_nobody) = tokio::try_join!(of_named, of_nobody)?;
        links.extend(of_nobody);
        Ok(links)
    }
}
