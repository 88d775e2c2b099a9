//! A disk in memory that forgets what was not synced.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::disk::{Disk, File};

/// Unsynced writes survive power loss, or do not, in pieces of this size: far smaller than any
/// real sector, so that small test records are torn, too.
const PIECE_BYTES: usize = 16;

/// The disk. Clones are the same.
#[derive(Clone)]
pub(crate) struct Simulated {
    inner: Arc<Mutex<Inner>>,
    /// The boot it was opened in; a handle of an earlier one does nothing any more.
    boot: u64,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<Node>,
    /// Names as programs see them, and as power loss would leave them.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameChange>,
    boot: u64,
    /// Changes that succeed yet, before the machine stops.
    fuse: Option<u64>,
    space: Option<u64>,
    sync_fails: bool,
    write_fails: bool,
    pub(crate) counts: Counts,
    rng: Option<StdRng>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) data_syncs: u64,
    pub(crate) writes: u64,
    pub(crate) reads: u64,
    /// Most bytes that all files took at any time.
    pub(crate) bytes_peak: u64,
}

#[derive(Default)]
struct Node {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// A change of names: what goes, and what comes.
#[derive(Default)]
struct NameChange {
    gone: Option<String>,
    come: Option<(String, usize)>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        names.extend(self.come.clone());
    }
}

