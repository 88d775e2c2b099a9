//! Order → whole timeline, warm and cold, in both schemas.

use std::time::Instant;

use anyhow::{Result, bail};
use end_to_end::parts::Part;
use end_to_end::scale::{Shape, exporter};
use rand::prelude::*;
use rand::rngs::StdRng;

use crate::timing::Timing;
use crate::{Bench, connect, disk};

/// Spans asked for: as many as the order page shows.
const SPANS_MAX: u32 = 5_000;
/// Questions that are not counted: connections and caches warm up.
const WARM_UP: usize = 20;
/// Cold questions of each kind, each the first to a new engine.
const COLD_QUESTIONS: usize = 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Waybill: the order's spans over all its traces.
    Waybill,
    /// The exporter's tables, from the order's id.
    ExporterByOrder,
    /// The exporter's tables, by somebody who knows the trace ids already.
    ExporterByTraces,
}

impl Question {
    const fn text(self) -> &'static str {
        match self {
            Self::Waybill => "Waybill: order → timeline",
            Self::ExporterByOrder => "exporter: order → traces by attribute → timeline",
            Self::ExporterByTraces => "exporter: timeline of trace ids that are known already",
        }
    }
}

/// Prints the times of all questions, warm and cold.
pub(crate) async fn measure(bench: &mut Bench) -> Result<()> {
    let mut questions = vec![Question::Waybill];
    if !bench.settings.without_exporter {
        questions.extend([Question::ExporterByOrder, Question::ExporterByTraces]);
    }
    let mut rng = StdRng::seed_from_u64(bench.settings.seed);
    for question in &questions {
        let mut timing = Timing::default();
        for number in 0..bench.settings.questions + WARM_UP {
            let took = ask(bench, *question, rng.random_range(0..bench.shape.orders())).await?;
            if number >= WARM_UP {
                timing.push(took);
            }
        }
        println!("| {}, warm | {} |", question.text(), timing.line());
    }
    for question in &questions {
        let mut timing = Timing::default();
        for _ in 0..COLD_QUESTIONS {
            forget(bench).await?;
            timing.push(ask(bench, *question, rng.random_range(0..bench.shape.orders())).await?);
        }
        println!("| {}, cold | {} |", question.text(), timing.line());
    }
    Ok(())
}

/// A new process, whose caches of marks, keys and indices are empty, on files of which the kernel
/// holds no page; connected, and asked nothing yet.
async fn forget(bench: &mut Bench) -> Result<()> {
    bench.stack.stop_part(Part::Engine).await?;
    bench.stack.start_part(Part::Engine).await?;
    bench.store = connect(&bench.stack)?;
    bench.reader = order_store::Reader::new(bench.store.clone());
    bench.reader.clock().await?;
    disk::forget(&bench.stack.folder().join("store"))
}

async fn ask(bench: &Bench, question: Question, order: u64) -> Result<std::time::Duration> {
    let (id, client) = (Shape::order_id(order), bench.store.client());
    let known = match question {
        Question::ExporterByTraces => bench.shape.trace_ids(client, order).await?,
        _ => Vec::new(),
    };
    let begun = Instant::now();
    let spans = match question {
        Question::Waybill => bench.reader.order_spans(&id, SPANS_MAX).await?.spans.len(),
        Question::ExporterByOrder => {
            let traces = exporter::traces_of_order(client, &id).await?;
            exporter::timeline(client, &traces).await?
        }
        Question::ExporterByTraces => exporter::timeline(client, &known).await?,
    };
    let took = begun.elapsed();
    // The traffic of an earlier run may have added some.
    if (spans as u64) < end_to_end::scale::shape::SPANS_PER_ORDER {
        bail!("{question:?} found {spans} spans of {id}");
    }
    Ok(took)
}
