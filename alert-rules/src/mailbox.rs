//! What one Alertmanager is to be told next: the latest alerts of each rule.
//!
//! A newer evaluation replaces the older one that was not sent yet, so a mailbox never holds more
//! than one evaluation per rule however long its Alertmanager hangs; and since an evaluation says
//! everything (the recently ended too), nothing is lost with the one replaced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::alert::Alert;

/// The alerts of one evaluation, shared between mailboxes.
pub(crate) type Letter = Arc<Vec<Alert>>;

/// A mailbox; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailbox {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    letters: Mutex<BTreeMap<String, Letter>>,
    filled: Notify,
}

impl Mailbox {
    /// Puts in the latest evaluation of a rule.
    pub(crate) fn put(&self, rule: &str, letter: Letter) {
        let mut letters = self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.insert(rule.to_owned(), letter);
        self.shared.filled.notify_one();
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> BTreeMap<String, Letter> {
        std::mem::take(&mut *self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be sent, but for what was replaced in the meantime.
    pub(crate) fn put_back(&self, unsent: BTreeMap<String, Letter>) {
        let mut letters = self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner);
        for (rule, letter) in unsent {
            letters.entry(rule).or_insert(letter);
        }
        self.shared.filled.notify_one();
    }

    /// Waits until something was put in since the last wait.
    pub(crate) async fn filled(&self) {
        self.shared.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_latest_evaluation_is_kept() {
        let mailbox = Mailbox::default();
        let (old, new, other) = (Letter::default(), Letter::default(), Letter::default());
        mailbox.put("slow", Arc::clone(&old));
        mailbox.filled().await;
        let taken = mailbox.take();
        mailbox.put("slow", Arc::clone(&new));
        mailbox.put_back(taken.into_iter().chain([("lost".to_owned(), other)]).collect());
        mailbox.filled().await;
        let kept = mailbox.take();
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["lost", "slow"]);
        assert!(Arc::ptr_eq(&kept["slow"], &new), "what is newer is not replaced");
        assert!(mailbox.take().is_empty());
    }
}
