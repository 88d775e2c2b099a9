//! The folder of records that the store refused: one file each, for an operator to send again.
//!
//! A file holds the record as it was written, with the rows of the tables that refused them, and is
//! called after the insert that was refused. It appears under its name when all of it is on disk.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// Refused records that are kept; with more the batch waits, and presses back in the end.
const RECORDS_MAX: usize = 1_000;
/// The end of a file's name.
const SUFFIX: &str = "record";
/// The end of its name while it is written.
const UNFINISHED_SUFFIX: &str = "new";
/// Name of the file whose lock says that somebody sends records again.
const LOCK_NAME: &str = "lock";

/// The folder. It need not exist.
#[derive(Debug, Clone)]
pub struct SetAside {
    folder: PathBuf,
}

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetAsideRecord {
    /// The name of the insert that was refused: the token under which it is sent again.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

impl SetAside {
    /// That folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a record durably under a name; returns its file.
    ///
    /// # Errors
    /// There are as many as may be already, or the operating system refuses.
    pub fn keep(&self, name: &str, record: &[u8]) -> io::Result<PathBuf> {
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder)?;
            let above = self.folder.parent().filter(|above| !above.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let path = self.folder.join(name).with_added_extension(SUFFIX);
        if !path.exists() && self.records()?.len() >= RECORDS_MAX {
            return Err(io::Error::other(format!("{RECORDS_MAX} are there already")));
        }
        let unfinished = path.with_added_extension(UNFINISHED_SUFFIX);
        let mut file = File::create(&unfinished)?;
        file.write_all(record)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        self.sync()?;
        Ok(path)
    }

    /// What is there, by name.
    ///
    /// # Errors
    /// The operating system refuses; that there is no such folder is none.
    pub fn records(&self) -> io::Result<Vec<SetAsideRecord>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == SUFFIX)
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                records.push(SetAsideRecord { name: name.to_owned(), path });
            }
        }
        records.sort();
        Ok(records)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn read(&self, record: &SetAsideRecord) -> io::Result<Bytes> {
        fs::read(&record.path).map(Bytes::from)
    }

    /// Removes a record durably.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn remove(&self, record: &SetAsideRecord) -> io::Result<()> {
        fs::remove_file(&record.path)?;
        self.sync()
    }

    /// Locks the folder against everybody else who sends records again; `None` when somebody does.
    /// A collector that sets records aside meanwhile needs no lock: it only adds whole files. The
    /// lock goes with the file.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn lock(&self) -> io::Result<Option<File>> {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(LOCK_NAME))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_read_and_removed_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let kept = SetAside::new(folder.path().join("a").join("b"));
        assert_eq!(kept.records().unwrap(), []);
        kept.keep("one-2", b"two").unwrap();
        let path = kept.keep("one-1", b"one").unwrap();
        // A repeat after a crash takes its place.
        kept.keep("one-2", b"TWO").unwrap();
        fs::write(kept.folder().join("one-3.record.new"), b"half").unwrap();
        let _lock = kept.lock().unwrap().unwrap();
        let records = kept.records().unwrap();
        let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(names, ["one-1", "one-2"]);
        assert_eq!(records[0].path, path);
        assert_eq!(kept.read(&records[1]).unwrap(), "TWO");
        kept.remove(&records[0]).unwrap();
        assert_eq!(kept.records().unwrap().len(), 1);
        assert!(kept.lock().unwrap().is_none(), "one at a time");
    }

    #[test]
    fn at_the_bound_nothing_more_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let kept = SetAside::new(folder.path().to_owned());
        for n in 0..RECORDS_MAX {
            fs::write(folder.path().join(format!("{n}.record")), b"").unwrap();
        }
        assert!(kept.keep("another", b"").unwrap_err().to_string().contains("there already"));
        kept.keep("7", b"again").unwrap();
    }
}
