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

/// Tables whose parts are written in different ways: what nothing syncs ends the engine, and wide
/// parts are merged column by column, by way of a file of intermediate results.
const TORN: [(&str, &str); 3] = [
    (
        "synced",
        "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1",
    ),
    ("unsynced", "fsync_after_insert = 0"),
    (
        "wide",
        "fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, \
         min_bytes_for_wide_part = 0, vertical_merge_algorithm_min_rows_to_activate = 1, \
         vertical_merge_algorithm_min_columns_to_activate = 1",
    ),
];
/// Pages up to which parts are cut off. The smallest has 15 files, and a page for each.
const QUOTA_PAGES: u64 = 36;
/// Rows of each insert.
const QUOTA_ROWS: u64 = 100;

/// libchdb does not look whether its writes fail (`clickhouse-embedded`'s `ffi/writes.rs`): a part cut
/// off at any page of it would be acknowledged, and set aside at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_without_warning_lose_nothing() -> Result<()> {
    if !ForgetfulDisk::is_possible() {
        return Ok(());
    }
    let folder = Folder::private()?;
    let disk = ForgetfulDisk::mount(folder.path().join("store"))?;
    let mut stack = Stack::new(folder, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    for (table, settings) in TORN {
        let create = format!(
            "CREATE TABLE {table} (a UInt64, b String, INDEX b b TYPE bloom_filter) \
             ENGINE = MergeTree ORDER BY a \
             SETTINGS non_replicated_deduplication_window = 1000, {settings}"
        );
        engine(&stack)?.query(&create).execute().await?;
    }
    let mut refused = 0;
    for pages in (0..QUOTA_PAGES).step_by(2) {
        let under = under_quota(&mut stack, &disk, pages).await;
        refused += under.with_context(|| format!("{pages} pages"))?;
        whole(&stack, pages / 2 + 1).await.with_context(|| format!("{pages} pages"))?;
    }
    // Of each table those with room for a part of the files at most.
    assert!(refused >= 15, "{refused} inserts were refused");
    stack.kill_part(Part::Engine).await?;
    stack.start_part(Part::Engine).await?;
    whole(&stack, QUOTA_PAGES / 2).await?;
    stack.stop().await?;
    drop(disk);
    stack.finish().await
}

fn engine(stack: &Stack) -> Result<Client> {
    Ok(client(stack)?.with_database("default"))
}

/// Inserts, merges and changes a definition with so many pages left, and then again without a bound;
/// how many inserts were refused.
async fn under_quota(stack: &mut Stack, disk: &ForgetfulDisk, pages: u64) -> Result<usize> {
    let mut refused = 0;
    for (table, _) in TORN {
        let insert = format!(
            "INSERT INTO {table} SETTINGS insert_deduplication_token = '{pages}' \
             SELECT {} * {QUOTA_ROWS} + number, hex(number) FROM numbers({QUOTA_ROWS})",
            pages / 2
        );
        let merge = format!("OPTIMIZE TABLE {table} FINAL");
        let change = format!("ALTER TABLE {table} MODIFY SETTING merge_max_block_size = {pages}1");
        for (statement, inserts) in [(&insert, true), (&merge, false), (&change, false)] {
            let before = disk.refused_writes();
            disk.quota(Some(pages * 4_096));
            let done = engine(stack)?.query(statement).execute().await;
            disk.quota(None);
            // A part that nothing syncs ends the engine before it counts as inserted.
            if matches!(done, Err(clickhouse::error::Error::Network(_))) {
                anyhow::ensure!(table == "unsynced" && inserts, "the engine ended: {statement}");
                stack.kill_part(Part::Engine).await?;
                stack.start_part(Part::Engine).await?;
            }
            if inserts && done.is_err() {
                anyhow::ensure!(disk.refused_writes() > before, "{statement}: {done:?}");
                refused += 1;
            }
        }
        for statement in [&insert, &merge, &change] {
            let done = engine(stack)?.query(statement).execute().await;
            done.with_context(|| format!("without a quota: {statement}"))?;
        }
    }
    Ok(refused)
}

/// Every row is there once, in files that can be read.
async fn whole(stack: &Stack, inserts: u64) -> Result<()> {
    let rows = inserts * QUOTA_ROWS;
    for (table, _) in TORN {
        let read =
            format!("SELECT count(), uniqExact(a), sum(a), countIf(b = hex(a % 100)) FROM {table}");
        let read: (u64, u64, u64, u64) = engine(stack)?.query(&read).fetch_one().await?;
        assert_eq!(read, (rows, rows, rows * (rows - 1) / 2, rows), "{table}");
        let check = format!("CHECK TABLE {table}");
        let parts: Vec<(String, u8, String)> = engine(stack)?.query(&check).fetch_all().await?;
        assert!(!parts.is_empty() && parts.iter().all(|(_, whole, _)| *whole == 1), "{parts:?}");
    }
    let aside = "SELECT count() FROM system.detached_parts";
    assert_eq!(engine(stack)?.query(aside).fetch_one::<u64>().await?, 0);
    Ok(())
}

/// An intermediate result that was cut off must not be taken for whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_intermediate_result_that_does_not_fit_is_an_error() -> Result<()> {
    if !ForgetfulDisk::is_possible() {
        return Ok(());
    }
    let folder = Folder::private()?;
    let disk = ForgetfulDisk::mount(folder.path().join("store"))?;
    let mut stack = Stack::new(folder, Ports::Free)?;
    stack.start_part(Part::Engine).await?;
    let sorts = "SELECT sum(n * row) FROM (SELECT n, rowNumberInAllBlocks() AS row FROM (\
        SELECT cityHash64(number) % 1000000 AS n FROM numbers(2000000) ORDER BY n)) \
        SETTINGS max_bytes_before_external_sort = 1000000, max_bytes_ratio_before_external_sort = 0";
    let expected: u64 = engine(&stack)?.query(sorts).fetch_one().await?;
    let mut refused = 0;
    for kib in [0, 4, 40, 400, 4_000, 40_000] {
        let before = disk.refused_writes();
        disk.quota(Some(kib * 1_024));
        let found = engine(&stack)?.query(sorts).fetch_one::<u64>().await;
        disk.quota(None);
        let is_cut = disk.refused_writes() > before;
        refused += u64::from(is_cut);
        match found {
            Ok(found) => assert_eq!((found, is_cut), (expected, false), "{kib} KiB"),
            Err(error) => anyhow::ensure!(is_cut, "{kib} KiB: {error}"),
        }
    }
    assert!(refused > 2, "{refused} times the disk was full");
    stack.must_run()?;
    stack.stop().await?;
    drop(disk);
    stack.finish().await
}
