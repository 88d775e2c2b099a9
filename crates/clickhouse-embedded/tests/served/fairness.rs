//! What the reader cannot take from the writer: places, sessions, memory.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::process::{PATIENCE, Served};

const PLACES: [&str; 4] = ["--queries-max", "2", "--queue-wait-max", "100ms"];

#[tokio::test]
async fn the_reader_leaves_places_to_the_writer() {
    let served = Served::start(&PLACES);
    let slow = "SELECT sleepEachRow(1) FROM numbers(3)";
    let long = served.post("?user=reader&query_id=long", slow);
    let others = async {
        served.runs("long", "1").await;
        let reader = served.reader("SELECT 1").await;
        (reader.code(), served.post("", "SELECT 1").await.code())
    };
    let (long, others) = tokio::join!(long, others);
    assert_eq!((long.code(), others), (0, (202, 0)));
}

#[tokio::test]
async fn a_text_that_does_not_arrive_has_no_place() {
    let served = Served::start(&[&PLACES[..], &["--text-time-max", "2s"]].concat());
    let head = "POST /?user=reader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let form = "Content-Type: multipart/form-data; boundary=b\r\n";
    let slow = |more: &str| {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let said = format!("{head}{more}Content-Length: 99\r\n\r\n--b\r\nSELECT");
        stream.write_all(said.as_bytes()).unwrap();
        stream
    };
    let streams = ["", form, "", form, ""].map(slow);
    assert_eq!(served.reader("SELECT 1").await.code(), 0);
    assert_eq!(served.sql("SELECT 1").await, "1");
    for mut stream in streams {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.contains("x-clickhouse-exception-code: 209"), "{answer}");
    }
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert_eq!(served.reader(&long).await.code(), 229);
    assert_eq!(served.post("?max_query_size=9000000", long).await.code(), 0);
}

#[tokio::test]
async fn the_reader_holds_no_session() {
    let served = Served::start(&["--sessions-max", "1"]);
    for id in ["a", "b", "c"] {
        let asked = format!("?user=reader&session_id={id}&session_timeout=3600");
        assert_eq!(served.post(&asked, "SELECT 1").await.code(), 0);
    }
    assert_eq!(served.post("?session_id=w", "SET max_block_size = 77").await.code(), 0);
}

#[tokio::test]
async fn the_reader_has_less_memory() {
    let served = Served::start(&["--reader-query-memory-bytes-max", "50000000"]);
    let hungry = "SELECT uniqExact(number) FROM numbers(10000000)";
    assert_eq!(served.reader(hungry).await.code(), 241);
    assert_eq!(served.sql(hungry).await, "10000000");
    for (bytes, code) in [(0, 452), (50_000_001, 452), (40_000_000, 0)] {
        let asked = format!("?user=reader&max_memory_usage={bytes}");
        assert_eq!(served.post(&asked, "SELECT 1").await.code(), code, "{bytes}");
    }
    assert_eq!(served.post("?max_memory_usage=4294967297", "SELECT 1").await.code(), 452);
}
