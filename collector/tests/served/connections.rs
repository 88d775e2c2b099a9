//! Who may keep a connection: idle ones are told to go, and no peer takes all of them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::stack::{Stack, eventually};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
/// The last frame of the head and of the request.
const END: u8 = 5;
/// `GET /` of `http://x`, by indices of the static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'x'];
/// Settings of a client that never makes room for an answer's body: an initial window of 0.
const NO_ROOM: &[u8] = &[0, 4, 0, 0, 0, 0];
/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A client of HTTP/2 with these settings that answers pings, sends its own, and goes only when it is
/// cut off. Returns the kinds of frames that it heard until then.
async fn stay_and_ping(address: &str, settings: &[u8], requests: u8) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(PREFACE).await.unwrap();
    writer.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
    for index in 0..requests {
        writer.write_all(&frame(HEADERS, END, 2 * index + 1, GET)).await.unwrap();
    }
    let (answers, mut to_answer) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let writing = tokio::spawn(async move {
        loop {
            let next = timeout(Duration::from_millis(20), to_answer.recv()).await;
            let bytes = match next {
                Ok(Some(answer)) => answer,
                Ok(None) => return,
                Err(_) => frame(PING, 0, 0, b"are you?"),
            };
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut heard = Vec::new();
    let mut head = [0; 9];
    while reader.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        heard.push(head[3]);
        let is_asked = head[4] & ACK == 0;
        let answer = match head[3] {
            PING if is_asked => frame(PING, ACK, 0, &payload),
            SETTINGS if is_asked => frame(SETTINGS, ACK, 0, &[]),
            _ => continue,
        };
        let _ = answers.send(answer);
    }
    drop(answers);
    writing.await.unwrap();
    heard
}

#[tokio::test]
async fn who_only_pings_is_told_to_go() {
    let flags = ["--header-read-timeout", "300ms", "--idle-timeout", "400ms"];
    let more = ["--keep-alive", "100ms"];
    let stack = Stack::start(&[&flags[..], &more].concat()).await;
    for port in ["otlp-http", "otlp-grpc"] {
        for (settings, requests) in [(&[][..], 0), (&[], 2), (NO_ROOM, 2)] {
            let address = stack.collector.address(port);
            let heard = timeout(PATIENCE, stay_and_ping(address, settings, requests)).await;
            let heard = heard.unwrap();
            assert!(heard.contains(&GOAWAY), "{port}: {heard:?}");
            assert!(settings.is_empty() || !heard.contains(&DATA), "{port}: {heard:?}");
            let answered = heard.iter().filter(|kind| **kind == HEADERS).count();
            assert_eq!(answered, usize::from(requests), "{port}: {heard:?}");
        }
    }
    eventually("none is left", async || {
        stack.metrics().await.contains("connections{port=\"otlp_grpc\"} 0\n")
    })
    .await;
}

#[tokio::test]
async fn who_sends_now_and_then_keeps_the_connection() {
    let stack = Stack::start(&["--idle-timeout", "30s"]).await;
    let mut stream = TcpStream::connect(stack.collector.address("otlp-http")).await.unwrap();
    for _ in 0..3 {
        assert!(asked(&mut stream).await.starts_with("HTTP/1.1 405"));
    }
}

/// Asks something that is answered over HTTP/1, keeping the connection; empty when it is closed.
async fn asked(stream: &mut TcpStream) -> String {
    let request = b"GET /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n";
    if stream.write_all(request).await.is_err() {
        return String::new();
    }
    let mut buffer = [0; 4_096];
    let read = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap();
    String::from_utf8_lossy(&buffer[..read.unwrap_or(0)]).into_owned()
}

async fn connect_from(host: [u8; 4], to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((host, 0))).unwrap();
    socket.connect(to.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn one_peer_takes_its_share_of_the_connections_and_no_more() {
    let stack = Stack::start(&["--connections-max", "8"]).await;
    let address = stack.collector.address("otlp-http").to_owned();
    // A quarter of eight.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect_from([127, 0, 0, 1], &address).await;
        assert!(asked(&mut stream).await.starts_with("HTTP/1.1 405"));
        held.push(stream);
    }
    assert_eq!(asked(&mut connect_from([127, 0, 0, 1], &address).await).await, "");
    let refused = "refused_connections_total{port=\"otlp_http\"} 1\n";
    assert!(stack.metrics().await.contains(refused));
    assert!(stack.collector.log().contains("a peer has all connections that it may have"));
    // Others come in, and so does the peer once it has let one go.
    let mut other = connect_from([127, 0, 0, 2], &address).await;
    assert!(asked(&mut other).await.starts_with("HTTP/1.1 405"));
    drop(held.pop());
    eventually("the place is free", async || {
        let mut again = connect_from([127, 0, 0, 1], &address).await;
        asked(&mut again).await.starts_with("HTTP/1.1 405")
    })
    .await;
}

#[tokio::test]
async fn a_full_port_says_so_while_it_is_full() {
    let stack = Stack::start(&["--connections-max", "2", "--connections-per-peer-max", "2"]).await;
    let address = stack.collector.address("otlp-http").to_owned();
    let mut held = [
        connect_from([127, 0, 0, 1], &address).await,
        connect_from([127, 0, 0, 1], &address).await,
    ];
    for stream in &mut held {
        assert!(asked(stream).await.starts_with("HTTP/1.1 405"));
    }
    let remark = "otlp_http: all 2 connections are in use; new ones wait";
    eventually("it is said", async || {
        let (status, text) = stack.readiness().await;
        status == 200 && text.contains(remark)
    })
    .await;
    assert!(stack.metrics().await.contains("full_ports_total{port=\"otlp_http\"} 1\n"));
    assert_eq!(stack.collector.log().matches("all connections are in use").count(), 1);
    drop(held);
    stack.ready().await;
}
