//! Stops, crashes, and a second process on the folder.

use crate::process::Served;

#[tokio::test]
async fn sigterm_drains_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::on(folder.path(), &[]);
    served.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let slow = served
        .post("?query_id=slow", "INSERT INTO t SELECT number + sleepEachRow(0.5) FROM numbers(4)");
    let stop = async {
        served.runs("slow", "1").await;
        served.signal("-TERM");
    };
    let (slow, ()) = tokio::join!(slow, stop);
    assert_eq!(slow.status, 200, "{}", slow.text);
    assert_eq!(served.wait().code(), Some(0));
    let again = Served::on(folder.path(), &[]);
    assert_eq!(again.sql("SELECT count() FROM t").await, "4");
}

#[tokio::test]
async fn the_drain_has_a_deadline() {
    let mut served = Served::start(&["--drain-deadline", "500ms"]);
    let endless = tokio::spawn({
        let url = served.url.clone();
        async move {
            reqwest::Client::new()
                .post(url)
                .body("SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1")
                .send()
                .await
                .map(|answer| answer.status().as_u16())
                .ok()
        }
    });
    let sleeping = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep%'";
    served.becomes(sleeping, "1").await;
    served.signal("-TERM");
    assert_eq!(served.wait().code(), Some(0));
    // Cancelled and told so, or cut off.
    let status = endless.await.unwrap();
    assert!(status.is_none_or(|status| status == 500), "{status:?}");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_folder() {
    let served = Served::start(&[]);
    let (status, log) = Served::fails(&served.data, &[]);
    assert_eq!(status.code(), Some(71), "{log}");
    let owner = format!("is in use by process {}", served.process_id());
    assert!(log.contains("Code: 76") && log.contains(&owner), "{log}");
    assert_eq!(served.sql("SELECT 1").await, "1");
}

#[test]
fn a_missing_library_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let (status, log) = Served::fails(folder.path(), &["--engine-library", "/nowhere/libchdb.so"]);
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("npm ci --prefix crates/clickhouse-embedded/engine"), "{log}");
    // Found before a port is bound.
    assert!(!log.contains("listening"), "{log}");
}

#[tokio::test]
async fn acknowledged_rows_outlive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0_u64;
    for round in 0..5 {
        let mut served = Served::on(folder.path(), &[]);
        served.sql("CREATE TABLE IF NOT EXISTS t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
        served.sql("CREATE TABLE IF NOT EXISTS m (a UInt64) ENGINE = MergeTree ORDER BY a").await;
        served.sql("CREATE MATERIALIZED VIEW IF NOT EXISTS v TO m AS SELECT a FROM t").await;
        let seen: u64 = served.sql("SELECT count() FROM t").await.parse().unwrap();
        let viewed: u64 = served.sql("SELECT count() FROM m").await.parse().unwrap();
        assert!(seen >= acknowledged && viewed >= acknowledged, "{seen}, {viewed}, {acknowledged}");
        acknowledged = seen;
        for batch in 0..20_u64 {
            let sql = format!(
                "INSERT INTO t SELECT {round} * 1000000 + {batch} * 100 + number FROM numbers(100)"
            );
            served.sql(&sql).await;
            acknowledged += 100;
        }
        served.signal("-KILL");
        served.wait();
    }
}

#[tokio::test]
async fn inserters_and_selectors_side_by_side() {
    let served = Served::start(&[]);
    served.sql("CREATE TABLE t (who UInt8, n UInt64) ENGINE = MergeTree ORDER BY (who, n)").await;
    let mut tasks = Vec::new();
    for who in 0..8_u64 {
        let url = served.url.clone();
        tasks.push(tokio::spawn(async move {
            let http = reqwest::Client::new();
            for batch in 0..20_u64 {
                let rows: String =
                    (0..500).map(|n| format!("{who}\t{}\n", batch * 500 + n)).collect();
                let insert =
                    http.post(format!("{url}/?query=INSERT%20INTO%20t%20FORMAT%20TSV")).body(rows);
                let inserted = insert.send().await.unwrap();
                assert_eq!(inserted.status(), 200);
                let sql = format!("SELECT count(), max(n) + 1 FROM t WHERE who = {who}");
                let text = http.post(&url).body(sql).send().await.unwrap().text().await.unwrap();
                let own = (batch + 1) * 500;
                assert_eq!(text, format!("{own}\t{own}\n"));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(served.sql("SELECT count(), uniqExact(who, n) FROM t").await, "80000\t80000");
}
