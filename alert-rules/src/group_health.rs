//! Whether every group is evaluated as often as it should be: one part of the process's health, for
//! groups come and go while the program runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::{Health, Stop, Watch};
use tokio::time::Instant;

/// How often the ages of evaluations are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The looking itself is watched: longer than this without a look, and nothing is known.
const LOOK_AGE_MAX: Duration = Duration::from_secs(30);

/// The health of all groups. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct GroupHealth {
    watch: Watch,
    groups: Arc<Mutex<BTreeMap<String, State>>>,
}

#[derive(Debug)]
struct State {
    age_max: Duration,
    since: Instant,
    evaluated: bool,
    failure: Option<String>,
}

impl GroupHealth {
    /// No groups yet, so not ready.
    pub(crate) fn new(health: &Health) -> Self {
        Self { watch: health.watch("evaluation", LOOK_AGE_MAX), groups: Arc::default() }
    }

    /// The groups that are evaluated from now on, each with the age that its last evaluation may
    /// have. What is known of one that stays is kept.
    pub(crate) fn watch_groups(&self, groups: impl Iterator<Item = (String, Duration)>) {
        let mut states = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *states);
        for (name, age_max) in groups {
            let new = State { age_max, since: Instant::now(), evaluated: false, failure: None };
            let state = before.remove(&name).map_or(new, |state| State { age_max, ..state });
            states.insert(name, state);
        }
    }

    /// Nothing is evaluated, for this reason.
    pub(crate) fn waits(&self, why: &str) {
        self.watch.failed(why);
    }

    /// A group was evaluated just now, or failed to be.
    pub(crate) fn evaluated(&self, group: &str, failure: Option<String>) {
        let mut states = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get_mut(group) {
            if failure.is_none() {
                state.since = Instant::now();
                state.evaluated = true;
            }
            state.failure = failure;
        }
        drop(states);
        self.settle();
    }

    /// Looks at the ages until `stop`.
    pub(crate) async fn keep(self, stop: Stop) {
        while stop.sleep(LOOK_INTERVAL).await {
            self.settle();
        }
    }

    fn settle(&self) {
        let states = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let complaint = states.iter().find_map(|(name, state)| state.complaint(name));
        drop(states);
        match complaint {
            None => self.watch.progressed(),
            Some(why) => self.watch.failed(why),
        }
    }
}

impl State {
    fn complaint(&self, group: &str) -> Option<String> {
        if let Some(why) = &self.failure {
            return Some(why.clone());
        }
        let (age, max) = (self.since.elapsed(), self.age_max);
        match (self.evaluated, age > max) {
            (true, false) => None,
            (false, false) => Some(format!("group {group} has not been evaluated yet")),
            (_, true) => {
                let (age, max) = (age.as_secs(), max.as_secs());
                Some(format!("group {group} was evaluated {age} s ago, expected every {max} s"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_group_must_be_evaluated_in_time() {
        let health = Health::new();
        let groups = GroupHealth::new(&health);
        let ages = |names: &[&str]| -> Vec<(String, Duration)> {
            names.iter().map(|name| ((*name).to_owned(), Duration::from_secs(10))).collect()
        };
        groups.watch_groups(ages(&["a", "b"]).into_iter());
        groups.evaluated("a", None);
        assert_eq!(health.complaints(), ["evaluation: group b has not been evaluated yet"]);
        groups.evaluated("b", None);
        assert!(health.complaints().is_empty());
        tokio::time::advance(Duration::from_secs(11)).await;
        groups.evaluated("a", None);
        let late = "evaluation: group b was evaluated 11 s ago, expected every 10 s";
        assert_eq!(health.complaints(), [late]);
        // The rules are read again, and b is no more.
        groups.watch_groups(ages(&["a"]).into_iter());
        groups.evaluated("a", Some("A: refused".to_owned()));
        assert_eq!(health.complaints(), ["evaluation: A: refused"]);
        groups.evaluated("a", None);
        assert!(health.complaints().is_empty());
    }
}