enum Change {
    Piece(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Piece(at, piece) => {
                bytes.resize(bytes.len().max(at + piece.len()), 0);
                bytes[*at..at + piece.len()].copy_from_slice(piece);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

impl Simulated {
    pub(crate) fn new(seed: u64) -> Self {
        let inner = Inner { rng: Some(StdRng::seed_from_u64(seed)), ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)), boot: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn live(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.boot == self.boot { Ok(inner) } else { Err(io::Error::other("killed")) }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The machine stops after so many further changes.
    pub(crate) fn stop_after(&self, changes: u64) {
        self.lock().fuse = Some(changes);
    }

    pub(crate) fn set_space(&self, bytes: Option<u64>) {
        self.lock().space = bytes;
    }

    pub(crate) fn set_sync_fails(&self, fails: bool) {
        self.lock().sync_fails = fails;
    }

    pub(crate) fn set_write_fails(&self, fails: bool) {
        self.lock().write_fails = fails;
    }

    /// The process is killed: everything written stays readable, synced or not.
    pub(crate) fn kill(&self) -> Self {
        let mut inner = self.lock();
        inner.boot += 1;
        inner.fuse = None;
        Self { inner: self.inner.clone(), boot: inner.boot }
    }

    /// The power goes: of what was not synced some pieces survive, and some do not.
    pub(crate) fn lose_power(&self) -> Self {
        {
            let mut inner = self.lock();
            let mut rng = inner.rng.take().unwrap();
            let share = [0.0, 0.3, 0.7, 0.95, 1.0][rng.random_range(0..5)];
            for node in &mut inner.nodes {
                let changes = std::mem::take(&mut node.unsynced);
                for change in changes {
                    if rng.random_bool(share) {
                        change.apply(&mut node.durable);
                    }
                }
                node.bytes = node.durable.clone();
            }
            for change in std::mem::take(&mut inner.unsynced_names) {
                if rng.random_bool(share) {
                    change.apply(&mut inner.durable_names);
                }
            }
            inner.names = inner.durable_names.clone();
            inner.rng = Some(rng);
        }
        self.kill()
    }

    /// The content of a file.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let inner = self.lock();
        inner.nodes[inner.names[name]].bytes.clone()
    }

    /// Puts other content into a file, durably.
    pub(crate) fn set_content(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.lock();
        let node = inner.names[name];
        inner.nodes[node] =
            Node { bytes: bytes.to_vec(), durable: bytes.to_vec(), unsynced: Vec::new() };
    }

    /// Removes a file, durably.
    pub(crate) fn forget(&self, name: &str) {
        let mut inner = self.lock();
        inner.names.remove(name);
        inner.durable_names.remove(name);
    }

    /// A disk of its own with the same durable content.
    pub(crate) fn copy(&self) -> Self {
        let inner = self.lock();
        let nodes = inner.nodes.iter();
        let nodes = nodes
            .map(|node| Node {
                bytes: node.bytes.clone(),
                durable: node.bytes.clone(),
                unsynced: Vec::new(),
            })
            .collect();
        let copy = Inner {
            nodes,
            names: inner.names.clone(),
            durable_names: inner.names.clone(),
            rng: Some(StdRng::seed_from_u64(0)),
            ..Inner::default()
        };
        Self { inner: Arc::new(Mutex::new(copy)), boot: 0 }
    }

    /// The names of segments, oldest first.
    pub(crate) fn segments(&self) -> Vec<String> {
        let inner = self.lock();
        inner.names.keys().filter(|name| name.ends_with(".segment")).cloned().collect()
    }

    fn change_names(
        &self,
        change: impl FnOnce(&mut Inner) -> io::Result<NameChange>,
    ) -> io::Result<()> {
        let mut inner = self.live()?;
        inner.burn()?;
        let change = change(&mut inner)?;
        change.apply(&mut inner.names);
        inner.unsynced_names.push(change);
        Ok(())
    }

    fn handle(&self, node: usize) -> Box<dyn File> {
        Box::new(Handle { disk: self.clone(), node })
    }
}

impl Inner {
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the machine stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn bytes(&self) -> u64 {
        self.names.values().map(|node| self.nodes[*node].bytes.len() as u64).sum()
    }

    fn write(&mut self, node: usize, offset: usize, bytes: &[u8]) {
        for (index, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
            let change = Change::Piece(offset + index * PIECE_BYTES, piece.to_vec());
            change.apply(&mut self.nodes[node].bytes);
            self.nodes[node].unsynced.push(change);
        }
        self.counts.bytes_peak = self.counts.bytes_peak.max(self.bytes());
    }
}

impl Disk for Simulated {
    fn folder(&self) -> &Path {
        Path::new("/simulated")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.live()?.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut node = 0;
        self.change_names(|inner| {
            node = inner.nodes.len();
            inner.nodes.push(Node::default());
            Ok(NameChange { gone: None, come: Some((name.to_owned(), node)) })
        })?;
        Ok(self.handle(node))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let node = self.live()?.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(node))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names(|inner| {
            let node = inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            let come = Some((to.to_owned(), *node));
            Ok(NameChange { gone: Some(from.to_owned()), come })
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(|inner| {
            inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange { gone: Some(name.to_owned()), come: None })
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut inner = self.live()?;
        inner.burn()?;
        inner.durable_names = inner.names.clone();
        inner.unsynced_names.clear();
        Ok(())
    }
}

struct Handle {
    disk: Simulated,
    node: usize,
}

impl Handle {
    fn sync(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.disk.live()?;
        inner.burn()?;
        let fails = inner.sync_fails;
        let node = &mut inner.nodes[self.node];
        let changes = std::mem::take(&mut node.unsynced);
        if fails {
            // As Linux does: the pages count as clean from here on, and are not on the disk.
            return Err(io::Error::other("sync failed"));
        }
        changes.iter().for_each(|change| change.apply(&mut node.durable));
        Ok(inner)
    }
}

impl File for Handle {
    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let offset = usize::try_from(offset).unwrap();
        let mut inner = self.disk.live()?;
        inner.counts.writes += 1;
        let stopped = inner.burn();
        let grows = (offset + bytes.len()).saturating_sub(inner.nodes[self.node].bytes.len());
        let free = inner.space.map(|space| space.saturating_sub(inner.bytes()));
        let full = free.is_some_and(|free| free < grows as u64);
        if stopped.is_err() || full || inner.write_fails {
            // Some of it is there all the same.
            let mut rng = inner.rng.take().unwrap();
            let room = usize::try_from(free.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
            let part = rng.random_range(0..=bytes.len()).min(room);
            inner.rng = Some(rng);
            inner.write(self.node, offset, &bytes[..part]);
            stopped?;
            let kind =
                if full { io::ErrorKind::StorageFull } else { io::ErrorKind::PermissionDenied };
            return Err(kind.into());
        }
        inner.write(self.node, offset, &bytes);
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.live()?;
        inner.counts.reads += 1;
        let from = usize::try_from(offset).unwrap();
        let content = inner.nodes[self.node].bytes.get(from..).unwrap_or_default();
        let read = bytes.len().min(content.len());
        bytes[..read].copy_from_slice(&content[..read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()?.counts.data_syncs += 1;
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync().map(drop)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.live()?.nodes[self.node].bytes.len() as u64)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.live()?;
        inner.burn()?;
        let change = Change::Length(usize::try_from(length).unwrap());
        let node = &mut inner.nodes[self.node];
        change.apply(&mut node.bytes);
        node.unsynced.push(change);
        Ok(())
    }
}
