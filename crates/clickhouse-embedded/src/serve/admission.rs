//! Who runs now, who waits, and who is turned away.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::exception::{Code, Exception};
use crate::figures::Figures;
use crate::settings::Limits;

/// The places at the engine.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    running: Arc<Mutex<HashSet<String>>>,
    limits: Limits,
    figures: Figures,
}

/// A place at the engine, for one query.
#[derive(Debug)]
pub(crate) struct Place {
    query_id: String,
    running: Arc<Mutex<HashSet<String>>>,
    figures: Figures,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// All places free.
    pub(crate) fn new(limits: &Limits, figures: Figures) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.queries_max)),
            waiting: AtomicUsize::new(0),
            running: Arc::default(),
            limits: limits.clone(),
            figures,
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// 202 when too many wait or it takes too long, 216 when a query of this id runs.
    pub(crate) async fn admit(&self, query_id: &str) -> Result<Place, Exception> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.queue().await?,
        };
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
        })
    }

    /// Ids of the queries that run now.
    pub(crate) fn running(&self) -> Vec<String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().cloned().collect()
    }

    async fn queue(&self) -> Result<OwnedSemaphorePermit, Exception> {
        let waiting = Waiting::new(self);
        let places = Arc::clone(&self.places).acquire_owned();
        let admitted = if waiting.before < self.limits.queued_max {
            tokio::time::timeout(self.limits.queue_wait_max, places).await.ok()
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
    admission: &'a Admission,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(admission: &'a Admission) -> Self {
        let before = admission.waiting.fetch_add(1, Ordering::Relaxed);
        admission.figures.queued.inc();
        Self { admission, before }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.admission.waiting.fetch_sub(1, Ordering::Relaxed);
        self.admission.figures.queued.dec();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.query_id);
        self.figures.running.dec();
    }
}
