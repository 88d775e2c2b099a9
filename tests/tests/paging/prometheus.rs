//! A real Prometheus with the delivered rules over Waybill itself.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use end_to_end::parts::{Arguments, Part};
use end_to_end::process::{Process, Program};
use end_to_end::wait::{Look, until};
use end_to_end::{Stack, address, programs};

use crate::scene::DEADLINE;

/// Where Debian's package `prometheus` puts the program.
const PROMETHEUS: &str = "/usr/bin/prometheus";
/// The rules.
const RULES: &str = "alert-rules/prometheus/waybill.yml";
/// What is shorter here than in production, each the first one in the file: how often the rules are
/// evaluated, and how long the store must be away for `StoreDown`.
const SHORTER: [(&str, &str); 2] = [("interval: 15s", "interval: 1s"), ("for: 1m", "for: 2s")];

/// Starts it before the stack's collector and these evaluators.
///
/// # Errors
/// It is not installed, or does not get ready.
pub(crate) async fn start(stack: &Stack, evaluators: &[SocketAddr]) -> Result<Process> {
    let folder = stack.folder().join("prometheus");
    std::fs::create_dir_all(&folder).context("making Prometheus's folder")?;
    let mut rules = std::fs::read_to_string(programs::workspace().join(RULES))?;
    for (long, short) in SHORTER {
        if !rules.contains(long) {
            bail!("{RULES} holds no `{long}` any more");
        }
        rules = rules.replacen(long, short, 1);
    }
    std::fs::write(folder.join("rules.yml"), rules)?;
    let targets: Vec<_> = evaluators.iter().map(|address| format!("\"{address}\"")).collect();
    let (targets, collector) = (targets.join(", "), stack.address(Part::Collector, "admin")?);
    let alertmanager = stack.address(Part::Alertmanager, "http")?;
    let configuration = format!(
        "global: {{scrape_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{alertmanager}\"]}}]}}]}}
scrape_configs:
- {{job_name: alert-rules, static_configs: [{{targets: [{targets}]}}]}}
- {{job_name: collector, static_configs: [{{targets: [\"{collector}\"]}}]}}
"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, configuration)?;

    let listen = address::free()?;
    let mut arguments = Arguments::default();
    arguments.flag("--config.file", file).flag("--storage.tsdb.path", folder.join("data"));
    arguments.flag("--web.listen-address", listen.to_string());
    let program =
        Program { name: "prometheus", executable: PROMETHEUS.into(), arguments: arguments.0 };
    let mut process = Process::start(&program, &stack.logs())?;
    let (client, url) = (stack.client(), format!("http://{listen}/-/ready"));
    until("Prometheus to be ready", DEADLINE, || {
        let alive = process.must_run();
        async {
            alive?;
            Ok(match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => Look::Yes(()),
                other => Look::NotYet(format!("{other:?}")),
            })
        }
    })
    .await?;
    Ok(process)
}
