//! What is remembered from request to request: what is to be done with the values of a key, and
//! what was written for attributes and names that come again.

use hashbrown::HashMap;

use super::fields::Odd;
use super::memo::Memo;
use crate::found::{KeyIndex, KeyRoles};
use crate::redact::{Redaction, Verdict};

/// Keys that are remembered; when there are more, all are forgotten and judged anew.
const KEYS_MAX: usize = 2_048;
/// Bytes of a key that is remembered; a longer one is judged each time.
const KEY_BYTES_MAX: usize = 128;

/// What depends on the key of an attribute alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) roles: KeyRoles,
    /// Whether the key itself says what must not be stored.
    pub(super) tells: bool,
}

/// Decisions by the bytes of their keys, all of which are UTF-8. They hold for one set of rules.
#[derive(Debug, Default)]
pub(crate) struct KeyDecisions {
    known: HashMap<Box<[u8]>, Decision>,
    /// Attributes that mean nothing to the rules, as they were written.
    pub(super) attributes: Memo,
    /// Names of spans and events, likewise.
    pub(super) titles: Memo,
}

impl KeyDecisions {
    /// The decision on a key; [`Odd`] when it is not UTF-8.
    #[inline]
    pub(super) fn of(
        &mut self,
        key: &[u8],
        redaction: &Redaction,
        index: &KeyIndex,
    ) -> Result<Decision, Odd> {
        match self.known.get(key) {
            Some(decision) => Ok(*decision),
            None => self.decide(key, redaction, index),
        }
    }

    #[cold]
    fn decide(
        &mut self,
        key: &[u8],
        redaction: &Redaction,
        index: &KeyIndex,
    ) -> Result<Decision, Odd> {
        let text = std::str::from_utf8(key).map_err(|_| Odd)?;
        let decision = Decision {
            verdict: redaction.verdict(text),
            roles: index.roles_of(text),
            tells: redaction.mended_key(text).is_some(),
        };
        if key.len() <= KEY_BYTES_MAX {
            if self.known.len() >= KEYS_MAX {
                self.known.clear();
            }
            self.known.insert(key.into(), decision);
        }
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use order_model::Lifecycle;

    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_decision_is_the_same_the_second_time_and_memory_is_bounded() {
        let redaction = Redaction::with(&["my.*".into()]).unwrap().keeping(["order.id"]);
        let index = KeyIndex::new(&Lifecycle::default(), &redaction, &Limits::default());
        let mut decisions = KeyDecisions::default();
        for _ in 0..2 {
            for (key, verdict, tells) in [
                ("order.id", Verdict::Keep, true),
                ("my.key", Verdict::Remove, false),
                ("url.full", Verdict::CutUrl, false),
                ("", Verdict::Scrub, false),
            ] {
                let decision = decisions.of(key.as_bytes(), &redaction, &index).unwrap();
                assert_eq!(decision.verdict, verdict, "{key}");
                assert_eq!(decision.roles != KeyRoles::NONE, tells, "{key}");
            }
        }
        assert_eq!(decisions.of(b"\xff", &redaction, &index), Err(Odd));
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        decisions.of(long.as_bytes(), &redaction, &index).unwrap();
        assert_eq!(decisions.known.len(), 4);
        for n in 0..3 * KEYS_MAX {
            decisions.of(format!("k{n}").as_bytes(), &redaction, &index).unwrap();
            assert!(decisions.known.len() <= KEYS_MAX);
        }
    }
}
