//! What reaches the disk, and what is left when power is lost.

use rand::prelude::*;
use rand::rngs::StdRng;

use super::{Body, Done, Image, Node, Pages};

impl Image {
    /// The file system's own journal reaches the disk: every change of names and attributes so far,
    /// of whatever file. The bytes of files stay what they were there: none of a new one.
    pub(in super::super) fn commit(&mut self) {
        for inode in std::mem::take(&mut self.uncommitted) {
            let Some(seen) = self.seen.get(&inode).filter(|node| node.links > 0) else {
                self.disk.remove(&inode);
                continue;
            };
            let body = match (&seen.body, self.disk.remove(&inode).map(|node| node.body)) {
                (Body::File(_), Some(Body::File(mut pages))) => {
                    if let Some(unsynced) = self.unsynced.get_mut(&inode) {
                        pages.commit(unsynced);
                    }
                    Body::File(pages)
                }
                (Body::File(_), _) => Body::File(Pages::default()),
                (body, _) => body.clone(),
            };
            let Node { mode, uid, gid, links, modified_at, ref name, .. } = *seen;
            let name = name.clone();
            let node = Node { body, mode, uid, gid, links, modified_at, name, lookups: 0 };
            self.disk.insert(inode, node);
        }
    }

    /// `fsync` of a file: its bytes, and a commit. Of a folder: a commit.
    pub(in super::super) fn sync(&mut self, inode: u64) -> Done<()> {
        self.lives()?;
        self.commit();
        let Some(unsynced) = self.unsynced.get_mut(&inode) else { return Ok(()) };
        if let Some(Node { body: Body::File(seen), .. }) = self.seen.get(&inode)
            && let Some(Node { body: Body::File(pages), .. }) = self.disk.get_mut(&inode)
        {
            pages.sync(seen, unsynced);
        }
        self.unsynced.remove(&inode);
        Ok(())
    }

    /// Power is lost: what was not synced is gone, but for what the kernel had happened to write by
    /// itself: perhaps a commit, perhaps some of the pages.
    pub(in super::super) fn lose_power(&mut self, rng: &mut StdRng) {
        if rng.random_bool(0.5) {
            self.commit();
        }
        let written = if rng.random_bool(0.5) { 0.0 } else { rng.random_range(0.0..1.0) };
        let mut inodes: Vec<&u64> = self.unsynced.keys().collect();
        inodes.sort_unstable();
        for inode in inodes {
            let seen = self.seen.get(inode);
            if let Some(Node { body: Body::File(seen), .. }) = seen
                && let Some(Node { body: Body::File(pages), .. }) = self.disk.get_mut(inode)
            {
                pages.write_back(seen, &self.unsynced[inode], || rng.random_bool(written));
            }
        }
        self.forget_the_rest();
    }

    /// What programs see is what the disk holds.
    pub(in super::super) fn forget_the_rest(&mut self) {
        self.unsynced.clear();
        self.uncommitted.clear();
        self.seen = self.disk.clone();
        let count =
            |node: &Node| if let Body::File(pages) = &node.body { pages.count() } else { 0 };
        self.pages = self.seen.values().map(count).sum();
    }
}
