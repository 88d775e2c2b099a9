//! Losses of power and kills at the points where they would hurt most, each in a test of its own;
//! `crash.rs` has them at random.

use std::time::Duration;

use anyhow::{Context, Result};
use clickhouse::Client;
use end_to_end::Stack;
use end_to_end::folder::Folder;
use end_to_end::forgetful::ForgetfulDisk;
use end_to_end::otlp::{self, StageSignal};
use end_to_end::parts::Part;
use end_to_end::stack::Ports;
use end_to_end::wait::{Look, until};

/// How long what was acknowledged may take to be stored, and merged parts to go.
const STORED_DEADLINE: Duration = Duration::from_secs(60);
/// A stage of the lifecycle that never alerts.
const STAGE: &str = "MANUFACTURING_STARTED";
/// The tables that every signal comes into.
const TABLES: [&str; 3] = ["otel_traces", "order_events", "order_traces"];
/// The engine's notes of inserts.
const NOTES: &str = "deduplication_log_";

/// A stack whose store lies on a disk that forgets; nothing where there is none.
async fn stack() -> Result<Option<(Stack, ForgetfulDisk)>> {
    if !ForgetfulDisk::is_possible() {
        return Ok(None);
    }
    let folder = Folder::private()?;
    let disk = ForgetfulDisk::mount(folder.path().join("store"))?;
    let mut stack = Stack::new(folder, Ports::Free)?;
    stack.start_parts(&[Part::Engine, Part::Collector]).await?;
    Ok(Some((stack, disk)))
}

fn client(stack: &Stack) -> Result<Client> {
    Ok(Client::default().with_url(stack.url(Part::Engine)?).with_database("waybill"))
}

async fn send(stack: &Stack, order: &str) -> Result<()> {
    let signal = StageSignal::now(order, STAGE, "mes");
    otlp::send(stack.client(), &stack.otlp_http()?, &signal.request()).await
}

/// Waits until every table has that many rows.
async fn stored(stack: &Stack, rows: u64) -> Result<()> {
    let client = client(stack)?;
    let all = until("everything acknowledged to be stored", STORED_DEADLINE, || async {
        let mut seen = Vec::new();
        for table in TABLES {
            let count = format!("SELECT count() FROM {table} FINAL");
            seen.push(client.query(&count).fetch_one::<u64>().await.unwrap_or_default());
        }
        Ok(if seen == [rows; 3] { Look::Yes(()) } else { Look::NotYet(format!("{seen:?}")) })
    });
    all.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_rows_outlast_a_loss_of_power() -> Result<()> {
    let Some((mut stack, mut disk)) = stack().await? else { return Ok(()) };
    let signals = 20;
    for number in 0..signals {
        send(&stack, &format!("ORD-2026-96{number:04}")).await?;
    }
    stored(&stack, signals).await?;
    let client = client(&stack)?;
    for table in TABLES {
        let merge = format!("OPTIMIZE TABLE {table} FINAL");
        client.query(&merge).execute().await?;
    }
    let gone = until("the merged parts to go", STORED_DEADLINE, || async {
        let old = "SELECT count() FROM system.parts WHERE NOT active AND database = 'waybill' \
                   AND table IN ('otel_traces', 'order_events', 'order_traces')";
        let old: u64 = client.query(old).fetch_one().await?;
        Ok(if old == 0 { Look::Yes(()) } else { Look::NotYet(format!("{old} old parts")) })
    });
    gone.await?;
    // Syncs, and with its own bytes the removal of the merged parts.
    send(&stack, "ORD-2026-969999").await?;
    stored(&stack, signals + 1).await?;
    stack.kill_part(Part::Engine).await?;
    stack.kill_part(Part::Collector).await?;
    disk.lose_power(None)?;
    stack.start_parts(&[Part::Engine, Part::Collector]).await?;
    stored(&stack, signals + 1).await?;
    stack.stop().await?;
    drop(disk);
    stack.finish().await
}

/// The engine notes an insert, and then puts its part in place: killed between the two, it must not
/// take the repeat for done.
#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_was_noted_and_not_done_is_done_by_its_repeat() -> Result<()> {
    let Some((mut stack, disk)) = stack().await? else { return Ok(()) };
    send(&stack, "ORD-2026-970000").await?;
    stored(&stack, 1).await?;
    for round in 1..=3_u64 {
        disk.die_after(NOTES, usize::try_from(round)?);
        send(&stack, &format!("ORD-2026-97{round:04}")).await?;
        let died = until("the engine to note an insert", STORED_DEADLINE, || async {
            Ok(if disk.is_dead() { Look::Yes(()) } else { Look::NotYet("alive".to_owned()) })
        });
        died.await?;
        stack.kill_part(Part::Engine).await?;
        disk.revive();
        stack.start_part(Part::Engine).await?;
        stored(&stack, round + 1).await.with_context(|| format!("after note {round}"))?;
    }
    stack.stop().await?;
    drop(disk);
    stack.finish().await
}

/// On a full disk the engine would put an empty file in the place of a definition that it is to
/// change, and not open its folder again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_definitions_whole() -> Result<()> {
    let Some((mut stack, disk)) = stack().await? else { return Ok(()) };
    send(&stack, "ORD-2026-980000").await?;
    stored(&stack, 1).await?;
    disk.leave(0);
    let client = client(&stack)?;
    for table in TABLES {
        let change = format!("ALTER TABLE {table} MODIFY SETTING parts_to_delay_insert = 999");
        let refused = client.query_raw(&change).execute().await.unwrap_err().to_string();
        assert!(refused.contains("Code: 243"), "{table}: {refused}");
    }
    stack.kill_part(Part::Engine).await?;
    disk.limit_no_more();
    stack.start_part(Part::Engine).await?;
    stored(&stack, 1).await?;
    stack.stop().await?;
    drop(disk);
    stack.finish().await
}
