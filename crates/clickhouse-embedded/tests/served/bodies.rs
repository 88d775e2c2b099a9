//! Bodies: coded, cut, corrupt, and as one block.

use std::io::{Read, Write};
use std::net::TcpStream;

use cityhash_rs::cityhash_102_128;

use crate::process::{PATIENCE, Served};

/// `count` rows of `(a UInt64, s String)` as RowBinary.
fn row_binary(count: u64) -> Vec<u8> {
    let mut data = Vec::new();
    for n in 0..count {
        data.extend_from_slice(&n.to_le_bytes());
        data.push(8);
        data.extend_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    data
}

/// ClickHouse's compressed block.
fn block(plain: &[u8]) -> Vec<u8> {
    let data = lz4_flex::block::compress(plain);
    let mut body = vec![0x82];
    body.extend_from_slice(&u32::try_from(data.len() + 9).unwrap().to_le_bytes());
    body.extend_from_slice(&u32::try_from(plain.len()).unwrap().to_le_bytes());
    body.extend_from_slice(&data);
    let mut coded = cityhash_102_128(&body).rotate_right(64).to_le_bytes().to_vec();
    coded.extend_from_slice(&body);
    coded
}

fn coded(coding: &str, plain: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(plain).unwrap();
            gzip.finish().unwrap()
        }
        "deflate" => {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            zlib.write_all(plain).unwrap();
            zlib.finish().unwrap()
        }
        "zstd" => zstd::encode_all(plain, 1).unwrap(),
        "lz4" => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(plain).unwrap();
            lz4.finish().unwrap()
        }
        _ => plain.to_vec(),
    }
}

const INSERT: &str = "?query=INSERT%20INTO%20t%20FORMAT%20RowBinary";

async fn served() -> Served {
    let served = Served::start(&[]);
    served.sql("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a").await;
    served
}

async fn insert(served: &Served, query: &str, coding: &str, body: Vec<u8>) -> (u16, u16) {
    let request = reqwest::Client::new().post(format!("{}/{INSERT}{query}", served.url));
    let answer = served.send(request.header("Content-Encoding", coding).body(body)).await;
    (answer.status, answer.code())
}

#[tokio::test]
async fn inserts_come_in_every_coding() {
    let served = served().await;
    let rows = row_binary(1000);
    for coding in ["identity", "gzip", "deflate", "zstd", "lz4"] {
        assert_eq!(insert(&served, "", coding, coded(coding, &rows)).await, (200, 0), "{coding}");
    }
    let (half, rest) = rows.split_at(rows.len() / 2 + 3);
    let blocks = [block(half), block(rest)].concat();
    assert_eq!(insert(&served, "&decompress=1", "identity", blocks.clone()).await, (200, 0));
    assert_eq!(insert(&served, "&decompress=1", "gzip", coded("gzip", &blocks)).await, (200, 0));
    assert_eq!(served.sql("SELECT count(), uniqExact(a, s) FROM t").await, "7000\t1000");
    assert_eq!(insert(&served, "", "br", rows).await, (501, 48));
}

#[tokio::test]
async fn a_cut_or_corrupt_body_leaves_no_rows() {
    let served = served().await;
    let rows = row_binary(1000);
    for coding in ["gzip", "deflate", "zstd", "lz4"] {
        let whole = coded(coding, &rows);
        for cut in [whole.len() / 2, whole.len() - 1] {
            let (status, code) = insert(&served, "", coding, whole[..cut].to_vec()).await;
            assert!(status >= 400 && code > 0, "{coding} cut at {cut}: {status} {code}");
        }
    }
    let blocks = [block(&rows), block(&rows)].concat();
    for cut in [5, blocks.len() / 2 + 7, blocks.len() - 1] {
        let (status, code) =
            insert(&served, "&decompress=1", "identity", blocks[..cut].to_vec()).await;
        assert!(status >= 400 && code > 0, "blocks cut at {cut}: {status} {code}");
    }
    let mut flipped = blocks.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert_eq!(insert(&served, "&decompress=1", "identity", flipped).await, (500, 40));
    assert_eq!(insert(&served, "", "identity", rows[..rows.len() - 3].to_vec()).await, (500, 33));
    assert_eq!(served.sql("SELECT count() FROM t").await, "0");
}

