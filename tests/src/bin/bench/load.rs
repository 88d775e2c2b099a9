//! Requests sent as fast as they are answered, or at a steady rate, over either transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use end_to_end::otlp::PROTOBUF;
use reqwest::{Client, Response};

use crate::payload::Payloads;
use crate::timing::Timing;

/// The method of OTLP/gRPC that takes spans.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// What gRPC puts before a message that is not compressed, and four bytes of length.
const NOT_COMPRESSED: u8 = 0;
/// How long one request may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// A closed-loop sender that was refused waits this long; longer than it takes to free memory,
/// and shorter than senders are asked to wait, so that the pressure stays.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// OTLP/HTTP with protobuf.
    Http,
    /// OTLP/gRPC.
    Grpc,
}

impl Transport {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Grpc => "gRPC",
        }
    }

    /// Bodies as this transport carries them.
    pub(crate) fn frame(self, bodies: &[Bytes]) -> Arc<Vec<Bytes>> {
        let framed = |body: &Bytes| match self {
            Self::Http => body.clone(),
            Self::Grpc => {
                let mut frame = vec![NOT_COMPRESSED];
                frame.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
                frame.extend_from_slice(body);
                frame.into()
            }
        };
        Arc::new(bodies.iter().map(framed).collect())
    }
}

/// Whom to send to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    /// The root URL.
    pub(crate) url: String,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    /// To be sent again later.
    Refused,
}

/// What became of all.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) taken: usize,
    pub(crate) refused: usize,
    pub(crate) timing: Timing,
    pub(crate) elapsed: Duration,
}

impl Sent {
    fn add(&mut self, answer: Answer, took: Duration) {
        match answer {
            Answer::Taken => {
                self.taken += 1;
                self.timing.push(took);
            }
            Answer::Refused => self.refused += 1,
        }
    }

    fn merge(&mut self, other: Self) {
        self.taken += other.taken;
        self.refused += other.refused;
        self.timing.append(other.timing);
    }
}

impl Target {
    /// A client of its own: one connection, if it sends one request after the other.
    pub(crate) fn client(&self) -> Result<Client> {
        let client = Client::builder().no_proxy().timeout(ANSWER_DEADLINE);
        let client = match self.transport {
            Transport::Http => client.http1_only(),
            Transport::Grpc => client.http2_prior_knowledge(),
        };
        client.build().context("making a client")
    }

    /// Sends one request.
    pub(crate) async fn send(&self, client: &Client, body: Bytes) -> Result<Answer> {
        let (path, kind) = match self.transport {
            Transport::Http => ("/v1/traces", PROTOBUF),
            Transport::Grpc => (EXPORT, "application/grpc"),
        };
        let request = client.post(format!("{}{path}", self.url)).header("content-type", kind);
        let request = match self.transport {
            Transport::Http => request,
            Transport::Grpc => request.header("te", "trailers"),
        };
        let answer = request.body(body).send().await.context("sending spans")?;
        let meant = self.meaning(&answer);
        let text = answer.bytes().await.context("reading the answer")?;
        meant.with_context(|| String::from_utf8_lossy(&text).into_owned())
    }

    fn meaning(&self, answer: &Response) -> Result<Answer> {
        let status = answer.status().as_u16();
        // A call that failed has its status in the head.
        let grpc = answer.headers().get("grpc-status").and_then(|text| text.to_str().ok());
        match (self.transport, status, grpc) {
            (Transport::Http, 200, _) | (Transport::Grpc, 200, None | Some("0")) => {
                Ok(Answer::Taken)
            }
            // RESOURCE_EXHAUSTED and UNAVAILABLE.
            (Transport::Http, 429 | 503, _) | (Transport::Grpc, 200, Some("8" | "14")) => {
                Ok(Answer::Refused)
            }
            (_, status, grpc) => bail!("answered {status}, grpc-status {grpc:?}"),
        }
    }
}

/// Sends every body once over so many connections, each as soon as the one before is answered; a
/// refused one is not sent again.
pub(crate) async fn at_full_speed(
    target: &Target,
    bodies: &Arc<Vec<Bytes>>,
    connections: usize,
) -> Result<Sent> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut senders = Vec::new();
    for _ in 0..connections {
        let (target, bodies, next) = (target.clone(), Arc::clone(bodies), Arc::clone(&next));
        let client = target.client()?;
        senders.push(tokio::spawn(async move {
            let mut sent = Sent::default();
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = Instant::now();
                let answer = target.send(&client, body.clone()).await?;
                sent.add(answer, begun.elapsed());
                if answer == Answer::Refused {
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            }
            anyhow::Ok(sent)
        }));
    }
    let mut sent = Sent::default();
    for sender in senders {
        sent.merge(sender.await.context("a sender panicked")??);
    }
    sent.elapsed = begun.elapsed();
    Ok(sent)
}

/// Sends the bodies in turn, again and again, for so long.
pub(crate) async fn again_and_again(
    target: &Target,
    bodies: &Arc<Vec<Bytes>>,
    connections: usize,
    duration: Duration,
) -> Result<Sent> {
    let begun = Instant::now();
    let mut sent = Sent::default();
    while begun.elapsed() < duration {
        sent.merge(at_full_speed(target, bodies, connections).await?);
    }
    sent.elapsed = begun.elapsed();
    Ok(sent)
}

/// Sends at a steady rate of requests per second, each at its own time whether or not earlier ones
/// are answered, so that a stall is measured and not waited out.
pub(crate) async fn at_a_rate(target: &Target, bodies: &[Bytes], per_second: f64) -> Result<Sent> {
    let client = target.client()?;
    let begun = Instant::now();
    let mut under_way = Vec::new();
    for (index, body) in bodies.iter().enumerate() {
        let due = Duration::from_secs_f64(index as f64 / per_second);
        tokio::time::sleep_until((begun + due).into()).await;
        let (client, target, body) = (client.clone(), target.clone(), body.clone());
        under_way.push(tokio::spawn(async move {
            let begun = Instant::now();
            anyhow::Ok((target.send(&client, body).await?, begun.elapsed()))
        }));
    }
    let mut sent = Sent::default();
    for request in under_way {
        let (answer, took) = request.await.context("a sender panicked")??;
        sent.add(answer, took);
    }
    sent.elapsed = begun.elapsed();
    Ok(sent)
}

/// The first `count` requests, made before the clock runs.
pub(crate) fn bodies(payloads: &Payloads, first: usize, count: usize) -> Vec<Bytes> {
    (first..first + count).map(|index| payloads.request(index).into()).collect()
}

/// A number of requests or bytes, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of what a run sends, never negative and far below the bound"
)]
pub(crate) fn whole(count: f64) -> usize {
    count.ceil() as usize
}
