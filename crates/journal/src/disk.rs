//! The few operations on files that the journal needs, and the real ones.
//!
//! They stand behind traits so that tests can put a disk in their place that loses power.

use std::fs::{self, File as StdFile, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

/// Name of the file whose lock says that a journal is open.
const LOCK_NAME: &str = "lock";
/// Most slices that one `pwritev` takes (`IOV_MAX` of Linux).
const SLICES_MAX: usize = 1024;

/// A folder of files. Names are plain file names in it.
pub(crate) trait Disk: Send + Sync + 'static {
    /// The folder, for messages.
    fn folder(&self) -> &Path;
    /// The names in the folder.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates an empty file, in place of an older one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Opens a file for reading.
    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Renames a file; durable after [`Disk::sync_folder`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; durable after [`Disk::sync_folder`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names in the folder durable.
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file.
pub(crate) trait File: Send {
    /// Writes all of `parts`, one after the other, from `offset` on. After an error any part of
    /// them may be in the file.
    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Fills as much of `bytes` as there is from `offset` on; fewer only at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes the content durable, and the length if it grew (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// Makes content and length durable (`fsync`).
    fn sync_all(&self) -> io::Result<()>;
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file off at `length`.
    fn cut(&self, length: u64) -> io::Result<()>;
}

/// A folder of the operating system's.
#[derive(Debug)]
pub(crate) struct RealDisk {
    folder: PathBuf,
    #[expect(dead_code, reason = "held for its lock, which goes with the file descriptor")]
    lock: Option<StdFile>,
}

impl RealDisk {
    /// The folder, created when missing, locked against every other process and instance.
    ///
    /// # Errors
    /// `WouldBlock` when another holds the lock; what the operating system says otherwise.
    pub(crate) fn lock(folder: &Path) -> io::Result<Self> {
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            // The folder's own name must survive power loss as well.
            if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                StdFile::open(parent)?.sync_all()?;
            }
        }
        let path = folder.join(LOCK_NAME);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The folder for reading only, kept from others as long as this lives. Nothing is made in it:
    /// a journal that was ever open has its lock.
    ///
    /// # Errors
    /// As [`RealDisk::lock`].
    pub(crate) fn lock_to_read(folder: &Path) -> io::Result<Self> {
        let lock = match StdFile::open(folder.join(LOCK_NAME)) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match lock.as_ref().map_or(Ok(()), StdFile::try_lock) {
            Ok(()) => Ok(Self { folder: folder.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The folder for reading only, whoever holds its lock.
    pub(crate) fn beside(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), lock: None }
    }
}

impl Disk for RealDisk {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            // A name that is not UTF-8 is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let path = self.folder.join(name);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.folder.join(name))?;
        Ok(Box::new(file))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(StdFile::open(self.folder.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        // The name goes at once; giving back the pages of 64 MiB takes the kernel some 15 ms, at
        // the last close. That is let happen elsewhere (or here, if there can be no thread).
        let path = self.folder.join(name);
        let file = StdFile::open(&path)?;
        fs::remove_file(path)?;
        let _ = thread::Builder::new().name("journal-unlink".to_owned()).spawn(|| drop(file));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        StdFile::open(&self.folder)?.sync_all()
    }
}

impl File for StdFile {
    fn write_all_at(&self, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let now = &parts[..parts.len().min(SLICES_MAX)];
            match rustix::io::pwritev(self, now, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match FileExt::read_at(self, &mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        StdFile::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        StdFile::sync_all(self)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}
