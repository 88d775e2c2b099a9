//! Fills a store with sample orders, one for every condition, to look at the pages with.
//!
//! `cargo run -p tracker-ui --example sample_orders -- --store-url http://127.0.0.1:8123`

#[path = "../tests/engine/orders.rs"]
mod orders;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use order_model::Lifecycle;
use order_store::{Stitcher, Store, StoreSettings, Writer};

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    store: StoreSettings,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let store = Store::connect(&settings.store);
    store.migrate(&Lifecycle::default()).await?;
    let now_ms = chrono::Utc::now().timestamp_millis();
    let batch = orders::samples(now_ms);
    Writer::new(store.clone()).insert(&batch, &format!("samples-{now_ms}")).await?;
    Stitcher::new(store, Arc::new(Lifecycle::default()))
        .stitch(&batch.touched(), Duration::ZERO)
        .await?;
    Ok(())
}
