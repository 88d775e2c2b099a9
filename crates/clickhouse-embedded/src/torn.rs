//! Files that a write did not reach, until the engine has been told or has removed them.
//!
//! Why the engine must be told at all, and by which calls it hears: `ffi/writes.rs`. Here is which
//! call concerns which file. A part is written into a folder `tmp_…`, synced, and renamed as a whole,
//! so what befell one of its files befell the part.
//!
//! Files are held open meanwhile: their inodes cannot become other files, and the kernel tells where
//! they are and whether they have been removed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus_client::metrics::counter::Counter;
use rustix::fs::FileType;

/// Files held at most. The engine writes some twenty files a part, and gives the part up at once.
const HELD_MAX: usize = 1_024;
/// Folders of parts that are being written.
const UNFINISHED: &str = "tmp_";
/// Of these, parts of an insert.
const INSERTED: &str = "tmp_insert_";
/// What is about to be removed.
const REMOVED: &str = "delete_";
/// The engine's folders in its data folder. What else lies there is this program's.
const FOLDERS: [&str; 4] = ["store", "metadata", "data", SPILLED];
/// Where the engine keeps intermediate results of large questions and merges.
const SPILLED: &str = "tmp";

static WATCHED: OnceLock<Watched> = OnceLock::new();
static TORN: Mutex<TornFiles> = Mutex::new(TornFiles(Vec::new()));
/// Whether there are any, for those who ask at each call.
static ANY: AtomicBool = AtomicBool::new(false);
static LOST_BACKUP_WRITES: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Watched {
    data: PathBuf,
    backups: Option<PathBuf>,
    failed: Counter,
}

/// What follows from a write that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// It concerns no file of the engine, or a file or part that is known already.
    Nothing,
    /// The engine will be told when it syncs or renames.
    Told(PathBuf),
    /// Nothing that the engine does with the file would tell it.
    End(PathBuf),
}

/// A rename that must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the write failed with.
    pub(crate) error: i32,
    /// The engine has noted the insert as done, and would take its repeat for one.
    pub(crate) is_noted: bool,
}

/// From now on failed writes below these folders are remembered, and counted.
///
/// # Errors
/// The kernel does not tell where open files are.
pub(crate) fn watch(data: &Path, backups: Option<&Path>, failed: Counter) -> io::Result<()> {
    let folder = File::open(data)?;
    if path(folder.as_fd()).is_none_or(|path| path != data) {
        let why = "/proc/self/fd does not tell where an open file is; the engine needs it";
        return Err(io::Error::other(why));
    }
    let backups = backups.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
    // An engine is opened once.
    let _ = WATCHED.set(Watched { data: data.to_owned(), backups, failed });
    Ok(())
}

/// A write to `file` failed with `error`.
pub(crate) fn failed(file: BorrowedFd<'_>, error: i32) -> Consequence {
    let Some(watched) = WATCHED.get() else { return Consequence::Nothing };
    let Ok(stat) = rustix::fs::fstat(file) else { return Consequence::Nothing };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink == 0 {
        return Consequence::Nothing;
    }
    let Some(path) = path(file) else { return Consequence::End(PathBuf::new()) };
    let consequence = match &watched.backups {
        Some(backups) if path.starts_with(backups) => {
            LOST_BACKUP_WRITES.fetch_add(1, Ordering::AcqRel);
            Consequence::Told(path)
        }
        _ => held().failed(&watched.data, file, path, error),
    };
    if consequence != Consequence::Nothing {
        watched.failed.inc();
    }
    consequence
}

/// Writes of backups that failed so far. Files of a backup are not synced: whoever had one made
/// asks before and after.
pub(crate) fn lost_backup_writes() -> u64 {
    LOST_BACKUP_WRITES.load(Ordering::Acquire)
}

/// Gives the room of torn files back that have been removed meanwhile.
pub(crate) fn let_go() {
    if ANY.load(Ordering::Acquire) {
        held().let_go();
    }
}

/// The error that a sync of `file` must end with.
pub(crate) fn of_sync(file: BorrowedFd<'_>) -> Option<i32> {
    if !ANY.load(Ordering::Acquire) {
        return None;
    }
    held().of_sync(file)
}

/// Why `from` must not be called `to`.
pub(crate) fn of_rename(from: &Path, to: &Path) -> Option<Refusal> {
    // What is to be removed is renamed first.
    let is_removed = to.file_name().is_some_and(|name| starts(name, REMOVED));
    if is_removed || !ANY.load(Ordering::Acquire) {
        return None;
    }
    held().of_rename(from)
}

fn held() -> MutexGuard<'static, TornFiles> {
    TORN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Torn {
    file: OwnedFd,
    error: i32,
}

