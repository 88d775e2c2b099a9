//! Health that watches progress: a part is well while its last success is young enough.
//!
//! A part that merely runs is not well. Each part reports what it last managed to do; readiness
//! fails when that is too old or when the part says that it failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The health of a process: the sum of its watched parts. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<Vec<Watch>>>,
    notes: Arc<Mutex<Vec<Note>>>,
}

/// Something to be mended that keeps nobody from working: shown, and ready all the same. Clones
/// share it.
#[derive(Debug, Clone)]
pub struct Note {
    name: &'static str,
    text: Arc<Mutex<Option<String>>>,
}

/// One watched part. Clones share it.
#[derive(Debug, Clone)]
pub struct Watch {
    name: &'static str,
    age_max: Duration,
    is_needed: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    progressed_at: Option<Instant>,
    failure: Option<String>,
}

impl Health {
    /// No parts yet: well.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part that is not ready until its first [`Watch::progressed`], and again when the
    /// last one is older than `age_max`.
    #[must_use]
    pub fn watch(&self, name: &'static str, age_max: Duration) -> Watch {
        let watch = Watch::new(name, age_max);
        self.parts().push(watch.clone());
        watch
    }

    /// Adds a part that others wait for patiently: its troubles are shown, and the process is
    /// ready all the same.
    #[must_use]
    pub fn watch_beside(&self, name: &'static str, age_max: Duration) -> Watch {
        let watch = Watch { is_needed: false, ..Watch::new(name, age_max) };
        self.parts().push(watch.clone());
        watch
    }

    /// Adds a note, empty as yet.
    #[must_use]
    pub fn note(&self, name: &'static str) -> Note {
        let note = Note { name, text: Arc::default() };
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note.clone());
        note
    }

    /// What keeps the process from being ready, one sentence per part; empty when it is.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.parts().iter().filter(|part| part.is_needed).filter_map(Watch::complaint).collect()
    }

    /// What does not come forward of the parts for which others wait patiently.
    #[must_use]
    pub fn delays(&self) -> Vec<String> {
        self.parts().iter().filter(|part| !part.is_needed).filter_map(Watch::complaint).collect()
    }

    /// What is wrong beside it.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        self.delays().into_iter().chain(notes.iter().filter_map(Note::remark)).collect()
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Watch>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    /// Something is to be mended.
    pub fn set(&self, text: impl Into<String>) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
    }

    /// It is mended.
    pub fn clear(&self) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn remark(&self) -> Option<String> {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.as_ref().map(|text| format!("{}: {text}", self.name))
    }
}

impl Watch {
    fn new(name: &'static str, age_max: Duration) -> Self {
        let state = Arc::new(Mutex::new(State { progressed_at: None, failure: None }));
        Self { name, age_max, is_needed: true, state }
    }

    /// The part did what it is for, just now.
    pub fn progressed(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { progressed_at: Some(Instant::now()), failure: None };
    }

    /// The part failed, just now; it stays unready until it progresses.
    pub fn failed(&self, why: impl Into<String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(why.into());
    }

    fn complaint(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.name;
        if let Some(why) = &state.failure {
            return Some(format!("{name}: {why}"));
        }
        match state.progressed_at {
            None => Some(format!("{name}: has not started yet")),
            Some(at) if at.elapsed() > self.age_max => {
                let (age, max) = (at.elapsed().as_secs(), self.age_max.as_secs());
                Some(format!("{name}: last progress {age} s ago, expected every {max} s"))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readiness_follows_progress() {
        let health = Health::new();
        let store = health.watch("store", Duration::from_secs(5));
        assert_eq!(health.complaints(), ["store: has not started yet"]);
        store.progressed();
        assert!(health.complaints().is_empty());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(health.complaints(), ["store: last progress 6 s ago, expected every 5 s"]);
        let beside = health.watch_beside("stitcher", Duration::from_secs(5));
        assert_eq!(health.remarks(), ["stitcher: has not started yet"]);
        beside.progressed();
        assert!(health.remarks().is_empty());
        store.failed("connection refused");
        assert_eq!(health.complaints(), ["store: connection refused"]);
        store.progressed();
        assert!(health.complaints().is_empty());
    }
}
