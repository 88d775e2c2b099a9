//! A client that leaves takes its query with it.

use std::io::Write;
use std::net::TcpStream;

use crate::process::Served;

async fn leaves(served: &Served, sql: &str) {
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let length = sql.len();
    let head =
        format!("POST /?query_id=left HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(sql.as_bytes()).unwrap();
    served.runs("left", "1").await;
    drop(stream);
    served.runs("left", "0").await;
}

#[tokio::test]
async fn a_query_ends_when_its_client_leaves() {
    let served = Served::start(&[]);
    // Without a byte of a result, in the middle of one, and while it writes.
    leaves(&served, "SELECT sleepEachRow(0.1) FROM numbers(3000) FORMAT Null SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0").await;
    leaves(&served, "SELECT number FROM numbers(100000000000)").await;
    served.sql("CREATE TABLE t (a UInt64) ENGINE = Null").await;
    leaves(&served, "INSERT INTO t SELECT number FROM numbers(100000000000)").await;
    let metrics = reqwest::get(format!("{}/waybill/metrics", served.url)).await.unwrap();
    let text = metrics.text().await.unwrap();
    assert!(text.contains("queries_cancelled_total 3"), "{text}");
    assert_eq!(served.post("?query_id=left", "SELECT 1").await.text, "1\n");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left_behind() {
    let served = Served::start(&["--client-idle-max", "300ms"]);
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let sql = "SELECT number FROM numbers(100000000000)";
    let length = sql.len();
    let head = format!(
        "POST /?query_id=left HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{sql}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    served.runs("left", "1").await;
    served.runs("left", "0").await;
    drop(stream);
}

#[tokio::test]
async fn the_writer_kills_by_query_id() {
    let served = Served::start(&[]);
    let long = served.post(
        "?query_id=left",
        "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(number)",
    );
    let kill = async {
        served.runs("left", "1").await;
        served.sql("KILL QUERY WHERE Settings['log_comment'] = 'left'").await
    };
    let (long, _) = tokio::join!(long, kill);
    assert_eq!(long.code(), 394, "{}", long.text);
}
