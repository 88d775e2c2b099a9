//! How many connections each peer has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by peer. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    /// Of one peer; `None`: no bound.
    connections_max: Option<usize>,
    /// Never longer than there are connections.
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a peer, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    pub(super) fn new(connections_max: Option<usize>) -> Self {
        Self { connections_max, open: Arc::default() }
    }

    /// A place for a connection of that address; `None` when its peer has all that it may have.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let peer = peer_of(address);
        let mut open = self.open();
        let count = open.entry(peer).or_default();
        if self.connections_max.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), peer })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whose connection it is.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        match open.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.peer)),
        }
    }
}

/// Who an address belongs to: hosts of IPv6 have a whole network of 64 bits.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_places_of_its_own() {
        let peers = Peers::new(Some(2));
        let enter = |address: &str| peers.enter(address.parse().unwrap());
        let first = enter("10.0.0.1").unwrap();
        let _second = enter("::ffff:10.0.0.1").unwrap();
        assert!(enter("10.0.0.1").is_none());
        let _other = enter("10.0.0.2").unwrap();
        drop(first);
        let again = enter("10.0.0.1").unwrap();
        assert!(enter("10.0.0.1").is_none());
        let network = [enter("2001:db8::1"), enter("2001:db8::2")];
        assert!(network.iter().all(Option::is_some));
        assert!(enter("2001:db8::3").is_none() && enter("2001:db8:0:1::3").is_some());
        drop((again, network));
        // Who has left is forgotten.
        assert_eq!(peers.open().len(), 2);
    }

    #[test]
    fn without_a_bound_everybody_comes_in() {
        let peers = Peers::new(None);
        let places: Vec<_> = (0..100).map(|_| peers.enter(IpAddr::from([127, 0, 0, 1]))).collect();
        assert!(places.iter().all(Option::is_some));
    }
}
