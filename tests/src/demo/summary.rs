//! What a person reads once the demo runs.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use simulator::truth::{OrderTruth, Truth};

use super::STUCK;
use crate::parts::Part;
use crate::stack::Stack;

/// Orders worth looking up: name of the example, and what a person sees there.
const EXAMPLES: [(&str, &str); 3] = [("fine", "fine"), ("late", "late"), (STUCK, "stuck")];

/// What a person reads.
#[derive(Debug)]
pub struct Summary {
    pages: String,
    store: String,
    otlp_http: String,
    otlp_grpc: String,
    alertmanager: String,
    metrics: Vec<(&'static str, String)>,
    logs: PathBuf,
    traffic: Option<Shown>,
    /// Whether new orders keep coming.
    goes_on: bool,
    /// From the start of the demo to now.
    pub ready_after: Duration,
}

/// What was shown to work.
#[derive(Debug)]
struct Shown {
    orders: u64,
    late: u64,
    stuck: u64,
    on_board_after: Duration,
    paged_after: Duration,
    examples: Vec<(&'static str, String, String)>,
}

impl Summary {
    pub(super) fn of(stack: &Stack, goes_on: bool) -> Result<Self> {
        Ok(Self {
            pages: stack.url(Part::TrackerUi)?,
            store: stack.url(Part::Engine)?,
            otlp_http: stack.otlp_http()?,
            otlp_grpc: stack.otlp_grpc()?,
            alertmanager: stack.url(Part::Alertmanager)?,
            metrics: Part::ALL
                .into_iter()
                .map(|part| {
                    Ok((part.name(), format!("{}{}", stack.url(part)?, part.metrics_path())))
                })
                .collect::<Result<_>>()?,
            logs: stack.logs(),
            traffic: None,
            goes_on,
            ready_after: Duration::ZERO,
        })
    }

    pub(super) fn shown(
        &mut self,
        truth: &Truth,
        examples: &BTreeMap<String, String>,
        on_board_after: Duration,
        paged_after: Duration,
    ) {
        let stage = |id: &str| {
            let order: Option<&OrderTruth> = truth.orders.iter().find(|order| order.id == id);
            order.map_or("", |order| order.stage.name()).to_owned()
        };
        let example = |(name, label): (&str, &'static str)| {
            let id = examples.get(name)?.clone();
            let stage = stage(&id);
            Some((label, id, stage))
        };
        self.traffic = Some(Shown {
            orders: truth.orders_total,
            late: truth.stages.values().map(|count| count.late).sum(),
            stuck: truth.stages.values().map(|count| count.stuck).sum(),
            on_board_after,
            paged_after,
            examples: EXAMPLES.into_iter().filter_map(example).collect(),
        });
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pages = &self.pages;
        writeln!(f, "\nWaybill runs (ready after {:.1} s).\n", self.ready_after.as_secs_f64())?;
        if let Some(shown) = &self.traffic {
            shown.fmt(f)?;
            if self.goes_on {
                writeln!(f, "  New orders keep coming.")?;
            }
            writeln!(f, "\n  Look up an order:")?;
            for (label, id, stage) in &shown.examples {
                writeln!(f, "    {label:<6} {stage:<22} {pages}/orders/{id}")?;
            }
            writeln!(f)?;
        }
        row(f, "board", &format!("{pages}/"))?;
        row(f, "an order list", &format!("{pages}/stages/MANUFACTURING_STARTED"))?;
        row(f, "JSON API", &format!("{pages}/api/v1/board"))?;
        row(f, "its description", &format!("{pages}/api/openapi.json"))?;
        row(f, "Alertmanager", &self.alertmanager)?;
        row(f, "send OTLP to", &format!("{} (HTTP), {} (gRPC)", self.otlp_http, self.otlp_grpc))?;
        row(
            f,
            "ask the store",
            &format!("curl '{}/?database=waybill' -d 'SELECT * FROM board_v1'", self.store),
        )?;
        for (index, (part, metrics)) in self.metrics.iter().enumerate() {
            let name = if index == 0 { "metrics" } else { "" };
            row(f, name, &format!("{metrics:<40} {part}"))?;
        }
        row(f, "logs", &self.logs.display().to_string())?;
        writeln!(f, "\nCtrl-C stops everything.")
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { orders, late, stuck, on_board_after, paged_after, .. } = self;
        let (on_board_s, paged_s) = (on_board_after.as_secs_f64(), paged_after.as_secs_f64());
        writeln!(
            f,
            "  {orders} orders, {late} of them late and {stuck} stuck, were on the board \
             {on_board_s:.1} s after traffic began;\n  each is where the simulator put it. The \
             order whose price is overdue reached\n  on-call's webhook {paged_s:.1} s after \
             traffic began."
        )
    }
}

fn row(f: &mut Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<16} {value}")
}
