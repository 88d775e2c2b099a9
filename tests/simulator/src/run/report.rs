//! Tells a person and a file how a run went.

use crate::broker::MessageCounts;
use crate::failure::RunError;
use crate::telemetry::Delivered;
use crate::trace_plan::System;
use crate::truth::Truth;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

/// Prints the truth and what was delivered on standard output.
pub(super) fn print(
    what: &str,
    truth: &Truth,
    delivered: &BTreeMap<System, Delivered>,
    messages: MessageCounts,
) {
    let mut text = format!("\ntruth at the end of the {what}\n{}", truth.table());
    for (system, counts) in delivered {
        text += &format!(
            "{:<5} {} spans and {} log records delivered\n",
            system.name(),
            counts.spans_delivered,
            counts.logs_delivered
        );
    }
    let MessageCounts { published, delivered, redelivered } = messages;
    text += &format!(
        "broker {published} messages published, {delivered} delivered, {redelivered} of them \
         twice, {} never\n",
        published.saturating_sub(delivered)
    );
    if let Err(error) = std::io::stdout().lock().write_all(text.as_bytes()) {
        tracing::warn!(%error, "the truth cannot be printed");
    }
}

/// Writes a file as a whole or not at all.
pub(super) fn write_json(path: &Path, document: &impl Serialize) -> Result<(), RunError> {
    let failed = |source| RunError::File { path: path.to_owned(), source };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let text = serde_json::to_vec_pretty(document).map_err(|error| failed(error.into()))?;
    std::fs::write(&unfinished, text).map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)
}
