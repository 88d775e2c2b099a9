//! The file system twice: as programs see it, and as the disk would hold it if power were lost now.
//!
//! Pure: no kernel, no clock. Numbers are inodes, as FUSE names files.

mod disk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use super::pages::{PAGE_BYTES, Pages, Unsynced};

/// The inode of the root.
pub(super) const ROOT: u64 = 1;

/// What an inode is.
#[derive(Debug, Clone)]
pub(super) enum Body {
    File(Pages),
    Folder(BTreeMap<OsString, u64>),
    Link(OsString),
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) body: Body,
    /// Permission bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Names that it has.
    pub(super) links: u32,
    /// Last change of the bytes, nanoseconds since 1970.
    pub(super) modified_at: i64,
    /// The name that it was made under.
    name: String,
    /// Names that the kernel remembers; a file without a name lives on while there are any.
    lookups: u64,
}

impl Node {
    pub(super) fn length(&self) -> u64 {
        match &self.body {
            Body::File(pages) => pages.length(),
            Body::Link(target) => target.len() as u64,
            Body::Folder(_) => PAGE_BYTES,
        }
    }
}

/// How a rename treats what bears the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rename {
    Replace,
    Keep,
    Exchange,
}

/// A file system that knows what its disk would forget.
#[derive(Debug)]
pub(super) struct Image {
    seen: HashMap<u64, Node>,
    disk: HashMap<u64, Node>,
    /// Inodes whose names, links or attributes changed since the last commit.
    uncommitted: BTreeSet<u64>,
    unsynced: HashMap<u64, Unsynced>,
    last: u64,
    pages: u64,
    pages_max: u64,
    /// Pages that may be taken before writes fail without warning.
    quota: Option<u64>,
    refused: u64,
    fate: Fate,
}

/// Whether the disk goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Lives,
    /// It dies with the last of so many writes to files whose name begins so.
    Dies {
        name: String,
        writes: usize,
    },
    Dead,
}

type Done<T> = Result<T, Errno>;

impl Image {
    pub(super) fn new(bytes_max: u64) -> Self {
        let root = Node {
            body: Body::Folder(BTreeMap::new()),
            mode: 0o755,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            links: 1,
            modified_at: 0,
            name: String::new(),
            lookups: 0,
        };
        Self {
            seen: HashMap::from([(ROOT, root.clone())]),
            disk: HashMap::from([(ROOT, root)]),
            uncommitted: BTreeSet::new(),
            unsynced: HashMap::new(),
            last: ROOT,
            pages: 0,
            pages_max: bytes_max / PAGE_BYTES,
            quota: None,
            refused: 0,
            fate: Fate::Lives,
        }
    }

    /// Lets the disk die right after so many writes to files whose name begins so: from then on
    /// nothing changes on it any more.
    pub(super) fn die_after(&mut self, name: &str, writes: usize) {
        self.fate = Fate::Dies { name: name.to_owned(), writes };
    }

    pub(super) fn is_dead(&self) -> bool {
        self.fate == Fate::Dead
    }

    pub(super) fn revive(&mut self) {
        self.fate = Fate::Lives;
    }

    fn lives(&self) -> Done<()> {
        if self.is_dead() { Err(Errno::IO) } else { Ok(()) }
    }

    fn was_written(&mut self, inode: u64) {
        let Fate::Dies { name, writes } = &mut self.fate else { return };
        if self.seen.get(&inode).is_some_and(|node| node.name.starts_with(name.as_str())) {
            *writes -= 1;
            if *writes == 0 {
                self.fate = Fate::Dead;
            }
        }
    }

    /// Writes that found no room.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Pages that files take, and that there are.
    pub(super) const fn room(&self) -> (u64, u64) {
        (self.pages, self.pages_max)
    }

    pub(super) const fn limit(&mut self, bytes_max: u64) {
        self.pages_max = bytes_max / PAGE_BYTES;
    }

    /// Lets files take so many bytes more, or as many as there is room for. What asks for the room
    /// of the disk is not told of it, as with quotas of users and projects.
    pub(super) fn quota(&mut self, bytes_more: Option<u64>) {
        self.quota = bytes_more.map(|bytes| self.pages + bytes / PAGE_BYTES);
    }

    pub(super) fn node(&self, inode: u64) -> Done<&Node> {
        self.seen.get(&inode).ok_or(Errno::NOENT)
    }

    fn node_mut(&mut self, inode: u64) -> Done<&mut Node> {
        self.seen.get_mut(&inode).ok_or(Errno::NOENT)
    }

