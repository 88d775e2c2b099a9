//! What every question about orders needs and hardly ever changes: stages, labels, and which
//! systems are heard. Looked up once for all questions of a moment, not by each of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::Reader;
use crate::error::StoreError;

/// Labels and silence are as old as this at most.
const AGE_MAX: Duration = Duration::from_secs(2);

/// The names that the columns of `sql/parts/orders_words.sql` use.
pub(super) const WITH_WORDS: &str = "WITH ({stages:Array(String)}, {labels_ru:Array(String)}, \
    {labels_en:Array(String)}) AS words, ({silent:Array(String)}, {heard:Array(String)}) AS heard";

/// Stages with their labels, and systems by whether they are heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) stages: Vec<String>,
    pub(super) labels_ru: Vec<String>,
    pub(super) labels_en: Vec<String>,
    pub(super) terminal: Vec<u8>,
    silent: Vec<String>,
    heard: Vec<String>,
}

/// Words, and when they were looked up.
type LookedUp = (Instant, Arc<Words>);

/// The words that were last looked up.
#[derive(Debug, Clone, Default)]
pub(super) struct WordsCache(Arc<Mutex<Option<LookedUp>>>);

#[derive(Row, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LifecycleWords {
    stages: Vec<String>,
    label_ru: Vec<String>,
    label_en: Vec<String>,
    terminal: Vec<u8>,
}

impl Words {
    /// Binds them to a question that begins with [`WITH_WORDS`].
    pub(super) fn bind(&self, query: Query) -> Query {
        query
            .param("stages", &self.stages)
            .param("labels_ru", &self.labels_ru)
            .param("labels_en", &self.labels_en)
            .param("silent", &self.silent)
            .param("heard", &self.heard)
    }
}

impl Reader {
    /// The words of this moment.
    pub(super) async fn words(&self) -> Result<Arc<Words>, StoreError> {
        let known = self.words.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, words)) = known
            && at.elapsed() < AGE_MAX
        {
            return Ok(words);
        }
        let lifecycle = self.store.fetch_optional::<LifecycleWords, _>("read labels", |client| {
            client.query("SELECT ?fields FROM lifecycle_v1")
        });
        let (lifecycle, sources) = tokio::try_join!(lifecycle, self.sources())?;
        let mut words = Words::default();
        if let Some(lifecycle) = lifecycle {
            words.stages = lifecycle.stages;
            words.labels_ru = lifecycle.label_ru;
            words.labels_en = lifecycle.label_en;
            words.terminal = lifecycle.terminal;
        }
        for source in sources {
            if source.silent { &mut words.silent } else { &mut words.heard }.push(source.source);
        }
        let words = Arc::new(words);
        let mut known = self.words.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), Arc::clone(&words)));
        Ok(words)
    }
}
