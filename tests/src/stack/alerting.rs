//! Alertmanager's configuration: the one delivered in `alert-rules/`, for this stack.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::programs;

/// The configuration delivered.
const DELIVERED: &str = "alert-rules/alertmanager.yml";
/// Where the pages are in it.
const PAGES: &str = "http://127.0.0.1:8080";
/// How long Alertmanager waits for further alerts of a group before it calls: in the demo and in
/// tests somebody is watching.
const GROUP_WAIT: &str = "1s";

/// Writes the configuration with the webhook at `pages_url` and the short group wait.
pub(super) fn write_configuration(path: &Path, pages_url: &str) -> Result<()> {
    let delivered = programs::workspace().join(DELIVERED);
    let text = std::fs::read_to_string(&delivered)
        .with_context(|| format!("reading {}", delivered.display()))?;
    std::fs::write(path, adapted(&text, pages_url)?)
        .with_context(|| format!("writing {}", path.display()))
}

fn adapted(text: &str, pages_url: &str) -> Result<String> {
    if !text.contains(PAGES) {
        bail!("{DELIVERED} names no webhook at {PAGES}");
    }
    let mut group_waits = 0;
    let mut lines = Vec::new();
    for line in text.lines() {
        let rest = line.trim_start().trim_start_matches("- ");
        if rest.starts_with("group_wait:") {
            group_waits += 1;
            let indent = &line[..line.len() - rest.len()];
            lines.push(format!("{indent}group_wait: {GROUP_WAIT}"));
        } else {
            lines.push(line.replace(PAGES, pages_url));
        }
    }
    if group_waits == 0 {
        bail!("{DELIVERED} sets no group_wait");
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_waits_are_those_of_the_stack() {
        let text =
            "route:\n  group_wait: 30s # calm\nreceivers:\n  - url: http://127.0.0.1:8080/x\n";
        let expected = "route:\n  group_wait: 1s\nreceivers:\n  - url: http://127.0.0.1:9/x\n";
        assert_eq!(adapted(text, "http://127.0.0.1:9").unwrap(), expected);
        assert!(adapted("route:\n  group_wait: 30s\n", "http://127.0.0.1:9").is_err());
        assert!(adapted("url: http://127.0.0.1:8080/x\n", "http://127.0.0.1:9").is_err());
    }
}
