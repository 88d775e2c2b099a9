//! What of the store's troubles is news: that it went away, that it is back, that it refuses a
//! question. Repeats are not.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The troubles that last.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the store cannot be reached.
    away: bool,
    /// Questions that it refuses, or leaves without an answer in time, while it answers others.
    refused: BTreeSet<&'static str>,
}

impl Outage {
    /// A question was answered; true when the trouble that it or all of them had is over.
    pub(crate) fn answered(&self, query: &'static str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_away = std::mem::take(&mut state.away);
        state.refused.remove(query) || was_away
    }

    /// The store cannot be reached; true when that is news.
    pub(crate) fn unreachable(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut state.away, true)
    }

    /// A question failed though the store may answer others; true when that is news.
    pub(crate) fn refused(&self, query: &'static str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.away && state.refused.insert(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_news_once_and_so_is_its_end() {
        let outage = Outage::default();
        assert!(!outage.answered("clock"));
        assert_eq!([outage.unreachable(), outage.unreachable()], [true, false]);
        assert!(!outage.refused("board"), "part of the same outage");
        assert_eq!([outage.answered("clock"), outage.answered("clock")], [true, false]);
        assert!(outage.unreachable(), "a second outage is news again");
    }

    #[test]
    fn a_refused_question_stays_refused_while_others_are_answered() {
        let outage = Outage::default();
        assert_eq!([outage.refused("record_alerts"), outage.refused("clock")], [true, true]);
        assert!(outage.answered("clock"));
        assert!(!outage.refused("record_alerts"), "not again after the answer to another");
        assert!(outage.answered("record_alerts") && outage.refused("record_alerts"));
    }
}
