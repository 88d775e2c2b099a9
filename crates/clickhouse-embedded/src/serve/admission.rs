//! Who runs now, who waits, and who is turned away.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::auth::Role;
use crate::exception::{Code, Exception};
use crate::figures::Figures;
use crate::settings::Limits;

/// The places at the engine.
#[derive(Debug)]
pub(crate) struct Admission {
    all: Line,
    /// The reader stands here first: the places that it leaves are the writer's.
    readers: Line,
    running: Arc<Mutex<HashSet<String>>>,
    limits: Limits,
    figures: Figures,
}

/// Places, and those who wait for them.
#[derive(Debug)]
struct Line {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Line {
    fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), waiting: AtomicUsize::new(0) }
    }
}

/// A place at the engine, for one query.
#[derive(Debug)]
pub(crate) struct Place {
    query_id: String,
    running: Arc<Mutex<HashSet<String>>>,
    figures: Figures,
    _permit: OwnedSemaphorePermit,
    _reader: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// All places free.
    pub(crate) fn new(limits: &Limits, figures: Figures) -> Self {
        Self {
            all: Line::new(limits.queries_max),
            readers: Line::new(limits.reader_queries_max()),
            running: Arc::default(),
            limits: limits.clone(),
            figures,
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// 202 when too many wait or it takes too long, 216 when a query of this id runs.
    pub(crate) async fn admit(&self, role: Role, query_id: &str) -> Result<Place, Exception> {
        let latest = Instant::now() + self.limits.queue_wait_max;
        let reader = match role {
            Role::Reader => Some(self.take(&self.readers, latest).await?),
            Role::Writer => None,
        };
        let permit = self.take(&self.all, latest).await?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !running.insert(query_id.to_owned()) {
            let message = format!("Query with id = {query_id} is already running");
            return Err(Exception::new(Code::QueryWithSameIdIsAlreadyRunning, message));
        }
        self.figures.queries.inc();
        self.figures.running.inc();
        Ok(Place {
            query_id: query_id.to_owned(),
            running: Arc::clone(&self.running),
            figures: self.figures.clone(),
            _permit: permit,
            _reader: reader,
        })
    }

    /// Ids of the queries that run now.
    pub(crate) fn running(&self) -> Vec<String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().cloned().collect()
    }

    async fn take(&self, line: &Line, latest: Instant) -> Result<OwnedSemaphorePermit, Exception> {
        if let Ok(permit) = Arc::clone(&line.places).try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Waiting::new(line, &self.figures);
        let places = Arc::clone(&line.places).acquire_owned();
        let admitted = if waiting.before < self.limits.queued_max {
            tokio::time::timeout_at(latest, places).await.ok()
        } else {
            None
        };
        match admitted {
            Some(Ok(permit)) => Ok(permit),
            _ => {
                self.figures.turned_away.inc();
                let max = self.limits.queries_max;
                let message = format!("Too many simultaneous queries. Maximum: {max}");
                Err(Exception::new(Code::TooManySimultaneousQueries, message))
            }
        }
    }
}

/// One that waits; it counts until dropped, also when its client leaves.
struct Waiting<'a> {
    line: &'a Line,
    figures: &'a Figures,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(line: &'a Line, figures: &'a Figures) -> Self {
        let before = line.waiting.fetch_add(1, Ordering::Relaxed);
        figures.queued.inc();
        Self { line, figures, before }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.line.waiting.fetch_sub(1, Ordering::Relaxed);
        self.figures.queued.dec();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.query_id);
        self.figures.running.dec();
    }
}