    pub(super) fn folder(&self, inode: u64) -> Done<&BTreeMap<OsString, u64>> {
        match &self.node(inode)?.body {
            Body::Folder(names) => Ok(names),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The names in a folder, about to change.
    fn names(&mut self, inode: u64) -> Done<&mut BTreeMap<OsString, u64>> {
        self.lives()?;
        self.uncommitted.insert(inode);
        match &mut self.node_mut(inode)?.body {
            Body::Folder(names) => Ok(names),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn find(&self, folder: u64, name: &OsStr) -> Done<u64> {
        self.folder(folder)?.get(name).copied().ok_or(Errno::NOENT)
    }

    /// The kernel was told of it once more.
    pub(super) fn looked_up(&mut self, inode: u64) {
        if let Some(node) = self.seen.get_mut(&inode) {
            node.lookups += 1;
        }
    }

    /// The kernel has forgotten it so many times.
    pub(super) fn forget(&mut self, inode: u64, lookups: u64) {
        if let Some(node) = self.seen.get_mut(&inode) {
            node.lookups = node.lookups.saturating_sub(lookups);
        }
        self.let_go(inode);
    }

    /// Removes what has no name and that nobody has open.
    fn let_go(&mut self, inode: u64) {
        let gone = self.seen.get(&inode).is_some_and(|node| node.links == 0 && node.lookups == 0);
        if gone && let Some(Node { body: Body::File(pages), .. }) = self.seen.remove(&inode) {
            self.pages = self.pages.saturating_sub(pages.count());
            self.unsynced.remove(&inode);
        }
    }

    pub(super) fn make(
        &mut self,
        (folder, name): (u64, &OsStr),
        body: Body,
        (mode, uid, gid): (u16, u32, u32),
        now: i64,
    ) -> Done<u64> {
        self.lives()?;
        if self.folder(folder)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.last += 1;
        let inode = self.last;
        self.names(folder)?.insert(name.to_owned(), inode);
        let own = name.to_string_lossy().into_owned();
        let node = Node { body, mode, uid, gid, links: 1, modified_at: now, name: own, lookups: 0 };
        self.seen.insert(inode, node);
        self.uncommitted.insert(inode);
        Ok(inode)
    }

    pub(super) fn link(&mut self, inode: u64, (folder, name): (u64, &OsStr)) -> Done<()> {
        self.lives()?;
        if self.folder(folder)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.node_mut(inode)?.links += 1;
        self.uncommitted.insert(inode);
        self.names(folder)?.insert(name.to_owned(), inode);
        Ok(())
    }

    pub(super) fn unlink(&mut self, folder: u64, name: &OsStr) -> Done<()> {
        let inode = self.find(folder, name)?;
        if matches!(self.node(inode)?.body, Body::Folder(_)) {
            return Err(Errno::ISDIR);
        }
        self.names(folder)?.remove(name);
        self.drop_link(inode)
    }

    pub(super) fn remove_folder(&mut self, folder: u64, name: &OsStr) -> Done<()> {
        let inode = self.find(folder, name)?;
        if !self.folder(inode)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.names(folder)?.remove(name);
        self.drop_link(inode)
    }

    fn drop_link(&mut self, inode: u64) -> Done<()> {
        let node = self.node_mut(inode)?;
        node.links = node.links.saturating_sub(1);
        self.uncommitted.insert(inode);
        self.let_go(inode);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        (folder, name): (u64, &OsStr),
        (new_folder, new_name): (u64, &OsStr),
        how: Rename,
    ) -> Done<()> {
        self.lives()?;
        let inode = self.find(folder, name)?;
        let other = self.find(new_folder, new_name).ok();
        match (how, other) {
            (Rename::Keep, Some(_)) => return Err(Errno::EXIST),
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            (Rename::Exchange, Some(other)) => {
                self.names(folder)?.insert(name.to_owned(), other);
                self.names(new_folder)?.insert(new_name.to_owned(), inode);
                return Ok(());
            }
            (Rename::Replace, Some(other)) if other == inode => return Ok(()),
            (Rename::Replace, Some(other)) => match &self.node(other)?.body {
                Body::Folder(names) if names.is_empty() => {
                    self.remove_folder(new_folder, new_name)?;
                }
                Body::Folder(_) => return Err(Errno::NOTEMPTY),
                Body::File(_) | Body::Link(_) => self.unlink(new_folder, new_name)?,
            },
            (_, None) => {}
        }
        self.names(folder)?.remove(name);
        self.names(new_folder)?.insert(new_name.to_owned(), inode);
        Ok(())
    }

    /// Changes what is not its bytes.
    pub(super) fn change(&mut self, inode: u64, change: impl FnOnce(&mut Node)) -> Done<()> {
        self.lives()?;
        change(self.node_mut(inode)?);
        self.uncommitted.insert(inode);
        Ok(())
    }

    pub(super) fn read(&self, inode: u64, offset: u64, size: usize) -> Done<Vec<u8>> {
        match &self.node(inode)?.body {
            Body::File(pages) => Ok(pages.read(offset, size)),
            _ => Err(Errno::ISDIR),
        }
    }

    pub(super) fn write(&mut self, inode: u64, offset: u64, bytes: &[u8], now: i64) -> Done<()> {
        self.lives()?;
        let (taken, there_are) = self.room();
        let node = self.seen.get_mut(&inode).ok_or(Errno::NOENT)?;
        let Body::File(pages) = &mut node.body else { return Err(Errno::ISDIR) };
        let more = pages.more_for(offset, bytes.len());
        if more > 0 && taken + more > there_are {
            self.refused += 1;
            return Err(Errno::NOSPC);
        }
        if more > 0 && self.quota.is_some_and(|quota| taken + more > quota) {
            self.refused += 1;
            return Err(Errno::DQUOT);
        }
        node.modified_at = now;
        pages.write(offset, bytes, self.unsynced.entry(inode).or_default());
        self.pages += more;
        self.was_written(inode);
        Ok(())
    }

    pub(super) fn set_length(&mut self, inode: u64, length: u64, now: i64) -> Done<()> {
        self.lives()?;
        let node = self.seen.get_mut(&inode).ok_or(Errno::NOENT)?;
        let Body::File(pages) = &mut node.body else { return Err(Errno::ISDIR) };
        node.modified_at = now;
        let before = pages.count();
        pages.set_length(length, self.unsynced.entry(inode).or_default());
        self.pages = self.pages + pages.count() - before;
        self.uncommitted.insert(inode);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
