//! What one sender may have in flight: a share of all there is, so that others come in beside it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whose share it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A source that is known by its token or certificate.
    Source(String),
    /// Where nobody is asked: the address that a connection comes from.
    Address(Option<IpAddr>),
}

/// What all senders have in flight. Clones share it.
#[derive(Debug, Clone)]
pub struct Shares {
    requests_max: usize,
    bytes_max: usize,
    /// Never longer than there are requests.
    held: Arc<Mutex<HashMap<Sender, Held>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    requests: usize,
    bytes: usize,
}

/// What one request holds of its sender's share, until it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    sender: Sender,
    bytes: usize,
}

impl Shares {
    /// Each sender may have so many requests in flight, and so many bytes.
    #[must_use]
    pub fn new(requests_max: usize, bytes_max: usize) -> Self {
        Self { requests_max, bytes_max, held: Arc::default() }
    }

    /// One more request; `None` when the sender has all that it may have.
    #[must_use]
    pub fn begin(&self, sender: Sender) -> Option<Share> {
        let mut held = self.held();
        let of_sender = held.entry(sender.clone()).or_default();
        if of_sender.requests >= self.requests_max {
            return None;
        }
        of_sender.requests += 1;
        Some(Share { shares: self.clone(), sender, bytes: 0 })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Sender, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Holds `more` bytes in addition; false, and nothing more, when the sender has all it may have.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let mut held = self.shares.held();
        let Some(of_sender) = held.get_mut(&self.sender) else { return false };
        let fits = of_sender.bytes.saturating_add(more) <= self.shares.bytes_max;
        if fits {
            of_sender.bytes += more;
            self.bytes += more;
        }
        fits
    }

    /// Holds no bytes any more.
    pub fn release_bytes(&mut self) {
        let mut held = self.shares.held();
        if let Some(of_sender) = held.get_mut(&self.sender) {
            of_sender.bytes -= self.bytes;
        }
        self.bytes = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release_bytes();
        let mut held = self.shares.held();
        match held.get_mut(&self.sender) {
            Some(of_sender) if of_sender.requests > 1 => of_sender.requests -= 1,
            _ => drop(held.remove(&self.sender)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str) -> Sender {
        Sender::Source(name.to_owned())
    }

    #[test]
    fn each_sender_has_a_share_of_its_own() {
        let shares = Shares::new(2, 100);
        let mut first = shares.begin(source("flood")).unwrap();
        let mut second = shares.begin(source("flood")).unwrap();
        assert!(shares.begin(source("flood")).is_none());
        assert!(first.grow(60) && !second.grow(41) && second.grow(40));
        let mut other = shares.begin(source("good")).unwrap();
        assert!(other.grow(100));
        assert!(shares.begin(Sender::Address(None)).is_some());
        first.release_bytes();
        assert!(second.grow(60));
        drop(first);
        let again = shares.begin(source("flood")).unwrap();
        drop((second, again, other));
        // Who has nothing in flight is forgotten.
        assert!(shares.held().is_empty());
    }
}