impl Torn {
    fn is(&self, file: BorrowedFd<'_>) -> bool {
        let inode = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let (held, asked) = (rustix::fs::fstat(&self.file), rustix::fs::fstat(file));
        held.map(inode).is_ok_and(|held| asked.map(inode) == Ok(held))
    }

    fn is_below(&self, folder: &Path) -> bool {
        path(self.file.as_fd()).is_some_and(|path| path.starts_with(folder))
    }
}

#[derive(Debug)]
struct TornFiles(Vec<Torn>);

impl TornFiles {
    fn failed(
        &mut self,
        data: &Path,
        file: BorrowedFd<'_>,
        path: PathBuf,
        error: i32,
    ) -> Consequence {
        self.let_go();
        let Ok(within) = path.strip_prefix(data) else { return Consequence::Nothing };
        let folder = within.components().next().map(Component::as_os_str);
        match FOLDERS.into_iter().find(|name| folder == Some(OsStr::new(name))) {
            None => return Consequence::Nothing,
            // Who comes to read it finds that it is not there.
            Some(SPILLED) => {
                return match std::fs::remove_file(&path) {
                    Ok(()) => Consequence::Told(path),
                    Err(_) => Consequence::End(path),
                };
            }
            Some(_) => {}
        }
        if self.0.iter().any(|torn| torn.is(file)) {
            return Consequence::Nothing;
        }
        let copy = rustix::io::fcntl_dupfd_cloexec(file, 0);
        let (Ok(file), true) = (copy, self.0.len() < HELD_MAX) else {
            return Consequence::End(path);
        };
        // One word a part is enough for whoever reads the log.
        let part = part_of(&path);
        let is_known = part.is_some_and(|part| self.0.iter().any(|torn| torn.is_below(part)));
        self.0.push(Torn { file, error });
        ANY.store(true, Ordering::Release);
        if is_known { Consequence::Nothing } else { Consequence::Told(path) }
    }

    fn of_sync(&mut self, file: BorrowedFd<'_>) -> Option<i32> {
        self.let_go();
        let asked = path(file)?;
        let part = part_of(&asked);
        let torn = self.0.iter().find(|torn| torn.is_below(part.unwrap_or(&asked)));
        let error = torn.map(|torn| torn.error);
        self.forget_file(part, &asked);
        error
    }

    fn of_rename(&mut self, from: &Path) -> Option<Refusal> {
        self.let_go();
        // As the kernel tells the paths of open files.
        let from = std::fs::canonicalize(from).ok()?;
        let torn = self.0.iter().find(|torn| torn.is_below(&from))?;
        let is_noted = from.file_name().is_some_and(|name| starts(name, INSERTED));
        let refusal = Refusal { error: torn.error, is_noted };
        self.forget_file(part_of(&from), &from);
        Some(refusal)
    }

    /// Of a file outside of parts the engine has been told, and writes it anew under the same name.
    fn forget_file(&mut self, part: Option<&Path>, file: &Path) {
        if part.is_none() {
            self.0.retain(|torn| !torn.is_below(file));
            ANY.store(!self.0.is_empty(), Ordering::Release);
        }
    }

    /// Forgets files that have been removed.
    fn let_go(&mut self) {
        self.0.retain(|torn| rustix::fs::fstat(&torn.file).is_ok_and(|stat| stat.st_nlink > 0));
        ANY.store(!self.0.is_empty(), Ordering::Release);
    }
}

