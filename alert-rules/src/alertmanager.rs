//! One Alertmanager: `POST /api/v2/alerts` in batches, and a refused batch taken apart.

use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::{Client, StatusCode, Url, redirect};

use crate::alert::Alert;

/// Path of the API below the Alertmanager's URL.
const PATH: &str = "api/v2/alerts";
/// Most requests that one push spends on taking refused batches apart; beyond it the batches
/// that are left count as rejected as a whole and are tried again at the next evaluation.
const APART_REQUESTS_MAX: u32 = 256;
/// Bytes of a refusal's text that are kept for the log.
const REFUSAL_BYTES_MAX: usize = 512;

/// A handle on one Alertmanager; clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Alertmanager {
    client: Client,
    endpoint: Url,
    /// Its URL as given: the name in logs and metrics.
    pub(crate) name: String,
    batch_max: usize,
}

/// One request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PostError {
    /// The body is at fault: sending it again gives the same answer.
    Refused(String),
    /// The Alertmanager is at fault or out of reach: try again later.
    Unavailable(String),
}

/// What became of a push.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// How many alerts were accepted.
    pub(crate) accepted: u64,
    /// Positions of the refused ones, with the reason.
    pub(crate) refused: Vec<(usize, String)>,
}

impl Alertmanager {
    /// A handle on the Alertmanager at `url`; nothing is sent yet.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(crate) fn new(url: &Url, time_max: Duration, batch_max: usize) -> reqwest::Result<Self> {
        let client = Client::builder()
            .timeout(time_max)
            .connect_timeout(time_max)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .build()?;
        let mut endpoint = url.clone();
        endpoint.set_path(&format!("{}/{PATH}", url.path().trim_end_matches('/')));
        let name = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, endpoint, name, batch_max })
    }

    /// Sends the alerts; with none, an empty list, which shows that the Alertmanager answers.
    ///
    /// # Errors
    /// The Alertmanager did not answer one of the requests; alerts sent before are accepted, and
    /// sending them again changes nothing.
    pub(crate) async fn push(&self, alerts: &[&Alert]) -> Result<Pushed, String> {
        if alerts.is_empty() {
            return match self.post(&[]).await {
                Ok(()) => Ok(Pushed::default()),
                Err(PostError::Refused(why) | PostError::Unavailable(why)) => Err(why),
            };
        }
        push_apart(alerts, self.batch_max, |part| Box::pin(self.post(part))).await
    }

    async fn post(&self, alerts: &[&Alert]) -> Result<(), PostError> {
        let unavailable = |error: reqwest::Error| {
            PostError::Unavailable(daemon::log::chain(&error.without_url()))
        };
        let mut response = self
            .client
            .post(self.endpoint.clone())
            .json(alerts)
            .send()
            .await
            .map_err(unavailable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES_MAX - text.len())]);
            if text.len() == REFUSAL_BYTES_MAX {
                break;
            }
        }
        let why = format!("{status}: {}", String::from_utf8_lossy(&text).trim());
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(PostError::Refused(why)),
            _ => Err(PostError::Unavailable(why)),
        }
    }
}

/// Sends the alerts in batches and halves every refused batch until the refused alerts stand
/// alone: one alert that Alertmanager does not take must not keep a page from going out.
///
/// # Errors
/// The first request that was not answered.
async fn push_apart<'a>(
    alerts: &'a [&'a Alert],
    batch_max: usize,
    post: impl Fn(&'a [&'a Alert]) -> BoxFuture<'a, Result<(), PostError>>,
) -> Result<Pushed, String> {
    let mut pushed = Pushed::default();
    let mut apart_requests = 0;
    // (position of the first, alerts); the last one is next, so that batches go out in order.
    let mut parts: Vec<(usize, &[&Alert])> = alerts
        .chunks(batch_max)
        .enumerate()
        .map(|(number, batch)| (number * batch_max, batch))
        .rev()
        .collect();
    while let Some((first, part)) = parts.pop() {
        match post(part).await {
            Ok(()) => pushed.accepted += part.len() as u64,
            Err(PostError::Unavailable(why)) => return Err(why),
            Err(PostError::Refused(why))
                if part.len() == 1 || apart_requests >= APART_REQUESTS_MAX =>
            {
                let refused = (0..part.len()).map(|nth| (first + nth, why.clone()));
                pushed.refused.extend(refused);
            }
            Err(PostError::Refused(_)) => {
                apart_requests += 2;
                let (left, right) = part.split_at(part.len() / 2);
                parts.push((first + left.len(), right));
                parts.push((first, left));
            }
        }
    }
    Ok(pushed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use chrono::{DateTime, Utc};

    use super::*;

    fn alert(order: usize) -> Alert {
        Alert {
            labels: BTreeMap::from([("order".to_owned(), order.to_string())]),
            annotations: BTreeMap::new(),
            starts_at: DateTime::<Utc>::UNIX_EPOCH,
            ends_at: DateTime::<Utc>::UNIX_EPOCH,
            open: true,
        }
    }

    /// Pushes `total` alerts to a receiver that refuses whole batches holding a bad one.
    async fn push_with(total: usize, bad: &[usize]) -> (Pushed, u32) {
        let alerts: Vec<Alert> = (0..total).map(alert).collect();
        let alerts: Vec<&Alert> = alerts.iter().collect();
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        let requests = AtomicU32::new(0);
        let pushed = push_apart(&alerts, 64, |part| {
            requests.fetch_add(1, Ordering::Relaxed);
            let refused = part.iter().any(|alert| bad.contains(&alert.labels["order"]));
            let answer = if refused { Err(PostError::Refused("400".to_owned())) } else { Ok(()) };
            Box::pin(std::future::ready(answer))
        })
        .await;
        (pushed.unwrap(), requests.into_inner())
    }

    #[tokio::test]
    async fn a_refused_batch_is_taken_apart() {
        for (total, bad) in [
            (1, vec![0]),
            (64, vec![]),
            (64, vec![63]),
            (200, vec![0, 64, 65, 199]),
            (3, vec![0, 1, 2]),
        ] {
            let (pushed, _) = push_with(total, &bad).await;
            let refused: Vec<usize> = pushed.refused.iter().map(|(nth, _)| *nth).collect();
            assert_eq!(refused, bad, "{total}");
            assert_eq!(pushed.accepted, (total - bad.len()) as u64);
        }
        let (_, requests) = push_with(64, &[17]).await;
        assert_eq!(requests, 1 + 2 * 6, "one alert of 64 is found in six halvings");
    }

    #[tokio::test]
    async fn taking_apart_is_bounded() {
        let bad: Vec<usize> = (0..2_000).collect();
        let (pushed, requests) = push_with(2_000, &bad).await;
        assert_eq!(pushed.refused.len(), 2_000, "each one is counted");
        assert!(requests <= APART_REQUESTS_MAX + 2 + 2_000 / 64 + 1, "{requests}");
    }

    #[tokio::test]
    async fn no_answer_ends_the_push() {
        let alert = alert(0);
        let alerts = [&alert];
        let pushed = push_apart(&alerts, 64, |_| {
            Box::pin(std::future::ready(Err(PostError::Unavailable("503".to_owned()))))
        });
        assert_eq!(pushed.await, Err("503".to_owned()));
    }
}
