//! From the kernel's questions to the image: FUSE, one mount of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::image::{Body, Image, Node, ROOT, Rename};
use super::pages::{PAGE_BYTES, Pages};

/// How long the kernel may keep what it was told: everything changes through it, and each loss of
/// power gets a mount of its own.
const KEPT: Duration = Duration::from_secs(3_600);
/// No inode is used twice within a mount.
const GENERATION: Generation = Generation(0);
/// The kernel knows which file it means.
const HANDLE: FileHandle = FileHandle(0);
/// Longest name, bytes.
const NAME_BYTES_MAX: u32 = 255;
/// What `open` says when each write must be on disk: `O_DSYNC`, which `O_SYNC` contains.
const SYNCED_WRITES: i32 = rustix::fs::OFlags::DSYNC.bits().cast_signed();

/// Answers the kernel.
#[derive(Debug)]
pub(super) struct Bridge(pub(super) Arc<Mutex<Image>>);

type Done<T> = Result<T, rustix::io::Errno>;

impl Bridge {
    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self, inode: u64) -> Done<FileAttr> {
        Ok(attributes(inode, self.image().node(inode)?))
    }

    /// Makes something, and tells the kernel of it.
    fn make(
        &self,
        request: &Request,
        (folder, name): (INodeNo, &OsStr),
        body: Body,
        mode: u32,
    ) -> Done<FileAttr> {
        let mut image = self.image();
        let owner = (permissions(mode), request.uid(), request.gid());
        let inode = image.make((folder.0, name), body, owner, now())?;
        image.looked_up(inode);
        Ok(attributes(inode, image.node(inode)?))
    }
}

fn said(error: rustix::io::Errno) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

fn entry(reply: ReplyEntry, found: Done<FileAttr>) {
    match found {
        Ok(attributes) => reply.entry(&KEPT, &attributes, GENERATION),
        Err(error) => reply.error(said(error)),
    }
}

fn empty(reply: ReplyEmpty, done: Done<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(said(error)),
    }
}

fn attr(reply: ReplyAttr, found: Done<FileAttr>) {
    match found {
        Ok(attributes) => reply.attr(&KEPT, &attributes),
        Err(error) => reply.error(said(error)),
    }
}

fn now() -> i64 {
    nanos(SystemTime::now())
}

fn nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or_default()
}

fn kind(body: &Body) -> FileType {
    match body {
        Body::File(_) => FileType::RegularFile,
        Body::Folder(_) => FileType::Directory,
        Body::Link(_) => FileType::Symlink,
    }
}

fn attributes(inode: u64, node: &Node) -> FileAttr {
    let modified = u64::try_from(node.modified_at).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(modified);
    FileAttr {
        ino: INodeNo(inode),
        size: node.length(),
        blocks: node.length().div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(&node.body),
        perm: node.mode,
        nlink: node.links,
        uid: node.uid,
        gid: node.gid,
        rdev: 0,
        blksize: u32::try_from(PAGE_BYTES).unwrap_or_default(),
        flags: 0,
    }
}

impl Filesystem for Bridge {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut image = self.image();
        let found = image.find(parent.0, name).and_then(|inode| {
            image.looked_up(inode);
            Ok(attributes(inode, image.node(inode)?))
        });
        entry(reply, found);
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        self.image().forget(ino.0, nlookup);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, self.attributes(ino.0));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = |image: &mut Image| {
            if let Some(size) = size {
                image.set_length(ino.0, size, now())?;
            }
            image.change(ino.0, |node| {
                node.mode = mode.map_or(node.mode, permissions);
                node.uid = uid.unwrap_or(node.uid);
                node.gid = gid.unwrap_or(node.gid);
                node.modified_at = match mtime {
                    Some(TimeOrNow::SpecificTime(time)) => nanos(time),
                    Some(TimeOrNow::Now) => now(),
                    None => node.modified_at,
                };
            })
        };
        let changed = change(&mut self.image());
        attr(reply, changed.and_then(|()| self.attributes(ino.0)));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.image().node(ino.0).map(|node| &node.body) {
            Ok(Body::Link(target)) => reply.data(target.as_bytes()),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let body = Body::Folder(BTreeMap::new());
        entry(reply, self.make(request, (parent, name), body, mode & !umask));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.image().unlink(parent.0, name));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.image().remove_folder(parent.0, name));
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let body = Body::Link(target.as_os_str().to_owned());
        entry(reply, self.make(request, (parent, link_name), body, 0o777));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let how = if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            Rename::Exchange
        } else if flags.contains(RenameFlags::RENAME_NOREPLACE) {
            Rename::Keep
        } else {
            Rename::Replace
        };
        empty(reply, self.image().rename((parent.0, name), (newparent.0, newname), how));
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let done = self.image().link(ino.0, (newparent.0, newname));
        entry(
            reply,
            done.and_then(|()| {
                self.image().looked_up(ino.0);
                self.attributes(ino.0)
            }),
        );
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(HANDLE, FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let body = Body::File(Pages::default());
        match self.make(request, (parent, name), body, mode & !umask) {
            Ok(made) => {
                reply.created(&KEPT, &made, GENERATION, HANDLE, FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(error) => reply.error(said(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.image().read(ino.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(said(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut image = self.image();
        let synced = flags.0 & SYNCED_WRITES != 0;
        let done = image.write(ino.0, offset, data, now());
        match done.and_then(|()| if synced { image.sync(ino.0) } else { Ok(()) }) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(said(error)),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.image().sync(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.image().sync(ino.0));
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let image = self.image();
        let names = match image.folder(ino.0) {
            Ok(names) => names,
            Err(error) => return reply.error(said(error)),
        };
        // Nobody here asks for what stands above.
        let dots = [(OsStr::new("."), ino.0), (OsStr::new(".."), ROOT)];
        let names = names.iter().map(|(name, inode)| (name.as_os_str(), *inode));
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (name, inode)) in dots.into_iter().chain(names).enumerate().skip(from) {
            let kind = image.node(inode).map_or(FileType::RegularFile, |node| kind(&node.body));
            if reply.add(INodeNo(inode), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (taken, there_are) = self.image().room();
        let free = there_are.saturating_sub(taken);
        let bytes = u32::try_from(PAGE_BYTES).unwrap_or_default();
        reply.statfs(there_are, free, free, 0, u64::MAX >> 1, bytes, NAME_BYTES_MAX, bytes);
    }
}
