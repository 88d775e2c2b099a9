//! The data folder: one process at a time, and no database through which files can be read.
//!
//! The engine puts an overlay database over its start database, and the overlay reads any path
//! of the host as a table (`` SELECT * FROM `/etc/passwd` ``). It is made under the name of the
//! setting `default_database`; so `default` is laid down here as a plain `Atomic` database, the
//! overlay gets another name, and is dropped as soon as the engine runs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::deduplication;

/// The file whose lock says whose the folder is; it holds the process id.
const LOCK_FILE: &str = "waybill.lock";

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it. 76 is ClickHouse's code for the same.
    #[error("Code: 76. data folder {} is in use by process {process}", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process's id, as it wrote it.
        process: String,
    },
    /// The operating system refuses.
    #[error("cannot use the data folder {}", .path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// The folder, ours until dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is missing, locks it, and lays down the `default` database.
    ///
    /// # Errors
    /// [`FolderError`].
    pub(crate) fn take(path: &Path) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { path: path.to_path_buf(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        let lock = lock(&path)?;
        prepare(&path).map_err(io)?;
        let gone = deduplication::mend(&path).map_err(io)?;
        if gone > 0 {
            tracing::warn!(
                notes = gone,
                "the engine had noted inserts that it never did; they may be done now"
            );
        }
        Ok(Self { path, _lock: lock })
    }

    /// The folder's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(path: &Path) -> Result<File, FolderError> {
    let io = |source| FolderError::Io { path: path.to_path_buf(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path.join(LOCK_FILE)).map_err(io)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut process = String::new();
        file.read_to_string(&mut process).map_err(io)?;
        let process = process.trim().to_owned();
        return Err(FolderError::InUse { path: path.to_path_buf(), process });
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

fn prepare(path: &Path) -> io::Result<()> {
    let metadata = path.join("metadata");
    fs::create_dir_all(&metadata)?;
    fs::create_dir_all(path.join("user_files"))?;
    let link = metadata.join("default");
    // The overlay would take the id behind this link for its own and collide with `default`;
    // the engine makes the link anew when it next needs it.
    let linked = fs::read_link(&link).ok();
    let definition = metadata.join("default.sql");
    if !definition.exists() {
        let id = linked
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str()?.parse().ok())
            .unwrap_or_else(uuid::Uuid::new_v4);
        let draft = metadata.join("default.sql.draft");
        let mut file = File::create(&draft)?;
        file.write_all(format!("ATTACH DATABASE _ UUID '{id}'\nENGINE = Atomic\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(draft, definition)?;
    }
    if linked.is_some() {
        fs::remove_file(link)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_keeps_its_database() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::take(folder.path()).unwrap();
        let second = Folder::take(folder.path()).unwrap_err().to_string();
        let own = format!("is in use by process {}", std::process::id());
        assert!(second.contains("Code: 76") && second.contains(&own), "{second}");
        let definition = folder.path().join("metadata/default.sql");
        let before = fs::read_to_string(&definition).unwrap();
        drop(first);
        Folder::take(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&definition).unwrap(), before);
    }
}
