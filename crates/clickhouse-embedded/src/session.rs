//! Sessions: a connection held between requests, one request at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::User;
use crate::engine::{self, Engine};
use crate::exception::{Code, Exception};
use crate::ffi::Connection;

/// How long a session lives when the client does not say, as on the server.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// What a client asks of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// `session_id`.
    pub(crate) id: String,
    /// `session_timeout`.
    pub(crate) timeout: Duration,
    /// `session_check=1`: the session must exist.
    pub(crate) must_exist: bool,
}

type Key = (String, String);

enum Slot {
    Busy,
    Idle { state: State, until: Instant },
}

/// What a session keeps.
#[derive(Debug, Default)]
pub(crate) struct State {
    connection: Option<Connection>,
    /// Settings that requests laid over the session's own: the value before, `None` when it was
    /// the default.
    overlay: BTreeMap<String, (Option<String>, String)>,
}

/// All sessions.
pub(crate) struct Sessions {
    slots: Mutex<HashMap<Key, Slot>>,
    sessions_max: usize,
    timeout_max: Duration,
}

impl Sessions {
    /// None yet.
    pub(crate) fn new(sessions_max: usize, timeout_max: Duration) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::default(), sessions_max, timeout_max })
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.slots().len()
    }

    /// Takes the session for one request.
    ///
    /// # Errors
    /// 373 when another request has it, 372 when it must exist and does not, 374 for a time-out
    /// beyond the limit, 202 when there are too many.
    pub(crate) fn lease(self: &Arc<Self>, user: &User, ask: &Ask) -> Result<Lease, Exception> {
        if ask.timeout > self.timeout_max {
            let (asked, max) = (ask.timeout.as_secs(), self.timeout_max.as_secs());
            let message =
                format!("Session timeout '{asked}' is larger than max_session_timeout: {max}");
            return Err(Exception::new(Code::InvalidSessionTimeout, message));
        }
        let key = (user.name.clone(), ask.id.clone());
        let mut slots = self.slots();
        let known = slots.contains_key(&key);
        if !known && ask.must_exist {
            let message = format!("Session {} not found", ask.id);
            return Err(Exception::new(Code::SessionNotFound, message));
        }
        if !known && slots.len() >= self.sessions_max {
            let message = format!("Too many sessions, at most {}", self.sessions_max);
            return Err(Exception::new(Code::TooManySimultaneousQueries, message));
        }
        let state = match slots.insert(key.clone(), Slot::Busy) {
            Some(Slot::Busy) => {
                let message = format!("Session {} is locked by a concurrent client", ask.id);
                return Err(Exception::new(Code::SessionIsLocked, message));
            }
            Some(Slot::Idle { state, .. }) => state,
            None => State::default(),
        };
        Ok(Lease { sessions: Arc::clone(self), key, state: Some(state), timeout: ask.timeout })
    }

    /// Ends the sessions whose time is over; call it now and then where blocking is allowed.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let over = |slot: &mut Slot| matches!(slot, Slot::Idle { until, .. } if *until <= now);
        let ended: Vec<Slot> =
            self.slots().extract_if(|_, slot| over(slot)).map(|(_, s)| s).collect();
        drop(ended);
    }

    /// Ends every session that no request holds.
    pub(crate) fn close_all(&self) {
        let all = std::mem::take(&mut *self.slots());
        drop(all);
    }
}

/// A session, held by one request.
pub(crate) struct Lease {
    sessions: Arc<Sessions>,
    key: Key,
    state: Option<State>,
    timeout: Duration,
}

impl Lease {
    /// The session's connection with `wanted` in force for this request; opened with
    /// `at_opening` when the session is new.
    ///
    /// # Errors
    /// The engine's, for example of a value that does not fit.
    pub(crate) fn connection(
        &mut self,
        engine: &Engine,
        wanted: &[(String, String)],
    ) -> Result<&mut Connection, Exception> {
        let state = self.state.get_or_insert_default();
        let mut connection = match state.connection.take() {
            Some(connection) => connection,
            None => engine.connect(&[])?,
        };
        let applied = apply(&mut connection, &mut state.overlay, wanted);
        let connection = state.connection.insert(connection);
        applied.map(|()| connection)
    }
}

/// Makes the overlay equal `wanted`: puts back what is not wanted any more, sets what is new.
fn apply(
    connection: &mut Connection,
    overlay: &mut BTreeMap<String, (Option<String>, String)>,
    wanted: &[(String, String)],
) -> Result<(), Exception> {
    let gone: Vec<String> = overlay
        .keys()
        .filter(|name| !wanted.iter().any(|(wanted, _)| wanted == *name))
        .cloned()
        .collect();
    for name in gone {
        let back = match overlay.remove(&name) {
            Some((Some(before), _)) => engine::set(&[(name, before)]),
            _ => format!("SET {name} = DEFAULT"),
        };
        connection.query(back.as_bytes(), "Null", &[])?;
    }
    let mut news = Vec::new();
    for (name, value) in wanted {
        match overlay.get(name) {
            Some((_, in_force)) if in_force == value => {}
            _ => news.push((name.clone(), value.clone())),
        }
    }
    for (name, _) in &news {
        if !overlay.contains_key(name) {
            let before = value_of(connection, name)?;
            overlay.insert(name.clone(), (before, String::new()));
        }
    }
    if news.is_empty() {
        return Ok(());
    }
    connection.query(engine::set(&news).as_bytes(), "Null", &[])?;
    for (name, value) in news {
        if let Some((_, in_force)) = overlay.get_mut(&name) {
            *in_force = value;
        }
    }
    Ok(())
}

/// A setting's value, `None` when it is the default.
fn value_of(connection: &mut Connection, name: &str) -> Result<Option<String>, Exception> {
    let name = engine::quote(name);
    let sql = format!("SELECT value FROM system.settings WHERE changed AND name = {name}");
    let outcome = connection.query(sql.as_bytes(), "TSVRaw", &[])?;
    let text = String::from_utf8_lossy(&outcome.data).into_owned();
    Ok(text.strip_suffix('\n').map(str::to_owned))
}

impl Drop for Lease {
    fn drop(&mut self) {
        let state = self.state.take().unwrap_or_default();
        let until = Instant::now() + self.timeout;
        self.sessions.slots().insert(self.key.clone(), Slot::Idle { state, until });
    }
}
