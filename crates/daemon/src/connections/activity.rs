//! Whether a connection is used: requests in hand, and when the last one ended.
//!
//! What a peer says beside requests does not count: one that only answers pings, or sends them,
//! holds a connection for nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Before its first request.
    pub(super) silence_max: Duration,
    /// Between two requests.
    pub(super) idle_max: Duration,
}

/// The requests of one connection. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began_at: Instant,
    /// Requests whose answers are not yet sent.
    in_hand: AtomicUsize,
    /// Requests that were ever begun.
    begun: AtomicU64,
    /// When the last one ended, milliseconds since the beginning.
    ended_at_ms: AtomicU64,
}

/// A request in hand.
#[derive(Debug)]
struct InHand(Activity);

impl Activity {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            began_at: Instant::now(),
            in_hand: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            ended_at_ms: AtomicU64::new(0),
        }))
    }

    /// Answers a request, which is in hand until the last byte of its answer is taken.
    pub(super) async fn answer(self, request: Request, next: Next) -> Response {
        let in_hand = self.begin();
        next.run(request).await.map(|body| Body::new(Held { body, _in_hand: in_hand }))
    }

    fn begin(self) -> InHand {
        self.0.in_hand.fetch_add(1, Ordering::AcqRel);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        InHand(self)
    }

    /// Whether a request is in hand.
    pub(super) fn is_busy(&self) -> bool {
        self.0.in_hand.load(Ordering::Acquire) > 0
    }

    /// Returns when no request was in hand for as long as that.
    pub(super) async fn idle(&self, patience: Patience) {
        loop {
            let is_new = self.0.begun.load(Ordering::Acquire) == 0;
            let idle_max = if is_new { patience.silence_max } else { patience.idle_max };
            let now = Instant::now();
            let ended = Duration::from_millis(self.0.ended_at_ms.load(Ordering::Acquire));
            let since = if self.is_busy() { now } else { self.0.began_at + ended };
            let due = since + idle_max;
            if now >= due {
                return;
            }
            sleep_until(due).await;
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let shared = &self.0.0;
        // The age of a connection in milliseconds fits for longer than anything runs.
        let now_ms = u64::try_from(shared.began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.ended_at_ms.fetch_max(now_ms, Ordering::AcqRel);
        shared.in_hand.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer, whose request is in hand as long as it lives.
struct Held {
    body: Body,
    _in_hand: InHand,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { silence_max: Duration::from_secs(3), idle_max: Duration::from_secs(10) };

    async fn seconds_until_idle(activity: &Activity) -> u64 {
        let begun = Instant::now();
        activity.idle(PATIENCE).await;
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_between_requests_only() {
        let activity = Activity::new();
        assert_eq!(seconds_until_idle(&activity).await, 3);
        let request = activity.clone().begin();
        assert!(activity.is_busy());
        let waiting = tokio::spawn({
            let activity = activity.clone();
            async move { seconds_until_idle(&activity).await }
        });
        // Longer than any patience, and looked at several times.
        tokio::time::sleep(Duration::from_secs(44)).await;
        assert!(!waiting.is_finished());
        let other = activity.clone().begin();
        drop(request);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!waiting.is_finished());
        drop(other);
        // 74 s of work, and ten without.
        assert_eq!(waiting.await.unwrap(), 84);
        assert!(!activity.is_busy());
    }
}
