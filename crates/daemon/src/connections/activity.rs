//! Whether a connection is used: requests in hand, and when a peer last took some of an answer.
//!
//! What a peer says beside requests does not count: one that only answers pings, or sends them, or
//! never makes room for its answers, holds a connection for nothing.

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
use tokio::time::{Instant, sleep};

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
    /// Requests that have no answer yet, and answers that have nothing to send yet.
    in_hand: AtomicUsize,
    /// Requests that were ever begun.
    begun: AtomicU64,
    /// When the last one was answered, or some of an answer was taken, milliseconds since the
    /// beginning.
    used_at_ms: AtomicU64,
}

/// A request of which it is not the peer's turn.
#[derive(Debug)]
struct InHand(Activity);

impl Activity {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            began_at: Instant::now(),
            in_hand: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            used_at_ms: AtomicU64::new(0),
        }))
    }

    /// Answers a request, which is in hand until its answer begins.
    pub(super) async fn answer(self, request: Request, next: Next) -> Response {
        let in_hand = self.clone().begin();
        let answer = next.run(request).await;
        drop(in_hand);
        answer.map(|body| Body::new(Taken { body, activity: self, owed: None }))
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

    /// How long nothing has happened; nothing at all while a request is in hand.
    pub(super) fn unused_for(&self) -> Duration {
        if self.is_busy() {
            return Duration::ZERO;
        }
        let used = Duration::from_millis(self.0.used_at_ms.load(Ordering::Acquire));
        self.0.began_at.elapsed().saturating_sub(used)
    }

    /// Some of an answer was taken.
    fn note(&self) {
        // The age of a connection in milliseconds fits for longer than anything runs.
        let now_ms = u64::try_from(self.0.began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.used_at_ms.fetch_max(now_ms, Ordering::AcqRel);
    }

    /// Returns when no request was in hand, and nothing of an answer taken, for as long as that.
    pub(super) async fn idle(&self, patience: Patience) {
        loop {
            let is_new = self.0.begun.load(Ordering::Acquire) == 0;
            let idle_max = if is_new { patience.silence_max } else { patience.idle_max };
            let left = idle_max.saturating_sub(self.unused_for());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let Self(activity) = self;
        activity.note();
        activity.0.in_hand.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer. It is asked for more when the peer has room for it.
struct Taken {
    body: Body,
    activity: Activity,
    /// The peer has room, and there is nothing to send yet.
    owed: Option<InHand>,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() {
            let activity = self.activity.clone();
            self.owed.get_or_insert_with(|| activity.begin());
        } else {
            self.owed = None;
            self.activity.note();
        }
        frame
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
        sleep(Duration::from_secs(44)).await;
        assert!(!waiting.is_finished());
        let other = activity.clone().begin();
        drop(request);
        sleep(Duration::from_secs(30)).await;
        assert!(!waiting.is_finished());
        drop(other);
        // 74 s of work, and ten without.
        assert_eq!(waiting.await.unwrap(), 84);
        assert!(!activity.is_busy());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_keeps_a_connection_as_long_as_it_is_taken() {
        let activity = Activity::new();
        drop(activity.clone().begin());
        let body = Body::from("one frame");
        let mut answer = Taken { body, activity: activity.clone(), owed: None };
        let waiting = tokio::spawn({
            let activity = activity.clone();
            async move { seconds_until_idle(&activity).await }
        });
        sleep(Duration::from_secs(8)).await;
        let mut taken = || {
            let mut context = Context::from_waker(std::task::Waker::noop());
            Pin::new(&mut answer).poll_frame(&mut context)
        };
        assert!(matches!(taken(), Poll::Ready(Some(Ok(_)))));
        // The end of it is never asked for.
        assert_eq!(waiting.await.unwrap(), 18);
        assert_eq!(activity.unused_for(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_waits_for_more_is_not_idle() {
        let activity = Activity::new();
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, axum::Error>>());
        let mut answer = Taken { body, activity: activity.clone(), owed: None };
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut answer).poll_frame(&mut context).is_pending());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(activity.unused_for(), Duration::ZERO);
        drop(answer);
        assert_eq!(seconds_until_idle(&activity).await, 10);
    }
}