/// Where an open file or folder is.
fn path(file: BorrowedFd<'_>) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let target = rustix::fs::readlink(link, Vec::new()).ok()?;
    Some(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// The folder of the part that something belongs to, while the part is being written.
fn part_of(path: &Path) -> Option<&Path> {
    path.ancestors().find(|folder| folder.file_name().is_some_and(|name| starts(name, UNFINISHED)))
}

fn starts(name: &OsStr, with: &str) -> bool {
    name.as_bytes().starts_with(with.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    const NO_SPACE: i32 = 28;

    struct Case {
        _folder: tempfile::TempDir,
        data: PathBuf,
        torn: TornFiles,
    }

    fn case() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let data = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(data.join("store/tmp_insert_1/inner")).unwrap();
        fs::create_dir_all(data.join("store/tmp_merge_1")).unwrap();
        fs::create_dir_all(data.join("tmp")).unwrap();
        Case { _folder: folder, data, torn: TornFiles(Vec::new()) }
    }

    impl Case {
        fn file(&self, name: &str) -> File {
            File::create(self.data.join(name)).unwrap()
        }

        fn tear(&mut self, name: &str) -> Consequence {
            let file = self.file(name);
            self.fails(&file)
        }

        fn fails(&mut self, file: &File) -> Consequence {
            let path = path(file.as_fd()).unwrap();
            self.torn.failed(&self.data, file.as_fd(), path, NO_SPACE)
        }
    }

    #[test]
    fn a_part_with_a_torn_file_is_neither_synced_nor_renamed() {
        let mut case = case();
        let torn = case.data.join("store/tmp_merge_1/data.bin");
        assert_eq!(case.tear("store/tmp_merge_1/data.bin"), Consequence::Told(torn));
        let same = File::open(case.data.join("store/tmp_merge_1/data.bin")).unwrap();
        assert_eq!(case.fails(&same), Consequence::Nothing);
        let other_of_it = case.file("store/tmp_merge_1/checksums.txt");
        assert_eq!(case.torn.of_sync(other_of_it.as_fd()), Some(NO_SPACE));
        let folder = File::open(case.data.join("store/tmp_merge_1")).unwrap();
        assert_eq!(case.torn.of_sync(folder.as_fd()), Some(NO_SPACE));
        let other_part = case.file("store/tmp_insert_1/data.bin");
        assert_eq!(case.torn.of_sync(other_part.as_fd()), None);
        let refusal = Refusal { error: NO_SPACE, is_noted: false };
        let name = case.data.join("store/tmp_merge_1/");
        assert_eq!(case.torn.of_rename(&name), Some(refusal));
        assert_eq!(case.torn.of_rename(&case.data.join("store/tmp_insert_1")), None);
    }

    #[test]
    fn a_part_is_a_new_one_once_its_torn_file_is_removed() {
        let mut case = case();
        case.tear("store/tmp_merge_1/data.bin");
        fs::remove_file(case.data.join("store/tmp_merge_1/data.bin")).unwrap();
        let again = case.file("store/tmp_merge_1/data.bin");
        assert_eq!(case.torn.of_sync(again.as_fd()), None);
        assert_eq!(case.torn.of_rename(&case.data.join("store/tmp_merge_1")), None);
        assert!(case.torn.0.is_empty(), "its room is given back");
    }

    #[test]
    fn a_part_of_which_every_file_is_torn_is_told_of_once() {
        let mut case = case();
        assert!(matches!(case.tear("store/tmp_merge_1/data.bin"), Consequence::Told(_)));
        assert_eq!(case.tear("store/tmp_merge_1/count.txt"), Consequence::Nothing);
        fs::remove_file(case.data.join("store/tmp_merge_1/data.bin")).unwrap();
        let other = case.file("store/tmp_merge_1/checksums.txt");
        assert_eq!(case.torn.of_sync(other.as_fd()), Some(NO_SPACE));
    }

    #[test]
    fn an_insert_that_got_as_far_as_its_name_has_been_noted() {
        let mut case = case();
        case.tear("store/tmp_insert_1/inner/data.bin");
        let refusal = Refusal { error: NO_SPACE, is_noted: true };
        assert_eq!(case.torn.of_rename(&case.data.join("store/tmp_insert_1")), Some(refusal));
    }

    #[test]
    fn a_torn_file_outside_of_parts_concerns_itself_alone() {
        let mut case = case();
        case.tear("store/table.sql.tmp");
        let other = case.file("store/other.sql.tmp");
        assert_eq!(case.torn.of_sync(other.as_fd()), None);
        let same = File::open(case.data.join("store/table.sql.tmp")).unwrap();
        assert_eq!(case.torn.of_sync(same.as_fd()), Some(NO_SPACE));
        // It is written anew.
        assert_eq!(case.torn.of_sync(same.as_fd()), None);
        case.tear("store/table.sql.tmp");
        let name = case.data.join("store/table.sql.tmp");
        let refusal = Refusal { error: NO_SPACE, is_noted: false };
        assert_eq!(case.torn.of_rename(&name), Some(refusal));
        assert_eq!(case.torn.of_rename(&name), None);
    }

    #[test]
    fn an_intermediate_result_goes_and_what_is_not_the_engines_is_nothing() {
        let mut case = case();
        let spilled = case.data.join("tmp/1");
        assert_eq!(case.tear("tmp/1"), Consequence::Told(spilled.clone()));
        assert!(!spilled.exists(), "who comes to read it is told");
        assert_eq!(case.tear("query-log.jsonl"), Consequence::Nothing);
        fs::create_dir(case.data.join("logs")).unwrap();
        assert_eq!(case.tear("logs/query-log.jsonl"), Consequence::Nothing);
        assert!(case.torn.0.is_empty());
    }

    #[test]
    fn more_torn_files_than_can_be_held_end_the_engine() {
        let mut case = case();
        for number in 0..HELD_MAX {
            let told = case.tear(&format!("store/tmp_merge_1/{number}"));
            assert_eq!(told == Consequence::Nothing, number > 0, "{number}: {told:?}");
        }
        assert!(matches!(case.tear("store/tmp_merge_1/last"), Consequence::End(_)));
    }
}
