//! Decisions and memos that outlive a request, so that a small request need not make them anew.

use std::sync::{Mutex, PoisonError};

use super::keys::KeyDecisions;

/// Sets that are kept, of at most some three megabytes each; as many requests as this are mapped
/// at once without judging keys anew.
const SETS_MAX: usize = 8;

/// Sets of decisions that no request uses. A set holds for the rules that the pool belongs to.
#[derive(Debug, Default)]
pub(crate) struct DecisionPool {
    free: Mutex<Vec<KeyDecisions>>,
}

impl DecisionPool {
    /// A set, or an empty one when all are in use.
    pub(super) fn take(&self) -> KeyDecisions {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a set for the next request.
    pub(super) fn give_back(&self, set: KeyDecisions) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < SETS_MAX {
            free.push(set);
        }
    }
}
