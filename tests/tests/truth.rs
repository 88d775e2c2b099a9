//! The board, the lists and the orders equal the simulator's truth exactly; and again after the
//! whole input was sent twice more, in shuffled order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use end_to_end::Stack;
use end_to_end::comparison::{self, Differences};
use end_to_end::pages::{Order, Pages};
use end_to_end::parts::Part;
use end_to_end::relay::Relay;
use end_to_end::replay::send_shuffled;
use end_to_end::traffic::{Traffic, TrafficSettings};
use end_to_end::wait::{Look, until};
use futures::{StreamExt, TryStreamExt};
use simulator::truth::Truth;

/// How long everything acknowledged may take to be placed.
const PLACED_DEADLINE: Duration = Duration::from_secs(60);
/// How long the equality must last: what is placed late would disturb it.
const LASTS: Duration = Duration::from_secs(3);
/// Orders asked for side by side.
const ASKED_AT_ONCE: usize = 4;
/// Orders of the run.
const ORDERS: u64 = 160;
/// Names another seed.
const SEED_VARIABLE: &str = "WAYBILL_TEST_SEED";

type Identities = BTreeMap<String, BTreeSet<(String, String)>>;

#[tokio::test]
async fn board_lists_and_orders_equal_the_truth_also_after_repeats() -> Result<()> {
    let seed = seed()?;
    println!("seed {seed}; set {SEED_VARIABLE} to repeat");
    let stack = Stack::start().await?;
    let pages = Pages::new(stack.client().clone(), stack.url(Part::TrackerUi)?);
    let relay =
        Relay::start(stack.client().clone(), stack.otlp_http()?, stack.otlp_grpc()?).await?;
    let settings = TrafficSettings {
        otlp_http: relay.http().to_owned(),
        otlp_grpc: relay.grpc().to_owned(),
        seed,
        orders: ORDERS,
        rate: 0.0,
        extra: Vec::new(),
    };
    let mut traffic = Traffic::start(&settings, stack.folder(), &stack.logs())?;
    traffic.finished().await?;
    let truth = traffic.truth()?;
    println!("{}", truth.table());

    equals(&pages, &truth, "after the run").await?;
    let before = identities(&pages, &truth).await?;
    let listed: Vec<Order> = pages.every_order().await?;

    let recording = relay.recording();
    let sent =
        send_shuffled(stack.client(), &stack.otlp_http()?, &recording, 2, u64::from(seed)).await?;
    println!("{sent} spans and log records sent again");
    equals(&pages, &truth, "after everything was sent twice more, shuffled").await?;
    let after = identities(&pages, &truth).await?;
    assert_eq!(after, before, "the spans of every order, after the repeats");
    let since = |orders: &[Order]| -> BTreeMap<String, _> {
        orders.iter().map(|order| (order.order_id.clone(), order.since)).collect()
    };
    let listed_after = pages.every_order().await?;
    assert_eq!(since(&listed_after), since(&listed), "since when each order is at its stage");
    stack.finish().await
}

fn seed() -> Result<u32> {
    match std::env::var(SEED_VARIABLE) {
        Ok(text) => Ok(text.parse()?),
        // The id of an order has its seed in it: kept short.
        Err(_) => Ok(rand::random_range(1..10_000)),
    }
}

/// Waits until everything equals the truth, and requires that it stays so.
async fn equals(pages: &Pages, truth: &Truth, when: &str) -> Result<()> {
    let look = || async {
        let found = differences(pages, truth).await?;
        Ok(if found.none() { Look::Yes(()) } else { Look::NotYet(found.to_string()) })
    };
    until(&format!("the pages to equal the truth {when}"), PLACED_DEADLINE, look).await?;
    let since = Instant::now();
    while since.elapsed() < LASTS {
        let found = differences(pages, truth).await?;
        if !found.none() {
            bail!("{when} the pages equalled the truth, and then: {found}");
        }
    }
    Ok(())
}

async fn differences(pages: &Pages, truth: &Truth) -> Result<Differences> {
    let mut found = comparison::board(truth, &pages.board().await?);
    if found.none() {
        found = comparison::orders(truth, &pages.every_order().await?, false);
    }
    Ok(found)
}

/// The identities of the spans of every order, whose number must be the truth's.
async fn identities(pages: &Pages, truth: &Truth) -> Result<Identities> {
    let of_order = |order: &simulator::truth::OrderTruth| {
        let (id, spans, traces) = (order.id.clone(), order.spans, order.traces);
        async move {
            let shown = pages.spans(&id).await?;
            let identities: BTreeSet<_> =
                shown.spans.iter().map(|s| (s.trace_id.clone(), s.span_id.clone())).collect();
            let trace_ids: BTreeSet<_> = identities.iter().map(|(trace, _)| trace).collect();
            let counts = (shown.total, identities.len() as u64, trace_ids.len() as u64);
            assert_eq!(counts, (spans, spans, traces), "{id}: spans, identities, traces");
            anyhow::Ok((id, identities))
        }
    };
    let asked: Vec<_> = truth.orders.iter().map(of_order).collect();
    futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE).try_collect().await
}
