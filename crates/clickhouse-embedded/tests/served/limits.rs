//! What happens at each bound.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::{PATIENCE, Served};

#[tokio::test]
async fn texts_results_and_bodies_are_bounded() {
    let served = Served::start(&[
        "--query-bytes-max",
        "1000",
        "--waited-result-bytes-max",
        "5000",
        "--body-bytes-max",
        "100000",
    ]);
    let long = format!("SELECT '{}'", "x".repeat(1000));
    let answer = served.post("", long.clone()).await;
    assert_eq!((answer.status, answer.code()), (413, 229));
    let form = reqwest::multipart::Form::new().text("query", long);
    let post = reqwest::Client::new().post(format!("{}/", served.url)).multipart(form);
    assert_eq!(served.send(post).await.code(), 229);
    let waited = served.post("?wait_end_of_query=1", "SELECT number FROM numbers(10000)").await;
    assert_eq!((waited.status, waited.code()), (500, 396));
    assert_eq!(served.post("", "SELECT number FROM numbers(10000)").await.status, 200);
    served.sql("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a").await;
    let insert = "?query=INSERT%20INTO%20t%20FORMAT%20TSV";
    assert_eq!(served.post(insert, "x\n".repeat(45_000)).await.status, 200);
    let bomb = zstd::encode_all(&vec![b'x'; 50 << 20][..], 1).unwrap();
    let coded = reqwest::Client::new().post(format!("{}/{insert}", served.url)).body(bomb);
    let answer = served.send(coded.header("Content-Encoding", "zstd")).await;
    assert_eq!((answer.status, answer.code()), (413, 229));
    assert_eq!(served.sql("SELECT count() FROM t").await, "45000");
}

#[tokio::test]
async fn queries_queue_and_are_then_turned_away() {
    let served =
        Served::start(&["--queries-max", "1", "--queued-max", "1", "--queue-wait-max", "20s"]);
    let slow = || served.post("", "SELECT sleepEachRow(1) FROM numbers(2)");
    let third = async {
        for _ in 0..400 {
            let metrics = reqwest::get(format!("{}/waybill/metrics", served.url)).await.unwrap();
            if metrics.text().await.unwrap().contains("queries_queued 1") {
                return served.post("", "SELECT 1").await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no query ever queued");
    };
    let (first, second, third) = tokio::join!(slow(), slow(), third);
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!((third.status, third.code()), (503, 202));
    assert_eq!(third.header("retry-after"), "1");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let served = Served::start(&["--connections-max", "1"]);
    let ping = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    };
    let mut first = TcpStream::connect(served.address()).unwrap();
    ping(&mut first);
    let mut second = TcpStream::connect(served.address()).unwrap();
    second.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(second.read_exact(&mut [0; 1]).is_err());
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 15];
    second.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed() {
    let served = Served::start(&["--header-read-timeout", "300ms"]);
    let open = |said: &[u8]| {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(said).unwrap();
        stream
    };
    let peers: [&[u8]; 4] = [b"", b"POST / HTTP/1.1\r\nHost:", b"PRI * HT", b"PRI * HTTP/2.0\r\n"];
    let streams = peers.map(open);
    let ping = reqwest::get(format!("{}/ping", served.url)).await.unwrap();
    assert_eq!(ping.text().await.unwrap(), "Ok.\n");
    for (mut stream, said) in streams.into_iter().zip(peers) {
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => {
                let kind = error.kind();
                assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "{said:?}");
            }
        }
    }
    // A query that outlasts the time-out is none of its business.
    assert_eq!(served.sql("SELECT sleepEachRow(0.5) FROM numbers(2)").await, "0\n0");
}

#[tokio::test]
async fn memory_and_ids_are_bounded() {
    let served = Served::start(&["--query-memory-bytes-max", "50000000"]);
    let hungry = "SELECT uniqExact(number) FROM numbers(10000000)";
    let answer = served.post("", hungry).await;
    assert_eq!(answer.code(), 241, "{}", answer.text);
    for (query, code) in [
        ("?max_memory_usage=0", 452),
        ("?max_memory_usage=50000001", 452),
        ("?max_memory_usage=40000000", 0),
        ("?user=reader&max_threads=100000", 452),
        ("?user=reader&max_threads=1", 0),
    ] {
        assert_eq!(served.post(query, "SELECT 1").await.code(), code, "{query}");
    }
    let slow = served.post("?query_id=twice", "SELECT sleepEachRow(1) FROM numbers(2)");
    let again = async {
        served.runs("twice", "1").await;
        served.post("?query_id=twice", "SELECT 1").await
    };
    let (slow, again) = tokio::join!(slow, again);
    assert_eq!((slow.status, again.code()), (200, 216));
}

#[test]
fn without_passwords_only_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let (status, log) = Served::fails(folder.path(), &["--listen", "0.0.0.0:0"]);
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("not a loopback address"), "{log}");
}

/// Noise in the URL, in forms and in bodies: an error or an answer each time, and the next good
/// request works.
#[tokio::test]
async fn garbage_is_answered() {
    let served = Served::start(&[]);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    println!("seed {state:#x}");
    let mut noise = |length: usize| -> Vec<u8> {
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..length).map(|_| byte()).collect()
    };
    let http = reqwest::Client::new();
    for round in 0..200_usize {
        let mut url: String = noise(60).iter().map(|byte| format!("%{byte:02x}")).collect();
        if round % 3 == 0 {
            url = format!("query={url}&param_{url}=1");
        }
        let mut form = b"--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n".to_vec();
        form.extend(noise(200));
        if round % 2 == 0 {
            form.extend_from_slice(b"\r\n--b--\r\n");
        }
        let answers = [
            served.send(http.post(format!("{}/?{url}", served.url)).body(noise(100))).await,
            served
                .send(
                    http.post(format!("{}/", served.url))
                        .header("Content-Type", "multipart/form-data; boundary=b")
                        .body(form),
                )
                .await,
            served.send(http.post(format!("{}/?decompress=1", served.url)).body(noise(300))).await,
        ];
        for answer in answers {
            assert!((400..=501).contains(&answer.status), "{}: {}", answer.status, answer.text);
        }
    }
    assert_eq!(served.sql("SELECT 1").await, "1");
}
