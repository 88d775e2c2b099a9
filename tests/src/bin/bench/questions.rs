//! Questions to pages and API, one after the other, as a person or a poll asks them.

use std::time::Instant;

use anyhow::{Result, bail};
use end_to_end::Stack;
use end_to_end::parts::Part;
use order_store::{Reader, Store, StoreSettings};
use rand::prelude::*;
use rand::rngs::StdRng;

use crate::Settings;
use crate::payload::Payloads;
use crate::timing::Timing;

/// Questions of each kind that are not counted: connections and caches warm up.
const WARM_UP: usize = 5;

/// The board as the store computes it: pages and API share one reading among all who ask at once.
async fn board_from_store(stack: &Stack, settings: &Settings) -> Result<()> {
    let reader = Reader::new(Store::connect(&StoreSettings {
        store_url: stack.url(Part::Engine)?,
        store_user: "default".to_owned(),
        store_password: String::new(),
        store_database: "waybill".to_owned(),
    }));
    let mut timing = Timing::default();
    for number in 0..settings.questions + WARM_UP {
        let begun = Instant::now();
        reader.board(None).await?;
        if number >= WARM_UP {
            timing.push(begun.elapsed());
        }
    }
    println!("| board, computed by the store | {} |", timing.line());
    Ok(())
}

pub(crate) async fn ask(stack: &Stack, payloads: &Payloads, settings: &Settings) -> Result<()> {
    let orders = settings.spans / 20;
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut order =
        move |payloads: &Payloads| payloads.order_id(rng.random_range(0..orders.max(1)));
    let mut ids = || order(payloads);
    let root = stack.url(Part::TrackerUi)?;
    let board = |_: String| format!("{root}/api/v1/board");
    let board_page = |_: String| format!("{root}/");
    let list = |_: String| format!("{root}/api/v1/stages/CLOSED/orders?limit=50");
    let state = |id: String| format!("{root}/api/v1/orders/{id}");
    let timeline = |id: String| format!("{root}/api/v1/orders/{id}/spans");
    let page = |id: String| format!("{root}/orders/{id}");
    let search = |id: String| format!("{root}/api/v1/search?q={}", id.to_lowercase());
    type Url<'a> = &'a dyn Fn(String) -> String;
    let kinds: [(&str, Url<'_>); 7] = [
        ("board, API, shared reading", &board),
        ("board, page, shared reading", &board_page),
        ("stage list of 50, API", &list),
        ("order, API", &state),
        ("order's spans over all traces, API", &timeline),
        ("order, page", &page),
        ("search by order id, API", &search),
    ];
    board_from_store(stack, settings).await?;
    for (name, url) in kinds {
        let mut timing = Timing::default();
        for number in 0..settings.questions + WARM_UP {
            let url = url(ids());
            let begun = Instant::now();
            let answer = stack.client().get(&url).send().await?;
            let status = answer.status();
            answer.bytes().await?;
            if !status.is_success() {
                bail!("{url} answered {status}");
            }
            if number >= WARM_UP {
                timing.push(begun.elapsed());
            }
        }
        println!("| {name} | {} |", timing.line());
    }
    Ok(())
}
