//! Waiting for a condition, with a deadline: never a sleep that hopes.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds; with what was seen.
    Yes(T),
    /// Not yet; what was seen instead, for the message at the deadline.
    NotYet(String),
}

/// Looks until the condition holds and gives what was seen, with the time it took.
///
/// # Errors
/// A look failed, or the deadline passed: then the message says `what` was awaited and what was
/// seen last.
pub async fn until<T, F>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> F,
) -> Result<(T, Duration)>
where
    F: Future<Output = Result<Look<T>>>,
{
    let begun = Instant::now();
    loop {
        let seen = match look().await? {
            Look::Yes(value) => return Ok((value, begun.elapsed())),
            Look::NotYet(seen) => seen,
        };
        if begun.elapsed() > deadline {
            bail!("waited {} s for {what}; last seen: {seen}", deadline.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_tells_what_was_awaited_and_seen() {
        let mut looks = 0;
        let error = until::<(), _>("the tide", Duration::ZERO, || {
            looks += 1;
            async { Ok(Look::NotYet("ebb".to_owned())) }
        })
        .await
        .unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for the tide; last seen: ebb");
        assert_eq!(looks, 1);
    }
}
