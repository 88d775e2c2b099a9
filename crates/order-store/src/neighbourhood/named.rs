//! Which of the carriers that were named need a closer look: of most nothing follows.

use std::collections::BTreeSet;

use order_model::graph::message_of;

use super::{Loader, PROVISIONAL_TRACES};
use crate::error::StoreError;

/// Of these traces, those that have any link: most have none.
const LINKED: &str = "SELECT TraceId FROM trace_links WHERE TraceId IN {ids:Array(String)} \
    UNION DISTINCT SELECT LinkedTraceId AS TraceId FROM trace_links_by_target \
    WHERE LinkedTraceId IN {ids:Array(String)}";

impl Loader<'_> {
    /// Of carriers that were named, those from which anything follows for orders beside the ones
    /// that their namings touched: messages, and traces that have links or name a number only.
    pub(super) async fn speaking(
        &self,
        named: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let (mut speaking, traces): (BTreeSet<String>, BTreeSet<String>) =
            named.iter().cloned().partition(|carrier| message_of(carrier).is_some());
        let linked = self.read::<String>(LINKED, &traces, 0, "find traces that have links");
        let glueing = self.read::<String>(PROVISIONAL_TRACES, &traces, 0, "find numbers in traces");
        let (linked, glueing) = tokio::try_join!(linked, glueing)?;
        speaking.extend(linked.into_iter().chain(glueing));
        Ok(speaking)
    }
}
