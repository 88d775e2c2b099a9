//! What one Alertmanager is to be told next: the latest alerts of each rule, in the order of the
//! rules.
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

/// A rule, in the order in which rules are told of: its position, and its name.
pub(crate) type Place = (usize, String);

/// A mailbox; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailbox {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    letters: Mutex<BTreeMap<Place, Letter>>,
    filled: Notify,
}

impl Mailbox {
    /// Puts in the latest evaluation of rules that were evaluated together.
    pub(crate) fn put(&self, evaluated: &[(Place, Letter)]) {
        let mut letters = self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, letter) in evaluated {
            // Its place may be another since the rules were read again.
            letters.retain(|(_, name), _| *name != place.1);
            letters.insert(place.clone(), Arc::clone(letter));
        }
        self.shared.filled.notify_one();
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> BTreeMap<Place, Letter> {
        std::mem::take(&mut *self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be sent, but for what was replaced in the meantime.
    pub(crate) fn put_back(&self, unsent: BTreeMap<Place, Letter>) {
        let mut letters = self.shared.letters.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, letter) in unsent {
            if !letters.keys().any(|(_, name)| *name == place.1) {
                letters.insert(place, letter);
            }
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
        let place = |at: usize, name: &str| (at, name.to_owned());
        mailbox.put(&[(place(1, "slow"), Arc::clone(&old))]);
        mailbox.filled().await;
        let taken = mailbox.take();
        // The rules were read again, and the rule stands somewhere else.
        mailbox.put(&[(place(2, "slow"), Arc::clone(&new))]);
        mailbox.put_back(taken.into_iter().chain([(place(7, "lost"), other)]).collect());
        mailbox.filled().await;
        let kept = mailbox.take();
        assert_eq!(kept.keys().collect::<Vec<_>>(), [&place(2, "slow"), &place(7, "lost")]);
        assert!(Arc::ptr_eq(&kept[&place(2, "slow")], &new), "what is newer is not replaced");
        assert!(mailbox.take().is_empty());
    }
}
