//! A disk that forgets what was not synced, for tests of what a loss of power leaves behind.
//!
//! A file system of our own, mounted by FUSE and held in memory twice: as programs see it, and as
//! a disk would hold it if power were lost now ([`image`]). [`ForgetfulDisk::lose_power`] makes the
//! second the first. The idea is that of LazyFS (Ramos et al., "When Amnesia Strikes: Understanding
//! and Reproducing Data Loss Bugs with Fault Injection", VLDB 2024), which Jepsen uses; what is
//! modelled beyond it is how names reach the disk.
//!
//! The model is ext4 with its defaults (`data=ordered`, delayed allocation; the kernel's
//! `Documentation/filesystems/ext4`):
//!
//! - **Bytes** of a file are kept once `fsync`, `fdatasync` or an `O_DSYNC` write has returned.
//!   What was written since is lost: old bytes are back, and the file ends where it ended then.
//! - **Names and attributes** (create, rename, link, unlink, mkdir, rmdir, cut) go through the file
//!   system's journal, in order. A sync of anything commits all of them that came before it; those
//!   after the last sync are undone. So a new file that was renamed and not synced, while another
//!   one was, stands there under its new name and is empty.
//! - **The kernel may have written more by itself**: at each loss a coin decides whether the
//!   journal had just been committed, another whether a part of the unsynced pages (4 KiB each, any
//!   of them, in no order) had been written back. The seed decides the coins.
//!
//! Harsher than ext4 in one place: `auto_da_alloc`, which syncs a file that is renamed over another
//! one, is off. Kinder in one: what was synced is never torn or rotten. Its room is bounded
//! ([`ForgetfulDisk::limit`]): beyond it, writes fail with `ENOSPC`; so they do with `EDQUOT` beyond a
//! [quota](ForgetfulDisk::quota), of which nobody is told before.

mod pages;
mod image;
mod bridge;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fuser::{BackgroundSession, Config, MountOption};
use rand::rngs::StdRng;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use bridge::Bridge;
use image::Image;

/// Room of a disk that nobody limited.
const BYTES_MAX: u64 = 8 << 30;
/// How long the last program that was killed may take to let go of its files.
const LET_GO_DEADLINE: Duration = Duration::from_secs(20);
const LET_GO_LOOK: Duration = Duration::from_millis(10);
/// Threads that answer the kernel.
const THREADS: usize = 2;

/// A mounted disk. Dropped, it is gone with all it held.
#[derive(Debug)]
pub struct ForgetfulDisk {
    path: PathBuf,
    image: Arc<Mutex<Image>>,
    session: Option<BackgroundSession>,
}

impl ForgetfulDisk {
    /// Why no disk can be mounted here, if so: it takes `/dev/fuse` and the right to mount.
    #[must_use]
    pub fn is_impossible() -> Option<String> {
        let tried = tempfile::tempdir().map_err(anyhow::Error::from);
        let tried = tried.and_then(|folder| {
            let disk = Self::mount(folder.path().to_owned())?;
            drop(disk);
            Ok(())
        });
        tried.err().map(|error| format!("{error:#}"))
    }

    /// Whether a disk can be mounted here. If not, it is said on standard error: a test that tests
    /// nothing must not look like one that does.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "the person who reads of a passed test needs it")]
    pub fn is_possible() -> bool {
        let why = Self::is_impossible();
        if let Some(why) = &why {
            eprintln!("NOT TESTED, no disk that forgets (it takes /dev/fuse and root): {why}");
        }
        why.is_none()
    }

    /// Mounts an empty disk over a folder, which is made if missing.
    ///
    /// # Errors
    /// There is no FUSE here, or no right to mount.
    pub fn mount(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        let image = Arc::new(Mutex::new(Image::new(BYTES_MAX)));
        let mut disk = Self { path, image, session: None };
        disk.attach()?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the room of the disk; files that are there stay.
    pub fn limit(&self, bytes_max: u64) {
        self.image().limit(bytes_max);
    }

    /// Leaves room for so many bytes more.
    pub fn leave(&self, bytes: u64) {
        let taken = self.taken_bytes();
        self.limit(taken + bytes);
    }

    /// As much room as at the beginning.
    pub fn limit_no_more(&self) {
        self.limit(BYTES_MAX);
    }

    /// Lets files take so many bytes more before writes fail with `EDQUOT`, while the disk says that
    /// there is room; `None`: no quota.
    pub fn quota(&self, bytes_more: Option<u64>) {
        self.image().quota(bytes_more);
    }

    /// Lets the disk die right after so many writes to files whose name begins so, for a kill at a
    /// point that chance would hardly hit: from then on nothing changes on it, and every attempt
    /// fails with `EIO`.
    pub fn die_after(&self, name: &str, writes: usize) {
        self.image().die_after(name, writes);
    }

    /// Whether that has come.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.image().is_dead()
    }

    /// Lets it go on; the programs that saw it fail should have been killed.
    pub fn revive(&self) {
        self.image().revive();
    }

    /// Writes that found no room so far.
    #[must_use]
    pub fn refused_writes(&self) -> u64 {
        self.image().refused()
    }

    /// Bytes that there is room for.
    #[must_use]
    pub fn left_bytes(&self) -> u64 {
        let (taken, there_are) = self.image().room();
        there_are.saturating_sub(taken) * pages::PAGE_BYTES
    }

    /// Bytes that files take.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.image().room().0 * pages::PAGE_BYTES
    }

    /// Forgets what was not synced. Programs that use the disk must have been killed before.
    /// Without randomness the kernel has written nothing by itself.
    ///
    /// # Errors
    /// A program still has a file open, or the disk cannot be mounted again.
    pub fn lose_power(&mut self, rng: Option<&mut StdRng>) -> Result<()> {
        self.detach()?;
        match rng {
            Some(rng) => self.image().lose_power(rng),
            None => self.image().forget_the_rest(),
        }
        self.attach()
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&mut self) -> Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("forgetful".to_owned()),
            MountOption::DefaultPermissions,
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoAtime,
        ];
        config.n_threads = Some(THREADS);
        let bridge = Bridge(Arc::clone(&self.image));
        let session = fuser::spawn_mount(bridge, &self.path, &config);
        let session = session.with_context(|| format!("mounting {}", self.path.display()))?;
        self.session = Some(session);
        Ok(())
    }

    /// Unmounts, so that the kernel remembers nothing of what is to be forgotten.
    fn detach(&mut self) -> Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let begun = Instant::now();
        loop {
            match unmount(&self.path, UnmountFlags::empty()) {
                Err(Errno::BUSY) if begun.elapsed() < LET_GO_DEADLINE => {
                    std::thread::sleep(LET_GO_LOOK);
                }
                done => {
                    done.with_context(|| format!("unmounting {}", self.path.display()))?;
                    break;
                }
            }
        }
        // The kernel ends the connection when it is done with the mount; that is no failure.
        match session.join() {
            Err(error) if error.raw_os_error() != Some(Errno::NODEV.raw_os_error()) => {
                Err(io::Error::other(error)).context("the end of a mount")
            }
            _ => Ok(()),
        }
    }
}

impl Drop for ForgetfulDisk {
    fn drop(&mut self) {
        if self.session.is_some() {
            // Whoever still uses it keeps it alive and invisible.
            let _ = unmount(&self.path, UnmountFlags::DETACH);
        }
    }
}

#[cfg(test)]
mod tests;