/// The HTTP body itself breaks off: by `Content-Length`, by a missing last chunk, by a bad one.
#[tokio::test]
async fn a_broken_off_request_leaves_no_rows() {
    let served = served().await;
    let rows = row_binary(1000);
    let head = |framing: &str| {
        format!("POST /{INSERT} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n").into_bytes()
    };
    let chunk = [format!("{:x}\r\n", rows.len()).into_bytes(), rows.clone(), b"\r\n".to_vec()];
    let longer = format!("Content-Length: {}", rows.len() + 1);
    for (name, request) in [
        ("too short for its length", [head(&longer), rows.clone()].concat()),
        ("no last chunk", [head("Transfer-Encoding: chunked"), chunk.concat()].concat()),
        (
            "a bad chunk",
            [head("Transfer-Encoding: chunked"), chunk.concat(), b"zz\r\n".to_vec()].concat(),
        ),
    ] {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
    assert_eq!(served.sql("SELECT count() FROM t").await, "0");
    assert_eq!(insert(&served, "", "identity", rows).await, (200, 0));
    assert_eq!(served.sql("SELECT count() FROM t").await, "1000");
}

#[tokio::test]
async fn one_request_is_one_block_when_the_client_wants_it() {
    let served = served().await;
    let rows = 1_000_000;
    let one_block = "&max_insert_block_size=1000000&min_insert_block_size_rows=1000000\
                     &min_insert_block_size_bytes=1073741824&max_threads=1&max_insert_threads=1";
    for format in ["RowBinary", "Native"] {
        served.sql("TRUNCATE TABLE t").await;
        served.sql("SYSTEM STOP MERGES").await;
        let data = if format == "RowBinary" {
            row_binary(rows)
        } else {
            let sql = format!(
                "SELECT number AS a, toString(number) AS s FROM numbers({rows}) FORMAT Native"
            );
            let http = reqwest::Client::new();
            let response = http.post(format!("{}/", served.url)).body(sql).send().await.unwrap();
            response.bytes().await.unwrap().to_vec()
        };
        let query = format!("?query=INSERT%20INTO%20t%20FORMAT%20{format}{one_block}");
        let answer = served.post(&query, data).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let parts = "SELECT count(), sum(rows) FROM system.parts WHERE active AND table = 't'";
        assert_eq!(served.sql(parts).await, format!("1\t{rows}"), "{format}");
    }
}

#[tokio::test]
async fn a_deduplication_token_counts_once() {
    let served = Served::start(&[]);
    served
        .sql(
            "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a \
             SETTINGS non_replicated_deduplication_window = 100",
        )
        .await;
    let rows = row_binary(100);
    for (token, expected) in [("one", "100"), ("one", "100"), ("two", "200")] {
        let query = format!("&insert_deduplication_token={token}&async_insert=0");
        assert_eq!(insert(&served, &query, "identity", rows.clone()).await, (200, 0));
        assert_eq!(served.sql("SELECT count() FROM t").await, expected, "{token}");
    }
}

#[tokio::test]
async fn formats_of_inserts() {
    let served = served().await;
    for (query, body) in [
        ("?query=INSERT%20INTO%20t%20FORMAT%20JSONEachRow", "{\"a\":1,\"s\":\"x\"}"),
        ("?query=INSERT%20INTO%20t%20VALUES", "(2,'y'),(3,lower('Z'));"),
        ("", "INSERT INTO t VALUES (4,'w')"),
        ("", "INSERT INTO t (s, a) FORMAT CSV\n\"v\",5\n"),
        ("", "INSERT INTO t FORMAT TSV\r\n6\tu\n"),
        ("?query=INSERT%20INTO%20t%20SETTINGS%20async_insert%3D1%20FORMAT%20TSV", "7\tt\n"),
        ("?async_insert=1&wait_for_async_insert=1", "INSERT INTO t SELECT 8, 's'"),
        ("?query=INSERT%20INTO%20t", "VALUES (9, 'r')"),
    ] {
        let answer = served.post(query, body).await;
        assert_eq!(answer.status, 200, "{query} {body}: {}", answer.text);
        assert!(answer.header("x-clickhouse-summary").contains("\"written_rows\""));
    }
    assert_eq!(served.sql("SELECT sum(a), count() FROM t").await, "45\t9");
    let unsaid = served.post("?default_format=TSV", "INSERT INTO t").await;
    assert_eq!((unsaid.status, unsaid.code()), (400, 62), "{}", unsaid.text);
    let bad = served.post("", "INSERT INTO t FORMAT TSV\n1\tx\nnot a number\ty\n").await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    assert_eq!(served.sql("SELECT count() FROM t").await, "9");
}
