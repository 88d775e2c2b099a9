//! One demo per folder: a second one would remove the data under the first.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// Held as long as the demo runs; the kernel lets go of it with the process.
const LOCK_FILE: &str = "lock";

/// The right to use a folder.
#[derive(Debug)]
pub(super) struct FolderLock {
    folder: PathBuf,
    _file: File,
}

impl FolderLock {
    /// Takes the folder, which is made if missing.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(LOCK_FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another demo is running in {}; stop it, or choose another --folder",
                folder.display()
            );
        }
        Ok(Self { folder: folder.to_owned(), _file: file })
    }

    /// Removes what an earlier demo left.
    pub(super) fn empty(&self) -> Result<()> {
        let removing = || format!("removing what is in {}", self.folder.display());
        for entry in std::fs::read_dir(&self.folder).with_context(removing)? {
            let entry = entry.with_context(removing)?;
            if entry.file_name() == LOCK_FILE {
                continue;
            }
            let path = entry.path();
            let removed = if entry.file_type().with_context(removing)?.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.with_context(removing)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_once_and_emptied_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("demo");
        let lock = FolderLock::take(&folder).unwrap();
        std::fs::create_dir(folder.join("store")).unwrap();
        std::fs::write(folder.join("store/data"), "x").unwrap();
        let error = FolderLock::take(&folder).unwrap_err().to_string();
        assert!(error.contains("another demo is running"), "{error}");
        lock.empty().unwrap();
        assert!(!folder.join("store").exists());
        drop(lock);
        FolderLock::take(&folder).unwrap();
    }
}
