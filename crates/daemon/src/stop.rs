//! The stop signal: passed in, never global.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal: the usual 128 + SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// Says when to stop. Clones share the signal.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
}

impl Stop {
    /// A signal that nothing but [`Stop::stop`] gives: for tests and for parts of a program.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal given by SIGTERM or SIGINT. The second one ends the process at once.
    ///
    /// # Errors
    /// The operating system refuses a signal handler.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let given = stop.clone();
        tokio::spawn(async move {
            next(&mut terminate, &mut interrupt).await;
            tracing::info!("stop signal received; draining, a second signal stops at once");
            given.stop();
            next(&mut terminate, &mut interrupt).await;
            tracing::warn!("second stop signal received; stopping at once");
            std::process::exit(EXIT_AT_ONCE);
        });
        Ok(stop)
    }

    /// Gives the signal. Repeats change nothing.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits for the signal.
    pub async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// Sleeps, or returns `false` early because the signal came.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.stopped() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_wakes_at_the_signal() {
        let stop = Stop::new();
        assert!(stop.sleep(Duration::from_secs(5)).await);
        let given = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            given.stop();
        });
        assert!(!stop.sleep(Duration::from_secs(3600)).await);
        assert!(stop.is_stopped());
    }
}
