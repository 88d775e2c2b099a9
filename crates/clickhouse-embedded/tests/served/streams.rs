//! Large data in both directions, and what is told in its middle.

use std::time::Duration;

use futures::StreamExt;

use crate::process::Served;

/// What the process may grow by while data many times that size goes through it. Measured: 60
/// to 120 MB of the engine's own buffers.
const GROWTH_BYTES_MAX: u64 = 400 << 20;

async fn watched(served: &Served, request: reqwest::RequestBuilder) -> (u64, u64) {
    let before = served.resident_bytes();
    let mut stream = request.send().await.unwrap().bytes_stream();
    let (mut bytes, mut peak, mut parts) = (0, before, 0_u32);
    while let Some(part) = stream.next().await {
        bytes += part.unwrap().len() as u64;
        parts += 1;
        if parts.is_multiple_of(64) {
            peak = peak.max(served.resident_bytes());
        }
    }
    (bytes, peak - before)
}

#[tokio::test]
async fn a_large_result_does_not_grow_the_process() {
    let served = Served::start(&[]);
    served.sql("SELECT sum(cityHash64(number)) FROM numbers(10000000)").await;
    let http = reqwest::Client::new();
    let sql = "SELECT number, toString(number) FROM numbers(100000000) FORMAT RowBinary";
    let (bytes, grown) = watched(&served, http.post(format!("{}/", served.url)).body(sql)).await;
    assert!(bytes > 1_600_000_000, "{bytes}");
    assert!(grown < GROWTH_BYTES_MAX, "grew by {grown}");
}

#[tokio::test]
async fn a_large_insert_does_not_grow_the_process() {
    let served = Served::start(&[]);
    served.sql("CREATE TABLE t (a UInt64) ENGINE = Null").await;
    let warm = "?query=INSERT%20INTO%20t%20FORMAT%20RowBinary&max_insert_block_size=65536";
    let before = served.resident_bytes();
    let parts = 1500_u64;
    let part = bytes::Bytes::from(vec![7_u8; 1 << 20]);
    let stream =
        futures::stream::iter((0..parts).map(move |_| Ok::<_, std::io::Error>(part.clone())));
    let peak = std::cell::Cell::new(0);
    let sampling = async {
        loop {
            peak.set(peak.get().max(served.resident_bytes()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::select! {
        answer = served.post(warm, reqwest::Body::wrap_stream(stream)) => answer,
        () = sampling => unreachable!("samples for ever"),
    };
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rows = parts * (1 << 20) / 8;
    let written = format!("\"written_rows\":\"{rows}\"");
    assert!(answer.header("x-clickhouse-summary").contains(&written));
    let grown = peak.get().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "grew by {grown}");
}

#[tokio::test]
async fn an_error_in_the_middle_is_told_in_the_body() {
    let served = Served::start(&[]);
    let sql = "SELECT number, throwIf(number = 3000000, 'boom') FROM numbers(5000000) \
               SETTINGS max_block_size = 10000";
    for format in ["TSV", "JSONEachRow", "Native"] {
        let answer = served.post("", format!("{sql} FORMAT {format}")).await;
        let tag = answer.header("x-clickhouse-exception-tag").to_owned();
        assert_eq!((answer.status, tag.len()), (200, 16), "{format}");
        let end = format!(" {tag}\r\n__exception__\r\n");
        let body = answer.text.strip_suffix(&end).expect("the closing tag");
        let (text, length) = body.rsplit_once('\n').unwrap();
        let (_, message) = text.rsplit_once(&format!("__exception__\r\n{tag}\r\n")).unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len() + 1);
        assert!(message.starts_with("Code: 395. DB::Exception: boom"), "{message}");
    }
    let whole = served.post("?wait_end_of_query=1", sql).await;
    assert_eq!((whole.status, whole.code()), (500, 395));
}

#[tokio::test]
async fn answers_come_in_the_coding_the_client_accepts() {
    let served = Served::start(&[]);
    let sql = "SELECT number FROM numbers(1000000) FORMAT TSV";
    let plain = served.post("", sql).await.text;
    for coding in ["gzip", "deflate", "zstd", "lz4"] {
        let http = reqwest::Client::new();
        let request = http.post(format!("{}/?enable_http_compression=1", served.url)).body(sql);
        let response = request.header("Accept-Encoding", coding).send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], coding);
        let body = response.bytes().await.unwrap();
        let mut decoded = String::new();
        let mut reader: Box<dyn std::io::Read> = match coding {
            "gzip" => Box::new(flate2::read::GzDecoder::new(&body[..])),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(&body[..])),
            "zstd" => Box::new(zstd::Decoder::new(&body[..]).unwrap()),
            _ => Box::new(lz4_flex::frame::FrameDecoder::new(&body[..])),
        };
        reader.read_to_string(&mut decoded).unwrap();
        assert!(decoded == plain, "{coding}");
        assert!(body.len() < plain.len() * 3 / 4, "{coding}");
    }
    let blocks = served.post("?compress=1", "SELECT 1").await;
    assert!(blocks.text.len() > 25, "{}", blocks.text);
}
